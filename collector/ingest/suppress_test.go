package ingest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

const (
	never = `{"decide":false,"measure":false}`
	only  = `{"decide":false,"measure":true}`
)

// keyOf is the entry of the visitor of a row.
func (s *shop) keyOf(site string, e event.Stored) privacy.ID {
	s.Helper()
	keys, err := s.keys.Site(site)
	if err != nil {
		s.Fatal(err)
	}
	return suppress.KeyOf(keys, privacy.StoredID(e.Visitor))
}

// Each way of saying no ends the visitor: a copy of the cookie makes nobody known, and is taken away.
func TestCookieReplayedAfterANoMakesNobodyKnown(t *testing.T) {
	f := func(name, site, lane string, sayNo func(*shop, with)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			copied := withCookie("_bk_"+site, s.post(choose(site, yes)).cookie("_bk_"+site).Value)
			mine := s.stored()[0]
			s.pass(time.Second)
			sayNo(s, copied)
			row := s.one()
			if want := s.keyOf(site, mine).Bytes(); row.Kind != event.Consent || row.Suppress != want || row.Visitor != mine.Visitor {
				t.Fatalf("row %+v, want a withdrawal of %x under the name %x", row, mine.Visitor, want)
			}
			got := s.post(batch(site, pageView), copied)
			if c := got.cookie("_bk_" + site); got.StatusCode != 204 || got.lane() != lane || c == nil || c.MaxAge >= 0 {
				t.Fatalf("replayed: %d, lane %q, cookie %v", got.StatusCode, got.lane(), c)
			}
			if e := s.one(); e.Visitor != ([16]byte{}) || e.Session != ([16]byte{}) || e.VisitorSince != 0 || e.Lane != privacy.LaneCount || e.Order != ([16]byte{}) {
				t.Fatalf("replayed: stored %+v", e)
			}
			got = s.get("/p.gif?s="+site+"&n=page_view", copied)
			if got.StatusCode != 200 || got.lane() != lane {
				t.Fatalf("replayed to the pixel: %d, lane %q", got.StatusCode, got.lane())
			}
			s.one()

			s.pass(time.Second)
			again := s.post(choose(site, fmt.Sprintf(`{"decide":true,"measure":true,"at":%d}`, s.now().UnixMilli())), copied)
			if again.lane() != "decide; choice" || again.cookie("_bk_"+site) == nil {
				t.Fatalf("a new consent: lane %q, cookies %v", again.lane(), again.Cookies())
			}
			for _, e := range s.stored() {
				if e.Visitor == mine.Visitor || e.Visitor == ([16]byte{}) {
					t.Errorf("a new consent revives the old visitor: %+v", e)
				}
			}
		})
	}
	f("denial", "asks", "count; denied", func(s *shop, cookie with) { s.post(`{"v":1,"s":"asks","c":`+never+`}`, cookie) })
	f("measure only", "asks", "count; denied", func(s *shop, cookie with) { s.post(`{"v":1,"s":"asks","c":`+only+`}`, cookie) })
	f("denial where everybody is a visitor by default", "demo", "count; denied", func(s *shop, cookie with) { s.post(`{"v":1,"s":"demo","c":`+never+`}`, cookie) })
	f("opt-out", "demo", "count; opt-out", func(s *shop, cookie with) { s.do("POST", "/optout", "", cookie) })
	f("denial in a pixel", "asks", "count; denied", func(s *shop, cookie with) {
		s.get("/p.gif?s=asks&n=nonsense&c=count", cookie) // refused, and the no counts all the same
	})
	f("cookie that was set while its visitor opted out", "asks", "count; opt-out", func(s *shop, cookie with) {
		s.post(`{"v":1,"s":"asks","e":[]}`, cookie, withCookie(privacy.OptOutCookie, "1"))
	})
}

func TestSignalsThatAreNoWithdrawalSuppressNobody(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_asks", s.post(choose("asks", yes)).cookie("_bk_asks").Value)
	s.post(batch("asks", pageView), cookie, header("Sec-GPC", "1"))
	s.post(batch("asks", pageView), cookie, header("DNT", "1"))
	s.post(`{"v":1,"s":"asks","c":` + never + `}`)                               // nobody's
	s.post(`{"v":1,"s":"asks","c":`+never+`}`, withCookie("_bk_asks", "forged")) // nobody's
	s.do("POST", "/optout", "", withCookie("_bk_asks", "forged"))                // nobody's
	if got := s.post(batch("asks", pageView), cookie); got.lane() != "decide; recorded" || s.suppressed.Len() != 0 {
		t.Errorf("lane %q, %d suppressed", got.lane(), s.suppressed.Len())
	}
}

// Another tab's batch, which was on its way while its visitor said no, brings the consent of before.
func TestConsentFromBeforeTheNoIsNone(t *testing.T) {
	for _, passed := range []time.Duration{10 * time.Second, 300 * time.Millisecond, time.Millisecond, 0} {
		t.Run(passed.String(), func(t *testing.T) { consentFromBeforeTheNo(t, passed) })
	}
}

