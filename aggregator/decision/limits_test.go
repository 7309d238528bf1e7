package decision

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"beckon/internal/proxy"
)

// asksUntil asks until it is refused, and returns how often it was answered.
func (r *replica) asksUntil(q request, refused int) int {
	r.Helper()
	for n := range 1000 {
		got := r.ask(q)
		if got.StatusCode != refused {
			continue
		}
		if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 20 || got.Header.Get("Beckon-Reason") != "rate-limited" {
			r.Fatalf("refused with %q, Retry-After %q", got.Header.Get("Beckon-Reason"), got.Header.Get("Retry-After"))
		}
		return n
	}
	return 1000
}

func TestAClientThatAsksTooOftenIsRefusedAndItsNeighbourIsNot(t *testing.T) {
	ours := func(c *Config) {
		c.Proxies = proxy.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		c.Limits = Limits{Client: 2}
	}
	r := startReplica(t, newSetup(t), ours)
	from := func(n int, more map[string]string) map[string]string {
		headers := map[string]string{"X-Forwarded-For": fmt.Sprintf("203.0.113.%d", n), "Origin": shopOrigin}
		for name, value := range more {
			headers[name] = value
		}
		return headers
	}
	visit, _ := r.visitor("demo")
	if n := r.asksUntil(request{headers: from(1, nil)}, 429); n < 40 || n > 60 { // 2 a second, 20 seconds' worth
		t.Errorf("%d questions were answered at once", n)
	}
	got, _ := r.evaluate("", request{headers: from(1, nil)})
	if got.StatusCode != 429 || got.Header.Get("Access-Control-Allow-Origin") != shopOrigin || got.Header.Get("Retry-After") == "" {
		t.Errorf("a flag: %d %v, want a refusal that the page can read", got.StatusCode, got.Header)
	}
	for name, q := range map[string]request{
		"a neighbour":               {headers: from(2, nil)},
		"a server with its key":     {visit: visit, headers: from(1, map[string]string{"Authorization": "Bearer " + serverKey})},
		"a proxy of ours by itself": {},
	} {
		if got := r.ask(q); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	// Who tries keys, or sites, is counted like anybody.
	for n, q := range map[int]request{3: {headers: from(3, map[string]string{"Authorization": "Bearer guess"})}, 4: {site: "nowhere", headers: from(4, nil)}} {
		if tries := r.asksUntil(q, 429); tries > 60 {
			t.Errorf("client %d may try for ever", n)
		}
	}
}

func TestASiteThatIsAskedTooOftenLeavesTheOthersAlone(t *testing.T) {
	r := startReplica(t, newSetup(t), func(c *Config) { c.Limits = Limits{Site: 1} })
	keyed := map[string]string{"Authorization": "Bearer " + serverKey}
	if n := r.asksUntil(request{headers: keyed}, 429); n < 20 || n > 40 {
		t.Errorf("%d questions were answered at once", n)
	}
	if got := r.ask(request{site: "open"}); got.StatusCode != http.StatusOK {
		t.Errorf("another site: %d", got.StatusCode)
	}
	if got, _ := r.evaluate("welcome-back", request{}); got.StatusCode != 429 {
		t.Errorf("a flag of the site: %d", got.StatusCode)
	}
}
