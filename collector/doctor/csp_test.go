package doctor

import (
	"net/http"
	"strings"
	"testing"
)

// A row is a source, an address, and whether the source allows it from https://shop.example (or the page named).
func TestSourcesMatchAddressesAsTheStandardSays(t *testing.T) {
	f := func(source, address string, want bool, page ...string) {
		t.Helper()
		self := "https://shop.example/"
		if len(page) > 0 {
			self = page[0]
		}
		if got := matches(source, mustParse(t, address), mustParse(t, self)); got != want {
			t.Errorf("%s of %s on %s: %v", source, address, self, got)
		}
	}
	const own = "https://shop.example/px/e"
	f("'self'", own, true)
	f("'SELF'", own, true)
	f("self", own, false)
	f("'self'", "https://www.shop.example/px/e", false)
	f("'self'", "https://shop.example:8443/px/e", false)
	f("'self'", "http://shop.example/px/e", false)
	f("'self'", own, true, "http://shop.example/")
	f("'self'", "https://shop.example/", false, "http://shop.example:8080/")
	f("'self'", "http://127.0.0.1:8082/px/e", true, "http://127.0.0.1:8082/")
	f("*", own, true)
	f("*", "https://shop.example:8443/", true)
	f("*", "http://shop.example/", true)
	f("*", "data:text/javascript,1", false)
	f("shop.example:", own, false)
	f("127.0.0.1:", "http://127.0.0.1/", false, "http://127.0.0.1/")
	f("https:", own, true)
	f("HTTPS:", own, true)
	f("http:", own, true)
	f("https:", "http://shop.example/", false)
	f("data:", own, false)
	f("wss:", own, true)
	f("shop.example", own, true)
	f("SHOP.example", own, true)
	f("https://shop.example", own, true)
	f("http://shop.example", own, true)
	f("http://shop.example:80", own, true)
	f("http://shop.example:8080", own, false)
	f("https://shop.example", "http://shop.example/", false)
	f("shop.example", "http://shop.example/", false)
	f("shop.example", "https://www.shop.example/", false)
	f("*.shop.example", "https://www.shop.example/", true)
	f("*.shop.example", "https://a.b.shop.example/", true)
	f("*.shop.example", own, false)
	f("https://*.shop.example", "https://evilshop.example/", false)
	f("https://*", own, true)
	f("shop.example:443", own, true)
	f("shop.example:*", "https://shop.example:8443/", true)
	f("shop.example", "https://shop.example:8443/", false)
	f("shop.example:8443", "https://shop.example:8443/", true)
	f("shop.example/px/", own, true)
	f("shop.example/px", own, false)
	f("shop.example/px/e", own, true)
	f("shop.example/px/%65", own, true)
	f("shop.example/px/e", "https://shop.example/px/%65", true)
	f("shop.example/PX/", own, false)
	f("shop.example/", own, true)
	f("[::1]:8082", "http://[::1]:8082/px/e", true, "http://[::1]:8082/")
	f("'none'", own, false)
	f("'unsafe-inline'", own, false)
	f("'nonce-abc'", own, false)
	f("", own, false)
}

func TestOriginsAreWrittenAsBrowsersDo(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if got := originOf(mustParse(t, address)); got != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
	f("HTTPS://Shop.Example:443/a?b", "https://shop.example")
	f("http://shop.example:80/", "http://shop.example")
	f("http://shop.example:443/", "http://shop.example:443")
	f("http://[::1]:8082/", "http://[::1]:8082")
	f("https://[::1]/", "https://[::1]")
}

const inlineText = "beckon('x')"

