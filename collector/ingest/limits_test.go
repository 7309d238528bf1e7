package ingest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// limited sets limits, and believes what the test's own address says about where requests come from.
func limited(client, network, site int) func(*Config) {
	return func(c *Config) {
		trusting("127.0.0.0/8")(c)
		c.Limits = Limits{Client: client, Network: network, Site: site}
	}
}

func via(addr string) with { return header("X-Forwarded-For", addr) }

// burst sends pixels until one is refused, and returns how many were taken.
func (s *shop) burst(most int, changes ...with) (taken int, refused reply) {
	s.Helper()
	for taken = range most {
		if got := s.get("/p.gif?s=demo&n=page_view", changes...); got.StatusCode != 200 {
			return taken, got
		}
	}
	return most, reply{}
}

func TestWhoComesTooOftenIsToldWhenToComeAgain(t *testing.T) {
	s := openShop(t, limited(1, 0, 0)) // 20 at once
	taken, got := s.burst(100, via("203.0.113.7"))
	if taken != 20 || got.StatusCode != 429 || got.reason() != "rate-limited" || got.Header.Get("Retry-After") != "1" || got.body != "" {
		t.Fatalf("after %d got %d %q, again after %q, %d bytes", taken, got.StatusCode, got.reason(), got.Header.Get("Retry-After"), len(got.body))
	}
	if len(got.Cookies()) != 0 || got.Close {
		t.Errorf("cookies %v, connection closed: %v", got.Cookies(), got.Close)
	}
	if taken, _ := s.burst(100, via("203.0.113.8")); taken != 20 {
		t.Errorf("a neighbour got %d", taken)
	}
	s.pass(time.Second)
	if taken, _ := s.burst(100, via("203.0.113.7")); taken != 1 {
		t.Errorf("a second later %d were taken, want 1", taken)
	}
	if n := s.metric("beckon_limit_refusals_total"); n != 3 {
		t.Errorf("counted %v refusals, want 3", n)
	}
	if n := len(s.stored()); n != 41 {
		t.Errorf("stored %d events, want those that were taken", n)
	}
}

func TestBatchCountsForItsEvents(t *testing.T) {
	s := openShop(t, limited(5, 0, 0)) // 100 at once
	full := batch("demo", strings.TrimSuffix(strings.Repeat(pageView+",", 60), ","))
	for i, want := range []int{204, 204, 429} { // the second one takes 20 more than there are
		if got := s.post(full, via("203.0.113.7")); got.StatusCode != want {
			t.Fatalf("batch %d got %d, want %d", i, got.StatusCode, want)
		}
	}
	got := s.post(full, via("203.0.113.7"))
	if seconds := got.Header.Get("Retry-After"); seconds != "5" { // 21 tokens at 5 a second
		t.Errorf("again after %q", seconds)
	}
	if got := s.post(`{"s":"demo"}`, via("203.0.113.9")); got.StatusCode != 204 {
		t.Errorf("a choice alone got %d", got.StatusCode)
	}
}

// Whose bucket a request is taken from, and who else stands at the same one.
func TestLimitsAreOfTheClientItsNetworkAndTheSite(t *testing.T) {
	f := func(name string, change func(*Config), first, second with, same bool) {
		t.Helper()
		s := openShop(t, change)
		if taken, _ := s.burst(30, first); taken != 20 {
			t.Fatalf("%s: the first got %d, want 20", name, taken)
		}
		if taken, _ := s.burst(30, second); taken == 0 != same {
			t.Errorf("%s: the second got %d", name, taken)
		}
	}
	client, network, site := limited(1, 0, 0), limited(0, 1, 0), limited(0, 0, 1)
	f("client v4, same", client, via("203.0.113.7"), via("203.0.113.7:4711"), true)
	f("client v4, other", client, via("203.0.113.7"), via("203.0.113.8"), false)
	f("client mapped", client, via("203.0.113.7"), via("::ffff:203.0.113.7"), true)
	f("client /64", client, via("2001:db8:1:2::1"), via("2001:db8:1:2:ffff::9"), true)
	f("client, next /64", client, via("2001:db8:1:2::1"), via("2001:db8:1:3::1"), false)
	f("network /24", network, via("203.0.113.7"), via("203.0.113.250"), true)
	f("network, next /24", network, via("203.0.113.7"), via("203.0.114.7"), false)
	f("network /40", network, via("2001:db8:100::1"), via("2001:db8:1ff:9::1"), true)
	f("network, next /40", network, via("2001:db8:100::1"), via("2001:db8:200::1"), false)
	f("site", site, via("203.0.113.7"), via("2001:db8::1"), true)
	f("what a stranger says does not count", func(c *Config) { c.Limits.Client = 1 }, via("203.0.113.7"), via("203.0.113.8"), true)
}

func TestClientWhoIsRefusedCostsItsNetworkNothing(t *testing.T) {
	s := openShop(t, limited(1, 2, 0)) // 20 and 40 at once
	s.burst(30, via("203.0.113.7"))
	for range 100 {
		s.get("/p.gif?s=demo&n=page_view", via("203.0.113.7"))
	}
	if taken, _ := s.burst(30, via("203.0.113.8")); taken != 20 {
		t.Errorf("the neighbour got %d, want 20", taken)
	}
}

