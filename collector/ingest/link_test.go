package ingest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// linked is a batch with one page view and a link token.
func linked(site, token string) string {
	return fmt.Sprintf(`{"v":1,"s":%q,"k":%q,"e":[%s]}`, site, token, pageView)
}

// shopper visits a site and returns the cookie's value.
func (s *shop) shopper(site string) string {
	s.Helper()
	c := s.post(choose(site, yes)).cookie("_bk_" + site)
	if c == nil {
		s.Fatal("the shopper got no cookie")
	}
	return c.Value
}

// link asks for the link token of a cookie's visitor.
func (s *shop) link(site, cookie string) string {
	s.Helper()
	got := s.get("/link?s="+site, withCookie("_bk_"+site, cookie), header("Origin", shopOrigin))
	var answer struct{ K string }
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.StatusCode != 200 {
		s.Fatalf("no link: %d %q %s", got.StatusCode, got.reason(), got.body)
	}
	return answer.K
}

func TestLinkTokenSpeaksInItsVisitorsName(t *testing.T) {
	s := openShop(t)
	cookie := s.shopper("demo")
	s.pass(10 * time.Minute)
	got := s.get("/link?s=demo", withCookie("_bk_demo", cookie), header("Origin", shopOrigin))
	until := s.now().Add(privacy.LinkLife).UTC().Format(time.RFC3339)
	if got.StatusCode != 200 || got.lane() != "decide; recorded" || got.Header.Get("Cache-Control") != "no-store" || !strings.Contains(got.body, `"expires_at":"`+until+`"`) ||
		got.Header.Get("Access-Control-Allow-Origin") != shopOrigin || got.Header.Get("Access-Control-Allow-Credentials") != "true" || got.Header.Get("Vary") != "Origin" {
		t.Fatalf("got %d %s %v", got.StatusCode, got.body, got.Header)
	}
	if got.cookie("_bk_demo") == nil {
		t.Error("whoever asks for a link was seen, and the cookie does not say so")
	}
	token := s.link("demo", cookie)

	s.stored()
	s.post(batch("demo", pageView), withCookie("_bk_demo", cookie))
	own := s.one()
	reply := s.post(linked("demo", token), header("Origin", "null"))
	if reply.StatusCode != 204 || reply.lane() != "decide; recorded" || len(reply.Cookies()) != 0 {
		t.Fatalf("got %d %q, cookies %v", reply.StatusCode, reply.lane(), reply.Cookies())
	}
	if h := reply.Header; h.Get("Access-Control-Allow-Origin") != "null" || len(h.Values("Access-Control-Allow-Credentials")) != 0 || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Beckon-Lane") {
		t.Errorf("headers for a page without an origin: %v", h)
	}
	e := s.one()
	if e.Visitor != own.Visitor || e.Session != own.Session || e.VisitorSince != own.VisitorSince || e.Lane != privacy.LaneDecide || e.Source != event.SourceBeacon {
		t.Errorf("the token's event is of %x %x %d, the cookie's of %x %x %d", e.Visitor, e.Session, e.VisitorSince, own.Visitor, own.Session, own.VisitorSince)
	}
	// From a listed page that has no cookie, and from one that sends no Origin, it is the same visitor.
	for _, from := range []with{header("Origin", shopOrigin), func(*http.Request) {}} {
		reply := s.post(linked("demo", token), from)
		if e := s.one(); reply.StatusCode != 204 || e.Visitor != own.Visitor || len(reply.Cookies()) != 0 {
			t.Errorf("got %d, visitor %x, cookies %v", reply.StatusCode, e.Visitor, reply.Cookies())
		}
	}
}