func TestPoliciesAllowScripts(t *testing.T) {
	self := mustParse(t, "https://shop.example/")
	f := func(text, attributes string, file, inline, part bool) {
		t.Helper()
		d, err := readPage([]byte(`<script src="/px/b.js" `+attributes+`></script><script `+attributes+`>`+inlineText+`</script>`), self)
		if err != nil {
			t.Fatal(err)
		}
		p := parsePolicy(text)
		_, gotFile := p.allowsFile(&d.scripts[0], self)
		_, gotInline := p.allowsInline(&d.scripts[1])
		_, gotPart := p.allowsPart(&d.scripts[0], mustParse(t, "https://shop.example/px/b.offer.0.js"), self)
		if gotFile != file || gotInline != inline || gotPart != part {
			t.Errorf("%s with %q: file %v, inline %v, part %v", text, attributes, gotFile, gotInline, gotPart)
		}
	}
	inlineHash := "'sha256-" + sumOf("sha256", []byte(inlineText)) + "'"
	f("img-src 'none'", "", true, true, true)
	f("default-src 'none'", "", false, false, false)
	f("default-src 'none'; script-src 'self'", "", true, false, true)
	f("script-src 'none'; script-src-elem 'self'", "", true, false, true)
	f("script-src 'self'; script-src *", "", true, false, true) // the first counts
	f("SCRIPT-SRC 'self' 'unsafe-inline'", "", true, true, true)
	f("script-src 'self' 'unsafe-inline' 'nonce-abc'", "", true, false, true)
	f("script-src 'self' 'unsafe-inline' 'strict-dynamic'", "", false, false, true)
	f("script-src 'self' 'unsafe-inline' "+inlineHash, "", true, true, true)
	f("script-src 'nonce-abc'", `nonce="abc"`, true, true, true)
	f("script-src 'NONCE-abc'", `nonce="abc"`, true, true, true)
	f("script-src 'nonce-abc'", `nonce="ABC"`, false, false, false)
	f("script-src 'nonce-abc'", ``, false, false, false)
	f("script-src 'nonce-'", `nonce=""`, false, false, false)
	f("script-src 'nonce-abc' 'strict-dynamic'", `nonce="abc"`, true, true, true)
	f("script-src 'strict-dynamic' https:", "", false, false, true)
	f("script-src "+inlineHash, "", false, true, false)
	f("script-src "+strings.ToUpper(inlineHash[:7])+inlineHash[7:], "", false, true, false)
	f("script-src "+strings.Trim(inlineHash, "'"), "", false, false, false)
	f("script-src 'sha256-AAAA'", `integrity="sha256-AAAA"`, true, false, false)
	f("script-src 'sha256-AA-_'", `integrity="sha256-AA+/"`, true, false, false)
	f("script-src 'sha256-AAAA'", `integrity="sha256-AAAA sha384-BBBB"`, false, false, false)
	f("script-src 'sha256-AAAA' 'sha384-BBBB'", `integrity="sha256-AAAA sha384-BBBB"`, true, false, false)
	f("script-src 'sha256-AAAA'", ``, false, false, false)
	f("require-trusted-types-for 'script'; trusted-types beckon", "", true, true, true)
}

func TestPoliciesOfHeadersAndHead(t *testing.T) {
	d, err := readPage([]byte(`<head><meta http-equiv="content-security-policy" content="script-src 'none'; sandbox; frame-ancestors 'none'">
		<meta http-equiv="Content-Security-Policy-Report-Only" content="script-src 'none'"></head>
		<body><meta http-equiv="Content-Security-Policy" content="connect-src 'none'"></body>`), mustParse(t, "https://shop.example/"))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Add("Content-Security-Policy", "img-src 'self', script-src 'self'; , ;")
	h.Add("Content-Security-Policy", "connect-src 'self'")
	h.Add("Content-Security-Policy-Report-Only", "default-src 'none'")
	all := policiesOf(h, d)
	var got []string
	for _, p := range all {
		for name := range p.directives {
			word := name
			if p.reportOnly {
				word += " reported"
			}
			if p.place > 0 {
				word += " in the page"
			}
			got = append(got, word)
		}
	}
	if want := "img-src script-src connect-src default-src reported script-src in the page"; strings.Join(got, " ") != want {
		t.Errorf("policies %q, want %s", got, want)
	}
}

