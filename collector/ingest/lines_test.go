package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/suppress"
)

// reader is Lines beside a shop, with its clock, keys and sites.
type reader struct {
	*shop
	lines *Lines
}

func readLines(t testing.TB, site string) *reader {
	t.Helper()
	s := openShop(t)
	lines, err := NewLines(Config{Sites: s.sites, Keys: s.keys, Suppressed: s.suppressed, Now: s.now}, site)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{s, lines}
}

// read reads a line that has to be taken.
func (r *reader) read(number int, line string) event.Stored {
	r.Helper()
	old, reason := r.lines.Read(number, []byte(line))
	if reason != Taken {
		r.Fatalf("%s: %s", line, reason)
	}
	var e event.Stored
	if err := e.Decode(old.Record); err != nil {
		r.Fatal(err)
	}
	if e.Source != event.SourceImport || e.ID != old.ID || e.OccurredAt != old.OccurredAt || e.Site != old.Site || e.ReceivedAt != r.now().UnixMilli() {
		r.Fatalf("%s: record %+v of %+v", line, e, old)
	}
	return e
}

// past is a line of demo, a week ago, with further names.
func (r *reader) past(more string) string {
	return fmt.Sprintf(`{"s":"demo","n":"purchase","t":%d%s}`, r.now().Add(-7*24*time.Hour).UnixMilli(), more)
}

// As from the shop's server: see TestARefundThatNamesNobodyKeepsItsOrderForTheLoader.
func TestAnOldRefundThatNamesNobodyKeepsItsOrderForTheLoader(t *testing.T) {
	r := readLines(t, "")
	f := func(keeps bool, more string) {
		t.Helper()
		line := strings.NewReplacer("demo", "reports", "purchase", "refund").Replace(r.past(`,"p":{"order":"A-1"}` + more))
		if e := r.read(1, line); e.Lane == privacy.LaneDecide || (e.Order != [16]byte{}) != keeps {
			t.Errorf("%s: lane %s, order %x", line, e.Lane, e.Order)
		}
	}
	f(true, "")
	f(false, `,"visitor":"customer-7"`)
	f(false, `,"c":`+no)
}

func TestALineOfHistoryPassesThePrivacyStep(t *testing.T) {
	r := readLines(t, "asks")
	e := r.read(1, r.past(`,"visitor":"customer-7","session":"visit-9","country":"DE","device":"tablet","u":"https://shop.example/mail/a@b.example?utm_source=mail&q=x","r":"https://news.example/a",`+
		`"p":{"order":"A-1","customer":7321,"coupon":"SPRING","value":"49.90","currency":"USD","items":[{"product":"mug","quantity":2}]},"x":[1]`))
	if e.Kind != event.Purchase || e.Lane != privacy.LaneDecide || e.Cause != privacy.CauseDefault || e.Country != "DE" || e.Device != "tablet" || e.VisitorSince != 0 ||
		e.Value.Units != 499_000 || e.Rate != 92_000_000 || len(e.Items) != 1 || e.UTMSource != "mail" || e.Referrer != "news.example" || e.Network != "" || e.Bot != "" {
		t.Errorf("stored %+v", e)
	}
	if e.OccurredAt != r.now().Add(-7*24*time.Hour).UnixMilli() || strings.Contains(e.Path, "@") {
		t.Errorf("at %d, path %s", e.OccurredAt, e.Path)
	}
	for _, id := range [][16]byte{e.Visitor, e.Session, e.Order, e.Customer, e.Coupon} {
		if id == [16]byte{} {
			t.Errorf("an id is missing: %+v", e)
		}
	}
	if got := r.post(batch("demo", purchase)); got.StatusCode != 204 {
		t.Fatal(got.StatusCode)
	}
	if live := r.one(); live.Order != r.read(2, r.past(`,"p":{"order":"A-1001"}`)).Order {
		t.Error("an order has another key than the browser's report of it")
	}
}

