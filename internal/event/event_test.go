package event

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// TestEventHasNoFieldForRawText holds promise P1: text and bytes can enter an Event only through
// types whose fields internal/privacy alone can fill.
func TestEventHasNoFieldForRawText(t *testing.T) {
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		if strings.HasSuffix(typ.PkgPath(), "internal/privacy") {
			for i := range typ.NumField() {
				if typ.Field(i).IsExported() {
					t.Errorf("%s: privacy type %s has an exported field", path, typ)
				}
			}
			return
		}
		switch typ.Kind() {
		case reflect.String, reflect.Interface, reflect.Map, reflect.Pointer:
			t.Errorf("%s has type %s: a raw value could be put in", path, typ)
		case reflect.Slice, reflect.Array:
			if typ != reflect.TypeFor[UUID]() {
				walk(path+"[]", typ.Elem())
			}
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				if f.Type.Kind() == reflect.Uint8 && strings.HasSuffix(f.Type.PkgPath(), "internal/privacy") {
					continue // a lane or a cause
				}
				walk(path+"."+f.Name, f.Type)
			}
		}
	}
	walk("Event", reflect.TypeFor[Event]())
}

func label(s string) privacy.Label { return privacy.NewLabel([]byte(s)) }

// full is an event with every field set, to values that differ from each other.
func full() *Event {
	key := &keyring.Key{1}
	id := func(s string) privacy.ID { return privacy.KeyedID(key, "test", []byte(s)) }
	page := privacy.ScrubURL([]byte("https://shop.example/mugs/blue?utm_source=news&utm_medium=mail&utm_campaign=spring"))
	return &Event{
		Kind: Purchase, Source: SourceBeacon, Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
		ID: UUID{1, 2, 3, 4, 5, 6, 0x77, 8, 0x89}, ReceivedAt: 1_795_000_000_123, OccurredAt: 1_794_999_999_001,
		Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("staging"),
		Visitor: id("visitor"), Session: id("session"), VisitorSince: 1_794_000_000_000,
		Network: privacy.Truncate(privacy.ParseAddr([]byte("203.0.113.77"))),
		Country: privacy.NewBucket("DE"), Region: privacy.NewBucket("DE-BE"),
		Device: privacy.NewBucket("mobile"), Browser: privacy.NewBucket("Firefox"), OS: privacy.NewBucket("Linux"), Bot: privacy.NewBucket("tool"),
		Path: page.Path, Referrer: privacy.ScrubReferrer([]byte("https://news.example/a"), []byte("shop.example")),
		UTMSource: page.Source, UTMMedium: page.Medium, UTMName: page.Campaign,
		Product: label("mug"), Variant: label("blue"), Category: label("mugs"), Quantity: 3, Currency: privacy.NewBucket("USD"), Rate: 92_000_000,
		Price: Amount{125_000, true}, CartValue: Amount{375_000, true}, Value: Amount{400_000, true}, Discount: Amount{10_000, true}, Tax: Amount{76_000, true}, Shipping: Amount{0, true},
		Items: []Item{{label("mug"), label("blue"), 2, Amount{125_000, true}}, {label("jug"), privacy.Label{}, 1, Amount{}}},
		Order: id("order"), Coupon: id("coupon"), Customer: id("customer"), Offer: label("welcome-back"), Decision: label("abc123"), QueryLength: 17,
		Choice: privacy.LaneDecide, ConsentSource: label("banner"), ConsentPolicy: label("2026-05"), ConsentAt: 1_794_999_998_000, Suppress: id("suppress"),
		ExpiresDay: 21_000, ProfileExpiresDay: 20_900,
	}
}

