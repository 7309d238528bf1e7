package doctor

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	pixeljs "beckon/pixel-js"
)

func TestAShopInOrderHasNoFindingButWhatCouldNotBeChecked(t *testing.T) {
	r := newWorld(t).examine()
	for _, c := range r.Checks {
		if c.Outcome != OK {
			t.Errorf("%s: %v", c.Name, c.Findings)
		}
	}
	if r.Outcome != OK || !r.Reached || r.Faults+r.Warnings > 0 {
		t.Errorf("report %s, reached %v, %d faults, %d warnings", r.Outcome, r.Reached, r.Faults, r.Warnings)
	}
}

// finds is the table's row: the world after change has, in one check, a finding of this outcome that says want; no
// other check has a warning or a fault but those named.
func finds(t *testing.T, check string, outcome Outcome, want string, change func(*world), also ...string) {
	t.Helper()
	t.Run(check+"/"+want, func(t *testing.T) {
		t.Helper()
		w := newWorld(t)
		change(w)
		r := w.examine()
		var got []string
		for _, f := range r.of(t, check).Findings {
			if f.Outcome == outcome && strings.Contains(f.Seen+" -> "+f.Mend, want) {
				got = append(got, f.says())
			}
			if (f.Outcome == Fault || f.Outcome == Warning) && f.Mend == "" {
				t.Errorf("says no way to mend: %s", f.says())
			}
		}
		if len(got) == 0 {
			t.Errorf("no %s that says %q in %v", outcome, want, r.of(t, check).Findings)
		}
		for _, c := range r.Checks {
			if c.Name != check && c.Outcome.rank() >= Warning.rank() && !slices.Contains(also, c.Name) {
				t.Errorf("%s too: %v", c.Name, c.Findings)
			}
		}
		if (r.of(t, check).Outcome == Fault) != (outcome == Fault) && outcome == Fault {
			t.Errorf("the check is %s", r.of(t, check).Outcome)
		}
	})
}

// replace changes the page.
func replace(old, with string) func(*world) {
	return func(w *world) {
		if !strings.Contains(w.html, old) {
			w.t.Fatalf("the page has no %q", old)
		}
		w.html = strings.Replace(w.html, old, with, 1)
	}
}

// answers puts a reply in the place of what stands at a path.
func answers(path string, status int, body string, headers ...string) func(*world) {
	return func(w *world) {
		w.before = func(out http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			for i := 0; i+1 < len(headers); i += 2 {
				out.Header().Add(headers[i], headers[i+1])
			}
			out.WriteHeader(status)
			out.Write([]byte(body))
			return true
		}
	}
}

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

const element = `<script async src="/px/b.js" data-site="demo" data-endpoint="/px"></script>`

func TestTag(t *testing.T) {
	f := func(outcome Outcome, want, with string, also ...string) {
		t.Helper()
		finds(t, "tag", outcome, want, replace(element, with), also...)
	}
	f(Fault, `put this into the head: <script async src="/px/b.js" data-site="demo"`, "")
	f(Fault, "no script element", "<!-- "+element+" -->")
	f(Fault, "no script element", "<template>"+element+"</template>")
	f(Fault, "no script element", "<noscript>"+element+"</noscript>")
	f(Fault, "no script element", "<textarea>"+element+"</textarea>")
	f(Fault, "no script element", `<script async src="https://cdn.example/script.js" data-site="ABC"></script>`) // of another product
	f(Warning, "the page has 2 tags", element+element)
	f(Fault, `take type="module" off`, strings.Replace(element, "async", `type="module"`, 1))
	f(Warning, `has type "text/plain"`, strings.Replace(element, "async", `async type="text/plain"`, 1))
	f(Fault, "take nomodule off", strings.Replace(element, "async", "async nomodule", 1))
	f(Warning, "loaded without async", strings.Replace(element, "async ", "", 1))
	f(OK, `endpoint https://shop.example/px`, strings.Replace(element, "async", "defer", 1))
	f(OK, `endpoint https://shop.example/px`, `<script async src="/px/b.js" data-site="demo"></script>`) // the folder of the script
	f(OK, `b.js with data-site "demo"`, `<base href="https://shop.example/px/"><script async src="b.js" data-site="demo"></script>`)
	f(Fault, "the element has no data-site", `<script async src="/px/b.js" data-endpoint="/px"></script>`)
	f(Fault, `data-site is "dmeo", and sites.yaml has no such site`, strings.Replace(element, "demo", "dmeo", 1))
	f(Fault, `data-site is "other", which is another site`, strings.Replace(element, "demo", "other", 1))
	f(Fault, `write data-endpoint="/px"`, strings.Replace(element, `"/px"`, `"px"`, 1))
	f(Fault, "no address of the web", strings.Replace(element, `"/px"`, `"ftp://shop.example/px"`, 1))
	f(Fault, "no script element", `<script async src="ftp://shop.example/px/b.js" data-site="demo"></script>`)
	f(Fault, "mixed content", strings.Replace(element, "/px/b.js", "http://shop.example/px/b.js", 1), "csp")
	f(Fault, "data-endpoint http", strings.Replace(element, `"/px"`, `"http://shop.example/px"`, 1), "cookie", "collector", "decision")
	f(Warning, "comes from another host, www.shop.example", strings.Replace(element, "/px/b.js", "https://www.shop.example/px/b.js", 1))
	finds(t, "tag", Warning, "a tag manager may put one in", func(w *world) {
		w.endpoint = "https://shop.example/px/"
		replace(element, "")(w)
	})
}

