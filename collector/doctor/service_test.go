package doctor

import (
	"net/http"
	"strings"
	"testing"
)

func TestCollector(t *testing.T) {
	f := func(outcome Outcome, want string, change func(*world), also ...string) {
		t.Helper()
		finds(t, "collector", outcome, want, change, also...)
	}
	f(OK, "lane decide; default", func(*world) {})
	f(NotChecked, "name it with --endpoint", replace(element, ""), "tag")
	f(Fault, "origin-not-listed", func(w *world) {
		w.serverSites = strings.Replace(sitesText, "https://shop.example", "https://shop.invalid", 1)
	})
	f(Fault, "reads another sites file", func(w *world) { w.serverSites = strings.Replace(sitesText, "id: demo", "id: demos", 1) })
	f(Fault, "--path-prefix", func(w *world) {
		replace(`data-endpoint="/px"`, `data-endpoint="/px/px"`)(w)
	}, "decision", "jwks", "parts")
	f(Fault, "is redirected (301) to /px/e/", answers("/px/e", http.StatusMovedPermanently, "", "Location", "/px/e/"))
	f(Fault, "does not reach the collector", answers("/px/e", http.StatusBadGateway, ""))
	f(Fault, "and not Beckon", answers("/px/e", http.StatusNotFound, "<html>"))
	f(Fault, "that is not the collector", answers("/px/e", http.StatusOK, "ok"))
	f(Fault, "Reasons, says what it means", answers("/px/e", http.StatusTeapot, "", "Beckon-Reason", "tea"))
	f(Fault, "nobody listens", replace(`data-endpoint="/px"`, `data-endpoint="https://shop.example:8443/px"`), "decision", "jwks", "parts")

	f(OK, "takes batches of this page", func(w *world) { // on one origin nobody asks for these
		w.after = func(r *http.Response) {
			r.Header.Del("Access-Control-Allow-Origin")
			r.Header.Del("Access-Control-Allow-Credentials")
		}
	})

	// On another host of the shop the browser wants the headers of CORS.
	far := func(change func(h http.Header)) func(*world) {
		return func(w *world) {
			replace(`data-endpoint="/px"`, `data-endpoint="https://www.shop.example/px"`)(w)
			w.after = func(r *http.Response) {
				if strings.HasSuffix(r.Request.URL.Path, "/e") {
					change(r.Header)
				}
			}
		}
	}
	f(OK, "https://www.shop.example/px/e takes batches", far(func(http.Header) {}))
	f(Fault, "has no Access-Control-Allow-Origin", far(func(h http.Header) { h.Del("Access-Control-Allow-Origin") }))
	f(Fault, "2 times", far(func(h http.Header) { h.Add("Access-Control-Allow-Origin", "*") }))
	f(Fault, "which browsers refuse where cookies go along", far(func(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }))
	f(Fault, "and the page is of https://shop.example", far(func(h http.Header) { h.Set("Access-Control-Allow-Origin", "https://shop.example/") }))
	f(Fault, "Allow-Credentials", far(func(h http.Header) { h.Del("Access-Control-Allow-Credentials") }))
	f(Warning, "may not read Beckon-Lane, Beckon-Visitor, ETag and Retry-After", far(func(h http.Header) { h.Set("Access-Control-Expose-Headers", "beckon-reason") }))
}