func TestVisitorsOfHistoryAreTheSameInEveryLineAndInNoOtherLane(t *testing.T) {
	r := readLines(t, "")
	with := func(site, visitor, session, more string) event.Stored {
		t.Helper()
		return r.read(1, strings.Replace(r.past(fmt.Sprintf(`,"visitor":%s,"session":%s%s`, visitor, session, more)), `"demo"`, `"`+site+`"`, 1))
	}
	a := with("demo", `"7"`, `"1"`, "")
	if again := with("demo", `7`, `1`, ""); again.Visitor != a.Visitor || again.Session != a.Session {
		t.Error("a number is another visitor than its digits")
	}
	other := with("demo", `"71"`, `""`, "")
	if other.Visitor == a.Visitor || other.Session != [16]byte{} {
		t.Error("two visitors are one, or nothing is a session")
	}
	if b := with("demo", `"71"`, `"1"`, ""); b.Session == a.Session {
		t.Error("sessions of two visitors are one")
	}
	if b := with("demo", `"7"`, `"11"`, ""); b.Session == with("demo", `"71"`, `"1"`, "").Session {
		t.Error("a visitor and a session run together")
	}
	if b := with("asks", `"7"`, `"1"`, `,"c":`+yes); b.Visitor == a.Visitor || b.Visitor == [16]byte{} || b.Cause != privacy.CauseChoice {
		t.Errorf("another site knows the visitor: %+v", b)
	}
	f := func(site, more string, lane privacy.Lane, cause privacy.Cause) {
		t.Helper()
		e := with(site, `"7"`, `"1"`, `,"p":{"order":"A"}`+more)
		if e.Lane != lane || e.Cause != cause || e.Visitor != [16]byte{} || e.Session != [16]byte{} || e.Order != [16]byte{} {
			t.Errorf("%s %s: lane %s %s, visitor %x, session %x, order %x", site, more, e.Lane, e.Cause, e.Visitor, e.Session, e.Order)
		}
	}
	f("asks", "", privacy.LaneCount, privacy.CauseDefault)
	f("asks", `,"c":`+measure, privacy.LaneMeasure, privacy.CauseChoice)
	f("demo", `,"c":`+no, privacy.LaneCount, privacy.CauseDenied)
	f("reports", "", privacy.LaneMeasure, privacy.CauseDefault)

	keys, err := r.keys.Site("demo")
	if err != nil {
		t.Fatal(err)
	}
	entry := suppress.Entry{Key: suppress.KeyOf(keys, privacy.StoredID(a.Visitor)), Cause: privacy.CauseOptOut, At: r.now()}
	if err := r.suppressed.Add(entry); err != nil {
		t.Fatal(err)
	}
	f("demo", "", privacy.LaneCount, privacy.CauseOptOut)
	f("demo", `,"c":`+yes, privacy.LaneCount, privacy.CauseOptOut)
}

func TestCountryOfALineDecidesAsThatOfABrowserDoes(t *testing.T) {
	r := readLines(t, "")
	r.sites.file.Store(parseSites(t, strings.Replace(sitesText, "consent: {default: decide, allow: decide}", "consent: {default: decide, allow: decide, countries: {DE: count}}", 1)))
	if e := r.read(1, r.past(`,"country":"DE","visitor":"7"`)); e.Lane != privacy.LaneCount || e.Cause != privacy.CauseCountry || e.Visitor != [16]byte{} {
		t.Errorf("lane %s %s", e.Lane, e.Cause)
	}
}

func TestIDsOfHistoryDependOnTheFileAlone(t *testing.T) {
	r := readLines(t, "")
	id := func(number int, line string) event.UUID {
		t.Helper()
		e := r.read(number, line)
		if u, ok := event.ParseUUID([]byte(e.ID.String())); !ok || u != e.ID {
			t.Errorf("%s: id %s", line, e.ID)
		}
		return e.ID
	}
	given := "019df26e-2d00-75af-89e3-8d27c16b05af"
	if got := id(1, r.past(`,"i":"`+given+`"`)); got.String() != given {
		t.Errorf("a UUID became %s", got)
	}
	named := id(1, r.past(`,"i":"order 17"`))
	if again := id(9, r.past(`,"u":"https://shop.example/","i":"order 17"`)); again != named {
		t.Error("one name made two ids")
	}
	if other := id(1, r.past(`,"i":"order 18"`)); other == named {
		t.Error("two names made one id")
	}
	if other := id(1, strings.Replace(r.past(`,"i":"order 17"`), "demo", "asks", 1)); other == named {
		t.Error("two sites have one id")
	}
	at := r.now().Add(-7 * 24 * time.Hour).UnixMilli()
	if millis := int64(named[0])<<40 | int64(named[1])<<32 | int64(named[2])<<24 | int64(named[3])<<16 | int64(named[4])<<8 | int64(named[5]); millis != at {
		t.Errorf("the id is of %d, the event of %d", millis, at)
	}
	line := id(1, r.past(""))
	r.pass(time.Hour)
	back := func(s string) string { // as it was an hour ago
		return strings.Replace(s, fmt.Sprint(at+time.Hour.Milliseconds()), fmt.Sprint(at), 1)
	}
	if again := id(1, back(r.past(""))); again != line {
		t.Error("one line made two ids")
	}
	if other := id(2, back(r.past(""))); other == line {
		t.Error("two equal lines are one event")
	}
	if other := id(1, back(r.past(`,"u":"https://shop.example/"`))); other == line {
		t.Error("two lines in one place are one event")
	}
}