func consentFromBeforeTheNo(t *testing.T, passed time.Duration) {
	s := openShop(t)
	s.pass(s.now().Truncate(time.Second).Add(time.Second + 500*time.Millisecond).Sub(s.now()))
	old := fmt.Sprintf(`{"decide":true,"measure":true,"at":%d}`, s.now().UnixMilli())
	cookie := withCookie("_bk_asks", s.post(choose("asks", old)).cookie("_bk_asks").Value)
	s.pass(passed)
	s.post(`{"v":1,"s":"asks","c":`+never+`}`, cookie)
	s.stored()
	got := s.post(choose("asks", old), cookie)
	if c := got.cookie("_bk_asks"); got.lane() != "count; denied" || c == nil || c.MaxAge >= 0 {
		t.Errorf("lane %q, cookie %v", got.lane(), c)
	}
	if e := s.one(); e.Kind == event.Consent || e.Visitor != ([16]byte{}) {
		t.Errorf("stored %+v", e)
	}
	s.pass(time.Millisecond)
	again := fmt.Sprintf(`{"decide":true,"measure":true,"at":%d}`, s.now().UnixMilli())
	if got := s.post(choose("asks", again), cookie); got.lane() != "decide; choice" {
		t.Errorf("a consent of after the no: lane %q", got.lane())
	}
}

// Whoever was not answered says it again. A spool that has the row does not need it twice; one that lost its
// memory of it takes it again.
func TestNoSaidAgainIsStillOneRow(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_asks", s.post(choose("asks", yes)).cookie("_bk_asks").Value)
	s.stored()
	for range 2 {
		if got := s.do("POST", "/optout", "", cookie); got.StatusCode != 204 {
			t.Fatalf("got %d", got.StatusCode)
		}
		s.post(`{"v":1,"s":"asks","c":`+never+`}`, cookie)
	}
	if e := s.one(); e.Suppress == ([16]byte{}) || s.suppressed.Len() != 1 {
		t.Fatalf("row %+v, %d suppressed", e, s.suppressed.Len())
	}
}

// brokenList is a list whose disk refuses what it is told.
type brokenList struct{ Suppressed }

func (b brokenList) Add(e ...suppress.Entry) error {
	_ = b.Suppressed.Add(e...) // in force all the same, as suppress promises
	return suppress.ErrFull
}

func TestNoThatTheListCannotKeepIsRefusedAndInForce(t *testing.T) {
	s := openShop(t, func(c *Config) { c.Suppressed = brokenList{c.Suppressed} })
	cookie := withCookie("_bk_demo", s.post(batch("demo", pageView)).cookie("_bk_demo").Value)
	s.stored()
	out := s.do("POST", "/optout", "", cookie)
	if c := out.cookie("_bk_demo"); out.StatusCode != 503 || out.reason() != "spool-full" || c != nil || out.cookie(privacy.OptOutCookie) == nil {
		t.Fatalf("got %d %q, cookies %v", out.StatusCode, out.reason(), out.Cookies())
	}
	if e := s.one(); e.Suppress == ([16]byte{}) {
		t.Errorf("the row, by which other hosts and this one hear of it, is %+v", e)
	}
	if got := s.post(batch("demo", pageView), cookie); got.lane() != "count; opt-out" {
		t.Errorf("lane %q", got.lane())
	}
}

// 503 means that the events were not accepted: the tag sends them again, and most have no id.
func TestEventsBesideANoThatCannotBeKeptAreNotStored(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_demo", s.post(batch("demo", pageView)).cookie("_bk_demo").Value)
	s.stored()
	works := s.server.config.Suppressed
	s.server.config.Suppressed = brokenList{works}
	body := `{"v":1,"s":"demo","c":` + never + `,"e":[` + pageView + `,{"n":"refund"}]}`
	if got := s.post(body, cookie); got.StatusCode != 503 || got.reason() != "spool-full" {
		t.Fatalf("got %d %q", got.StatusCode, got.reason())
	}
	if e := s.one(); e.Suppress == ([16]byte{}) {
		t.Errorf("stored %+v, want the row alone", e)
	}
	if got := s.metric("beckon_ingest_events_total"); got != 1 {
		t.Errorf("counted %v events, want the first page view alone", got)
	}
	s.server.config.Suppressed = works
	if got := s.post(body, cookie); got.StatusCode != 200 || got.reason() != "unknown-kind" || got.lane() != "count; denied" {
		t.Fatalf("again: got %d %q, lane %q", got.StatusCode, got.reason(), got.lane())
	}
	if e := s.one(); e.Kind != event.PageView { // the row is there since the first time
		t.Errorf("again: stored %+v", e)
	}
}

