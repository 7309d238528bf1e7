package demoshop

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestProxySendsDecisionsToTheAggregatorAndTheRestToTheCollector(t *testing.T) {
	w := newWorld(t)
	f := func(path string, to *upstream, want string) {
		t.Helper()
		w.get(path)
		if got := to.last(t).URL.RequestURI(); got != want {
			t.Errorf("%s arrived as %s, want %s", path, got, want)
		}
	}
	f("/px/b.js", w.collector, "/b.js")
	f("/px/p.gif?s=demo&n=page_view", w.collector, "/p.gif?s=demo&n=page_view")
	f("/px/v1/events", w.collector, "/v1/events")
	f("/px/dev/tomorrow", w.collector, "/dev/tomorrow")
	f("/.well-known/gpc.json", w.collector, "/.well-known/gpc.json")
	f("/px/v1/decision?site=demo", w.aggregator, "/v1/decision?site=demo")
	f("/px/ofrep/v1/evaluate/flags/welcome-back", w.aggregator, "/ofrep/v1/evaluate/flags/welcome-back")
	f("/px/.well-known/jwks.json", w.aggregator, "/.well-known/jwks.json")
	f("/px/ofrep/v1/evaluate/flags/a%2Fb", w.aggregator, "/ofrep/v1/evaluate/flags/a%2Fb")
}

func TestProxyPassesMethodBodyAndReplyThrough(t *testing.T) {
	w := newWorld(t)
	w.collector.answer = func(out http.ResponseWriter, r *http.Request) {
		body := make([]byte, 5)
		n, _ := r.Body.Read(body)
		out.Header().Set("Beckon-Reason", r.Method+" "+string(body[:n]))
		out.WriteHeader(http.StatusTooManyRequests)
	}
	a := w.do(w.request("POST", "/px/e", "{}"))
	wantStatus(t, a, http.StatusTooManyRequests)
	if got := a.Header.Get("Beckon-Reason"); got != "POST {}" {
		t.Fatalf("Beckon-Reason %q", got)
	}
}

func TestProxyLeavesForeignPostsToTheCollectorsOwnList(t *testing.T) {
	w := newWorld(t)
	r := w.request("POST", "/px/e", "{}")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://other.example")
	wantStatus(t, w.do(r), http.StatusNoContent)
	if got := w.collector.last(t).Header.Get("Origin"); got != "https://other.example" {
		t.Fatalf("Origin %q", got)
	}
}

func TestProxySaysItselfWhoAsks(t *testing.T) {
	w := newWorld(t)
	r := w.request("GET", "/px/p.gif", "")
	r.Host = "shop.example"
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
		r.Header.Set(name, "203.0.113.77")
	}
	r.Header.Set("Forwarded", "for=203.0.113.77")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("X-Forwarded-Proto", "https")
	w.do(r)
	got := w.collector.last(t)
	if got.Host != "shop.example" {
		t.Errorf("Host %q, want the shop's own", got.Host)
	}
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "http"} {
		if v := got.Header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s %q, want %q", name, v, want)
		}
	}
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), "203.0.113.77") {
			t.Errorf("%s still carries the invented address", name)
		}
	}
}

func TestProxyKeepsTheShopsOwnCookies(t *testing.T) {
	w := newWorld(t)
	r := w.request("GET", "/px/p.gif", "")
	r.Header.Set("Cookie", "tarn_cart=harbour-mug.oat.1; _bk_demo=v; x_bk_=no; __Host-_bk_demo=h; tarn_offer=secret; _bk_out=1")
	w.do(r)
	if got, want := w.collector.last(t).Header.Get("Cookie"), "_bk_demo=v; __Host-_bk_demo=h; _bk_out=1"; got != want {
		t.Fatalf("Cookie %q, want %q", got, want)
	}
	w.setCookie("tarn_cart", "harbour-mug.oat.1")
	w.get("/px/b.js")
	if got, there := w.collector.last(t).Header["Cookie"]; there {
		t.Fatalf("Cookie %q, want none", got)
	}
}

