package doctor

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSite(t *testing.T) {
	finds(t, "site", Fault, `no site "nobody"; it has demo and other`, func(w *world) { w.site = "nobody" }, "tag", "collector")
	elsewhere := strings.Replace(sitesText, "https://shop.example", "https://www.shop.example", 1)
	finds(t, "site", Fault, `add "https://shop.example" to the origins`, func(w *world) { w.sites, w.serverSites = elsewhere, elsewhere }, "collector")
	finds(t, "site", Fault, "so it reads another sites file", func(w *world) { w.sites = elsewhere })
	finds(t, "site", OK, "its environment is staging, which only the views ending in _all show", func(w *world) {
		w.sites = strings.Replace(sitesText, "    currency", "    environment: staging\n    currency", 1)
	})
	finds(t, "site", Fault, "the site demo lists it", func(w *world) {
		w.site = "other"
	}, "tag", "collector", "decision", "consent", "events")
}

func TestPage(t *testing.T) {
	finds(t, "page", OK, "after 1 redirect from https://shop.example/start", func(w *world) {
		w.url = "https://shop.example/start"
		answers("/start", http.StatusFound, "", "Location", "/")(w)
	})
	finds(t, "page", Fault, "name a page with --url that shoppers see", func(w *world) {
		w.url = "https://shop.example/gone"
		answers("/gone", http.StatusNotFound, page, "Content-Type", "text/html")(w)
	})
	finds(t, "page", Fault, "without a Content-Type, 1 KiB: that is no HTML", func(w *world) { w.header["Content-Type"] = nil })
	finds(t, "page", Fault, "what protects the shop", func(w *world) { answers("/", http.StatusForbidden, page, "Content-Type", "text/html")(w) })
	finds(t, "page", Fault, "that is no HTML", func(w *world) { w.header.Set("Content-Type", "application/json") })
	finds(t, "page", Fault, "its HTML cannot be read", func(w *world) { w.html = strings.Repeat("<div>", 600) })
	finds(t, "page", Warning, "longer than 4 MiB", func(w *world) { w.html += strings.Repeat("x", maxPageBytes) })
	finds(t, "page", Fault, "redirects over and over", func(w *world) { answers("/", http.StatusFound, "", "Location", "/")(w) })
	finds(t, "page", Fault, "nobody listens at shop.example:8443", func(w *world) { w.url = "https://shop.example:8443/" })
	finds(t, "page", Fault, "did not answer within 200ms", func(w *world) {
		w.timeout = 200 * time.Millisecond
		w.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	})
	finds(t, "page", Fault, "signed by nobody whom this machine knows", func(w *world) {
		w.certificate = stranger.issue(t, "shop.example", time.Now().Add(90*24*time.Hour))
	})
	finds(t, "page", Fault, "is for other names: elsewhere.example", func(w *world) {
		w.certificate = authority.issue(t, "elsewhere.example", time.Now().Add(90*24*time.Hour))
	})
	finds(t, "page", Fault, "and not now", func(w *world) { w.certificate = authority.issue(t, "shop.example", time.Now().Add(-time.Hour)) })
	finds(t, "page", Fault, "was not asked for", func(w *world) { w.header.Set("Content-Encoding", "zstd") })
}

// unchecked examines a world and holds every check but those named to one word.
func unchecked(t *testing.T, change func(*world), because string, but ...string) {
	t.Helper()
	w := newWorld(t)
	change(w)
	for _, c := range w.examine().Checks {
		if slices.Contains(but, c.Name) {
			continue
		}
		if len(c.Findings) != 1 || c.Outcome != NotChecked || c.Findings[0].Seen != "because "+because {
			t.Errorf("%s: %v", c.Name, c.Findings)
		}
	}
}

func TestWithoutAPageNothingIsChecked(t *testing.T) {
	unchecked(t, func(w *world) { w.url = "https://shop.example:8443/" }, "the page could not be fetched", "site", "page", "consent", "events")
	w := newWorld(t)
	w.url = "https://shop.example:8443/"
	if r := w.examine(); r.Reached || r.Outcome != Fault {
		t.Errorf("reached %v, %s", r.Reached, r.Outcome)
	}
}