func TestNoThatTheSpoolCannotKeepIsStillInForceOnThisHost(t *testing.T) {
	s := openShop(t)
	cookie := withCookie("_bk_demo", s.post(batch("demo", pageView)).cookie("_bk_demo").Value)
	mine := s.one()
	s.spool.Close()
	if out := s.do("POST", "/optout", "", cookie); out.StatusCode != 503 {
		t.Fatalf("got %d", out.StatusCode)
	}
	if cause, _ := s.suppressed.Find(s.keyOf("demo", mine)); cause != privacy.CauseOptOut {
		t.Errorf("cause %q", cause)
	}
}

// moody is a spool that takes nothing for a while.
type moody struct {
	Appender
	full atomic.Bool
}

func (m *moody) Append(entries []spool.Entry, counts []spool.Count) error {
	if m.full.Load() {
		return spool.ErrFull
	}
	return m.Appender.Append(entries, counts)
}

// The visitor cookie is all that can say who said no, so it stays until that is recorded. Then it goes.
func TestNoThatWasNotRecordedKeepsItsCookieAndIsRecordedLater(t *testing.T) {
	f := func(name, optOut string, say, again func(s *shop, w ...with) reply) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var disk moody
			s := openShop(t, func(c *Config) { disk.Appender, c.Spool = c.Spool, &disk })
			cookie := withCookie("_bk_demo", s.shopper("demo"))
			s.stored()
			disk.full.Store(true)
			got := say(s, cookie)
			if c, out := got.cookie("_bk_demo"), got.cookie(privacy.OptOutCookie); got.StatusCode != 503 || c != nil || (out != nil) != (optOut != "") {
				t.Fatalf("refused: %d, cookies %v", got.StatusCode, got.Cookies())
			}
			disk.full.Store(false)
			next := []with{cookie}
			if optOut != "" {
				next = append(next, withCookie(privacy.OptOutCookie, optOut))
			}
			got = again(s, next...)
			if c := got.cookie("_bk_demo"); c == nil || c.MaxAge >= 0 {
				t.Errorf("recorded: %d, cookies %v", got.StatusCode, got.Cookies())
			}
			rows := 0
			for _, e := range s.stored() {
				if e.Suppress != ([16]byte{}) {
					rows++
				}
			}
			if rows != 1 {
				t.Errorf("%d rows of the no, want 1", rows)
			}
		})
	}
	optOut := func(s *shop, w ...with) reply { return s.do("POST", "/optout", "", w...) }
	deny := func(s *shop, w ...with) reply { return s.get("/p.gif?s=demo&n=page_view&c=count", w...) }
	denyBadly := func(s *shop, w ...with) reply { return s.get("/p.gif?s=demo&n=nonsense&c=count", w...) }
	f("opt-out, then a batch", "1", optOut, func(s *shop, w ...with) reply { return s.post(batch("demo", pageView), w...) })
	f("opt-out, then a pixel", "1", optOut, func(s *shop, w ...with) reply { return s.get("/p.gif?s=demo&n=page_view", w...) })
	f("opt-out twice", "1", optOut, optOut)
	f("pixel", "", deny, deny)
	f("pixel that is refused", "", denyBadly, denyBadly)
}

// A link token is out of its visitor's hands: in a cart, at a payment provider. What comes with it after
// the no is nobody's.
func TestLinkTokenOfASuppressedVisitorSpeaksForNobody(t *testing.T) {
	s := openShop(t)
	cookie := s.shopper("demo")
	token := s.link("demo", cookie)
	mine := s.stored()[0].Visitor
	s.do("POST", "/optout", "", withCookie("_bk_demo", cookie))
	s.one()
	if got := s.post(linked("demo", token), header("Origin", "null")); got.StatusCode != 204 || got.lane() != "count; opt-out" {
		t.Errorf("got %d, lane %q", got.StatusCode, got.lane())
	}
	if e := s.one(); e.Visitor != ([16]byte{}) || e.Session != ([16]byte{}) || e.VisitorSince != 0 || e.Lane != privacy.LaneCount {
		t.Errorf("stored %+v", e)
	}
	if got := s.get("/link?s=demo", withCookie("_bk_demo", cookie), header("Origin", shopOrigin)); got.reason() != "no-visitor" {
		t.Errorf("a new link: %d %q", got.StatusCode, got.reason())
	}

	// The shop's server may bring the no itself, with the token.
	cookie = s.shopper("demo")
	token = s.link("demo", cookie)
	theirs := s.stored()[0].Visitor
	s.pass(time.Second)
	s.post(fmt.Sprintf(`{"v":1,"s":"demo","k":%q,"c":%s}`, token, never), header("Origin", "null"))
	if e := s.one(); e.Visitor != theirs || e.Visitor == mine || e.Suppress == ([16]byte{}) {
		t.Errorf("stored %+v", e)
	}
	if got := s.post(batch("demo", pageView), withCookie("_bk_demo", cookie)); got.lane() != "count; denied" {
		t.Errorf("lane %q", got.lane())
	}
}