// An address that stands for any number of people is no client.
func TestProxiesAndUnknownAddressesCountForTheSiteOnly(t *testing.T) {
	for name, from := range map[string]with{"proxy": header("X-Ignored", ""), "proxy behind a proxy": via("127.0.0.9"), "unknown": via("unknown")} {
		s := openShop(t, limited(1, 1, 0))
		if taken, _ := s.burst(50, from); taken != 50 {
			t.Errorf("%s: %d were taken", name, taken)
		}
		s = openShop(t, limited(1, 1, 2))
		if taken, _ := s.burst(50, from); taken != 40 {
			t.Errorf("%s: %d were taken of the site's 40", name, taken)
		}
	}
}

func TestShopsServerIsLimitedAsItsSiteOnly(t *testing.T) {
	s := unplugged(t, sink{})
	s.config.Limits = Limits{Client: 1, Network: 1}
	s.config.Registerer = prometheus.NewRegistry()
	s.makeLimits()
	r := &request{ctx: new(fasthttp.RequestCtx), addr: netip.MustParseAddr("203.0.113.7"), source: event.SourceServer, sent: event.MaxBatchEvents}
	r.tenant, _ = s.tenants.find([]byte("demo"))
	for range 100 {
		if withinRate(s, r) != Taken || withinSiteRate(s, r) != Taken {
			t.Fatal("refused")
		}
	}
	r.source = event.SourceBeacon
	if withinRate(s, r) != Taken || withinSiteRate(s, r) != Taken || withinRate(s, r) != RateLimited {
		t.Error("a browser at the same address is not limited")
	}
}

func TestRoutesThatChangeWhatAVisitorHasAreLimited(t *testing.T) {
	for path, out := range map[string]bool{"/optout": true, "/optin": false} {
		s := openShop(t, limited(1, 0, 0))
		mine := withCookie("_bk_demo", s.shopper("demo"))
		s.burst(30, via("203.0.113.7"))
		s.stored()
		got := s.do("POST", path, "", via("203.0.113.7"), mine, header("Origin", shopOrigin))
		if got.StatusCode != 429 || got.reason() != "rate-limited" || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %q", path, got.StatusCode, got.reason())
		}
		// Nobody waits to be left alone; only the record of it is limited, and the cookie that it needs stays.
		visitor, optOut := got.cookie("_bk_demo"), got.cookie(privacy.OptOutCookie)
		if visitor != nil || (optOut != nil && optOut.MaxAge > 0) != out {
			t.Errorf("%s: cookies %v", path, got.Cookies())
		}
		if all := s.stored(); len(all) != 0 || s.suppressed.Len() != 0 {
			t.Errorf("%s: stored %+v, %d suppressed", path, all, s.suppressed.Len())
		}
		if got := s.do("POST", path, "", via("203.0.113.8")); got.StatusCode != 204 {
			t.Errorf("%s: another got %d", path, got.StatusCode)
		}
	}
}

func TestListedPageMayReadAnyRefusalButThatOfItsOrigin(t *testing.T) {
	s := openShop(t, limited(1, 0, 0))
	f := func(got reply, reason string, readable bool) {
		t.Helper()
		h := got.Header
		if got.reason() != reason || h.Get("Vary") != "Origin" || (h.Get("Access-Control-Allow-Origin") != "") != readable ||
			strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") != readable {
			t.Errorf("%s: got %q, %v", reason, got.reason(), h)
		}
	}
	from, other := header("Origin", shopOrigin), header("Origin", "https://a.shop.example")
	f(s.post("{", from), "malformed", true)
	f(s.post(batch("nowhere"), from), "unknown-site", true)
	f(s.post(batch("demo"), other), "origin-not-listed", false) // listed by another site
	f(s.post("{", header("Origin", "https://evil.example")), "malformed", false)
	f(s.post("{", header("Origin", "null")), "malformed", false)
	f(s.post("{"), "malformed", false)
	s.burst(30, via("203.0.113.7"))
	f(s.post(batch("demo"), from, via("203.0.113.7")), "rate-limited", true)
	s.server.draining.Store(true)
	f(s.post(batch("demo"), from), "shutting-down", true)
}

func TestEditOfTheSitesFileGivesNoSecondBurst(t *testing.T) {
	s := openShop(t, limited(0, 0, 1))
	s.burst(30)
	s.sites.file.Store(parseSites(t, strings.ReplaceAll(sitesText, "395d", "396d")))
	if taken, _ := s.burst(30); taken != 0 {
		t.Errorf("%d more were taken", taken)
	}
}

func TestLimitsAllocateNothing(t *testing.T) {
	s := unplugged(t, sink{})
	s.config.Limits, s.config.Registerer = Limits{Client: 1_000_000, Network: 1_000_000}, prometheus.NewRegistry()
	s.makeLimits()
	var ctx fasthttp.RequestCtx
	addr, now := netip.MustParseAddr("2001:db8::1"), time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		if reason := s.enter(&ctx, addr, now); reason != Taken {
			t.Fatal(reason)
		}
		s.charge(addr, now, 19)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
