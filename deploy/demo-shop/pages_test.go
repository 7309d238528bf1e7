package demoshop

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestEveryPageInstallsTheTag(t *testing.T) {
	w := newWorld(t)
	paths := []string{"/", "/cart", "/thank-you", "/nowhere"}
	for _, c := range categories {
		paths = append(paths, "/shop/"+c.ID)
	}
	for _, p := range catalogue {
		paths = append(paths, "/product/"+p.ID)
	}
	for _, path := range paths {
		a := w.get(path)
		wantBody(t, a,
			`window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}`,
			`<script async src="/px/b.js" data-site="demo" data-endpoint="/px" data-use="ack refresh"></script>`,
			`<noscript><img class="pixel" src="/px/p.gif?s=demo&amp;n=page_view"`,
			`id="consent"`, `id="panel"`, `<div class="offer-slot" data-beckon-offer role="status">`)
	}
	wantStatus(t, w.get("/nowhere"), http.StatusNotFound)
	wantStatus(t, w.get("/shop/nowhere"), http.StatusNotFound)
	wantStatus(t, w.get("/product/nowhere"), http.StatusNotFound)
}

func TestPagesTellTheTagWhatItCannotSee(t *testing.T) {
	w := newWorld(t)
	wantBody(t, w.get("/shop/coffee"), `beckon("collection_view", {"category":"coffee"})`)
	wantBody(t, w.get("/product/dawn-kettle?variant=copper"),
		`beckon("product_view", {"product":"dawn-kettle","variant":"copper","category":"coffee","price":119.00,"currency":"EUR"})`)
	wantBody(t, w.add("harbour-mug", "oat", "2"),
		`beckon("cart_add", {"product":"harbour-mug","variant":"oat","category":"ceramics","quantity":2,"price":28.00,"cart_value":56.00,"currency":"EUR"})`,
		`beckon("cart_view", {"cart_value":56.00,"currency":"EUR"})`)
	wantNoBody(t, w.get("/cart"), `"cart_add"`) // told once
	wantBody(t, w.post("/cart/set", "product", "harbour-mug", "variant", "oat", "quantity", "1"),
		`beckon("cart_remove", {"product":"harbour-mug","variant":"oat","category":"ceramics","quantity":1,"price":28.00,"cart_value":28.00,"currency":"EUR"})`)
	wantBody(t, w.get("/checkout"), `beckon("checkout_start", {"cart_value":28.00,"currency":"EUR"})`)
}

func TestValuesInCallsAreEscaped(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Site = `a"><script>alert(1)</script>` })
	a := w.get("/product/dawn-kettle?variant=</script><script>alert(1)</script>")
	wantStatus(t, a, http.StatusOK)
	wantNoBody(t, a, "<script>alert(1)")
	w.setCookie("tarn_done", "1.harbour-mug.oat</script>")
	w.setCookie("tarn_consent", "decide</script>.2026-11")
	wantNoBody(t, w.get("/cart"), `"cart_add"`, `'consent'`)
}

func TestEveryScriptIsOurFileOrHasTheNonceOfThePolicy(t *testing.T) {
	w := newWorld(t)
	a := w.get("/product/harbour-mug")
	policy := a.Header.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([A-Z2-7]+)'`).FindStringSubmatch(policy)
	if nonce == nil || strings.Contains(policy, "unsafe") {
		t.Fatalf("policy %q has no nonce, or is open", policy)
	}
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(a.body, -1) {
		if !strings.Contains(tag, ` src="/`) && !strings.Contains(tag, `nonce="`+nonce[1]+`"`) {
			t.Errorf("%s is not allowed by %s", tag, policy)
		}
	}
	if found := regexp.MustCompile(` (on[a-z]+|style)="`).FindString(a.body); found != "" {
		t.Errorf("the page has%s, which the policy forbids", found)
	}
	if again := w.get("/product/harbour-mug").Header.Get("Content-Security-Policy"); again == policy {
		t.Error("two pages share a nonce")
	}
}

func TestPagesThatTellOnceAreNotKeptByTheBrowser(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "1")
	for path, want := range map[string]string{
		"/": "private, no-cache", "/cart": "private, no-store", "/checkout": "private, no-store", "/thank-you": "private, no-store",
	} {
		if got := w.get(path).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control %q, want %q", path, got, want)
		}
	}
}

