package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// choose is a batch with one page view and a choice.
func choose(site, choice string) string {
	return fmt.Sprintf(`{"v":1,"s":%q,"c":%s,"e":[%s]}`, site, choice, pageView)
}

const (
	yes     = `{"decide":true,"measure":true,"src":"banner","ver":"2026-05"}`
	measure = `{"decide":false,"measure":true,"src":"banner","ver":"2026-05"}`
	no      = `{"decide":false,"measure":false,"src":"banner","ver":"2026-05"}`
)

func TestVisitorCookieIsCreatedOnceAndKept(t *testing.T) {
	s := openShop(t)
	first := s.post(batch("demo", pageView)).cookie("_bk_demo")
	if first == nil || !first.HttpOnly || first.Secure || first.SameSite != http.SameSiteLaxMode || first.Path != "/" || first.Domain != "" ||
		first.MaxAge != int(privacy.CookieLife.Seconds()) {
		t.Fatalf("the first cookie is %v", first)
	}
	again := func() reply { return s.post(batch("demo", pageView), withCookie("_bk_demo", first.Value)) }
	if got := again(); len(got.Cookies()) != 0 {
		t.Fatalf("sent again at once: %v", got.Cookies())
	}
	s.pass(2 * time.Minute)
	moved := again().cookie("_bk_demo")
	if moved == nil || moved.MaxAge != int((privacy.CookieLife-2*time.Minute).Seconds()) {
		t.Fatalf("after two minutes: %v", moved)
	}
	s.pass(time.Hour)
	again()
	all := s.stored()
	for _, e := range all {
		if e.Visitor != all[0].Visitor || e.VisitorSince != all[0].ReceivedAt/1000*1000 {
			t.Errorf("the visitor changed: %+v", e)
		}
	}
	if all[0].Session != all[2].Session {
		t.Error("a new session within 30 minutes")
	}
	if all[0].Session == all[3].Session {
		t.Error("the same session after an hour")
	}
}

func TestForgedCookieIsAsGoodAsNone(t *testing.T) {
	s := openShop(t)
	good := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	other := s.post(batch("wide", pageView)).cookie("_bk_wide").Value
	known := s.stored()[0].Visitor
	flipped := []byte(good)
	flipped[10] ^= 1
	for name, value := range map[string]string{
		"flipped": string(flipped), "cut": good[:20], "of another site": other, "empty": "", "long": strings.Repeat("A", 4000),
	} {
		got := s.post(batch("demo", pageView), withCookie("_bk_demo", value))
		if fresh := got.cookie("_bk_demo"); got.StatusCode != 204 || fresh == nil || fresh.Value == value {
			t.Errorf("%s: got %d, cookie %v", name, got.StatusCode, fresh)
		}
		if e := s.one(); e.Visitor == known || e.Visitor == [16]byte{} {
			t.Errorf("%s: visitor %x", name, e.Visitor)
		}
	}
	// Of two cookies with one name the valid one counts, wherever it stands.
	for _, values := range [][2]string{{string(flipped), good}, {good, string(flipped)}} {
		s.post(batch("demo", pageView), withCookie("_bk_demo", values[0]), withCookie("_bk_demo", values[1]))
		if e := s.one(); e.Visitor != known {
			t.Error("a forged cookie hid the valid one")
		}
	}
}