func TestStub(t *testing.T) {
	call := "<script>beckon('cart_view')</script>"
	finds(t, "stub", OK, "nothing has to keep", func(w *world) { replace(stub, "")(w); replace(call, "")(w) })
	finds(t, "stub", Fault, "nothing keeps calls", replace(stub, ""))
	finds(t, "stub", Fault, "ends with an error there", replace(stub, call+stub))
	finds(t, "stub", Warning, "stands behind the tag", func(w *world) { replace(stub, "")(w); replace(element, element+stub)(w) })
	finds(t, "stub", Fault, "behind a call of beckon", func(w *world) { replace(stub, "")(w); replace(element, call+element+stub)(w) })
	finds(t, "stub", OK, "are kept", replace(stub, "<script>window['beckon']=window.beckon||function(){(beckon['q']=beckon['q']||[]).push(arguments)}</script>"))
	finds(t, "stub", OK, "nothing has to keep", func(w *world) { // not a script: a template for one
		replace(stub, "")(w)
		replace(call, `<script type="text/template">beckon('cart_view')</script>`)(w)
	})
}

func TestTagFile(t *testing.T) {
	js := string(pixeljs.Core().Script)
	good := []string{"Content-Type", "text/javascript", "Cache-Control", "public, max-age=3600", "ETag", `W/"` + pixeljs.Core().Hash() + `"`}
	f := func(outcome Outcome, want string, status int, body string, headers ...string) {
		t.Helper()
		finds(t, "tag-file", outcome, want, answers("/px/b.js", status, body, headers...))
	}
	f(OK, "is the tag of this release", http.StatusOK, js, good...)
	f(OK, "not compressed", http.StatusOK, js, good...)
	f(Warning, "sent without compression", http.StatusOK, js, good...)
	f(Fault, "answers 502", http.StatusBadGateway, "")
	f(Fault, "a page of HTML", http.StatusOK, "\n<!DOCTYPE html><html>", "Content-Type", "text/html")
	f(Fault, "and not Beckon's", http.StatusOK, "var a=1", good...)
	f(Warning, "changed on its way", http.StatusOK, js+"//minified", "Content-Type", "text/javascript", "Cache-Control", "max-age=3600", "ETag", `"1"`)
	old := "window.beckon=1"
	sum := sha256.Sum256([]byte(old))
	f(OK, "of another release", http.StatusOK, old, "Content-Type", "text/javascript", "Cache-Control", "max-age=3600", "ETag", fmt.Sprintf(`W/"%x"`, sum[:6]))
	older := func(name string) func(*world) {
		return func(w *world) {
			w.released = fmt.Sprintf("%x", sum[:6])
			replace("/px/b.js", name)(w)
			answers(name, http.StatusOK, old, "Content-Type", "text/javascript", "Cache-Control", "max-age=90000", "ETag", `"1"`)(w)
		}
	}
	finds(t, "tag-file", OK, "of an older release, which stays served", older(fmt.Sprintf("/px/b.%x.js", sum[:6])))
	finds(t, "tag-file", Warning, "of an older release than this program's", older("/px/b.js"))
	f(Fault, `Content-Type is "text/plain"`, http.StatusOK, js, "Content-Type", "text/plain", "X-Content-Type-Options", "nosniff", "Cache-Control", "max-age=3600")
	f(Warning, `Content-Type is "text/plain"`, http.StatusOK, js, "Content-Type", "text/plain", "Cache-Control", "max-age=3600")
	f(Warning, "each page loads the tag anew", http.StatusOK, js, "Content-Type", "text/javascript", "Cache-Control", "no-store")
	f(Warning, "long after an upgrade", http.StatusOK, js, "Content-Type", "text/javascript", "Cache-Control", "public, max-age=31536000")
	f(Warning, "has no ETag", http.StatusOK, js, "Content-Type", "text/javascript", "Cache-Control", "public, max-age=3600")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(pixeljs.Core().Script)
	z.Close()
	f(OK, ", gzip", http.StatusOK, zipped.String(), append([]string{"Content-Encoding", "gzip"}, good...)...)
	f(Fault, "cannot be asked", http.StatusOK, js, append([]string{"Content-Encoding", "gzip"}, good...)...)

	hashed := "/px/b." + pixeljs.Core().Hash() + ".js"
	finds(t, "tag-file", OK, "is the tag of this release", replace("/px/b.js", hashed))
	finds(t, "tag-file", Fault, "no release that the collector knows has this hash", replace("/px/b.js", "/px/b.0123456789ab.js"))
	finds(t, "tag-file", Warning, "load it again and again", func(w *world) {
		replace("/px/b.js", hashed)(w)
		w.after = func(r *http.Response) { r.Header.Set("Cache-Control", "public, max-age=60") }
	})
	elsewhere := func(attributes string) func(*world) {
		return replace(element, `<script async `+attributes+` src="https://www.shop.example/px/b.js" data-site="demo" data-endpoint="/px"></script>`)
	}
	finds(t, "tag-file", OK, "is the tag of this release", elsewhere("crossorigin"), "tag")
	finds(t, "tag-file", Fault, "without a fitting Access-Control-Allow-Origin (none)", func(w *world) {
		elsewhere("crossorigin")(w)
		w.after = func(r *http.Response) {
			if strings.HasSuffix(r.Request.URL.Path, ".js") {
				r.Header.Del("Access-Control-Allow-Origin")
			}
		}
	}, "tag")
}

