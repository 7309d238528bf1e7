package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScrubURLKeepsThePathOnly(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := ScrubURL([]byte(in)).Path.String(); got != want {
			t.Errorf("ScrubURL(%q) = %q, want %q", in, got, want)
		}
	}
	f("https://shop.example/collections/shoes/products/blue-suede-9", "/collections/shoes/products/blue-suede-9")
	f("HTTPS://Shop.Example/Shoes", "/Shoes")
	f("http://shop.example", "/")
	f("http://shop.example?q=1", "/")
	f("//shop.example/cart", "/cart")
	f("/cart?email=ann@example.com#top", "/cart")
	f("/cart#ann@example.com", "/cart")
	f("https://ann:secret@shop.example:8443/cart", "/cart")
	f("https://shop.example/a//b/", "/a//b/")
	f("https://shop.example\\cart", "/cart")
	f("https://shop.example//cart", "/cart")
	f("  /cart  ", "/cart")
	f("/gr%C3%B6%C3%9Fe/sch%C3%B6n", "/größe/schön")
	f("/sale-50%25-off", "/sale-50%-off")
	f("/cart;jsessionid=1A2B/pay", "/cart/pay")

	// Ordinary shops survive.
	for _, path := range []string{
		"/products/nike-air-max-90-white-size-42", "/collections/2026-summer", "/products/iphone-15-pro-max-256gb", "/blog/2024/01/15/news",
		"/c/living-room/sofas", "/pages/faq", "/search", "/en-us/women", "/products/The-Quick-Brown-Fox-Jumps", "/p/TheQuickBrownFoxJumps",
		"/商品/靴", "/محصولات/می\u200cخواهم", "/products/rioja-75cl-2019", "/checkouts/contact_information", "/p/donaudampfschifffahrtskapitaen",
		"/products/face-cream-50ml", "/products/usb-c-3.2-gen2", "/collections/all/new,sale",
	} {
		f(path, path)
	}

	// No page.
	for _, in := range []string{
		"", "cart", "javascript:alert(1)", "data:text/html,ann@example.com", "mailto:ann@example.com", "file:///home/ann/x.html",
		"https:shop.example/x", "https:/shop.example/x", "blob:https://shop.example/1", "about:blank", "?a=b", "#x", ":", "\x00/",
	} {
		f(in, "")
	}
}

