package loader_test

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/spool"
)

// Refunds from a back office name an order and nobody. What ClickHouse has of an order decides what it gets of its
// refund: of an order that nobody agreed to it hears an amount, as in a total, and no name.
func TestARefundThatNamesNobodyTakesTheLaneOfItsOrder(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	key, made := &keyring.Key{7}, byte(0)
	id := func(of, name string) privacy.ID { return privacy.KeyedID(key, of, []byte(name)) }
	tell := func(kind event.Kind, lane privacy.Lane, order string, change func(*event.Event)) {
		t.Helper()
		made++
		now := time.Now().UnixMilli()
		e := event.Event{
			Kind: kind, Source: event.SourceServer, Lane: lane, Cause: privacy.CauseDefault, ID: event.UUID{6: 0x70, 8: 0x80, 15: made},
			ReceivedAt: now, OccurredAt: now, Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("production"), Rate: event.RateScale,
			Currency: privacy.NewBucket("EUR"), Value: event.Amount{Units: 10_0000, Set: true}, ExpiresDay: 40_000, ProfileExpiresDay: 40_000,
		}
		if order != "" {
			e.Order = id("order", order)
		}
		if change != nil {
			change(&e)
		}
		if err := s.Append([]spool.Entry{{Site: "demo", Payload: e.AppendTo(nil)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	of := func(visitor string) func(*event.Event) {
		return func(e *event.Event) { e.Visitor, e.Value.Units = id("visitor", visitor), 50_0000 }
	}
	refund := func(order string) { tell(event.Refund, privacy.LaneCount, order, nil) }
	load := func() {
		t.Helper()
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
		if err := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(dir, "dead")}).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tell(event.Purchase, privacy.LaneDecide, "agreed", of("one"))
	tell(event.Purchase, privacy.LaneDecide, "withdrawn", of("two"))
	tell(event.Purchase, privacy.LaneDecide, "customer's consent", nil) // whom no cookie named
	tell(event.Purchase, privacy.LaneCount, "", nil)
	tell(event.Purchase, privacy.LaneDecide, "a program's", func(e *event.Event) { e.Bot = privacy.NewBucket("list") })
	load()
	tell(event.Consent, privacy.LaneCount, "", func(e *event.Event) {
		e.Visitor, e.Choice, e.Suppress, e.ConsentAt = id("visitor", "two"), privacy.LaneCount, id("suppress", "two"), e.ReceivedAt
	})
	load()
	tell(event.Purchase, privacy.LaneDecide, "just now", of("three"))
	orders := []string{"agreed", "withdrawn", "customer's consent", "a program's", "just now", "nobody's"}
	for _, order := range orders {
		refund(order)
	}
	load()

	for i, known := range []bool{true, false, true, false, true, false} {
		name := hex.EncodeToString(func() []byte { b := id("order", orders[i]).Bytes(); return b[:] }())
		refunds := scalar(t, conn, "SELECT count() FROM beckon.events WHERE kind = 'refund' AND lane = 'decide' AND cause = 'recorded' AND lower(hex(order_key)) = '"+name+"'")
		taken := scalar(t, conn, "SELECT sum(refunds) FROM beckon.v_orders WHERE refunded_site = 10 AND order_key = '"+name+"'")
		feed := scalar(t, conn, "SELECT count() FROM beckon.visitor_changes WHERE lower(hex(order_key)) = '"+name+"'")
		want := uint64(0)
		if known {
			want = 1
		}
		if refunds != want || taken != want || feed < want {
			t.Errorf("%s: %d refunds under the order's name, %d in v_orders, %d changes; want %d", orders[i], refunds, taken, feed, want)
		}
	}
	if n := scalar(t, conn, "SELECT count() FROM beckon.events WHERE kind = 'refund' AND lane = 'count' AND cause = 'default' AND order_key = toFixedString('', 16) AND value = 10"); n != 3 {
		t.Errorf("%d refunds without a name, want 3", n)
	}
	// Nowhere, in no column, is an order that nobody agreed to.
	var columns []struct {
		Table string `ch:"table"`
		Name  string `ch:"name"`
	}
	if err := conn.Select(t.Context(), &columns, "SELECT table, name FROM system.columns WHERE database = 'beckon' AND table IN (SELECT name FROM system.tables WHERE database = 'beckon' AND engine LIKE '%MergeTree') AND type = 'FixedString(16)'"); err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, c := range columns {
		places = append(places, fmt.Sprintf("SELECT count() AS n FROM beckon.%s WHERE %s = unhex('%s')", c.Table, c.Name, id("order", "nobody's").Hex()))
	}
	if n := scalar(t, conn, "SELECT sum(n) FROM ("+strings.Join(places, " UNION ALL ")+")"); n != 0 || len(places) < 10 {
		t.Errorf("an order that nobody agreed to is in %d rows of %d columns", n, len(places))
	}
}
