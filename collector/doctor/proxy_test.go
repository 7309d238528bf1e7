package doctor

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	f := func(outcome Outcome, want string, change func(*world), also ...string) {
		t.Helper()
		finds(t, "proxy", outcome, want, change, also...)
	}
	f(OK, "as 127.0.0.0/24, through a trusted proxy", func(*world) {})
	f(OK, "as 203.0.113.0/24, through a trusted proxy; compare that", func(w *world) { w.forwarded = "203.0.113.77" })
	f(NotChecked, "name its private port with --admin", func(w *world) { w.noAdmin = true }, "events")
	f(NotChecked, "nobody listens", func(w *world) { w.admin = "127.0.0.1:1" })
	f(Warning, "did not come to this collector", func(w *world) {
		another := httptest.NewServer(new(otherProbes))
		w.t.Cleanup(another.Close)
		w.admin = another.URL
	})
	f(NotChecked, "the batch was not taken", answers("/px/e", http.StatusBadGateway, ""), "collector")
	f(Fault, "a proxy in 127.0.0.0/24 that is not trusted", func(w *world) { w.trusted = "" }, "cookie")
	f(Fault, "does not say for whom", func(w *world) { w.forwarded = "unknown" })
	f(Fault, "the proxy says its own", func(w *world) { w.trusted, w.forwarded = "127.0.0.0/8 10.0.0.0/8", "10.1.2.3" })
	f(Fault, "the visitor's connection is https", func(w *world) { w.proto = "" }, "cookie")
	f(Fault, "name the proxy with --trusted-proxy (its address) or --trusted-proxy-secret-file, at both services; let the proxy write X-Forwarded-Proto", func(w *world) { w.trusted = "" }, "cookie")
	f(Fault, "a visitor can choose the address", func(w *world) { w.forwarded = "keep" })
	f(Fault, "which is the network of shop.example itself", func(w *world) { w.forwarded = "198.51.100.20" })
}

// Where the doctor and the shop are cannot be chosen in a test: here it is said.
func TestTheAddressThatTheCollectorFoundIsJudged(t *testing.T) {
	const here, shop = "192.0.2.5", "198.51.100.10"
	f := func(outcome Outcome, want, network string, proxied, forwarded, own bool) {
		t.Helper()
		v := facts{endpoint: mustParse(t, "https://shop.example/px"), names: map[string]resolved{"shop.example": {addrs: []netip.Addr{netip.MustParseAddr(shop)}}}}
		v.batch.local = netip.MustParseAddr(here)
		saw := &v.plain.saw
		saw.Network, saw.Proxied, saw.Forwarded, saw.Own = network, proxied, forwarded, own
		if got := v.judgeAddress(); len(got) != 1 || got[0].Outcome != outcome || !strings.Contains(got[0].says(), want) {
			t.Errorf("%s, proxied %v, forwarded %v, own %v: %v, want %s that says %q", network, proxied, forwarded, own, got, outcome, want)
		}
	}
	f(OK, "as 192.0.2.0/24, directly", "192.0.2.0/24", false, false, false)
	f(OK, "as 192.0.2.0/24, through a trusted proxy", "192.0.2.0/24", true, true, false)
	f(OK, "as 192.0.2.0/24", "192.0.2.0/24", true, true, true) // the doctor runs where the proxies are
	f(OK, "compare that", "203.0.113.0/24", false, false, false)
	f(OK, "compare that", "203.0.113.0/24", true, true, false)
	f(OK, "compare that", "10.0.0.0/24", true, true, false) // a shop of an office
	f(Fault, "a proxy in 203.0.113.0/24 that is not trusted", "203.0.113.0/24", false, true, false)
	f(Fault, "does not say for whom", "", true, false, false)
	f(Fault, "the proxy says its own", "10.0.0.0/24", true, false, true)
	f(Fault, "a network that is not on the internet, and without X-Forwarded-For", "10.0.0.0/24", false, false, false)
	f(Fault, "a network that is not on the internet", "127.0.0.0/24", false, false, false)
	f(Fault, "a network that is not on the internet", "fd00::/40", false, false, false)
	f(Fault, "a network that is not on the internet", "169.254.0.0/24", false, false, false)
	f(Fault, "which is the network of shop.example itself", "198.51.100.0/24", false, false, false)
	f(Fault, "which is the network of shop.example itself", "198.51.100.0/24", true, true, false)
}

// otherProbes is the private port of a collector that stands elsewhere.
type otherProbes struct{}

func (*otherProbes) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/metrics":
		out.Write([]byte("beckon_build_info 1\n# TYPE beckon_ingest_events_total counter\nbeckon_ingest_events_total{site=\"demo\",outcome=\"stored\"} 1\n"))
	case r.URL.Path == "/ledger":
		out.Write([]byte("[]"))
	case r.URL.Query().Get("id") == "":
		out.Write([]byte(`{"probe":"00"}`))
	default:
		http.NotFound(out, r)
	}
}
