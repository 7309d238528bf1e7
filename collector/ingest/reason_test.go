package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/event"
	"beckon/internal/framing"
	"beckon/internal/hostile"
	"beckon/internal/keyring"
	"beckon/internal/spool"
)

// broken is a spool that refuses.
type broken struct{ err error }

func (b broken) Append([]spool.Entry, []spool.Count) error { return b.err }

// refusing makes the server's spool refuse everything.
func refusing(err error) func(*Config) {
	return func(c *Config) { c.Spool = broken{err} }
}

// crowded makes the server's spool nearly full.
func crowded(c *Config) { c.Crowded = func() bool { return true } }

// Every Reason has exactly one case here that reaches it, each reply is as openapi.json says, and each is counted
// once, under its own name and no other.
func TestEveryReasonIsReachedByItsCase(t *testing.T) {
	const id = "019df26e-2d00-75af-89e3-8d27c16b05af"
	old := fmt.Sprintf(`{"n":"page_view","t":%d}`, 1)
	dropped := func(event, reason string) func(*shop) {
		return func(s *shop) {
			got := s.post(batch("demo", event, pageView))
			want := fmt.Sprintf(`"accepted":1,"dropped":[{"at":0,"i":null,"reason":%q}]`, reason)
			if got.StatusCode != 200 || got.reason() != reason || !strings.Contains(got.body, want) {
				s.Fatalf("batch got %d %q %s", got.StatusCode, got.reason(), got.body)
			}
			if len(s.stored()) != 1 {
				s.Fatal("the good event beside it is not stored")
			}
		}
	}
	refused := func(status int, reason Reason, do func(*shop) reply) func(*shop) {
		return func(s *shop) {
			got := do(s)
			if got.StatusCode != status || got.reason() != reason.String() || got.body != "" {
				s.Fatalf("got %d %q %q", got.StatusCode, got.reason(), got.body)
			}
			if all := s.stored(); len(all) != 0 {
				s.Fatalf("a refused request stored %+v", all)
			}
		}
	}
	cases := map[Reason]struct {
		change func(*Config)
		run    func(*shop)
	}{
		Malformed: {run: refused(400, Malformed, func(s *shop) reply { return s.post(`{"s":"demo","e":[}`) })},
		HeaderTooLarge: {run: refused(431, HeaderTooLarge, func(s *shop) reply {
			return s.get("/p.gif?s=demo&n=page_view", header("Cookie", strings.Repeat("a", framing.MaxHeaderBytes)))
		})},
		TooLarge: {run: refused(413, TooLarge, func(s *shop) reply {
			return s.post(batch("demo", pageView) + strings.Repeat(" ", event.MaxBodyBytes))
		})},
		TimedOut: {run: func(s *shop) {
			if got := hostile.Raw(s.TB, s.addr, "GET /p.gif HTTP/1.1\r\nHost: x\r\nCookie: "); !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "Beckon-Reason: timed-out\r\n") {
				s.Fatalf("got %q", got)
			}
		}},
		ExpectationRefused: {run: func(s *shop) {
			got := hostile.Raw(s.TB, s.addr, "POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}")
			if !strings.HasPrefix(got, "HTTP/1.1 417 ") || !strings.Contains(got, "Beckon-Reason: expectation-refused\r\n") {
				s.Fatalf("got %q", got)
			}
		}},
		ShuttingDown: {run: refused(503, ShuttingDown, func(s *shop) reply {
			s.get("/b.js") // it serves
			s.server.draining.Store(true)
			got := s.post(batch("demo", pageView))
			if got.Header.Get("Retry-After") == "" || !got.Close {
				s.Fatal("no Retry-After, or the connection stays open")
			}
			return got
		})},
		NotFound:         {run: refused(404, NotFound, func(s *shop) reply { return s.get("/nothing-here") })},
		MethodNotAllowed: {run: refused(405, MethodNotAllowed, func(s *shop) reply { return s.get("/e") })},
		RateLimited: {change: limited(1, 0, 0), run: func(s *shop) {
			s.burst(20, via("203.0.113.7"))
			s.stored()
			refused(429, RateLimited, func(s *shop) reply { return s.get("/p.gif?s=demo&n=page_view", via("203.0.113.7")) })(s)
		}},
		BadServerKey: {run: func(s *shop) {
			got := s.tell("elsewhere", batch("demo", pageView))
			if got.StatusCode != 401 || got.reason() != "bad-server-key" || !strings.Contains(got.body, `"reason":"bad-server-key"`) {
				s.Fatalf("got %d %q %q", got.StatusCode, got.reason(), got.body)
			}
			if all := s.stored(); len(all) != 0 {
				s.Fatalf("stored %+v", all)
			}
		}},
		UnknownSite: {run: refused(404, UnknownSite, func(s *shop) reply { return s.post(batch("elsewhere", pageView)) })},
		OriginNotListed: {run: refused(403, OriginNotListed, func(s *shop) reply {
			return s.post(batch("demo", pageView), header("Origin", "https://shop.example.evil.example"))
		})},
		NoVisitor: {run: refused(403, NoVisitor, func(s *shop) reply { return s.get("/link?s=demo") })},
		TooManyEvents: {run: refused(400, TooManyEvents, func(s *shop) reply {
			return s.post(batch("demo", strings.Repeat(pageView+",", event.MaxBatchEvents)+pageView))
		})},
		SpoolFull: {change: refusing(fmt.Errorf("%w: no room", spool.ErrFull)), run: refused(503, SpoolFull, func(s *shop) reply {
			got := s.post(batch("demo", pageView))
			if got.Header.Get("Retry-After") == "" || len(got.Cookies()) != 0 {
				s.Fatal("no Retry-After, or a cookie without an event")
			}
			return got
		})},
		Internal:    {change: refusing(errors.New("no such luck")), run: refused(500, Internal, func(s *shop) reply { return s.post(batch("demo", pageView)) })},
		UnknownKind: {run: dropped(`{"n":"refund"}`, "unknown-kind")},
		Shed: {change: crowded, run: func(s *shop) {
			got := s.post(batch("demo", pageView, `{"n":"cart_add"}`))
			if want := `{"accepted":1,"dropped":[{"at":0,"i":null,"reason":"shed"}]}` + "\n"; got.StatusCode != 200 || got.reason() != "shed" || got.body != want {
				s.Fatalf("got %d %q %s", got.StatusCode, got.reason(), got.body)
			}
			if s.one().Kind != event.CartAdd {
				s.Fatal("the cart is not stored")
			}
		}},
		BadValue: {run: dropped(`{"n":"cart_add","p":{"price":-1}}`, "bad-value")},
		BadID:    {run: dropped(`{"n":"page_view","i":"made-up"}`, "bad-id")},
		TooOld:   {run: dropped(old, "too-old")},
		Duplicate: {run: func(s *shop) {
			body := batch("demo", `{"n":"page_view","i":"`+id+`"}`)
			if got := s.post(body); got.StatusCode != 204 {
				s.Fatalf("first got %d", got.StatusCode)
			}
			got := s.post(body)
			if want := `{"accepted":0,"dropped":[{"at":0,"i":"` + id + `","reason":"duplicate"}]}` + "\n"; got.StatusCode != 200 || got.reason() != "duplicate" || got.body != want {
				s.Fatalf("second got %d %q %s", got.StatusCode, got.reason(), got.body)
			}
			s.one()
		}},
	}
	for r := Taken + 1; r < reasonCount; r++ {
		c, ok := cases[r]
		if !ok {
			t.Errorf("%s has no case", r)
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*Config) {}
			}
			s := openShop(t, quick, change)
			c.run(s)
			for other := Taken + 1; other < reasonCount; other++ {
				name, label := "beckon_http_refusals_total", "reason"
				if reasons[other].event {
					name, label = "beckon_ingest_events_total", "outcome"
				}
				want := 0.0
				if other == r {
					want = 1
				}
				if got := s.metric(name, label, other.String()); got != want {
					t.Errorf("%s{%s=%q} rose by %v, want %v", name, label, other, got, want)
				}
			}
		})
	}
}