func TestLaneIsTheLeastOfWhatSiteAndVisitorAllow(t *testing.T) {
	s := openShop(t)
	f := func(site, choice, lane string, changes ...with) {
		t.Helper()
		body := batch(site, pageView)
		if choice != "" {
			body = choose(site, choice)
		}
		got := s.post(body, changes...)
		if got.StatusCode != 204 || got.lane() != lane {
			t.Errorf("%s %s: got %d, lane %q, want %q", site, choice, got.StatusCode, got.lane(), lane)
		}
		for _, e := range s.stored() {
			if e.Kind == event.Consent {
				continue
			}
			if named := e.Lane.String() + "; " + e.Cause.String(); named != lane {
				t.Errorf("stored %q, named %q", named, lane)
			}
			if (e.Visitor == [16]byte{}) != (e.Lane == privacy.LaneCount) || (e.Session == [16]byte{}) != (e.Lane != privacy.LaneDecide) {
				t.Errorf("lane %s: visitor %x, session %x", e.Lane, e.Visitor, e.Session)
			}
		}
		if sets := len(got.Cookies()) > 0; sets != strings.HasPrefix(lane, "decide") {
			t.Errorf("lane %s: cookies %v", lane, got.Cookies())
		}
	}
	f("demo", "", "decide; default")
	f("asks", "", "count; default")
	f("asks", yes, "decide; choice")
	f("asks", measure, "measure; choice")
	f("reports", "", "measure; default")
	f("reports", yes, "decide; choice")
	f("reports", no, "count; denied")
	f("demo", no, "count; denied")
	f("demo", "", "count; gpc", header("Sec-GPC", "1"))
	f("demo", yes, "count; gpc", header("Sec-GPC", "1"))
	f("demo", "", "count; gpc", header("Sec-GPC", "0"), header("Sec-GPC", "1"))
	f("demo", "", "decide; default", header("Sec-GPC", "true"))
	f("reports", "", "measure; gpc", header("Sec-GPC", "1")) // as that site chose
	f("reports", yes, "measure; gpc", header("Sec-GPC", "1"))
	f("reports", no, "count; denied", header("Sec-GPC", "1"))
	f("reports", yes, "count; dnt", header("Sec-GPC", "1"), header("DNT", "1"))
	f("demo", yes, "count; dnt", header("DNT", "1"))
	f("demo", yes, "count; opt-out", withCookie(privacy.OptOutCookie, "1"))
	f("demo", "", "decide; default", withCookie(privacy.OptOutCookie, "0"))
}

func TestOnlySomebodysWillExpiresTheCookie(t *testing.T) {
	s := openShop(t)
	value := s.post(choose("asks", yes)).cookie("_bk_asks").Value
	mine := withCookie("_bk_asks", value)
	grant := withCookie("_bk_d_asks", "grant")
	f := func(name, body string, expires bool, changes ...with) {
		t.Helper()
		got := s.post(body, append(changes, mine, grant)...)
		for _, cookieName := range []string{"_bk_asks", "_bk_d_asks"} {
			c := got.cookie(cookieName)
			if gone := c != nil && c.MaxAge < 0 && c.Value == ""; gone != expires {
				t.Errorf("%s: %s is %v", name, cookieName, c)
			}
		}
	}
	f("recorded choice", batch("asks", pageView), false)
	f("denial", choose("asks", no), true)
	f("no to offers", choose("asks", measure), true)
	f("gpc", batch("asks", pageView), true, header("Sec-GPC", "1"))
	f("dnt", batch("asks", pageView), true, header("DNT", "1"))
	f("opt-out", batch("asks", pageView), true, withCookie(privacy.OptOutCookie, "1"))
	// Not known is no will: a cookie that names no valid choice is left alone.
	got := s.post(batch("asks", pageView), withCookie("_bk_asks", "nonsense"))
	if len(got.Cookies()) != 0 || got.lane() != "count; default" {
		t.Errorf("not known: lane %q, cookies %v", got.lane(), got.Cookies())
	}
}

func TestConsentIsRecordedOncePerChange(t *testing.T) {
	s := openShop(t)
	value := ""
	f := func(name, choice string, want ...privacy.Lane) []event.Stored {
		t.Helper()
		var changes []with
		if value != "" {
			changes = append(changes, withCookie("_bk_asks", value))
		}
		got := s.post(choose("asks", choice), changes...)
		if c := got.cookie("_bk_asks"); c != nil {
			value = c.Value
		}
		var rows []event.Stored
		for _, e := range s.stored() {
			if e.Kind == event.Consent {
				rows = append(rows, e)
			}
		}
		if len(rows) != len(want) {
			t.Fatalf("%s: %d rows, want %d: %+v", name, len(rows), len(want), rows)
		}
		for i, lane := range want {
			if e := rows[i]; e.Choice != lane || e.Source != event.SourceCollector || e.ConsentSource != "banner" || e.ConsentAt == 0 {
				t.Errorf("%s: row %+v", name, e)
			}
		}
		return rows
	}
	f("a denial without a cookie", no)
	granted := f("granted", yes, privacy.LaneDecide)
	if granted[0].ConsentPolicy != "2026-05" || granted[0].Visitor == [16]byte{} {
		t.Errorf("granted %+v", granted[0])
	}
	f("told again", yes)
	f("a new policy", strings.Replace(yes, "2026-05", "2026-11", 1), privacy.LaneDecide)
	withdrawn := f("withdrawn", no, privacy.LaneCount)[0]
	if withdrawn.Visitor != granted[0].Visitor {
		t.Error("the withdrawal names another visitor")
	}
	if withdrawn.Session != [16]byte{} || withdrawn.Network != "" || withdrawn.Browser != "" || withdrawn.Country != "" || withdrawn.VisitorSince != 0 {
		t.Errorf("the withdrawal says more than whose it is: %+v", withdrawn)
	}
	if value != "" {
		t.Error("the cookie outlived the withdrawal")
	}
}