func TestCSP(t *testing.T) {
	f := func(outcome Outcome, want, policy string, change ...func(*world)) {
		t.Helper()
		finds(t, "csp", outcome, want, func(w *world) {
			if policy != "" {
				w.header.Set("Content-Security-Policy", policy)
			}
			for _, c := range change {
				c(w)
			}
		}, "tag") // which some of these take away
	}
	stubHash := "'sha256-" + sumOf("sha256", []byte(strings.TrimSuffix(strings.TrimPrefix(stub, "<script>"), "</script>"))) + "'"
	f(OK, "has no Content-Security-Policy", "")
	f(OK, "1 policy enforced and 0 only reported", "default-src 'none'; script-src 'self' "+stubHash+"; connect-src 'self'")
	f(OK, "let the tag run", "script-src 'self' 'unsafe-inline'; require-trusted-types-for 'script'")
	f(Fault, "script-src does not allow the tag, https://shop.example/px/b.js -> add 'self' to script-src", "script-src https://cdn.example 'unsafe-inline'")
	f(Fault, "default-src does not allow the tag, https://shop.example/px/b.js -> add 'self' to default-src, or write script-src", "default-src https://cdn.example 'unsafe-inline'; connect-src *")
	f(Fault, "write 'self' with its quotes", "script-src self 'unsafe-inline'")
	f(Fault, "give the script element the nonce", "script-src 'nonce-abc' "+stubHash)
	f(Fault, "the element has a nonce, and the policy another one", "script-src 'nonce-abc' "+stubHash, replace("<script async", `<script nonce="old" async`))
	f(Fault, "addresses count for nothing", "script-src 'self' 'strict-dynamic' "+stubHash)
	f(Fault, "connect-src does not allow the page to send to https://shop.example/px/e -> add 'self' to connect-src", "connect-src https://www.shop.example")
	f(Fault, "add https://www.shop.example to connect-src", "connect-src 'self'", func(w *world) {
		w.names["shop.example"], w.names["www.shop.example"] = []string{"198.51.100.10"}, []string{"198.51.100.10"}
		replace(`data-endpoint="/px"`, `data-endpoint="https://www.shop.example/px"`)(w)
	})
	f(Fault, "https://shop.example/px/v1/decision", "connect-src https://shop.example/px/e")
	f(Fault, "the line before the tag that keeps early calls -> give that line the nonce of the page, or add "+stubHash, "script-src 'self'")
	f(Fault, "sandbox does not allow scripts at all", "sandbox allow-forms")
	f(Fault, "the page to keep its origin", "sandbox allow-scripts")
	f(OK, "let the tag run", "sandbox allow-scripts allow-same-origin")
	f(Warning, "the pixel in noscript -> add 'self' to img-src", "img-src 'none'", replace("</body>", `<noscript><p><img alt="" src="/px/p.gif?s=demo&amp;n=page_view"></noscript></body>`))
	f(OK, "let the tag run", "img-src 'none'")
	hash := func(w *world) {
		replace("<script async", `<script data-use="ga4" integrity="sha256-AAAA" async`)(w)
		w.after = func(r *http.Response) { r.StatusCode = http.StatusOK }
	}
	finds(t, "csp", Fault, "what the tag loads beside itself", func(w *world) {
		w.header.Set("Content-Security-Policy", "script-src 'sha256-AAAA' "+stubHash)
		hash(w)
	}, "integrity", "collector", "cookie")
	finds(t, "csp", Warning, "what the tag loads beside itself", func(w *world) {
		w.header.Set("Content-Security-Policy", "script-src 'sha256-AAAA' "+stubHash)
		replace("<script async", `<script integrity="sha256-AAAA" async`)(w)
	}, "integrity")
	f(Warning, "is only reported, and would not allow the tag", "", func(w *world) {
		w.header.Set("Content-Security-Policy-Report-Only", "script-src 'none' "+stubHash)
	})
	f(Fault, "the meta element with a Content-Security-Policy: script-src does not allow the tag", "", replace("<title>", `<meta http-equiv="Content-Security-Policy" content="script-src 'unsafe-inline'"><title>`))
	// Behind the tag it does not hold for the tag, but for what the tag loads later.
	f(Warning, "what the tag loads beside itself", "", replace("</head>", `<meta http-equiv="Content-Security-Policy" content="script-src 'none'"></head>`))
	f(Fault, "connect-src does not allow", "", replace("</head>", `<meta http-equiv="Content-Security-Policy" content="connect-src 'none'"></head>`))
	f(NotChecked, "no tag to hold its policy against", "script-src 'none'", replace(element, ""))
	f(Fault, "connect-src does not allow", "script-src 'none'; connect-src 'none'", func(w *world) {
		w.endpoint = "https://shop.example/px"
		replace(element, "")(w)
		replace(stub, "")(w)
	})
}