func TestLinkTokenOutlivesItsSessionAndThenItself(t *testing.T) {
	s := openShop(t)
	token := s.link("demo", s.shopper("demo"))
	own := s.stored()[1]
	f := func(after time.Duration, sameVisitor, sameSession bool) {
		t.Helper()
		s.pass(after)
		got := s.post(linked("demo", token), header("Origin", shopOrigin))
		e := s.one()
		if got.StatusCode != 204 || (e.Visitor == own.Visitor) != sameVisitor || (e.Session == own.Session) != sameSession {
			t.Errorf("%s later: %d, visitor %x of %x, session %x of %x", after, got.StatusCode, e.Visitor, own.Visitor, e.Session, own.Session)
		}
		if sameVisitor && !sameSession && e.Session != [16]byte{} {
			t.Errorf("another session than the token's: %x", e.Session)
		}
	}
	f(0, true, true)
	f(23*time.Hour, true, true)
	f(time.Hour, true, false)
	f(6*24*time.Hour-time.Minute, true, false)
	f(time.Minute, false, false)
	if got := s.post(linked("demo", token), header("Origin", "null")); got.reason() != "origin-not-listed" {
		t.Errorf("an expired token let a page without origin in: %d %q", got.StatusCode, got.reason())
	}
}

func TestLinkIsForVisitorsOfLaneDecideOnly(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_demo", s.shopper("demo"))
	wide := withCookie("_bk_wide", s.shopper("wide"))
	s.stored()
	f := func(name, reason, lane string, expires bool, changes ...with) {
		t.Helper()
		got := s.get("/link?s=demo", append(changes, header("Origin", shopOrigin))...)
		if got.StatusCode != 403 || got.reason() != reason || got.lane() != lane || got.body != "" {
			t.Errorf("%s: got %d %q, lane %q, %s", name, got.StatusCode, got.reason(), got.lane(), got.body)
		}
		if got.Header.Get("Access-Control-Allow-Origin") != shopOrigin {
			t.Errorf("%s: the page cannot read why", name)
		}
		if c := got.cookie("_bk_demo"); (c != nil) != expires || c != nil && c.MaxAge >= 0 {
			t.Errorf("%s: cookie %v", name, c)
		}
	}
	f("no cookie", "no-visitor", "decide; default", false)
	f("forged cookie", "no-visitor", "decide; default", false, withCookie("_bk_demo", "AQ"))
	f("cookie of another site", "no-visitor", "decide; default", false, wide)
	f("GPC", "no-visitor", "count; gpc", true, cookie, header("Sec-GPC", "1"))
	f("DNT", "no-visitor", "count; dnt", true, cookie, header("DNT", "1"))
	f("a program", "no-visitor", "decide; recorded", false, cookie, func(r *http.Request) { r.Header.Set("User-Agent", "Googlebot/2.1") })
	if all := s.stored(); len(all) != 0 {
		t.Errorf("asking for a link stored %+v", all)
	}
	f("opted out", "no-visitor", "count; opt-out", true, cookie, withCookie("_bk_out", "1"))
	if e := s.one(); e.Kind != event.Consent || e.Suppress == ([16]byte{}) {
		t.Errorf("a cookie that its visitor's opt-out did not reach is not withdrawn: %+v", e)
	}
}