func TestWithoutHTMLOrTagTheRestSaysSo(t *testing.T) {
	f := func(change func(*world), want map[string]string) {
		t.Helper()
		w := newWorld(t)
		change(w)
		r := w.examine()
		for name, because := range want {
			if c := r.of(t, name); c.Outcome != NotChecked || c.Findings[0].Seen != "because "+because {
				t.Errorf("%s: %v, want %s", name, c.Findings, because)
			}
		}
	}
	service := map[string]string{
		"collector": "the address of the collector is not known", "decision": "the address of the decision service is not known", "jwks": "the address of the decision service is not known",
		"proxy": "the address of the collector is not known", "cookie": "the address of the collector is not known", "safari": "the address of the collector is not known",
		"stub": "the page has no tag", "tag-file": "the page has no tag", "integrity": "the page has no tag", "parts": "there is no tag that could load them",
	}
	f(func(w *world) { w.header.Set("Content-Type", "text/plain") }, service)
	f(func(w *world) { w.header.Set("Content-Type", "text/plain") }, map[string]string{"tag": "the page is no HTML", "csp": "the page is no HTML"})
	f(replace(element, ""), service)
	f(answers("/px/b.js", http.StatusNotFound, ""), map[string]string{"integrity": "the tag could not be loaded", "parts": "there is no tag that could load them"})
	f(func(w *world) { w.site = "nobody" }, map[string]string{
		"decision": "the sites file does not know the site", "jwks": "the site has no offers to check", "cookie": "the sites file does not know the site",
		"consent": "the sites file does not know the site", "events": "the sites file does not know the site",
	})
}

// What no server of a test can be made to do.
func TestErrorsInWords(t *testing.T) {
	f := func(want string, err error) {
		t.Helper()
		seen, mend := inWords(&url.Error{Op: "Get", URL: "https://shop.example/", Err: err}, mustParse(t, "https://shop.example/"), time.Second)
		if !strings.Contains(seen, want) || mend == "" {
			t.Errorf("%v: %q, %q, want %q", err, seen, mend, want)
		}
	}
	f("the name shop.example is not in the DNS", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "shop.example", IsNotFound: true}})
	f("the DNS does not answer for shop.example", &net.DNSError{Name: "shop.example", IsTemporary: true})
	f("did not answer within 1s", &net.DNSError{Name: "shop.example", IsTimeout: true})
	f("no TLS connection with shop.example comes about", tls.AlertError(40))
	f("shop.example answers, but not with TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"})
	f("cannot be asked: strange", errors.New("strange"))
}

func TestPageThatSpeaksNoTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	finds(t, "page", Fault, "but not with TLS", func(w *world) { w.url = "https" + strings.TrimPrefix(plain.URL, "http") })
}

func TestTLS(t *testing.T) {
	finds(t, "tls", Warning, "which is 9 days away", func(w *world) { w.certificate = authority.issue(t, "shop.example", time.Now().Add(10*24*time.Hour)) })
	finds(t, "tls", Fault, "over plain http", onHTTP)
	finds(t, "tls", Warning, "through plain http: http://shop.example/", func(w *world) {
		w.url = "https://shop.example/start"
		w.before = func(out http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/start":
				http.Redirect(out, r, "http://shop.example/", http.StatusFound)
			case r.TLS == nil:
				http.Redirect(out, r, "https://shop.example/", http.StatusFound)
			default:
				return false
			}
			return true
		}
	})
	finds(t, "tls", NotChecked, "is this machine", func(w *world) {
		onHTTP(w)
		shop := httptest.NewServer(w)
		w.t.Cleanup(shop.Close)
		w.url = shop.URL + "/"
		w.sites = strings.Replace(sitesText, "https://shop.example", shop.URL, 1)
		w.serverSites = w.sites
	})
}

func onHTTP(w *world) {
	w.url, w.proto = "http://shop.example/", "http"
	w.sites = strings.Replace(sitesText, "https://shop.example", "http://shop.example", 1)
	w.serverSites = w.sites
}

func TestClock(t *testing.T) {
	finds(t, "clock", Warning, "ahead of this machine's: a verifier of offers", func(w *world) { w.collectorSkew = 90 * time.Second })
	finds(t, "clock", Fault, "behind this machine's: events are given a wrong time", func(w *world) { w.collectorSkew = -10 * time.Minute })
	finds(t, "clock", OK, "ahead of this machine's", func(w *world) { w.collectorSkew = 10*time.Second + 900*time.Millisecond })
	finds(t, "clock", OK, "the shop's server and this machine's agree", func(w *world) { // a page that a cache kept for an hour
		w.html = "<!doctype html>"
		w.before = func(out http.ResponseWriter, _ *http.Request) bool {
			out.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			out.Header().Set("Age", "3600")
			return false
		}
	}, "tag")
	finds(t, "clock", NotChecked, "no reply has a Date", func(w *world) {
		w.html = "<!doctype html>"
		w.header["Date"] = nil
	}, "tag")
}