func TestParts(t *testing.T) {
	with := func(attributes string) func(*world) { return replace("<script async", "<script "+attributes+" async") }
	finds(t, "parts", OK, "nothing in the page makes", func(*world) {})
	finds(t, "parts", OK, "load ga4, consent-tcf and debug", with(`data-use="ga4 ga4" data-consent="tcf" data-debug`))
	finds(t, "parts", Fault, `data-consent asks for "consent-tfc", and there is no such part -> there are consent-google, consent-gpp`, with(`data-consent="tfc"`))
	finds(t, "parts", Fault, "answers 404", func(w *world) {
		with(`data-use="ga4"`)(w)
		answers("/px/"+partFile("ga4"), http.StatusNotFound, "")(w)
	})
	finds(t, "parts", Fault, "run no module", func(w *world) {
		with(`data-use="ga4"`)(w)
		answers("/px/"+partFile("ga4"), http.StatusOK, "1", "Content-Type", "text/plain")(w)
	})
	finds(t, "parts", Fault, "was not asked for", func(w *world) {
		with(`data-use="ga4"`)(w)
		answers("/px/"+partFile("ga4"), http.StatusOK, "1", "Content-Encoding", "x")(w)
	})
	finds(t, "parts", Fault, "without a fitting Access-Control-Allow-Origin (none)", func(w *world) {
		with(`data-use="ga4"`)(w)
		replace(`data-endpoint="/px"`, `data-endpoint="https://www.shop.example/px"`)(w)
		w.after = func(r *http.Response) {
			if strings.Contains(r.Request.URL.Path, ".ga4.") {
				r.Header.Del("Access-Control-Allow-Origin")
			}
		}
	})
	finds(t, "parts", NotChecked, "of another release", answers("/px/b.js", http.StatusOK, "beckon", "Content-Type", "text/javascript"), "tag-file")
	// The tag loads what these elements need, by the same rule as pixel-js/src/parts.ts.
	d, err := readPage([]byte(`<script src="/b.js" data-site="demo"></script><div data-beckon-offer></div><b data-beckon-event="x" data-beckon-product="1"></b>`), mustParse(t, "https://shop.example/"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	f := facts{doc: d, tag: d.tags("demo")[0]}
	for _, p := range f.wantedParts() {
		names = append(names, p.name)
	}
	if !slices.Equal(names, []string{"offer", "event"}) {
		t.Errorf("parts %q", names)
	}
}

func TestIntegrity(t *testing.T) {
	sri := func(algorithm string) string { return algorithm + "-" + sumOf(algorithm, pixeljs.Core().Script) }
	hashed := "/px/b." + pixeljs.Core().Hash() + ".js"
	with := func(src, attributes string) func(*world) {
		return replace(element, `<script async src="`+src+`" `+attributes+` data-site="demo" data-endpoint="/px"></script>`)
	}
	finds(t, "integrity", OK, "pins no hash", func(*world) {})
	for _, algorithm := range []string{"sha256", "sha384", "sha512"} {
		finds(t, "integrity", OK, "the hash fits", with(hashed, `integrity="`+sri(algorithm)+`"`))
	}
	finds(t, "integrity", OK, "the hash fits", with(hashed, `integrity="sha256-AAAA `+sri("sha384")+`?x"`)) // the stronger one counts
	finds(t, "integrity", Fault, sri("sha384"), with(hashed, `integrity="`+sri("sha256")+` sha384-AAAA"`))
	finds(t, "integrity", Warning, "browsers ignore", with(hashed, `integrity="md5-AAAA"`))
	finds(t, "integrity", Warning, "changes with each release", with("/px/b.js", `integrity="`+sri("sha256")+`"`))
	finds(t, "integrity", Fault, `add crossorigin="anonymous"`, with("https://www.shop.example"+hashed, `integrity="`+sri("sha256")+`"`), "tag")
	finds(t, "integrity", OK, "the hash fits", with("https://www.shop.example"+hashed, `crossorigin integrity="`+sri("sha256")+`"`), "tag")
}

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
	}, "decision", "jwks")
	f(Fault, "is redirected (301) to /px/e/", answers("/px/e", http.StatusMovedPermanently, "", "Location", "/px/e/"))
	f(Fault, "does not reach the collector", answers("/px/e", http.StatusBadGateway, ""))
	f(Fault, "and not Beckon", answers("/px/e", http.StatusNotFound, "<html>"))
	f(Fault, "that is not the collector", answers("/px/e", http.StatusOK, "ok"))
	f(Fault, "Reasons, says what it means", answers("/px/e", http.StatusTeapot, "", "Beckon-Reason", "tea"))
	f(Fault, "nobody listens", replace(`data-endpoint="/px"`, `data-endpoint="https://shop.example:8443/px"`), "decision", "jwks")

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