func TestLinkIsForPagesOfTheSiteOnly(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_demo", s.shopper("demo"))
	f := func(status int, path string, changes ...with) {
		t.Helper()
		got := s.get(path, append(changes, cookie)...)
		if got.StatusCode != status || (status == 403) != (got.reason() == "origin-not-listed") || (status != 200) != (got.body == "") {
			t.Errorf("got %d %q, want %d", got.StatusCode, got.reason(), status)
		}
		if status != 200 && len(got.Cookies()) != 0 {
			t.Errorf("a refusal sets %v", got.Cookies())
		}
	}
	const path = "/link?s=demo"
	f(200, path)
	f(200, path, header("Origin", shopOrigin), header("Sec-Fetch-Site", "same-site"))
	f(200, path, header("Origin", shopOrigin), header("Sec-Fetch-Site", "cross-site"))
	f(200, path, header("Sec-Fetch-Site", "same-origin"))
	f(200, path, header("Sec-Fetch-Site", "none"))
	f(403, path, header("Sec-Fetch-Site", "same-site")) // a script or picture on another host
	f(403, path, header("Sec-Fetch-Site", "cross-site"))
	f(403, path, header("Origin", "https://evil.example"))
	f(403, path, header("Origin", "https://a.shop.example")) // listed by another site
	f(403, path, header("Origin", "null"))
	f(403, path, header("Origin", shopOrigin), header("Origin", shopOrigin))
	f(404, "/link?s=elsewhere")
	f(404, "/link")
	f(400, "/link?s=demo&s=elsewhere")
	f(400, "/link?s=demo&s=demo")
	f(400, "/link?s=%ff")
	f(200, "/link?s=demo&t=1&t=2") // names that say nothing
	limited := openShop(t, func(c *Config) { c.Limits.Client = 1 })
	var last reply
	for range 2 * int(limitBurst/time.Second) {
		last = limited.get(path)
	}
	if last.StatusCode != 429 || last.Header.Get("Retry-After") == "" {
		t.Errorf("asked over and over: got %d %q", last.StatusCode, last.reason())
	}
	if got := s.do("HEAD", path, "", cookie); got.StatusCode != 200 || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD got %d %q", got.StatusCode, got.Header.Get("Content-Type"))
	}
	if got := s.do("OPTIONS", path, "", header("Origin", shopOrigin)); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("OPTIONS got %d, allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
}

// What cannot be trusted is as good as absent: no error for a shopper, and no way in for a page without origin.
func TestLinkTokenThatCannotBeTrustedIsAsGoodAsNone(t *testing.T) {
	s := openShop(t)
	cookie := s.shopper("demo")
	known := s.stored()[0].Visitor
	good := s.link("demo", cookie)
	forged := []byte(good)
	forged[40] ^= 1
	for name, token := range map[string]string{
		"none": "", "forged": string(forged), "cut": good[:60], "long": strings.Repeat("A", 4000), "of another site": s.link("asks", s.shopper("asks")),
		"a cookie": cookie, "not text": "\x01\u2028é",
	} {
		s.stored()
		body, _ := json.Marshal(map[string]any{"s": "demo", "k": token, "e": []any{map[string]any{"n": "page_view"}}})
		got := s.post(string(body), header("Origin", shopOrigin))
		if fresh := got.cookie("_bk_demo"); got.StatusCode != 204 || fresh == nil {
			t.Errorf("%s: got %d %q, cookie %v", name, got.StatusCode, got.reason(), fresh)
		}
		if e := s.one(); e.Visitor == known {
			t.Errorf("%s: taken for the visitor", name)
		}
		if got := s.post(string(body), header("Origin", "null")); got.StatusCode != 403 || got.reason() != "origin-not-listed" || len(got.Header.Values("Access-Control-Allow-Origin")) != 0 {
			t.Errorf("%s from null: got %d %q %v", name, got.StatusCode, got.reason(), got.Header)
		}
		if all := s.stored(); len(all) != 0 {
			t.Errorf("%s from null: stored %+v", name, all)
		}
	}
	if got := s.post(`{"s":"demo","k":7,"e":[` + pageView + `]}`); got.reason() != "malformed" {
		t.Errorf("a token that is no text: %d %q", got.StatusCode, got.reason())
	}
}

func TestCookieWinsOverLinkTokenExceptWithoutOrigin(t *testing.T) {
	s := openShop(t)
	mine, theirs := s.shopper("demo"), s.shopper("demo")
	all := s.stored()
	owner := map[string][16]byte{mine: all[0].Visitor, theirs: all[2].Visitor}
	token := s.link("demo", theirs)
	f := func(want [16]byte, cookies bool, changes ...with) {
		t.Helper()
		got := s.post(linked("demo", token), changes...)
		if e := s.one(); got.StatusCode != 204 || e.Visitor != want || (len(got.Cookies()) > 0) != cookies {
			t.Errorf("got %d, visitor %x, want %x, cookies %v", got.StatusCode, e.Visitor, want, got.Cookies())
		}
	}
	s.pass(2 * time.Minute)
	f(owner[mine], true, header("Origin", shopOrigin), withCookie("_bk_demo", mine))
	f(owner[theirs], false, header("Origin", "null"), withCookie("_bk_demo", mine))
	f(owner[theirs], false, header("Origin", shopOrigin), withCookie("_bk_demo", "forged"))
}

