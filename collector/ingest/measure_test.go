package ingest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// using changes the user agent.
func using(name string) with { return func(r *http.Request) { r.Header.Set("User-Agent", name) } }

const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1"

// nextDay goes on to the same time of the next day, as a running collector does.
func (s *shop) nextDay() {
	s.pass(24 * time.Hour)
	s.days.Turn(s.Context())
}

// measured sends a page view and returns what was stored.
func (s *shop) measured(site string, changes ...with) event.Stored {
	s.Helper()
	got := s.post(batch(site, pageView), changes...)
	if got.StatusCode != 204 || len(got.Cookies()) != 0 {
		s.Fatalf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
	e := s.one()
	if e.Lane.String() != strings.TrimSuffix(got.lane(), "; "+e.Cause.String()) {
		s.Errorf("named %q, stored %s; %s", got.lane(), e.Lane, e.Cause)
	}
	return e
}

func TestMeasuredVisitorHasAnIDForOneDayAndNoCookie(t *testing.T) {
	s := openShop(t, trusting("127.0.0.0/8"))
	from := func(addr string) with { return header("X-Forwarded-For", addr) }
	first := s.measured("reports", from("203.0.113.7"))
	if first.Lane != privacy.LaneMeasure || first.Visitor == [16]byte{} || first.Session != [16]byte{} || first.VisitorSince != 0 {
		t.Fatalf("stored %+v", first)
	}
	same := func(e event.Stored, want bool, why string) {
		t.Helper()
		if (e.Visitor == first.Visitor) != want || e.Visitor == [16]byte{} {
			t.Errorf("%s: %x after %x", why, e.Visitor, first.Visitor)
		}
	}
	s.pass(3 * time.Hour)
	same(s.measured("reports", from("203.0.113.99")), true, "later on the day, from another address of the network")
	same(s.measured("reports", from("203.0.112.7")), false, "another network")
	same(s.measured("reports", from("203.0.113.7"), using(safari)), false, "another browser")
	same(s.measured("reports", from("203.0.113.7"), withCookie("_bk_reports", "anything")), true, "a cookie of no meaning")
	s.nextDay()
	same(s.measured("reports", from("203.0.113.7")), false, "the next day")
}

func TestIDsOfSitesLanesAndDaysCannotBeJoined(t *testing.T) {
	s := openShop(t)
	seen := map[[16]byte]string{}
	for day := range 3 {
		for _, site := range siteIDs {
			for lane, choice := range map[string]string{"decide": yes, "measure": measure} {
				what := fmt.Sprintf("%s in lane %s on day %d", site, lane, day)
				if got := s.post(choose(site, choice)); got.lane() != lane+"; choice" {
					t.Fatalf("%s: lane %q", what, got.lane())
				}
				for _, e := range s.stored() {
					if e.Kind == event.Consent {
						continue
					}
					if e.Visitor == [16]byte{} || seen[e.Visitor] != "" {
						t.Errorf("%s: visitor %x, which is %q", what, e.Visitor, seen[e.Visitor])
					}
					seen[e.Visitor] = what
				}
			}
		}
		s.nextDay()
	}
	if len(seen) != 3*len(siteIDs)*2 {
		t.Errorf("%d ids", len(seen))
	}
}

func TestLateEventHasTheIDOfItsOwnDay(t *testing.T) {
	s := openShop(t)
	yesterday := s.measured("reports")
	s.nextDay()
	at := func(d time.Duration) string {
		return fmt.Sprintf(`{"n":"page_view","t":%d}`, s.now().Add(d).UnixMilli())
	}
	both := batch("reports", at(-23*time.Hour), at(-time.Minute), at(-22*time.Hour), at(0))
	if got := s.post(both); got.StatusCode != 204 || got.lane() != "measure; default" {
		t.Fatalf("got %d %q", got.StatusCode, got.lane())
	}
	all := s.stored()
	today := all[3].Visitor
	for i, want := range [][16]byte{yesterday.Visitor, today, yesterday.Visitor, today} {
		if all[i].Visitor != want || all[i].Lane != privacy.LaneMeasure {
			t.Errorf("event %d: %+v, want visitor %x", i, all[i], want)
		}
	}
	if today == yesterday.Visitor || today == [16]byte{} {
		t.Errorf("both days have the visitor %x", today)
	}

	// Yesterday's key is lost. Its events are counted, nobody gets an id that no other collector would give.
	old := filepath.Join(s.volatile, "reports."+s.now().Add(-24*time.Hour).Format(time.DateOnly)+".key")
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	s.days.Turn(t.Context())
	s.post(both)
	for i, e := range s.stored() {
		late := i%2 == 0
		if late && (e.Lane != privacy.LaneCount || e.Cause != privacy.CauseNoKey || e.Visitor != [16]byte{}) || !late && (e.Lane != privacy.LaneMeasure || e.Visitor != today) {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if n := s.metric("beckon_day_key_misses_total"); n == 0 {
		t.Error("nothing counts the events without a key")
	}
}

func TestWithoutTheKeyOfTheDayEventsAreCountedAndSoSaid(t *testing.T) {
	s := openShop(t, func(c *Config) { c.DayKeys = nil })
	if e := s.measured("reports"); e.Lane != privacy.LaneCount || e.Cause != privacy.CauseNoKey || e.Visitor != [16]byte{} {
		t.Errorf("stored %+v", e)
	}
	got := s.get("/p.gif?s=reports&n=page_view")
	if got.StatusCode != 200 || got.lane() != "count; no-key" {
		t.Errorf("got %d %q", got.StatusCode, got.lane())
	}
	s.one()

	// A visitor's will holds all the same: the cookie of one who wants no offers goes.
	mine := withCookie("_bk_reports", s.post(choose("reports", yes)).cookie("_bk_reports").Value)
	got = s.post(choose("reports", measure), mine)
	if c := got.cookie("_bk_reports"); got.lane() != "count; no-key" || c == nil || c.MaxAge >= 0 {
		t.Errorf("lane %q, cookies %v", got.lane(), got.Cookies())
	}
	// And a site's default expires nobody's cookie.
	mine = withCookie("_bk_reports", s.post(choose("reports", yes)).cookie("_bk_reports").Value)
	if got := s.post(batch("reports", pageView), mine); len(got.Cookies()) != 0 || got.lane() != "decide; recorded" {
		t.Errorf("lane %q, cookies %v", got.lane(), got.Cookies())
	}
}

func TestOrdersAndCouponsHaveNoKeyOutsideLaneDecide(t *testing.T) {
	s := openShop(t)
	f := func(choice string, kept bool) {
		t.Helper()
		s.post(fmt.Sprintf(`{"v":1,"s":"reports","c":%s,"e":[{"n":"purchase","p":{"order":"A-77","coupon":"SAVE","customer":"c-5","value":10}}]}`, choice))
		for _, e := range s.stored() {
			if e.Kind != event.Consent && ((e.Order != [16]byte{}) != kept || (e.Coupon != [16]byte{}) != kept || e.Customer != [16]byte{}) {
				t.Errorf("lane %s stored order %x, coupon %x, customer %x", e.Lane, e.Order, e.Coupon, e.Customer)
			}
		}
	}
	f(yes, true)
	f(measure, false)
	f(no, false)
}