func TestEachWayToRefuseALine(t *testing.T) {
	r := readLines(t, "")
	week := r.now().Add(-7 * 24 * time.Hour).UnixMilli()
	f := func(line string, want Reason, site string) {
		t.Helper()
		old, reason := r.lines.Read(1, []byte(line))
		if reason != want || old.Site != site {
			t.Errorf("%.80s: %q of site %q, want %q", line, reason, old.Site, want)
		}
	}
	f(r.past(`,"x":"`+strings.Repeat("a", MaxLineBytes)+`"`), TooLarge, "")
	for _, line := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{"s":"demo"}}`, `{"s":"demo","s":"demo"}`, "{\"s\":\"\xff\"}", `{"s":1}`, `{"s":"demo","c":1}`, `{"s":"demo","c":{"decide":true}}`,
		`{"p":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`, r.past("") + r.past(""),
	} {
		f(line, Malformed, "")
	}
	f(`{"n":"purchase"}`, UnknownSite, "")
	f(`{"s":"","n":"purchase"}`, UnknownSite, "")
	f(`{"s":"elsewhere","n":"purchase"}`, UnknownSite, "")
	line := func(more string) string { return `{"s":"demo",` + more + `}` }
	f(line(`"t":1`), UnknownKind, "demo")
	f(line(`"n":"consent"`), UnknownKind, "demo")
	f(line(`"n":"Purchase"`), UnknownKind, "demo")
	for _, more := range []string{
		`,"visitor":true`, `,"session":[]`, `,"visitor":"` + strings.Repeat("a", 513) + `"`, `,"country":1`, `,"country":"de"`, `,"country":"Germany"`, `,"device":"phone"`, `,"device":{}`,
		`,"u":1`, `,"p":{"value":"-1"}`, `,"p":[]`, `,"p":{"customer":[]}`, `,"p":{"currency":"euros"}`, `,"u":"` + strings.Repeat("a", 513) + `"`,
	} {
		f(r.past(more), BadValue, "demo")
	}
	f(line(`"n":"purchase"`), BadValue, "demo") // when?
	f(line(`"n":"purchase","t":null`), BadValue, "demo")
	f(line(`"n":"purchase","t":-1`), BadValue, "demo")
	f(line(`"n":"purchase","t":1.5`), BadValue, "demo")
	f(line(fmt.Sprintf(`"n":"purchase","t":%d`, r.now().Add(maxAhead).UnixMilli()+1)), BadValue, "demo")
	f(line(`"n":"purchase","t":100000000000000`), BadValue, "demo")
	f(line(`"n":"purchase","t":0`), TooOld, "demo")
	f(line(fmt.Sprintf(`"n":"purchase","t":%d`, r.now().Add(-395*24*time.Hour).UnixMilli())), TooOld, "demo")
	for _, id := range []string{`""`, `7`, `{}`, `"` + strings.Repeat("a", 513) + `"`} {
		f(line(fmt.Sprintf(`"n":"purchase","t":%d,"i":%s`, week, id)), BadID, "demo")
	}
	f(r.past(""), Taken, "demo")
	f(line(fmt.Sprintf(`"n":"refund","t":%d`, r.now().Add(maxAhead).UnixMilli())), Taken, "demo")

	named := readLines(t, "asks")
	old, reason := named.lines.Read(1, fmt.Appendf(nil, `{"n":"purchase","t":%d,"s":null}`, week))
	if reason != Taken || old.Site != "asks" {
		t.Errorf("a line that names no site: %s, %q", old.Site, reason)
	}
}

// Whatever stands in a line: no panic, a record that can be read back and says the same when it is read again,
// nothing of what was read before, and none of the words that are kept as hashes only.
func FuzzLine(f *testing.F) {
	r := readLines(f, "demo")
	for _, seed := range []string{
		"", "{}", "[]", r.past(""), r.past(`,"i":"order 17","visitor":"canary-visitor","session":7,"country":"DE","device":"tv"`), r.past(`,"c":` + no),
		r.past(`,"u":"https://a/b?utm_source=x","r":"https://c/","p":{"order":"canary-order","value":1.5,"currency":"EUR","items":[{"product":"a","quantity":1,"price":"2"}]}`),
		`{"n":"refund","t":1795000000000,"i":"\ud83d\ude00\ud800","visitor":1e5}`, `{"s":"asks","n":"search","t":0,"visitor":-0.5,"p":{"query_length":3}}`, `{"t":"1","i":null,"c":null}`,
	} {
		f.Add(3, seed)
	}
	f.Fuzz(func(t *testing.T, number int, line string) {
		old, reason := r.lines.Read(number, []byte(line))
		first := bytes.Clone(old.Record)
		if reason != Taken {
			if len(first) > 0 || old.ID != (event.UUID{}) {
				t.Fatalf("%s and a record", reason)
			}
			return
		}
		var e event.Stored
		if err := e.Decode(first); err != nil {
			t.Fatalf("record does not decode: %v", err)
		}
		if e.Site != old.Site || e.ID != old.ID || e.Source != event.SourceImport || e.OccurredAt < 0 || e.ExpiresDay == 0 {
			t.Fatalf("stored %+v of %+v", e, old)
		}
		if e.Lane != privacy.LaneDecide && (e.Visitor != [16]byte{} || e.Session != [16]byte{} || e.Order != [16]byte{}) {
			t.Fatalf("somebody is known in lane %s", e.Lane)
		}
		r.lines.Read(1, []byte(r.past(`,"visitor":"somebody else","country":"FR","device":"console","u":"https://shop.example/else","p":{"order":"else","items":[{"product":"else"}]}`)))
		again, reason := r.lines.Read(number, []byte(line))
		if reason != Taken || !bytes.Equal(again.Record, first) {
			t.Fatal("read again it says something else")
		}
	})
}