// Two enforced policies must both allow; what one allows the other may refuse.
func TestEveryPolicyMustAllow(t *testing.T) {
	w := newWorld(t)
	w.header["Content-Security-Policy"] = []string{"script-src 'self' 'unsafe-inline'", "script-src 'unsafe-inline'"}
	if got := w.examine().of(t, "csp"); got.Outcome != Fault || len(got.Findings) != 1 {
		t.Errorf("found %v", got)
	}
}

func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		"default-src 'none'; script-src 'self' 'nonce-abc' https://*.example:*/a/", "script-src 'sha256-AAAA' 'strict-dynamic';;sandbox", "a://[::1]:b/%zz *: 'nonce-' ' '", "\x00;\xff'",
	} {
		f.Add(seed, "https://shop.example/px/b.js", "sha256-AAAA?x sha512-", "abc")
	}
	f.Fuzz(func(t *testing.T, text, address, integrity, nonce string) {
		page := mustParse(t, "https://shop.example/")
		u, err := page.Parse(address)
		if err != nil {
			return
		}
		s := &script{src: u, attr: map[string]string{"integrity": integrity, "nonce": nonce}, text: text}
		p := parsePolicy(text)
		byFile, file := p.allowsFile(s, page)
		_, part := p.allowsPart(s, u, page)
		_, inline := p.allowsInline(s)
		_, connect := p.allowsAddress(u, page, forConnections)
		if _, sources, there := p.governs(forElements...); !there && !(file && part && inline) {
			t.Fatalf("%q governs no scripts and refuses one", text)
		} else if there && len(sources) == 0 && (file || inline || part) {
			t.Fatalf("%q lists nothing and allows a script", text)
		}
		if _, sources, there := p.governs(forConnections...); there && len(sources) == 0 && connect {
			t.Fatalf("%q lists nothing and allows a connection", text)
		}
		if !file && byFile == "" {
			t.Fatalf("%q refuses without a directive", text)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(page))
	f.Add([]byte(`<base href=//x><meta http-equiv=content-security-policy content="script-src 'self'"><noscript><img src=/p.gif><script src=b.js></noscript><template><script src=b.js></template><svg><script src=b.js></svg>`))
	f.Add([]byte("<script src='b.js' data-site=demo data-site=other src=c.js type=\x00><script>beckon.q"))
	f.Fuzz(func(t *testing.T, body []byte) {
		self := mustParse(t, "https://shop.example/a/b?c")
		d, err := readPage(body, self)
		if err != nil {
			return
		}
		if d.base == nil {
			t.Fatal("a page without a base")
		}
		last := 0
		for _, s := range d.scripts {
			if s.place <= last {
				t.Fatalf("scripts out of order: %d after %d", s.place, last)
			}
			last = s.place
			if s.src != nil && (s.text != "" || s.src.Host == "") {
				t.Fatalf("a script %+v", s)
			}
		}
		for _, s := range d.tags("demo") {
			if s.src == nil {
				t.Fatal("a tag without an address")
			}
		}
		d.inline()
		policiesOf(http.Header{}, d)
	})
}
