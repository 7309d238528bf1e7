package doctor

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	pixeljs "beckon/pixel-js"
)

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
	f(Fault, `write data-endpoint="/px"`, strings.Replace(element, `"/px"`, `"/px/"`, 1))
	f(Fault, "data-endpoint http", strings.Replace(element, `"/px"`, `"http://shop.example/px"`, 1), "cookie", "collector", "decision")
	f(Warning, "comes from another host, www.shop.example", strings.Replace(element, "/px/b.js", "https://www.shop.example/px/b.js", 1))
	// A host of its own needs no prefix.
	root := facts{config: &Config{Endpoint: mustParse(t, "https://px.shop.example/")}}
	root.findEndpoint()
	if e := root.at("v1", "decision"); e.String() != "https://px.shop.example/v1/decision" || e.Path != "/v1/decision" {
		t.Errorf("an endpoint without a prefix leads to %s, path %s", e, e.Path)
	}
	finds(t, "tag", Warning, "a tag manager or a script of the shop's own may bring one", func(w *world) {
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
	finds(t, "stub", OK, "nothing has to keep", func(w *world) { // nothing that the tag has, so nothing that waits for it
		replace(stub, "")(w)
		replace(call, "<script>window.beckon && beckon.stop && beckon.stop()</script>")(w)
	})
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
	finds(t, "parts", OK, "load parts, ga4, consent-tcf and debug", with(`data-use="ga4 ga4" data-consent="tcf" data-debug`))
	finds(t, "parts", Fault, `data-consent asks for "consent-tfc", and there is no such part -> there are `+list(partNames()), with(`data-consent="tfc"`))
	finds(t, "parts", Fault, "answers 404", func(w *world) {
		with(`data-use="ga4"`)(w)
		answers("/px/"+partFile("ga4"), http.StatusNotFound, "")(w)
	})
	finds(t, "parts", Fault, "pass everything under the prefix", answers("/px/"+partFile("parts"), http.StatusNotFound, ""))
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
	if all := partNames(); !slices.Contains(all, "consent-tcf") || slices.Contains(all, "parts") {
		t.Errorf("a page can ask for %q", all)
	}
	// The tag loads what these elements need, by the same rule as pixel-js/src/parts/parts.ts.
	d, err := readPage([]byte(`<script src="/b.js" data-site="demo"></script><div data-beckon-offer></div><b data-beckon-event="x" data-beckon-product="1"></b>`), mustParse(t, "https://shop.example/"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	f := facts{doc: d, tag: d.tags("demo")[0]}
	for _, p := range f.wantedParts() {
		names = append(names, p.name)
	}
	if !slices.Equal(names, []string{"parts", "offer", "event", "refresh"}) {
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