func TestEveryAddressOnAPageLeadsSomewhere(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "moss", "1")
	w.add("first-light-coffee", "beans-1000", "1")
	seen := map[string]bool{}
	for _, path := range []string{"/", "/shop/outdoors", "/product/ember-lantern", "/cart", "/checkout", "/thank-you"} {
		for _, m := range regexp.MustCompile(` (?:src|href|data-picture)="(/[^"#]*)`).FindAllStringSubmatch(w.get(path).body, -1) {
			seen[m[1]] = true
		}
	}
	for address := range seen {
		if strings.HasPrefix(address, "/px/") {
			continue
		}
		a := w.get(address)
		if a.StatusCode == http.StatusNotFound && address != "/thank-you" {
			t.Errorf("%s leads nowhere", address)
		}
		if strings.HasPrefix(address, "/static/") && a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s is not kept by browsers", address)
		}
	}
	if len(seen) < 25 {
		t.Fatalf("only %d addresses were found", len(seen))
	}
}

func TestScriptsImportOnlyFilesThatExist(t *testing.T) {
	all, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range all.files {
		for _, m := range regexp.MustCompile(`from '\./([^']+)'`).FindAllStringSubmatch(string(body), -1) {
			if _, ok := all.files[m[1]]; !ok {
				t.Errorf("%s imports %s, which does not exist", name, m[1])
			}
		}
	}
}

func TestBannerRemembersTheChoiceAndTellsTheTagOnEveryPage(t *testing.T) {
	w := newWorld(t)
	wantBody(t, w.get("/"), defaultSentences["decide"])
	f := func(choice, want string) {
		t.Helper()
		a := w.post("/consent", "choice", choice, "back", "/shop/coffee")
		wantStatus(t, a, http.StatusOK)
		if a.Request.URL.Path != "/shop/coffee" {
			t.Errorf("the visitor came back to %s", a.Request.URL.Path)
		}
		wantBody(t, a, want, `aria-labelledby="consent-title" hidden`)
	}
	f("decide", `beckon('consent', {"decide":true,"measure":true,"src":"banner","ver":"2026-11"})`)
	f("measure", `beckon('consent', {"decide":false,"measure":true,"src":"banner","ver":"2026-11"})`)
	f("count", `beckon('consent', {"decide":false,"measure":false,"src":"banner","ver":"2026-11"})`)
	wantStatus(t, w.post("/consent", "choice", "everything"), http.StatusBadRequest)

	w.setCookie("tarn_consent", "decide.2019-01") // made under an older wording
	wantNoBody(t, w.get("/"), `beckon('consent'`, `aria-labelledby="consent-title" hidden`)
}

func TestBannerSaysWhatTheSiteDoesWithoutAChoice(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConsentDefault = "count" })
	wantBody(t, w.get("/"), defaultSentences["count"])
	wantNoBody(t, w.get("/"), defaultSentences["decide"])
}

func TestBannerAnswersItsScriptWithTheWordsForTheTag(t *testing.T) {
	w := newWorld(t)
	r := w.request("POST", "/consent", "choice=measure")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	a := w.do(r)
	wantStatus(t, a, http.StatusOK)
	if want := `{"decide":false,"measure":true,"src":"banner","ver":"2026-11"}`; a.body != want {
		t.Fatalf("got %s, want %s", a.body, want)
	}
}

func TestConsentNeverSendsTheVisitorToAnotherHost(t *testing.T) {
	f := func(back, want string) {
		t.Helper()
		if got := localPath(back); got != want {
			t.Errorf("localPath(%q) = %q, want %q", back, got, want)
		}
	}
	f("/cart", "/cart")
	f("", "/")
	f("https://evil.example/", "/")
	f("//evil.example", "/")
	f(`/\evil.example`, "/")
	f("/\t/evil.example", "/")
}

func TestBannerSaysThatGlobalPrivacyControlCountsMore(t *testing.T) {
	w := newWorld(t)
	r := w.request("GET", "/", "")
	r.Header.Set("Sec-GPC", "1")
	wantBody(t, w.do(r), "Global Privacy Control.")
	wantNoBody(t, w.get("/"), "Global Privacy Control.")
}

func TestPanelShowsTheNetworkAndNeverTheAddress(t *testing.T) {
	a := newWorld(t).get("/")
	wantBody(t, a, "127.0.0.0/24")
	wantNoBody(t, a, "127.0.0.1")
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/cart/add", "/cart/set", "/checkout", "/offer", "/offer/remove", "/consent"} {
		r := w.request("POST", path, "product=harbour-mug&variant=oat&quantity=1")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		wantStatus(t, w.do(r), http.StatusForbidden)
	}
	if w.cookie(cartCookie) != "" {
		t.Fatal("another site filled the cart")
	}
}