func TestShopSellsWhileBeckonIsDown(t *testing.T) {
	w := newWorld(t)
	w.collector.Close()
	w.aggregator.Close()
	w.admin.Close()
	for _, path := range []string{"/px/b.js", "/px/v1/decision?site=demo", "/dev/seen"} {
		a := w.get(path)
		wantStatus(t, a, http.StatusBadGateway)
		wantBody(t, a, `"error"`, `"detail"`)
		if a.Header.Get("Content-Type") != "application/json" || !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: headers %v", path, a.Header)
		}
	}
	wantStatus(t, w.add("harbour-mug", "oat", "1"), http.StatusOK)
	wantBody(t, w.buy(), "Thank you", "€32.90")
}

func TestSeenAsksTheAdminPortForThisVisitorOnly(t *testing.T) {
	w := newWorld(t)
	w.admin.answer = func(out http.ResponseWriter, _ *http.Request) { out.Write([]byte(`{"lane":"decide"}`)) }
	r := w.request("GET", "/dev/seen", "")
	r.Header.Set("Cookie", "tarn_offer=secret; _bk_demo=v")
	r.Header.Set("Sec-GPC", "1")
	a := w.do(r)
	wantStatus(t, a, http.StatusOK)
	if a.body != `{"lane":"decide"}` {
		t.Errorf("body %s", a.body)
	}
	asked := w.admin.last(t)
	if asked.URL.RequestURI() != "/dev/visitor?site=demo" || asked.Header.Get("Cookie") != "_bk_demo=v" || asked.Header.Get("Sec-GPC") != "1" {
		t.Errorf("asked %s with %v", asked.URL, asked.Header)
	}
}

func TestSeenTellsNothingThatIsNotJSON(t *testing.T) {
	w := newWorld(t)
	f := func(name string, answer http.HandlerFunc) {
		t.Helper()
		w.admin.answer = answer
		a := w.get("/dev/seen")
		if a.StatusCode != http.StatusBadGateway || !strings.Contains(a.body, "not-known") {
			t.Errorf("%s: status %d, body %.100s", name, a.StatusCode, a.body)
		}
	}
	f("html", func(out http.ResponseWriter, _ *http.Request) { out.Write([]byte("<html>")) })
	f("an error", func(out http.ResponseWriter, _ *http.Request) { http.Error(out, "{}", http.StatusNotFound) })
	f("too much", func(out http.ResponseWriter, _ *http.Request) {
		out.Write([]byte(`"` + strings.Repeat("x", maxSeenBytes) + `"`))
	})
	f("a redirect", func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, "http://127.0.0.1:1/", http.StatusFound)
	})
}

func TestDevRoutesExistForThisMachineInDevModeOnly(t *testing.T) {
	for _, path := range []string{"/dev/seen", "/px/dev/tomorrow"} {
		wantStatus(t, newWorld(t, func(c *Config) { c.Dev = false }).get(path), http.StatusNotFound)
		for _, header := range []string{"X-Forwarded-For", "Forwarded"} { // a tunnel to this machine
			w := newWorld(t)
			r := w.request("GET", path, "")
			r.Header.Set(header, "for=198.51.100.1")
			wantStatus(t, w.do(r), http.StatusNotFound)
		}
	}
	wantStatus(t, newWorld(t, func(c *Config) { c.AggregatorAdmin = nil }).get("/dev/seen"), http.StatusNotFound)
	wantBody(t, newWorld(t).get("/"), `id="tomorrow"`)
	wantNoBody(t, newWorld(t, func(c *Config) { c.Dev = false }).get("/"), `id="tomorrow"`)
}

func TestOnlyLoopbackPeersAreThisMachine(t *testing.T) {
	f := func(remote string, want bool) {
		t.Helper()
		r := &http.Request{RemoteAddr: remote, Header: http.Header{}, URL: &url.URL{}}
		if got := fromThisMachine(r); got != want {
			t.Errorf("fromThisMachine(%q) = %v, want %v", remote, got, want)
		}
	}
	f("127.0.0.1:5000", true)
	f("127.9.8.7:5000", true)
	f("[::1]:5000", true)
	f("[::ffff:127.0.0.1]:5000", true)
	f("192.0.2.1:5000", false)
	f("[2001:db8::1]:5000", false)
	f("0.0.0.0:5000", false)
	f("", false)
	f("@", false) // a unix socket
}