func TestReportIsForPeopleAndForMachines(t *testing.T) {
	w := newWorld(t)
	w.site = "demo"
	replace(element, strings.Replace(element, "demo", "dm\x1b[31meo", 1))(w)
	r := w.examine()
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Site demo on https://shop.example/", "fault        tag         data-site is \"dm?[31meo\"", "                         -> write data-site=\"demo\"", "1 fault and 0 warnings. Mend them from the top"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if strings.ContainsRune(text.String(), 0x1b) {
		t.Error("the page steers the terminal")
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Outcome string
		Faults  int
		Checks  []struct {
			Name, Outcome string
			Findings      []Finding
		}
	}
	if err := json.Unmarshal(b, &back); err != nil || back.Outcome != "fault" || back.Faults != 1 || len(back.Checks) != len(checks) {
		t.Errorf("as JSON: %v %+v", err, back)
	}
}

// The list of the documentation is the list of the code.
func TestOperationsListsEveryCheck(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Doctor\n")
	if !found {
		t.Fatal("docs/operations.md has no section Doctor")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got, want []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			got = append(got, strings.TrimSpace(cells[0])+" "+strings.TrimSpace(cells[1]))
		}
	}
	names, about := Names()
	for i, name := range names {
		want = append(want, fmt.Sprintf("`%s` %s", name, about[i]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/operations.md says\n%s\nthe code says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
