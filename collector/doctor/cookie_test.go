package doctor

import (
	"net/http"
	"strings"
	"testing"
)

func TestCookie(t *testing.T) {
	f := func(outcome Outcome, want string, change func(*world), also ...string) {
		t.Helper()
		finds(t, "cookie", outcome, want, change, also...)
	}
	attribute := func(old, with string) func(*world) {
		return func(w *world) {
			w.after = func(r *http.Response) {
				for i, line := range r.Header["Set-Cookie"] {
					if !strings.Contains(line, old) {
						w.t.Errorf("Set-Cookie has no %q: %s", old, line)
					}
					r.Header["Set-Cookie"][i] = strings.Replace(line, old, with, 1)
				}
			}
		}
	}
	f(OK, "__Host-_bk_demo, for the host shop.example alone, with HttpOnly, SameSite=Lax, Path=/ and Secure", func(*world) {})
	f(OK, "is _bk_demo", onHTTP, "tls")
	f(Fault, "Set-Cookie does not arrive", func(w *world) { w.after = func(r *http.Response) { r.Header.Del("Set-Cookie") } })
	f(Fault, "writes Path=/px", attribute("path=/", "path=/px"))
	f(Fault, "writes Domain=shop.example", attribute("path=/", "path=/; domain=shop.example"))
	f(Fault, "takes HttpOnly off", attribute("; HttpOnly", ""))
	f(Fault, "changes SameSite", attribute("SameSite=Lax", "SameSite=None"))
	f(Fault, "over https without Secure", func(w *world) { w.proto = "http" }, "proxy")
	f(Fault, "over plain http with Secure", func(w *world) { onHTTP(w); w.proto = "https" }, "tls")
	f(NotChecked, "see collector", answers("/px/optin", http.StatusNotFound, ""))
	elsewhere := replace(`data-endpoint="/px"`, `data-endpoint="https://tracker.example/px"`)
	f(Fault, "page and collector are two sites", func(w *world) {
		w.names["tracker.example"] = w.names["shop.example"]
		elsewhere(w)
	}, "safari")
	shared := func(domain, origins string) func(*world) {
		return func(w *world) {
			w.sites = strings.Replace(sitesText, "[https://shop.example]", "["+origins+"]"+domain, 1)
			w.serverSites = w.sites
		}
	}
	f(OK, "_bk_demo, for every host of shop.example", shared("\n    cookie_domain: shop.example", "https://shop.example"))
	f(Warning, "write cookie_domain: shop.example", shared("", "https://shop.example, https://www.shop.example"))
	f(Fault, "refuse a cookie for another domain", shared("\n    cookie_domain: www.shop.example", "https://shop.example, https://www.shop.example"))
	f(Warning, "its visitors are others", func(w *world) {
		shared("\n    cookie_domain: www.shop.example", "https://shop.example, https://www.shop.example")(w)
		replace(`data-endpoint="/px"`, `data-endpoint="https://www.shop.example/px"`)(w)
	})
}

func TestSafari(t *testing.T) {
	f := func(outcome Outcome, want, page, collector string, also ...string) {
		t.Helper()
		finds(t, "safari", outcome, want, func(w *world) {
			replace(`data-endpoint="/px"`, `data-endpoint="https://px.shop.example/px"`)(w)
			w.names["shop.example"], w.names["px.shop.example"] = strings.Fields(page), strings.Fields(collector)
			if collector == "" {
				delete(w.names, "px.shop.example")
			}
		}, also...)
	}
	finds(t, "safari", OK, "395 days, as the collector says: page and collector are one host", func(*world) {})
	finds(t, "safari", OK, "seldom 7: its addresses 198.51.100.10 and 203.0.113.1 begin otherwise", func(w *world) {
		w.names["shop.example"] = []string{"198.51.100.10", "203.0.113.1", "2001:db8:1:1::10"}
	})
	f(OK, "begin alike", "198.51.100.10", "198.51.7.7")
	f(Warning, "7 days, on some connections at least: shop.example has the address 198.51.100.10 and px.shop.example has 198.50.100.10, which differ in their first 16 bits", "198.51.100.10", "198.50.100.10")
	f(Warning, "198.50.0.1", "198.51.100.10", "198.51.1.1 198.50.0.1")
	f(OK, "begin alike", "2001:db8:1:1::10", "2001:db8:1:1:ffff::1")
	f(OK, "begin alike", "198.51.100.10 2001:db8:1:1::10", "198.51.0.1 2001:db8:1:1::11")
	f(Warning, "7 days", "198.51.100.10 2001:db8:1:1::10", "198.51.0.1") // who comes by IPv6 asks both ways
	f(Warning, "first 64 bits", "2001:db8:1:1::10", "2001:db8:1:2::10")
	f(Warning, "7 days", "198.51.100.10", "2001:db8:1:1::10") // nothing in common
	f(Warning, "is a CNAME to edge.tracker.example, which is of another domain", "198.51.100.10", "edge.tracker.example 198.51.100.10")
	f(OK, "is a CNAME within shop.example", "198.51.100.10", "lb.shop.example 203.0.113.1")
	f(OK, "is a CNAME within host.example", "a.host.example 198.51.100.10", "b.host.example 203.0.113.1") // one host of both
	f(NotChecked, "does not answer for px.shop.example", "198.51.100.10", "")
	finds(t, "safari", Fault, "keeps no cookie: tracker.example is another site", func(w *world) {
		w.names["tracker.example"] = w.names["shop.example"]
		replace(`data-endpoint="/px"`, `data-endpoint="https://tracker.example/px"`)(w)
	}, "cookie")
}