// A tag whose reply was lost tells its choice again with the cookie that it had before.
func TestConsentToldAgainAfterALostReplyIsOneRow(t *testing.T) {
	s := openShop(t)
	mine := withCookie("_bk_asks", s.post(choose("asks", yes)).cookie("_bk_asks").Value)
	s.stored()
	withdrawal := fmt.Sprintf(`{"v":1,"s":"asks","c":{"decide":false,"measure":false,"at":%d}}`, s.now().UnixMilli())
	for range 2 {
		if got := s.post(withdrawal, mine); got.StatusCode != 204 {
			t.Fatalf("got %d", got.StatusCode)
		}
	}
	s.one()
}

func TestChoiceWithoutEventsSetsTheCookie(t *testing.T) {
	s := openShop(t)
	got := s.post(`{"v":1,"s":"asks","c":` + yes + `,"e":[]}`)
	if got.StatusCode != 204 || got.cookie("_bk_asks") == nil {
		t.Fatalf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
	if e := s.one(); e.Kind != event.Consent {
		t.Fatalf("stored %+v", e)
	}
}

func TestOptOutHoldsForEverySiteAndIsTakenBack(t *testing.T) {
	s := openShop(t)
	demo := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	asks := s.post(choose("asks", yes)).cookie("_bk_asks").Value
	s.stored()
	out := s.do("POST", "/optout", "", withCookie("_bk_demo", demo), withCookie("_bk_asks", asks), header("Origin", shopOrigin))
	if c := out.cookie(privacy.OptOutCookie); out.StatusCode != 204 || c == nil || c.Value != "1" || c.MaxAge != int(privacy.OptOutLife.Seconds()) {
		t.Fatalf("got %d, %v", out.StatusCode, out.Cookies())
	}
	for _, name := range []string{"_bk_demo", "_bk_asks"} {
		if c := out.cookie(name); c == nil || c.MaxAge >= 0 {
			t.Errorf("%s is %v", name, c)
		}
	}
	rows := s.stored()
	if len(rows) != 2 {
		t.Fatalf("%d rows of withdrawal, want 2", len(rows))
	}
	for _, e := range rows {
		if e.Kind != event.Consent || e.Choice != privacy.LaneCount || e.ConsentSource != "opt-out" || e.Cause != privacy.CauseOptOut {
			t.Errorf("row %+v", e)
		}
	}
	in := s.do("POST", "/optin", "", withCookie(privacy.OptOutCookie, "1"))
	if c := in.cookie(privacy.OptOutCookie); in.StatusCode != 204 || c == nil || c.MaxAge >= 0 {
		t.Fatalf("got %d, %v", in.StatusCode, in.Cookies())
	}
}

func TestOptOutDoesNotWaitForTheDisk(t *testing.T) {
	s := openShop(t)
	value := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	s.spool.Close()
	got := s.do("POST", "/optout", "", withCookie("_bk_demo", value))
	if got.StatusCode != 503 || got.cookie(privacy.OptOutCookie) == nil || got.cookie("_bk_demo") != nil {
		t.Fatalf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
}

func TestOtherPagesCannotChangeWhatAVisitorHas(t *testing.T) {
	s := openShop(t)
	f := func(want int, changes ...with) {
		t.Helper()
		for _, path := range []string{"/optout", "/optin"} {
			if got := s.do("POST", path, "", changes...); got.StatusCode != want {
				t.Errorf("%s: got %d, want %d", path, got.StatusCode, want)
			}
		}
	}
	f(204)
	f(204, header("Origin", shopOrigin), header("Sec-Fetch-Site", "cross-site"))
	f(204, header("Sec-Fetch-Site", "same-origin"))
	f(204, header("Sec-Fetch-Site", "none"))
	f(204, header("Origin", "http://"+s.addr))
	f(403, header("Origin", "https://evil.example"))
	f(403, header("Origin", "null"))
	f(403, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site"))
	f(403, header("Sec-Fetch-Site", "same-site"))
	f(403, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "same-origin"))
	f(403, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "none"))
	f(403, header("Origin", "http://"+s.addr), header("Sec-Fetch-Site", "cross-site"))
	f(204, header("Origin", "http://"+s.addr), header("Sec-Fetch-Site", "same-origin"))
	f(204, header("Origin", "null"), header("Sec-Fetch-Site", "same-origin"))
	f(403, header("Origin", "null"), header("Sec-Fetch-Site", "cross-site"))
	f(403, header("Origin", shopOrigin), header("Origin", "https://evil.example"))
}

func TestCookieFitsItsConnection(t *testing.T) {
	s := openShop(t, trusting("127.0.0.0/8"))
	https := header("X-Forwarded-Proto", "https")
	if c := s.post(batch("demo", pageView), https).cookie("__Host-_bk_demo"); c == nil || !c.Secure || c.Domain != "" {
		t.Errorf("over https: %v", c)
	}
	if c := s.post(batch("wide", pageView), https).cookie("_bk_wide"); c == nil || !c.Secure || c.Domain != "shop.example" {
		t.Errorf("over https on several hosts: %v", c)
	}
	if c := s.post(batch("demo", pageView)).cookie("_bk_demo"); c == nil || c.Secure {
		t.Errorf("over http: %v", c)
	}
	for _, line := range s.post(batch("demo", pageView), https, withCookie("__Host-_bk_demo", "nonsense")).Header.Values("Set-Cookie") {
		if !strings.HasPrefix(line, "__Host-_bk_demo=") {
			t.Errorf("unexpected %s", line)
		}
	}
	plain := openShop(t)
	if c := plain.post(batch("demo", pageView), https).cookie("__Host-_bk_demo"); c != nil {
		t.Error("a stranger's X-Forwarded-Proto was believed")
	}
}

func TestTwoSitesOnOneHostDoNotDisturbEachOther(t *testing.T) {
	s := openShop(t)
	demo := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	wide := s.post(batch("wide", pageView)).cookie("_bk_wide").Value
	both := []with{withCookie("_bk_demo", demo), withCookie("_bk_wide", wide)}
	s.post(batch("demo", pageView), both...)
	s.post(batch("wide", pageView), both...)
	all := s.stored()
	if all[0].Visitor != all[2].Visitor || all[1].Visitor != all[3].Visitor || all[0].Visitor == all[1].Visitor {
		t.Errorf("visitors %x %x %x %x", all[0].Visitor, all[1].Visitor, all[2].Visitor, all[3].Visitor)
	}
}

func TestTomorrowIsADevelopmentSwitch(t *testing.T) {
	s := openShop(t, func(c *Config) { c.DevSwitches = true })
	value := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	got := s.do("POST", "/dev/tomorrow?s=demo", "", withCookie("_bk_demo", value))
	c := got.cookie("_bk_demo")
	if got.StatusCode != 204 || c == nil {
		t.Fatalf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
	s.post(batch("demo", pageView), withCookie("_bk_demo", c.Value))
	all := s.stored()
	if all[0].Visitor != all[1].Visitor || all[0].Session == all[1].Session || all[1].VisitorSince >= all[0].VisitorSince {
		t.Errorf("before %+v after %+v", all[0], all[1])
	}
	if got := s.do("POST", "/dev/tomorrow?s=demo", ""); got.reason() != "malformed" {
		t.Errorf("without a cookie: %d %q", got.StatusCode, got.reason())
	}
	if got := s.do("POST", "/dev/tomorrow?s=nowhere", ""); got.reason() != "unknown-site" {
		t.Errorf("without a site: %d %q", got.StatusCode, got.reason())
	}
	if got := openShop(t).do("POST", "/dev/tomorrow?s=demo", ""); got.reason() != "not-found" {
		t.Errorf("without the switch: %d %q", got.StatusCode, got.reason())
	}
}
