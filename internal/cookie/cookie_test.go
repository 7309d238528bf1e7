package cookie

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func keysOf(t *testing.T, id string) *keyring.Site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	if _, err := keyring.Init(dir, []string{id}); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Site(id)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sent is the Set-Cookie line of that name, "" without one.
func sent(h *fasthttp.ResponseHeader, name string) string {
	for key, line := range h.Cookies() {
		if string(key) == name {
			return string(line)
		}
	}
	return ""
}

func TestNameFollowsTheConnectionAndTheSite(t *testing.T) {
	f := func(domain string, https bool, name string) {
		t.Helper()
		keys := keysOf(t, "demo")
		j := NamesOf(&site.Site{ID: "demo", CookieDomain: domain}).On(https)
		var h fasthttp.ResponseHeader
		j.SetVisit(&h, privacy.NewVisit(keys, now, privacy.LaneDecide, nil), keys, now)
		line := sent(&h, name)
		if line == "" {
			t.Fatalf("domain %q, https %v: no cookie %s in %s", domain, https, name, h.String())
		}
		for attribute, want := range map[string]bool{
			"HttpOnly": true, "SameSite=Lax": true, "path=/": true, "secure": https, "domain=": domain != "", "max-age=34128000": true,
		} {
			if got := strings.Contains(line, attribute); got != want {
				t.Errorf("%s: %s there %v, want %v", line, attribute, got, want)
			}
		}
	}
	f("", false, "_bk_demo")
	f("", true, "__Host-_bk_demo")
	f("shop.example", false, "_bk_demo")
	f("shop.example", true, "_bk_demo") // a host-only cookie cannot be shared
}

func TestReadTakesTheValidOneAndExpireTakesAll(t *testing.T) {
	keys := keysOf(t, "demo")
	visit := privacy.NewVisit(keys, now, privacy.LaneDecide, nil)
	good := string(visit.AppendTo(nil, keys))
	var request fasthttp.RequestHeader
	request.Set("Cookie", "_bk_demo="+good+"; __Host-_bk_demo=forged; __Host-_bk_demo="+good+"; _bk_d_demo=grant; _bk_out=0; _bk_out=1; other=1")

	j := NamesOf(&site.Site{ID: "demo"}).On(true)
	got, known := j.Read(&request, keys, now)
	if !known || got.Random != visit.Random || !j.OptedOut || len(j.Grants) != 1 || string(j.Grants[0]) != "grant" {
		t.Errorf("read %+v, known %v, opted out %v, grants %q", got, known, j.OptedOut, j.Grants)
	}
	var reply fasthttp.ResponseHeader
	j.Expire(&reply)
	for _, name := range []string{"_bk_demo", "__Host-_bk_demo", "_bk_d_demo"} {
		if line := sent(&reply, name); !strings.Contains(line, "max-age=0") {
			t.Errorf("%s is not taken away: %q", name, line)
		}
	}
	if sent(&reply, "other") != "" || sent(&reply, privacy.OptOutCookie) != "" {
		t.Errorf("a cookie that is not the visitor's was touched: %s", reply.String())
	}

	var old fasthttp.RequestHeader
	old.Set("Cookie", "_bk_demo="+good)
	j = NamesOf(&site.Site{ID: "demo"}).On(true)
	if _, known := j.Read(&old, keys, now); known {
		t.Error("the cookie of http makes a visitor of https")
	}
}

func TestSaysWantsTheExactValueOnAnyLine(t *testing.T) {
	f := func(lines []string, want bool) {
		t.Helper()
		var h fasthttp.RequestHeader
		for _, line := range lines {
			h.Add("Sec-GPC", line)
		}
		if got := Says(&h, "Sec-GPC", "1"); got != want {
			t.Errorf("%q: %v", lines, got)
		}
	}
	f(nil, false)
	f([]string{"1"}, true)
	f([]string{"0", "1"}, true)
	f([]string{"1", "0"}, true)
	f([]string{"0"}, false)
	f([]string{"1, 1"}, false)
	f([]string{"true"}, false)
}