func TestRecordKeepsEveryField(t *testing.T) {
	e := full()
	for f := range reflect.TypeFor[Event]().NumField() {
		if reflect.ValueOf(*e).Field(f).IsZero() {
			t.Errorf("the test event leaves %s empty", reflect.TypeFor[Event]().Field(f).Name)
		}
	}
	var s Stored
	if err := s.Decode(e.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	want := Stored{
		Kind: e.Kind, Source: e.Source, Lane: e.Lane, Cause: e.Cause, Choice: e.Choice, ID: e.ID,
		ReceivedAt: e.ReceivedAt, OccurredAt: e.OccurredAt, VisitorSince: e.VisitorSince, ConsentAt: e.ConsentAt,
		Site: "demo", Environment: "staging", Network: "203.0.113.0/24", Country: "DE", Region: "DE-BE", Device: "mobile", Browser: "Firefox",
		OS: "Linux", Bot: "tool", Path: "/mugs/blue", Referrer: "news.example", UTMSource: "news", UTMMedium: "mail", UTMName: "spring",
		Product: "mug", Variant: "blue", Category: "mugs", Currency: "USD", Offer: "welcome-back", Decision: "abc123",
		ConsentSource: "banner", ConsentPolicy: "2026-05",
		Visitor: e.Visitor.Bytes(), Session: e.Session.Bytes(), Order: e.Order.Bytes(), Coupon: e.Coupon.Bytes(), Customer: e.Customer.Bytes(), Suppress: e.Suppress.Bytes(),
		Rate: e.Rate, Price: e.Price, CartValue: e.CartValue, Value: e.Value, Discount: e.Discount, Tax: e.Tax, Shipping: e.Shipping,
		Quantity: 3, QueryLength: 17, ExpiresDay: 21_000, ProfileExpiresDay: 20_900,
		Items: []StoredItem{{"mug", "blue", 2, Amount{125_000, true}}, {"jug", "", 1, Amount{}}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestDecodeRefusesEveryCut(t *testing.T) {
	rec := full().AppendTo(nil)
	var s Stored
	for n := range rec {
		if err := s.Decode(rec[:n]); err == nil {
			t.Fatalf("a record cut to %d of %d bytes was accepted", n, len(rec))
		}
	}
	if err := s.Decode(append(rec, 0)); err == nil {
		t.Error("a byte left over was accepted")
	}
	rec[0]++
	if err := s.Decode(rec); err == nil {
		t.Error("an unknown version was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(full().AppendTo(nil))
	f.Add((&Event{Kind: PageView, Source: SourcePixel, Lane: privacy.LaneCount}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, rec []byte) {
		var s, again Stored
		if s.Decode(rec) != nil {
			return
		}
		if err := again.Decode(bytes.Clone(rec)); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("second decode differs: %v", err)
		}
	})
}

func TestParseAmount(t *testing.T) {
	f := func(in string, units int64) {
		t.Helper()
		if a, ok := ParseAmount([]byte(in)); !ok || a.Units != units || !a.Set {
			t.Errorf("ParseAmount(%q) = %v, %v, want %d", in, a, ok, units)
		}
	}
	f("0", 0)
	f("0.1", 1_000)
	f("12", 120_000)
	f("12.5", 125_000)
	f("19.99", 199_900)
	f("0.0001", 1)
	f("0.00005", 1) // half up
	f("0.00004", 0)
	f("1.25e1", 125_000)
	f("125E-1", 125_000)
	f("1e-9", 0)
	f("99999999999999", 999_999_999_999_990_000)
	f("1.00000000000000000000001", 10_000)

	refused := func(in string) {
		t.Helper()
		if a, ok := ParseAmount([]byte(in)); ok {
			t.Errorf("ParseAmount(%q) = %v, want a refusal", in, a)
		}
	}
	for _, in := range []string{"", "-1", "+1", ".5", "1.", "1e", "1e999", "NaN", "1,5", "100000000000000", "1e15", "1 ", "0x10", "1.5.2"} {
		refused(in)
	}
}

func TestUUIDsRiseWhenTheClockDoesNot(t *testing.T) {
	var g UUIDs
	last := UUID{}
	for _, ms := range []int64{1000, 1000, 1000, 500, 2000, 1999} {
		u := g.Next(ms)
		if bytes.Compare(u[:], last[:]) <= 0 {
			t.Fatalf("%s does not come after %s", u, last)
		}
		if back, ok := ParseUUID([]byte(u.String())); !ok || back != u {
			t.Fatalf("%s does not parse back", u)
		}
		last = u
	}
}

func TestParseUUIDRefusesOtherForms(t *testing.T) {
	for _, in := range []string{
		"", "0190a5b4-7c3d-7abc-8def-0123456789a", "0190a5b4-7c3d-4abc-8def-0123456789ab", // cut, version 4
		"0190a5b4-7c3d-7abc-cdef-0123456789ab", "0190a5b47c3d7abc8def0123456789ab0000", "0190a5b4-7c3d-7abc-8def-0123456789ag",
	} {
		if u, ok := ParseUUID([]byte(in)); ok {
			t.Errorf("ParseUUID(%q) = %s, want a refusal", in, u)
		}
	}
}

func TestKindsAndSourcesHaveNames(t *testing.T) {
	for k := PageView; k <= Consent; k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if ParseKind([]byte("refund"), false) != KindNone || ParseKind([]byte("refund"), true) != Refund {
		t.Error("a refund must come from a trusted sender, and only from one")
	}
	if ParseKind([]byte("consent"), true) != KindNone {
		t.Error("nobody may send a consent event")
	}
}

// A new kind has to be put on one of the two lists.
func TestEveryKindIsExpendableOrNot(t *testing.T) {
	expendable := map[Kind]bool{
		PageView: true, ProductView: true, CollectionView: true, Search: true, CartView: true,
		CartAdd: false, CartRemove: false, CheckoutStart: false, Purchase: false, Refund: false,
		OfferShown: false, OfferAccepted: false, OfferDismissed: false, Consent: false,
	}
	for k := PageView; k.String() != ""; k++ {
		if want, listed := expendable[k]; !listed || k.Expendable() != want {
			t.Errorf("%s: %v, listed %v", k, k.Expendable(), listed)
		}
	}
}

func BenchmarkAppendTo(b *testing.B) {
	e := full()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendTo(buf[:0])
	}
}
