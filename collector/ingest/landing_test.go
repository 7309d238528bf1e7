package ingest

import (
	"fmt"
	"strings"
	"testing"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// landed is a choice that was made after the page view of the landing page had been sent.
func landed(choice string) string {
	return strings.TrimSuffix(choice, "}") + `,"u":"https://shop.example/jane%40example.com/mugs?utm_source=spring&utm_medium=email&utm_campaign=jane@example.com&q=words","r":"https://mail.example/inbox?id=7"}`
}

func TestConsentBringsWhereTheVisitCameFromOnlyWhereItRaisesTheLane(t *testing.T) {
	s := openShop(t)
	known := withCookie("_bk_asks", s.post(choose("asks", yes)).cookie("_bk_asks").Value)
	s.stored()
	f := func(name, site, choice, lane string, want bool, rows int, changes ...with) (e event.Stored) {
		t.Helper()
		if got := s.post(fmt.Sprintf(`{"v":1,"s":%q,"c":%s,"e":[]}`, site, choice), changes...); got.StatusCode != 204 || got.lane() != lane {
			t.Fatalf("%s: got %d %q, want %q", name, got.StatusCode, got.lane(), lane)
		}
		all := s.stored()
		if len(all) != rows {
			t.Fatalf("%s: %d rows, want %d", name, len(all), rows)
		}
		if rows == 0 {
			return e
		}
		e = all[0]
		if e.Kind != event.Consent || e.Path != "" || e.Network != "" || e.Browser != "" {
			t.Errorf("%s: the choice says more than it should: %+v", name, e)
		}
		switch got := e.UTMSource + " " + e.UTMMedium + " " + e.Referrer; {
		case want && (got != "spring email mail.example" || strings.Contains(e.UTMName, "jane")):
			t.Errorf("%s: comes from %q, campaign %q", name, got, e.UTMName)
		case !want && (got != "  " || e.UTMName != "" || e.Session != [16]byte{}):
			t.Errorf("%s: comes from %q, in session %x; want nothing", name, got, e.Session)
		}
		return e
	}
	granted := f("consent to offers", "asks", landed(yes), "decide; choice", true, 1)
	if granted.Session == [16]byte{} || granted.Visitor == [16]byte{} || granted.Bot != "" {
		t.Errorf("the visit is not named: %+v", granted)
	}
	measured := f("consent to reports", "asks", landed(measure), "measure; choice", true, 1)
	if measured.Session != [16]byte{} || measured.Visitor == [16]byte{} || measured.Choice != privacy.LaneMeasure {
		t.Errorf("the visit of lane measure: %+v", measured)
	}
	if e := f("a program consents", "asks", landed(yes), "decide; choice", true, 1, using("curl/8.5.0")); e.Bot == "" {
		t.Error("a program's visit counts as a person's")
	}
	f("consent to reports, and nothing to bring", "asks", measure, "measure; choice", false, 0)
	f("consent on a page that the shop led to", "asks", strings.TrimSuffix(yes, "}")+`,"u":"https://shop.example/mugs","r":"https://shop.example/"}`, "decide; choice", false, 1)
	f("the lane was that high", "demo", landed(yes), "decide; choice", false, 1)
	f("reports were allowed", "reports", landed(measure), "measure; choice", false, 0)
	f("another policy text", "asks", landed(strings.Replace(yes, "2026-05", "2026-11", 1)), "decide; choice", false, 1, known)
	f("GPC", "asks", landed(yes), "count; gpc", false, 0, header("Sec-GPC", "1"))
	f("no", "asks", landed(no), "count; denied", false, 0)
	f("a withdrawal", "asks", landed(no), "count; denied", false, 1, known)
}

func TestConsentToReportsToldAgainIsOneRow(t *testing.T) {
	s := openShop(t)
	body := fmt.Sprintf(`{"v":1,"s":"asks","c":%s,"e":[]}`, landed(fmt.Sprintf(`{"decide":false,"measure":true,"at":%d}`, s.now().UnixMilli())))
	for range 2 {
		if got := s.post(body); got.StatusCode != 204 {
			t.Fatalf("got %d", got.StatusCode)
		}
	}
	s.one()
}

func TestLandingPageThatIsNoneIsRefused(t *testing.T) {
	s := openShop(t)
	for _, more := range []string{`,"u":7`, `,"r":{}`} {
		if got := s.post(`{"v":1,"s":"asks","c":` + strings.TrimSuffix(yes, "}") + more + `},"e":[]}`); got.StatusCode != 400 || got.reason() != "malformed" {
			t.Errorf("%.20s: got %d %s", more, got.StatusCode, got.reason())
		}
	}
	long := strings.Repeat("/jane@example.com?id=7", 100)
	for _, more := range []string{`,"u":null,"r":null`, `,"u":"https://shop.example/?utm_source=spring&q=` + long + `","r":"https://mail.example` + long + `"`} {
		if got := s.post(`{"v":1,"s":"asks","c":` + strings.TrimSuffix(yes, "}") + more + `},"e":[]}`); got.StatusCode != 204 {
			t.Errorf("%.20s: got %d %s", more, got.StatusCode, got.reason())
		}
	}
	if all := s.stored(); len(all) != 2 || all[1].UTMSource != "spring" || all[1].Referrer != "mail.example" {
		t.Errorf("what is longer than an event's may be: %+v", all)
	}
}
