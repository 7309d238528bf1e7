package decision

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"beckon/aggregator/eligibility"
	"beckon/internal/site"
)

// A sites file that changes in the middle of an answer changes the next answer, whole: never the sites of one
// version with the rules of another.
func TestAnAnswerIsOfOneSitesFile(t *testing.T) {
	s := newSetup(t)
	without, err := site.Parse("sites.yaml", []byte(sitesText[:strings.Index(sitesText, "  - id: open")]))
	if err != nil {
		t.Fatal(err)
	}
	old, faults := eligibility.Compile(without)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var asked atomic.Int64
	r := startReplica(t, s, func(c *Config) {
		c.Program = func() *eligibility.Program { // reloaded with each look at it
			if asked.Add(1)%2 == 0 {
				return old
			}
			return s.rules
		}
	})
	served, unknown := 0, 0
	for range 20 {
		switch got := r.ask(request{site: "open"}); {
		case got.StatusCode == http.StatusNotFound && got.Header.Get("Beckon-Reason") == unknownSite.reason:
			unknown++
		case got.Reason == "TARGETING_MATCH" && got.Offer.ID == "winter":
			served++
		default:
			t.Fatalf("status %d, %s", got.StatusCode, got.body)
		}
	}
	if served == 0 || unknown == 0 {
		t.Fatalf("served %d, unknown %d: the file did not change", served, unknown)
	}
}
