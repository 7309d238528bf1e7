package loader_test

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/spool"
)

// everyField is an event with every field set, no two of them alike, and what `events` has to say of it, column by column.
func everyField() (e event.Event, columns map[string]string) {
	key := &keyring.Key{9}
	id := func(of string) privacy.ID { return privacy.KeyedID(key, of, []byte(of)) }
	label := func(s string) privacy.Label { return privacy.NewLabel([]byte(s)) }
	amount := func(units int64) event.Amount { return event.Amount{Units: units, Set: true} }
	page := privacy.ScrubURL([]byte("https://shop.example/mugs/green?utm_source=news&utm_medium=mail&utm_campaign=spring"))
	e = event.Event{
		Kind: event.Purchase, Source: event.SourceServer, Lane: privacy.LaneDecide, Cause: privacy.CauseRecorded,
		ID: event.UUID{1, 2, 3, 4, 5, 6, 0x77, 8, 0x89}, ReceivedAt: 1_795_000_000_123, OccurredAt: 1_794_999_999_001,
		Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("staging"),
		Visitor: id("visitor"), Session: id("session"), VisitorSince: 1_794_000_000_002,
		Network: privacy.Truncate(privacy.ParseAddr([]byte("203.0.113.77"))),
		Country: privacy.NewBucket("DE"), Region: privacy.NewBucket("DE-BE"),
		Device: privacy.NewBucket("mobile"), Browser: privacy.NewBucket("Firefox"), OS: privacy.NewBucket("Linux"), Bot: privacy.NewBucket("tool"),
		Path: page.Path, Referrer: privacy.ScrubReferrer([]byte("https://other.example/a"), []byte("shop.example")),
		UTMSource: page.Source, UTMMedium: page.Medium, UTMName: page.Campaign,
		Product: label("mug"), Variant: label("blue"), Category: label("crockery"), Quantity: 3, Currency: privacy.NewBucket("USD"), Rate: 250_000_000,
		Price: amount(11_0000), CartValue: amount(12_0000), Value: amount(13_0000), Discount: amount(14_0000), Tax: amount(15_0000), Shipping: amount(16_0000),
		Items: []event.Item{
			{Product: label("jug"), Variant: label("red"), Quantity: 4, Price: amount(17_0000)}, {Product: label("cup"), Variant: label("white"), Quantity: 5, Price: amount(18_5000)},
		},
		Order: id("order"), Coupon: id("coupon"), Customer: id("customer"), Offer: label("welcome-back"), Decision: label("abc123"), QueryLength: 19,
		Choice: privacy.LaneMeasure, ConsentSource: label("banner"), ConsentPolicy: label("2026-05"), ConsentAt: 1_794_999_998_003, Suppress: id("suppress"),
		ExpiresDay: 40_000, ProfileExpiresDay: 40_001,
	}
	columns = map[string]string{
		"site": "demo", "environment": "staging", "event_id": hex.EncodeToString(e.ID[:]), "kind": "purchase", "source": "server", "lane": "decide", "cause": "recorded",
		"received_at": "2026-11-18 11:06:40.123", "occurred_at": "2026-11-18 11:06:39.001",
		"visitor": e.Visitor.Hex(), "session": e.Session.Hex(), "visitor_since": "2026-11-06 21:20:00.002",
		"network": "203.0.113.0/24", "country": "DE", "region": "DE-BE", "device": "mobile", "browser": "Firefox", "os": "Linux", "bot": "1", "bot_reason": "tool",
		"path": "/mugs/green", "referrer": "other.example", "utm_source": "news", "utm_medium": "mail", "utm_campaign": "spring",
		"product": "mug", "variant": "blue", "category": "crockery", "quantity": "3", "currency": "USD", "rate": "2.5",
		"price": "11", "cart_value": "12", "value": "13", "discount": "14", "tax": "15", "shipping": "16", "cart_value_site": "30", "value_site": "32.5",
		"items.product": "['jug','cup']", "items.variant": "['red','white']", "items.quantity": "[4,5]", "items.price": "[17,18.5]",
		"order_key": e.Order.Hex(), "coupon_key": e.Coupon.Hex(), "customer_key": e.Customer.Hex(), "offer": "welcome-back", "decision": "abc123", "query_length": "19",
		"choice": "measure", "consent_source": "banner", "consent_policy": "2026-05", "consent_at": "2026-11-18 11:06:38.003", "suppress_key": e.Suppress.Hex(),
		"expires": "2079-07-08", "profile_expires": "2079-07-09",
		"sequence": "7",
	}
	return e, columns
}

// recount compares what the tables are made of; here no column of `events` may hold what belongs to another.
func TestEveryColumnOfAnEventHoldsItsOwnField(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	s.Sealing(0)
	fill(t, s, 0, 1) // a segment before, so that its number is like no other either
	e, want := everyField()
	for f := range reflect.TypeFor[event.Event]().NumField() {
		if reflect.ValueOf(e).Field(f).IsZero() {
			t.Errorf("the event leaves %s empty", reflect.TypeFor[event.Event]().Field(f).Name)
		}
	}
	var entries []spool.Entry
	for n := range 6 {
		entries = append(entries, spool.Entry{Site: "demo", Payload: pageView(1 + n)})
	}
	// One comes after it: what a column keeps must not change with the next record.
	if err := s.Append(append(entries, spool.Entry{Site: "demo", Payload: e.AppendTo(nil)}, spool.Entry{Site: "demo", Payload: pageView(7)}), nil); err != nil {
		t.Fatal(err)
	}
	seal(t, s)
	id := s.ID()
	want["spool"], want["segment"] = hex.EncodeToString(id[:]), "2"
	if err := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: dir + "/dead"}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}

	var columns []struct {
		Name string `ch:"name"`
		Type string `ch:"type"`
	}
	if err := conn.Select(t.Context(), &columns, "SELECT name, type FROM system.columns WHERE database = ? AND table = 'events' ORDER BY position", db); err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = fmt.Sprintf("ifNull(toString(`%s`), 'NULL')", c.Name)
		if strings.HasPrefix(c.Type, "FixedString") {
			texts[i] = fmt.Sprintf("lower(hex(`%s`))", c.Name)
		}
	}
	var row []string
	query := "SELECT [" + strings.Join(texts, ", ") + "] FROM " + db + ".events WHERE event_id = unhex(?)"
	if err := conn.QueryRow(t.Context(), query, hex.EncodeToString(e.ID[:])).Scan(&row); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for i, c := range columns {
		switch expected, ok := want[c.Name]; {
		case !ok:
			t.Errorf("events.%s has no expected value: give everyField a field for it", c.Name)
		case row[i] != expected:
			t.Errorf("events.%s = %q, want %q", c.Name, row[i], expected)
		}
		if other, twice := seen[row[i]]; twice {
			t.Errorf("events.%s and events.%s are both %q: a swap would be seen by nobody", other, c.Name, row[i])
		}
		seen[row[i]] = c.Name
		delete(want, c.Name)
	}
	for name := range want {
		t.Errorf("events.%s does not exist", name)
	}
}