func TestPixelOfADroppedEventIsNoImage(t *testing.T) {
	const id = "019df26e-2d00-75af-89e3-8d27c16b05af"
	s := openShop(t)
	f := func(query string, status int, reason string) {
		t.Helper()
		got := s.get("/p.gif?" + query)
		if got.StatusCode != status || got.reason() != reason {
			t.Fatalf("%s: got %d %q", query, got.StatusCode, got.reason())
		}
		if image := got.Header.Get("Content-Type") == "image/gif" && len(got.body) == 43; image != (status == 200) {
			t.Fatalf("%s: got %q of %d bytes", query, got.Header.Get("Content-Type"), len(got.body))
		}
		if status != 200 && len(got.Cookies()) > 0 {
			t.Fatalf("%s: a refused pixel sets a cookie", query)
		}
	}
	f("s=demo&n=page_view&i="+id, 200, "")
	f("s=demo&n=page_view&i="+id, 200, "duplicate")
	f("s=demo&n=refund", 400, "unknown-kind")
	f("s=demo", 400, "unknown-kind")
	f("s=demo&n=page_view&i=1", 400, "bad-id")
	f("s=demo&n=page_view&t=1", 400, "too-old")
	f("s=demo&n=page_view&t=yesterday", 400, "bad-value")
	f("s=demo&n=page_view&u="+strings.Repeat("a", event.MaxStringBytes+1), 400, "bad-value")
	f("s=demo&n=page_view&c=all", 400, "malformed")
	f("s=demo&s=demo&n=page_view", 400, "malformed")
	f("s=demo&n=page_view&u=%ff", 400, "malformed")
	f("n=page_view", 404, "unknown-site")
	if n := len(s.stored()); n != 1 {
		t.Fatalf("stored %d events, want 1", n)
	}
}