func TestDecision(t *testing.T) {
	f := func(outcome Outcome, want string, change func(*world)) {
		t.Helper()
		finds(t, "decision", outcome, want, change)
	}
	says := func(change func(h http.Header)) func(*world) {
		return func(w *world) {
			whole := w.decision
			w.decision = func(out http.ResponseWriter, r *http.Request) {
				whole(out, r)
				change(out.Header())
			}
		}
	}
	f(OK, "answers this page", func(*world) {})
	f(Fault, "that is not the aggregator", says(func(h http.Header) { h.Del("Beckon-Lane") }))
	f(Fault, "one visitor could get another's offer", says(func(h http.Header) { h.Set("Cache-Control", "public, max-age=60") }))
	f(Fault, "does not reach the aggregator", answers("/px/v1/decision", http.StatusBadGateway, ""))
	f(Fault, `"origin-not-listed"`, answers("/px/v1/decision", http.StatusForbidden, "", "Beckon-Reason", "origin-not-listed"))
	f(Warning, "take enabled: false off", func(w *world) {
		w.sites = strings.Replace(sitesText, "    currency", "    enabled: false\n    currency", 1)
	})
	f(Warning, "the site has no offers", func(w *world) {
		w.sites = sitesText[:strings.Index(sitesText, "    offers:")]
		answers("/px/v1/decision", http.StatusBadGateway, "")(w)
	})
	f(Fault, "has no Access-Control-Allow-Origin", func(w *world) {
		replace(`data-endpoint="/px"`, `data-endpoint="https://www.shop.example/px"`)(w)
		says(func(h http.Header) { h.Del("Access-Control-Allow-Origin") })(w)
	})
	finds(t, "decision", NotChecked, "does not know the site", func(w *world) { w.site = "nobody" }, "site", "tag", "collector")
}

func TestConsent(t *testing.T) {
	f := func(outcome Outcome, want, consent string, change func(*world), also ...string) {
		t.Helper()
		finds(t, "consent", outcome, want, func(w *world) {
			w.sites = strings.Replace(sitesText, "{default: decide, allow: decide}", consent, 1)
			w.serverSites = w.sites
			change(w)
		}, also...)
	}
	same := func(*world) {}
	f(OK, "is in lane decide, a choice may raise that to decide: a visitor cookie is set at the first page", "{default: decide, allow: decide}", same)
	f(Warning, "nothing in the page's own HTML tells a choice", "{default: count, allow: decide}", same)
	f(OK, "until then there is no visitor cookie", "{default: count, allow: decide}", replace(`data-site="demo"`, `data-site="demo" data-consent="tcf"`))
	f(OK, "until then there is no visitor cookie", "{default: measure, allow: decide}", replace("'cart_view'", `"consent", {decide: true, measure: true}`))
	f(OK, "until then there is no visitor cookie", "{default: count, allow: decide}", replace("beckon('cart_view')", `beckon.consent({decide: true})`))
	f(OK, "1 country has its own default", "{default: decide, allow: decide, countries: {US: decide}}", same)
	f(Warning, "nobody gets a visitor cookie", "{default: count, allow: measure}", same)
	f(Fault, "answers lane decide by default, and this sites file says count", "{default: count, allow: decide}", func(w *world) {
		w.serverSites = sitesText
	})
	f(Fault, "adds a wish for privacy (gpc) to every request", "{default: decide, allow: decide}", func(w *world) {
		w.before = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Set("Sec-GPC", "1"); return false }
	})
	finds(t, "consent", NotChecked, "does not know the site", func(w *world) { w.site = "nobody" }, "site", "tag", "collector")
}

func TestWellKnown(t *testing.T) {
	finds(t, "gpc", Warning, "answers 404", func(w *world) { w.gpc = "" })
	finds(t, "gpc", Warning, "does not say whether", func(w *world) { w.gpc = "<html>" })
	finds(t, "gpc", Warning, "does not say whether", func(w *world) { w.gpc = `{"lastUpdate":"2026-01-01"}` })
	finds(t, "gpc", Warning, "says that the shop does not", func(w *world) { w.gpc = `{"gpc":false}` })
	finds(t, "gpc", Warning, "was not asked for -> serve {", answers("/.well-known/gpc.json", http.StatusOK, "x", "Content-Encoding", "x"))
	finds(t, "jwks", Fault, "was not asked for", answers("/px/.well-known/jwks.json", http.StatusOK, "x", "Content-Encoding", "x"))
	finds(t, "jwks", OK, "has 1 key", func(*world) {})
	finds(t, "jwks", Fault, "no keys", func(w *world) { w.jwks = `{"keys":[]}` })
	finds(t, "jwks", Fault, "no keys", func(w *world) { w.jwks = "<html>" })
	finds(t, "jwks", NotChecked, "has no offers", func(w *world) { w.sites = sitesText[:strings.Index(sitesText, "    offers:")] })
}
