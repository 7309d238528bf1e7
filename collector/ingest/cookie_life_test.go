package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/internal/hostile"
	"beckon/internal/privacy"
)

// cookies is a browser's cookies, as it would send them on.
type cookies map[string]string

func (k cookies) take(r reply) {
	for _, c := range r.Cookies() {
		if c.MaxAge < 0 {
			delete(k, c.Name)
			continue
		}
		k[c.Name] = c.Value
	}
}

func (k cookies) send(r *http.Request) {
	for name, value := range k {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
}

func TestTwoSitesOnOneHostAlternatingKeepOneVisitorEach(t *testing.T) {
	s := openShop(t)
	jar := cookies{}
	ids := map[string][16]byte{}
	for turn := range 20 {
		for _, site := range []string{"demo", "wide"} {
			got := s.post(batch(site, pageView), jar.send)
			for _, c := range got.Cookies() {
				if c.Name != "_bk_"+site {
					t.Fatalf("turn %d: a request for %s set %s", turn, site, c.Name)
				}
			}
			jar.take(got)
			e := s.one()
			if turn == 0 {
				ids[site] = e.Visitor
			}
			if e.Visitor != ids[site] || e.Visitor == [16]byte{} {
				t.Fatalf("turn %d: %s has visitor %x, was %x", turn, site, e.Visitor, ids[site])
			}
			s.pass(7 * time.Minute)
		}
	}
	if ids["demo"] == ids["wide"] || len(jar) != 2 {
		t.Errorf("ids %x, cookies %v", ids, jar)
	}
}

func TestRecordedChoiceStandsWithoutBeingToldAgain(t *testing.T) {
	s := openShop(t)
	jar := cookies{}
	jar.take(s.post(choose("asks", yes)))
	s.stored()
	for range 12 {
		s.pass(30 * 24 * time.Hour) // twelve months in all
		got := s.post(batch("asks", pageView), jar.send)
		jar.take(got)
		if got.lane() != "decide; recorded" {
			t.Fatalf("lane %q", got.lane())
		}
		if e := s.one(); e.Visitor == [16]byte{} {
			t.Fatal("no visitor")
		}
	}
	// The site may come to allow less; then it stands no longer, and is not lost either.
	s.sites.file.Store(parseSites(t, strings.ReplaceAll(sitesText, "{default: count, allow: decide}", "{default: count, allow: measure}")))
	s.days.Turn(t.Context()) // a key of this day
	if got := s.post(batch("asks", pageView), jar.send); got.lane() != "measure; recorded" || len(got.Cookies()) != 0 {
		t.Errorf("lane %q, cookies %v", got.lane(), got.Cookies())
	}
	s.sites.file.Store(parseSites(t, sitesText))
	if got := s.post(batch("asks", pageView), jar.send); got.lane() != "decide; recorded" {
		t.Errorf("lane %q", got.lane())
	}
}

func TestLifeOfTheCookieIsCountedFromItsCreationAndNeverExtended(t *testing.T) {
	s := openShop(t)
	jar, born := cookies{}, s.now()
	jar.take(s.post(batch("demo", pageView)))
	first := s.one().Visitor
	for _, day := range []int{1, 90, 200, 300, 394} {
		s.clock.Store(born.Add(time.Duration(day) * 24 * time.Hour).UnixMilli())
		got := s.post(batch("demo", pageView), jar.send)
		c := got.cookie("_bk_demo")
		if c == nil || c.MaxAge != (395-day)*24*3600 {
			t.Fatalf("day %d: %v, want a Max-Age of %d days", day, c, 395-day)
		}
		jar.take(got)
		if e := s.one(); e.Visitor != first || e.VisitorSince != born.UnixMilli()/1000*1000 {
			t.Fatalf("day %d: another visitor", day)
		}
	}
	s.clock.Store(born.Add(395 * 24 * time.Hour).UnixMilli())
	got := s.post(batch("demo", pageView), jar.send)
	if c := got.cookie("_bk_demo"); c == nil || c.MaxAge != 395*24*3600 {
		t.Errorf("after its life: %v", c)
	}
	if e := s.one(); e.Visitor == first || e.Visitor == [16]byte{} {
		t.Error("a browser that kept the cookie too long is still known")
	}
}

// Whatever stands in the cookie, the event is taken and the shopper sees no error.
func TestCookiesThatSayNothingAreIgnored(t *testing.T) {
	s := openShop(t)
	keys, err := s.keys.Site("asks")
	if err != nil {
		t.Fatal(err)
	}
	now := s.now()
	valid := func(change func(v *privacy.Visit)) string {
		v := privacy.NewVisit(keys, now, privacy.LaneDecide, &privacy.Choice{Decide: true, At: now})
		change(&v)
		return string(v.AppendTo(nil, keys))
	}
	same := func(*privacy.Visit) {}
	good := valid(same)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	payload := raw[:len(raw)-8]
	signed := func(b []byte) string { return string(privacy.SealValue(keys, "visit", b)) }
	demo := s.post(batch("demo", pageView)).cookie("_bk_demo").Value
	s.stored()

	f := func(why, value string, good bool) {
		t.Helper()
		for _, how := range []func() reply{
			func() reply { return s.post(batch("asks", pageView), withCookie("_bk_asks", value)) },
			func() reply { return s.get("/p.gif?s=asks&n=page_view", withCookie("_bk_asks", value)) },
		} {
			got := how()
			if got.StatusCode/100 != 2 || got.reason() != "" {
				t.Errorf("%s: got %d %q", why, got.StatusCode, got.reason())
			}
			want := "count; default"
			if good {
				want = "decide; recorded"
			}
			if got.lane() != want || len(got.Cookies()) != 0 {
				t.Errorf("%s: lane %q, cookies %v, want %q and none", why, got.lane(), got.Cookies(), want)
			}
			if e := s.one(); (e.Visitor != [16]byte{}) != good {
				t.Errorf("%s: visitor %x", why, e.Visitor)
			}
		}
	}
	f("the good one", good, true)
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		f(fmt.Sprintf("forged in byte %d", i), base64.RawURLEncoding.EncodeToString(forged), false)
	}
	for _, n := range []int{0, 1, 20, 40, len(good) - 1} {
		f(fmt.Sprintf("truncated to %d", n), good[:n], false)
	}
	f("longer", good+"A", false)
	f("padded", good+"=", false)
	f("of another alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(good)+"+", false)
	f("very long", strings.Repeat("A", 3000), false)
	f("replayed from another site", demo, false)
	f("another version", signed(append([]byte{9}, payload[1:]...)), false)
	f("signed for another purpose", string(privacy.SealValue(keys, "grant", payload)), false)
	f("created 5 minutes ahead, by another collector's clock", valid(func(v *privacy.Visit) { v.Created = now.Unix() + 300 }), true)
	f("future-dated", valid(func(v *privacy.Visit) { v.Created = now.Unix() + 301 }), false)
	f("seen in the future", valid(func(v *privacy.Visit) { v.LastSeen = now.Unix() + 301 }), false)
	f("expired", valid(func(v *privacy.Visit) { v.Created = now.Add(-395 * 24 * time.Hour).Unix() }), false)
	f("on its last day", valid(func(v *privacy.Visit) { v.Created = now.Add(-395*24*time.Hour).Unix() + 1; v.LastSeen = now.Unix() }), true)
	f("of an epoch whose key is gone", valid(func(v *privacy.Visit) { v.Epoch = 77 }), false)
	f("of no lane", valid(func(v *privacy.Visit) { v.Lane = 0 }), false)
	f("short, though signed", signed(binary.BigEndian.AppendUint64(nil, 7)), false)
}

// Two tabs that open together have no cookie yet. Both are answered with one of their own; the browser keeps the
// one that came last, and from then on is one visitor. (The tag waits for its first reply, so that it is one at once.)
func TestTwoFirstRequestsWithoutACookieEndAsOneVisitor(t *testing.T) {
	s := openShop(t)
	replies := make(chan reply, 2)
	for range 2 {
		go func() { replies <- s.post(batch("demo", pageView)) }()
	}
	jar := cookies{}
	for range 2 {
		got := <-replies
		if got.StatusCode != 204 || got.cookie("_bk_demo") == nil {
			t.Fatalf("got %d, cookies %v", got.StatusCode, got.Cookies())
		}
		jar.take(got)
	}
	first := s.stored()
	if len(first) != 2 || first[0].Visitor == first[1].Visitor {
		t.Fatalf("two requests of nobody: %+v", first)
	}
	seen := map[[16]byte]bool{first[0].Visitor: true, first[1].Visitor: true}
	var last [16]byte
	for i := range 4 {
		jar.take(s.post(batch("demo", pageView), jar.send))
		e := s.one()
		if !seen[e.Visitor] || i > 0 && e.Visitor != last {
			t.Errorf("request %d: visitor %x", i, e.Visitor)
		}
		last = e.Visitor
		s.pass(10 * time.Minute)
	}
}

func TestSessionEndsAfterHalfAnHourOfSilenceOrADay(t *testing.T) {
	s := openShop(t)
	jar := cookies{}
	ask := func() [16]byte {
		t.Helper()
		jar.take(s.post(batch("demo", pageView), jar.send))
		return s.one().Session
	}
	first := ask()
	s.pass(29 * time.Minute)
	if ask() != first {
		t.Error("29 minutes ended it")
	}
	s.pass(30 * time.Minute)
	second := ask()
	if second == first {
		t.Error("30 minutes did not end it")
	}
	begun := s.now().Truncate(time.Minute)
	for s.now().Add(20*time.Minute).Sub(begun) < 24*time.Hour {
		s.pass(20 * time.Minute)
		if ask() != second {
			t.Fatalf("it ended after %s without a pause", s.now().Sub(begun))
		}
	}
	s.pass(20 * time.Minute)
	if ask() == second {
		t.Error("it is longer than a day")
	}
}

// Exactly "1", on whichever line; white space around a value is none of it (RFC 9110, 5.5).
func TestSignalsCountByTheirExactValue(t *testing.T) {
	s := openShop(t)
	for _, signal := range []struct{ name, cause string }{{"Sec-GPC", "gpc"}, {"DNT", "dnt"}} {
		f := func(want bool, lines ...string) {
			t.Helper()
			text := "GET /p.gif?s=demo&n=page_view HTTP/1.1\r\nHost: x\r\nUser-Agent: " + firefox + "\r\nConnection: close\r\n"
			for _, line := range lines {
				text += signal.name + ":" + line + "\r\n"
			}
			got := hostile.Raw(s.TB, s.addr, text+"\r\n")
			lane := "Beckon-Lane: decide; default\r\n"
			if want {
				lane = "Beckon-Lane: count; " + signal.cause + "\r\n"
			}
			if !strings.Contains(got, lane) {
				t.Errorf("%s %q: want %q in\n%s", signal.name, lines, lane, got)
			}
		}
		f(true, " 1")
		f(true, "1")
		f(true, "\t1  ")
		f(true, " 0", " 1")
		f(true, " 1", " 0")
		f(true, " ", " 1")
		f(false)
		for _, value := range []string{"", " 0", " 1, 0", " 1,1", " 1;q=1", " 01", " +1", " 1.0", " true", " \"1\"", " ?1", " yes", " 1 1", " 2", " ١"} {
			f(false, value)
		}
	}
}