func TestPanicCostsOneRequestAndIsCounted(t *testing.T) {
	s := openShop(t)
	s.server.routes["/b.js"].get = func(*Server, *fasthttp.RequestCtx) Reason { panic("203.0.113.77") }
	got := s.get("/b.js")
	if got.StatusCode != 500 || got.reason() != "internal" || got.body != "" {
		t.Fatalf("got %d %q %q", got.StatusCode, got.reason(), got.body)
	}
	if n := s.metric("beckon_http_panics_total"); n != 1 {
		t.Fatalf("counted %v panics", n)
	}
	if got := s.post(batch("demo", pageView)); got.StatusCode != 204 {
		t.Fatalf("the next request got %d", got.StatusCode)
	}
}

func TestSiteWhoseKeysWentMissingIsOurFault(t *testing.T) {
	s := openShop(t)
	s.sites.file.Store(parseSites(t, strings.ReplaceAll(sitesText, "id: asks", "id: keyless")))
	if got := s.post(batch("keyless", pageView)); got.StatusCode != 500 || got.reason() != "internal" {
		t.Fatalf("got %d %q", got.StatusCode, got.reason())
	}
	if got := s.post(batch("asks", pageView)); got.reason() != "unknown-site" {
		t.Fatalf("a site that left the file got %d %q", got.StatusCode, got.reason())
	}
	if got := s.post(batch("demo", pageView)); got.StatusCode != 204 {
		t.Fatalf("another site got %d", got.StatusCode)
	}
	if n := s.metric("beckon_http_faults_total"); n != 1 {
		t.Fatalf("counted %v faults", n)
	}
}

// noKeys has no site's keys.
type noKeys struct{}

func (noKeys) Site(id string) (*keyring.Site, error) { return nil, fmt.Errorf("no file %s.json", id) }

func TestNewListsEverySiteWithoutKeys(t *testing.T) {
	s := openShop(t)
	c := s.server.config
	c.Keys = noKeys{}
	c.Registerer = prometheus.NewRegistry()
	_, err := New(c)
	for _, id := range []string{"demo", "asks", "wide"} {
		if err == nil || !strings.Contains(err.Error(), "keys of site "+id) {
			t.Errorf("the error does not name %s: %v", id, err)
		}
	}
}

func TestShutdownFinishesWhatWasBegunAndRefusesTheRest(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	s := openShop(t, func(c *Config) { c.Spool = gate{c.Spool, entered, proceed} })
	answered := make(chan int, 1)
	go func() { answered <- s.post(batch("demo", pageView)).StatusCode }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.server.Shutdown(context.Background()) }()
	eventually(t, func() bool { return s.server.Ready() != nil })
	close(proceed)
	if status := <-answered; status != 204 {
		t.Fatalf("the request that was begun got %d", status)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	s.one()
	if _, err := http.Get("http://" + s.addr + "/b.js"); err == nil {
		t.Fatal("a stopped server still answers")
	}
}

func TestServeEndsWhenShutdownComesFirst(t *testing.T) {
	s := unplugged(t, sink{})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Fatal(err)
	}
}

// gate lets a test see an append begin and decide when it goes on.
type gate struct {
	Appender
	entered, proceed chan struct{}
}

func (g gate) Append(e []spool.Entry, c []spool.Count) error {
	close(g.entered)
	<-g.proceed
	return g.Appender.Append(e, c)
}