func TestScrubURLReplacesPersonalSegments(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := ScrubURL([]byte(in)).Path.String(); got != want {
			t.Errorf("ScrubURL(%q) = %q, want %q", in, got, want)
		}
	}
	f("/users/ann@example.com/orders", "/users/[email]/orders")
	f("/@ann", "/[email]")
	f("/users/ann%40example.com", "/users/[email]")
	f("/users/ann%2540example.com", "/users/[email]")
	f("/users/ann%25252540example.com", "/users/[email]")
	f("/users/ann%2525252525252540example.com", "/users/[token]") // encoded more often than anybody has a reason to
	f("/users/ann＠example.com", "/users/[email]")
	f("/users/a%2Fann%40example.com", "/users/a/[email]")
	f("/unsubscribe%3Femail=ann@example.com", "/unsubscribe")
	f("/x%23ann@example.com", "/x")
	f("/x%5Cann@example.com", "/x/[email]")
	f("/x;ann@example.com/y", "/x/y")
	f("/x%3Bann@example.com", "/x")

	f("/tel/+49-151-2345678", "/tel/[number]")
	f("/tel/0151%202345678", "/tel/[number]")
	f("/tel/(0151)%20234.56.78", "/tel/[number]")
	f("/tel/٠١٥١٢٣٤٥٦٧", "/tel/[number]")
	f("/tel/015\u200c123\u200d456", "/tel/[number]")
	f("/orders/1234567", "/orders/[number]")
	f("/orders/123456", "/orders/123456")
	f("/orders/no-1234567-x", "/orders/[number]")
	f("/born/1980-01-15", "/born/[number]")
	f("/ip/203.0.113.77", "/ip/[number]")
	f("/ip/1.2.3.4", "/ip/[number]")
	f("/ip/2001:db8:12::1", "/ip/[number]")
	f("/ip/[fe80::a1b2:c3d4]", "/ip/[number]")
	f("/mac/aa:bb:cc:dd:ee:0f", "/mac/[number]")

	f("/reset/f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "/reset/[token]")
	f("/reset/5f4dcc3b5aa765d61d", "/reset/[token]")
	f("/reset/dGhpcyBpcyBhIHNlY3JldA", "/reset/[token]")
	f("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "/reset/[token]")
	f("/reset/xK9mQ2vR7tL4pW8z", "/reset/[token]")
	f("/s/"+strings.Repeat("x", 41), "/s/[token]")
	f("/s/aBcD-eFghijkl-mNopqrst-uvWxyzab-cdEfghij-klMnopqr", "/s/[token]")

	f("/bell%07", "/[token]")
	f("/nul%00/x", "/[token]/x")
	f("/latin1%FC", "/[token]")
	f("/cut%C3", "/[token]")
	f("/soft\u00adhyphen", "/[token]")
	f("/right\u202eleft", "/[token]")
	f("/raw\xff", "/[token]")
}

func TestScrubURLIsBoundedAndNeverCutsASegment(t *testing.T) {
	long := "/" + strings.Repeat("a-b/", 4000)
	got := ScrubURL([]byte(long)).Path.String()
	if len(got) > maxPathBytes || len(got) < maxPathBytes-8 || !strings.HasSuffix(got, "/a-b") {
		t.Fatalf("%d bytes of path, ending in %q", len(got), got[len(got)-8:])
	}
	// The raw cut would fall into the address, whatever the length before it.
	for pad := maxURLPath - 40; pad < maxURLPath+4; pad++ {
		in := "/a;" + strings.Repeat("x", pad-4) + "/john.doe.the.third@example.com"
		if got := ScrubURL([]byte(in)).Path.String(); got != "/" && got != "/a" && got != "/a/[email]" {
			t.Fatalf("an address from byte %d on left %q", pad, got)
		}
	}
	if got := ScrubURL([]byte("/" + strings.Repeat("a ", 1<<20))).Path.String(); got != "/" {
		t.Fatalf("one endless segment gave %d bytes", len(got))
	}
}

func TestScrubURLCopies(t *testing.T) {
	raw := []byte("https://shop.example/shoes?utm_source=letter")
	page := ScrubURL(raw)
	host := ScrubReferrer(raw, nil)
	label := NewLabel(raw[8:12])
	for i := range raw {
		raw[i] = 'X'
	}
	if page.Path.String() != "/shoes" || page.Source.String() != "letter" || host.String() != "shop.example" || label.String() != "shop" {
		t.Fatal("a result changed with the request's buffer")
	}
}

func TestScrubURLReadsTheCampaign(t *testing.T) {
	f := func(query, source, medium, campaign string) {
		t.Helper()
		p := ScrubURL([]byte("https://shop.example/?" + query))
		if p.Source.String() != source || p.Medium.String() != medium || p.Campaign.String() != campaign {
			t.Errorf("%s: %q, %q, %q, want %q, %q, %q", query, p.Source, p.Medium, p.Campaign, source, medium, campaign)
		}
	}
	f("utm_source=news&utm_medium=email&utm_campaign=spring+sale%20%F0%9F%8C%B7", "news", "email", "spring sale 🌷")
	f("a=1&utm_source=news#utm_medium=x", "news", "", "")
	f("utm_source=&utm_source=first&utm_source=second", "first", "", "")
	f("UTM_SOURCE=x&utm_sourcex=y&xutm_source=z&utm_term=t&gclid=g&utm_source", "", "", "")
	f("utm_source=ann@example.com&utm_medium=ann%2540example.com&utm_campaign=%2B49+151+2345678", "[email]", "[email]", "[number]")
	f("utm_source=203.0.113.77&utm_campaign=5f4dcc3b5aa765d61d", "[number]", "", "[token]")
	f("utm_source=a%00b&utm_medium=%FF&utm_campaign="+strings.Repeat("a ", 300), "", "", "")
	f("utm_campaign="+strings.Repeat("%61%20", 1000), "", "", "")
}

func TestScrubReferrerKeepsTheHostOnly(t *testing.T) {
	f := func(in, own, want string) {
		t.Helper()
		if got := ScrubReferrer([]byte(in), []byte(own)).String(); got != want {
			t.Errorf("ScrubReferrer(%q, %q) = %q, want %q", in, own, got, want)
		}
	}
	f("https://www.Google.com/search?q=ann@example.com", "shop.example", "www.google.com")
	f("https://ann:pw@blog.example:8443/x", "shop.example", "blog.example")
	f("https://a@b@blog.example/x", "shop.example", "blog.example")
	f("//blog.example/x", "", "blog.example")
	f("https://blog.example.", "", "blog.example")
	f("https://xn--bcher-kva.example/", "", "xn--bcher-kva.example")
	f("android-app://com.google.android.gm/", "shop.example", "com.google.android.gm")

	// The shop's own host is no referrer.
	f("https://shop.example/cart", "shop.example", "")
	f("https://SHOP.example:443/cart", "Shop.Example:8443", "")
	f("https://www.shop.example/cart", "shop.example", "")
	f("https://shop.example/cart", "https://www.shop.example/x", "")
	f("https://shop.example.", "shop.example", "")
	f("https://myshop.example/", "shop.example", "myshop.example")
	f("http://localhost:8082/", "localhost:8082", "")

	// No host that may be kept.
	for _, in := range []string{
		"", "google.com", "/cart", "javascript:alert(1)", "mailto:ann@example.com", "https:///x", "https://", "https://203.0.113.77/x",
		"https://[2001:db8::1]:80/x", "https://3405803853/", "https://0x7f.1/", "https://0xcb00714d/", "https://a..b/", "https://.a/", "https://a../", "https://0../", "https://a b/",
		"https://ann%40example.com/", "https://bücher.example/", "https://a\x00b/", "https://" + strings.Repeat("a.", 200) + "example/",
		"https://12345678.example/", "https://@/", "https://:80/",
	} {
		f(in, "shop.example", "")
	}

	// A personal part goes, with all below it.
	f("https://a.5f4dcc3b5aa765d61d.frames.example/", "", "frames.example")
	f("https://ann-12345678.mail.example/", "", "mail.example")
	f("https://77.113.0.203.dialup.example/", "", "dialup.example")
	f("https://ip-203-0-113-77.dialup.example/", "", "dialup.example")
}

// canaries are personal values that must not come through, in any way they can be written into a URL
// or a label.
var canaries = []string{"ann.b@example.com", "+49 151 2345678", "203.0.113.77", "2001:db8:12:34::77"}

func spellings(canary string) []string {
	percent := url.PathEscape(canary)
	all := ""
	for i := range len(canary) {
		all += "%" + hex.EncodeToString([]byte{canary[i]})
	}
	return []string{
		canary, percent, url.QueryEscape(canary), strings.ReplaceAll(percent, "%", "%25"), all, strings.ReplaceAll(all, "%", "%25"), strings.ToUpper(canary),
	}
}

func TestNoCanaryComesThrough(t *testing.T) {
	for _, canary := range canaries {
		for _, s := range spellings(canary) {
			for _, in := range []string{
				"/%s", "/a/%s/b", "/x-%s-y", "/x%s", "https://shop.example/%s?q=%s#%s", "https://%s@shop.example/", "/?utm_source=%s&utm_medium=x%s&utm_campaign=y+%s",
				"/;%s", "/a;x=%s/b", "//%s/x", "/a%%2F%s", "/a\\%s",
			} {
				in = strings.ReplaceAll(strings.ReplaceAll(in, "%%", "%"), "%s", s)
				p := ScrubURL([]byte(in))
				for _, out := range []string{p.Path.String(), p.Source.String(), p.Medium.String(), p.Campaign.String()} {
					if holds(out, canary) {
						t.Errorf("ScrubURL(%q) gave %q", in, out)
					}
				}
			}
			for _, in := range []string{"https://%s/x", "https://%s.example/", "https://%s@blog.example/%s?%s#%s", "https://blog.example:%s/", "//x.%s"} {
				in = strings.ReplaceAll(in, "%s", s)
				if out := ScrubReferrer([]byte(in), nil).String(); holds(out, canary) {
					t.Errorf("ScrubReferrer(%q) gave %q", in, out)
				}
			}
			for _, in := range []string{"%s", "for %s only", "x%s", "a,%s;b"} {
				in = strings.ReplaceAll(in, "%s", s)
				if out := NewLabel([]byte(in)).String(); holds(out, canary) {
					t.Errorf("NewLabel(%q) gave %q", in, out)
				}
			}
		}
	}
}

// holds reports whether out has the canary in it, in any spelling and case.
func holds(out, canary string) bool {
	out = strings.ToLower(string(decode([]byte(out))))
	canary = strings.ToLower(canary)
	digits := regexp.MustCompile(`\D`).ReplaceAllString(out, "")
	return strings.Contains(out, canary) || strings.Contains(out, strings.ReplaceAll(canary, " ", "+")) ||
		canary[0] == '+' && strings.Contains(digits, regexp.MustCompile(`\D`).ReplaceAllString(canary, ""))
}

func TestSecretsInPathsAndLabelsAreTokens(t *testing.T) {
	k := testSite("demo", 1)
	rnd := rand.NewChaCha8([32]byte{7})
	isMasked := func(value string) bool { // a number in it may be what is seen first
		got := ScrubURL([]byte("/x/" + value)).Path.String()
		return got == "/x/[token]" || got == "/x/[number]"
	}
	const rounds = 2000
	missed := 0
	for range rounds {
		v := Visit{Epoch: 2, Created: now.Unix(), SessionStart: now.Unix(), LastSeen: now.Unix(), Lane: LaneDecide}
		_, _ = rnd.Read(v.Random[:])
		cookie := v.AppendTo(nil, k)
		if !isMasked(string(cookie)) || NewLabel(cookie).String() != maskToken {
			t.Fatalf("the visitor cookie %s came through", cookie)
		}
		if !isMasked(hex.EncodeToString(v.Random[:])) {
			t.Fatalf("%x came through", v.Random)
		}
		if !isMasked(base64.RawURLEncoding.EncodeToString(v.Random[:])) {
			missed++
		}
	}
	if missed > rounds*3/100 {
		t.Fatalf("%d of %d random values in base64url came through, want at most 3 in 100", missed, rounds)
	}
	t.Logf("%d of %d random values in base64url came through", missed, rounds)
}

func TestScrubbingAllocatesTheResultOnly(t *testing.T) {
	raw := []byte("https://shop.example/collections/sh%C3%B6es/products/blue-9?utm_source=news&a=b")
	allocs(t, "ScrubURL with one campaign value", 2, func() { _ = ScrubURL(raw) })
	plain := raw[:bytes.IndexByte(raw, '?')]
	allocs(t, "ScrubURL", 1, func() { _ = ScrubURL(plain) })
	allocs(t, "ScrubReferrer", 1, func() { _ = ScrubReferrer(raw, []byte("other.example")) })
	allocs(t, "ScrubReferrer of the own host", 0, func() { _ = ScrubReferrer(raw, []byte("shop.example")) })
	allocs(t, "NewLabel", 1, func() { _ = NewLabel(raw[21:32]) })
}

func FuzzScrubURL(f *testing.F) {
	for _, s := range []string{
		"https://shop.example/a/ann%2540example.com?utm_source=%40&utm_campaign=x#y", "/a;b/c%2Fd", "//h", "/%", "/%4", "/%zz", "/\xff\xfe",
		"/+49 151 2345678", "javascript:/a", "/１２３４５６７", "/a%E2%80%8Db", "/[::1]/1.2.3.4",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		p := ScrubURL(raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("the input was changed")
		}
		sameInScratch(t, p, func(s *Scratch) Page { return s.URL(raw) })
		path := p.Path.String()
		if path == "" && p != (Page{}) {
			t.Fatal("a campaign without a page")
		}
		if path != "" && path[0] != '/' || len(path) > maxPathBytes || strings.ContainsAny(path, "@?#;\\") || !utf8.ValidString(path) {
			t.Fatalf("path %q", path)
		}
		for _, s := range []string{path, p.Source.String(), p.Medium.String(), p.Campaign.String()} {
			if longDigitRun.MatchString(s) || hasEscape([]byte(s)) || !printable([]byte(s)) {
				t.Fatalf("kept %q", s)
			}
		}
		if again := ScrubURL([]byte(path)); path != "" && again.Path != p.Path {
			t.Fatalf("%q is scrubbed further, to %q", path, again.Path)
		}
	})
}

var longDigitRun = regexp.MustCompile(`[0-9]{7}`)

func FuzzScrubReferrer(f *testing.F) {
	for _, s := range []string{"https://a:b@Host.example:80/x", "//[::1]/", "https://1.2.3.4", "android-app://a.b", "https://a..b", "http://www.shop.example"} {
		f.Add([]byte(s), []byte("shop.example"))
	}
	shape := regexp.MustCompile(`^([a-z0-9_-]+(\.[a-z0-9_-]+)*)?$`)
	f.Fuzz(func(t *testing.T, raw, own []byte) {
		sameInScratch(t, ScrubReferrer(raw, own), func(s *Scratch) Host { return s.Referrer(raw, own) })
		host := ScrubReferrer(raw, own).String()
		if !shape.MatchString(host) || len(host) > maxHostBytes || longDigitRun.MatchString(host) {
			t.Fatalf("host %q", host)
		}
	})
}