func TestPrivacySignalsLowerWhatALinkTokenAllows(t *testing.T) {
	s := openShop(t)
	cookie := s.shopper("asks")
	token := s.link("asks", cookie)
	s.stored()
	f := func(lane, choice string, changes ...with) event.Stored {
		t.Helper()
		body := strings.Replace(choose("asks", choice), `"e":`, `"k":"`+token+`","e":`, 1)
		got := s.post(body, append(changes, header("Origin", "null"), withCookie("_bk_asks", cookie))...)
		if got.StatusCode != 204 || got.lane() != lane || len(got.Cookies()) != 0 {
			t.Errorf("got %d %q, want %q, cookies %v", got.StatusCode, got.lane(), lane, got.Cookies())
		}
		all := s.stored()
		e := all[len(all)-1]
		if hasID := e.Visitor != [16]byte{} && e.VisitorSince != 0; hasID != strings.HasPrefix(lane, "decide") {
			t.Errorf("lane %s: visitor %x since %d", lane, e.Visitor, e.VisitorSince)
		}
		return all[0]
	}
	f("decide; recorded", "null") // the site's default is count: what the visitor chose with the cookie stands
	f("count; gpc", "null", header("Sec-GPC", "1"))
	f("count; dnt", "null", header("DNT", "1"))
	f("count; opt-out", "null", withCookie("_bk_out", "1"))
	f("count; gpc", yes, header("Sec-GPC", "1"))
	f("decide; choice", yes)
	newer := `{"decide":true,"measure":true,"src":"banner","ver":"2027-01"}`
	if e := f("decide; choice", newer); e.Kind != event.Consent || e.ConsentPolicy != "2027-01" {
		t.Errorf("consent to another text left no proof: %+v", e)
	}
	if e := f("decide; choice", newer); e.Kind == event.Consent {
		t.Error("the same consent is recorded again")
	}
	if e := f("count; denied", no); e.Kind != event.Consent || e.Visitor == [16]byte{} || e.Choice != privacy.LaneCount {
		t.Errorf("a withdrawal that came with a token left no proof: %+v", e)
	}
	if e := f("count; denied", no); e.Kind == event.Consent {
		t.Error("the same withdrawal is recorded again")
	}
	s.pass(time.Second)
	if e := f("count; denied", newer); e.Kind == event.Consent {
		t.Error("a consent that came with the token of somebody who said no is recorded")
	}
}

// A site that stops granting by default stops it for tokens that nobody chose, too.
func TestLinkTokenGrantsNoMoreThanTheSiteDoesNow(t *testing.T) {
	s := openShop(t)
	cookie := s.post(batch("demo", pageView)).cookie("_bk_demo").Value // by default
	token := s.link("demo", cookie)
	s.stored()
	s.sites.file.Store(parseSites(t, strings.Replace(sitesText, "{default: decide, allow: decide}", "{default: count, allow: decide}", 1)))
	if got := s.post(linked("demo", token), header("Origin", "null")); got.lane() != "count; default" {
		t.Errorf("lane %q", got.lane())
	}
	if e := s.one(); e.Visitor != [16]byte{} {
		t.Errorf("visitor %x", e.Visitor)
	}
}

func TestLinkTokenIsNowhereInWhatIsKept(t *testing.T) {
	s := openShop(t)
	cookie := s.shopper("demo")
	token := s.link("demo", cookie)
	s.post(linked("demo", token), header("Origin", "null"))
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range s.kept() {
		for what, canary := range map[string]string{"token": token, "cookie": cookie, "random bits": string(raw[2:18])} {
			if strings.Contains(string(content), canary) {
				t.Errorf("the %s is in %s", what, name)
			}
		}
	}
}
