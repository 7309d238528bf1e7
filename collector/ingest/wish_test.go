package ingest

import (
	"strings"
	"testing"

	"beckon/internal/event"
)

func TestChoiceInALinkOrOnAnotherPageIsNobodysChoice(t *testing.T) {
	s := openShop(t)
	f := func(lane string, changes ...with) {
		t.Helper()
		got := s.get("/p.gif?s=asks&n=page_view&c=decide", changes...)
		if got.lane() != lane {
			t.Errorf("lane %q, want %q", got.lane(), lane)
		}
		for _, e := range s.stored() {
			if (e.Kind == event.Consent || e.Visitor != [16]byte{}) != (lane == "decide; choice") {
				t.Errorf("lane %q stored %+v", lane, e)
			}
		}
	}
	f("decide; choice")
	f("decide; choice", header("Sec-Fetch-Site", "same-origin"), header("Sec-Fetch-Mode", "no-cors"))
	f("count; default", header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "no-cors"))
	f("count; default", header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"))
	f("count; default", header("Sec-Fetch-Site", "none"), header("Sec-Fetch-Mode", "navigate"))

	// Nor can a link take away what a visitor chose.
	value := s.post(choose("asks", yes)).cookie("_bk_asks").Value
	s.stored()
	got := s.get("/p.gif?s=asks&n=page_view&c=count", withCookie("_bk_asks", value), header("Sec-Fetch-Mode", "navigate"))
	if got.lane() != "decide; recorded" || got.cookie("_bk_asks") != nil {
		t.Errorf("a link with c=count: lane %q, cookies %v", got.lane(), got.Cookies())
	}
}

func TestChoiceInABatchOfAnotherPageIsNobodysChoice(t *testing.T) {
	s := openShop(t)
	value := s.post(choose("asks", yes)).cookie("_bk_asks").Value
	f := func(lane, choice string, changes ...with) {
		t.Helper()
		s.stored()
		got := s.post(choose("asks", choice), changes...)
		if got.StatusCode != 204 || got.lane() != lane {
			t.Errorf("got %d, lane %q, want %q", got.StatusCode, got.lane(), lane)
		}
	}
	across, mine := header("Sec-Fetch-Site", "cross-site"), withCookie("_bk_asks", value)
	f("decide; choice", yes)
	f("decide; choice", yes, header("Sec-Fetch-Site", "same-origin"))
	f("count; default", yes, across)
	f("decide; choice", yes, across, header("Origin", shopOrigin))
	f("decide; recorded", no, across, mine)
	if all := s.stored(); len(all) != 1 || all[0].Kind == event.Consent || s.suppressed.Len() != 0 {
		t.Errorf("stored %+v, %d suppressed", all, s.suppressed.Len())
	}
	f("count; denied", no, across, mine, header("Origin", shopOrigin))
}

func TestDenialCountsBesideAnEventThatIsRefused(t *testing.T) {
	s := openShop(t)
	value := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	got := s.get("/p.gif?s=demo&n=nonsense&c=count", withCookie("_bk_demo", value))
	if c := got.cookie("_bk_demo"); got.StatusCode != 400 || c == nil || c.MaxAge >= 0 {
		t.Errorf("got %d, cookies %v, want the cookie gone", got.StatusCode, got.Cookies())
	}
}

func TestWhoHasNothingToSayGetsNoCookie(t *testing.T) {
	s := openShop(t)
	if got := s.post(`{"v":1,"s":"demo","e":[]}`); got.StatusCode != 204 || len(got.Cookies()) != 0 {
		t.Errorf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
}

func TestCookieUnderANameOfAnotherTimeMakesNobodyKnownAndGoesWithTheRest(t *testing.T) {
	s := openShop(t, trusting("127.0.0.0/8"))
	plain := s.post(batch("demo", pageView)).cookie("_bk_demo").Value // from before the shop moved to https
	old := s.one().Visitor
	https := header("X-Forwarded-Proto", "https")
	s.post(batch("demo", pageView), https, withCookie("_bk_demo", plain))
	if e := s.one(); e.Visitor == old {
		t.Error("the cookie of http makes a visitor of https")
	}
	got := s.post(choose("demo", no), https, withCookie("_bk_demo", plain))
	if c := got.cookie("_bk_demo"); c == nil || c.MaxAge >= 0 {
		t.Errorf("cookies %v, want the old one gone too", got.Cookies())
	}
}

func TestAddressThatWasCutOnItsWayLeavesNoHalfSecret(t *testing.T) {
	s := openShop(t)
	for _, secret := range []string{"ada.lovelace@example.com", "+4915112345678", "4111111111111111"} {
		for cut := range len(secret) { // so that the limit falls before each of its characters
			const shop = "https://shop.example/"
			address := shop + strings.Repeat("a", event.MaxStringBytes-len(shop)-cut-1) + "/" + secret
			for _, referer := range []bool{true, false} {
				if referer {
					s.get("/p.gif?s=demo&n=page_view", header("Referer", address))
				} else {
					s.post(batch("demo", `{"n":"page_view","u":"`+address[:event.MaxStringBytes]+`"}`))
				}
				if e := s.one(); strings.Contains(e.Path, secret[:min(3, len(secret))]) {
					t.Fatalf("cut after %d of %q: path ends in %q", cut, secret, e.Path[max(0, len(e.Path)-10):])
				}
			}
		}
	}
}

func TestOpenAPIListsTheKindsThatASenderMayUse(t *testing.T) {
	text := string(openAPI)
	for k := event.PageView; k <= event.Consent; k++ {
		lists := strings.Count(text, `"`+k.String()+`"`)
		if may := event.ParseKind([]byte(k.String()), false) != event.KindNone; may != (lists == 2) {
			t.Errorf("kind %s is listed %d times for the batch and the pixel, and a sender may use it: %v", k, lists, may)
		}
	}
}
