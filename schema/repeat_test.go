package schema

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"beckon/internal/chlocal"
)

// random returns n events that the wire contract allows, with a weakness for its edges: the largest
// amounts and rates, empty text, zero ids, missing amounts, unknown currencies, refunds of orders
// nobody placed, events that come twice. None of them has expired.
func random(r *rand.Rand, n int) []row {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	money := func() *decimal.Decimal {
		if r.IntN(3) == 0 {
			return nil
		}
		return amount(pick("0", "0.0001", "19.99", "1234.5", "99999999999999.9999"))
	}
	when := func() time.Time {
		if r.IntN(20) == 0 {
			// Not before 1970: the server's compiled min and max take such instants for the largest.
			return []time.Time{epoch, epoch.Add(time.Millisecond), time.Date(2261, 12, 31, 23, 59, 59, 999e6, time.UTC)}[r.IntN(3)]
		}
		return base.Add(time.Duration(r.Int64N(int64(40 * time.Hour))).Truncate(time.Millisecond))
	}
	day := func() time.Time {
		if r.IntN(20) == 0 {
			return time.Date(2149, 6, 6, 0, 0, 0, 0, time.UTC)
		}
		return base.AddDate(0, 0, 9+r.IntN(395))
	}
	name := func(kind string, of int) string {
		if r.IntN(4) == 0 {
			return zeroID
		}
		return id(fmt.Sprintf("%s%d", kind, r.IntN(of)))
	}
	rows := make([]row, n)
	for i := range rows {
		if i > 0 && r.IntN(20) == 0 {
			rows[i] = rows[r.IntN(i)]
			continue
		}
		rows[i] = view("", func(e *row) {
			e.Site, e.Environment = pick("demo", "other", ""), pick("production", "staging")
			e.Kind = pick("page_view", "product_view", "collection_view", "search", "cart_view", "cart_add", "cart_remove", "checkout_start",
				"purchase", "offer_shown", "offer_accepted", "offer_dismissed", "refund", "consent")
			e.Source, e.Lane = pick("pixel", "beacon", "server", "import", "collector", ""), pick("count", "measure", "decide", "decide", "")
			e.OccurredAt, e.VisitorSince, e.ConsentAt = when(), when(), when()
			e.Visitor, e.Session, e.OrderKey = name("v", 50), name("s", 80), name("o", 60)
			e.CouponKey, e.CustomerKey = name("c", 3), name("u", 9)
			e.Country, e.Referrer, e.UTMSource = pick("", "DE", "NZ"), pick("", "example.org"), pick("", "news", strings.Repeat("ß", 256))
			e.Path, e.Product = pick("", "/", "/p/\x00\xff'\\"), pick("", "mug", strings.Repeat("x", 512))
			e.Bot = uint8(r.IntN(10) / 9)
			e.Currency, e.Rate = pick("", "EUR", "XXX"), *amount(pick("0", "1", "0.00000001", "1.08", "9999999999.99999999"))
			e.Price, e.CartValue, e.Value, e.Discount, e.Tax, e.Shipping = money(), money(), money(), money(), money(), money()
			for range r.IntN(3) {
				e.ItemProduct, e.ItemVariant = append(e.ItemProduct, pick("", "mug")), append(e.ItemVariant, "")
				e.ItemQuantity, e.ItemPrice = append(e.ItemQuantity, r.Uint32()), append(e.ItemPrice, *amount("99999999999999.9999"))
			}
			e.Quantity, e.QueryLength = r.Uint32(), uint16(r.Uint32())
			e.Segment, e.Sequence = r.Uint64(), r.Uint64()
			e.Expires, e.ProfileExpires = day(), day()
		})
	}
	return rows
}

func TestRandomValidEventsNeverMakeAViewThrow(t *testing.T) {
	d := newDB(t)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 5 {
		d.insert(t, fmt.Sprint("random/", i), random(r, 1000)...)
	}
	expired := random(r, 1000)
	for i := range expired {
		expired[i].Expires, expired[i].ProfileExpires = []time.Time{epoch, base}[i%2], []time.Time{epoch, base}[i/2%2]
	}
	d.insert(t, "random/expired", expired...)
	d.refreshTraffic(t)
	views := d.text(t, "SELECT name FROM system.tables WHERE database = '"+d.name+"' AND engine = 'View' AND name != 'v_events_between' AND name NOT LIKE 'report\\_%'")
	for _, v := range append(strings.Split(views, "\n"),
		"report_traffic(site = 'demo', timezone = 'Asia/Kathmandu', since = '1971-01-01', until = '2100-01-01')",
		"report_funnel_daily(site = 'demo', timezone = 'Asia/Kathmandu', since = '1971-01-01', until = '2100-01-01', k = 10)",
		"report_offer_daily(site = 'demo', timezone = 'Asia/Kathmandu', since = '1971-01-01', until = '2100-01-01') AS decisions",
		"v_events_between(site = 'demo', since = '1971-01-01', until = '2100-01-01')") {
		if d.text(t, "SELECT toString(sum(ignore(*)) + count()) FROM (SELECT * FROM DB."+v+")") == "0" && !strings.Contains(v, "decisions") {
			t.Errorf("%s is empty: this test proves nothing about it", v)
		}
	}
}

func TestTheSameTokenChangesNothing(t *testing.T) {
	d := newDB(t)
	d.stopMerges(t)
	rows := random(rand.New(rand.NewPCG(3, 4)), 500)
	d.insert(t, "spool/1", rows...)
	d.refreshTraffic(t) // as it does by itself each minute, also in the midst of a test
	stored, said := d.rowsStored(t), d.snapshot(t)
	for range 3 {
		d.insert(t, "spool/1", rows...)
	}
	for table, n := range d.rowsStored(t) {
		if n != stored[table] {
			t.Errorf("%s: %s rows, %s before the repeats", table, n, stored[table])
		}
	}
	sameSnapshot(t, said, d.snapshot(t))
}

// What happens when a batch is sent again after its token has left the deduplication window.
func TestAnotherTokenLeavesEveryAggregateAsItWas(t *testing.T) {
	d := newDB(t)
	rows := random(rand.New(rand.NewPCG(5, 6)), 500)
	d.insert(t, "spool/1", rows...)
	d.refreshTraffic(t)
	said, before := d.snapshot(t), d.text(t, "SELECT toString(count()) FROM DB.events")
	d.insert(t, "spool/1 again", rows...)
	d.refreshTraffic(t)
	if after := d.text(t, "SELECT toString(count()) FROM DB.events"); after == before {
		t.Fatal("the second insert was taken for the first: this test proves nothing")
	}
	sameSnapshot(t, said, d.snapshot(t))
}

func TestRefillMendsTargetsAndChangesNothingElse(t *testing.T) {
	d := newDB(t)
	r := rand.New(rand.NewPCG(7, 8))
	for segment := range uint64(3) {
		rows := random(r, 200)
		for i := range rows {
			rows[i].Segment = segment
		}
		d.insert(t, fmt.Sprint("spool/", segment), rows...)
	}
	d.refreshTraffic(t)
	said := d.snapshot(t)
	spool := hex.EncodeToString([]byte(id("spool")))
	if err := Refill(t.Context(), d, d.name, spool, 1); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, said, d.snapshot(t))

	for _, table := range []string{"visitor_activity", "sessions", "orders", "visitor_changes", "consents", "traffic_touched"} {
		d.exec(t, "TRUNCATE TABLE DB."+table)
	}
	for segment := range uint64(3) {
		if err := Refill(t.Context(), d, d.name, spool, segment); err != nil {
			t.Fatal(err)
		}
	}
	sameSnapshot(t, said, d.snapshot(t))

	if err := Refill(t.Context(), d, "no such", spool, 1); err == nil {
		t.Fatal("Refill took a name that is none")
	}
}

// The server dies while batches are on their way; whoever sent them does not know which arrived and
// sends all of them again.
func TestReplayAfterKillKeepsCounts(t *testing.T) {
	s := chlocal.ForTest(t)
	d := emptyDB(t, s)
	if err := Apply(t.Context(), d, d.name); err != nil {
		t.Fatal(err)
	}
	batches := make([][]row, 16)
	r := rand.New(rand.NewPCG(9, 10))
	for i := range batches {
		batches[i] = random(r, 100)
		for j := range batches[i] {
			batches[i][j].EventID = id(fmt.Sprintf("%d.%d", i, j)) // also of events that came twice
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	acknowledged, done := make(chan int, len(batches)), make(chan struct{})
	go func() {
		defer close(done)
		for i, b := range batches {
			if d.send(ctx, fmt.Sprint("spool/", i), b) != nil {
				return
			}
			acknowledged <- i
		}
	}()
	for i := range acknowledged {
		if i == 2 {
			break
		}
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	if len(acknowledged) == len(batches)-3 {
		t.Fatal("every batch was in before the kill: this test proves nothing")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = db{connect(t, s), d.name}
	for i, b := range batches {
		d.insert(t, fmt.Sprint("spool/", i), b...)
	}
	d.want(t, "SELECT toString((count(), uniqExact(event_id))) FROM DB.events", "(1600,1600)")

	fresh := newDB(t) // never killed: what the aggregates should say
	for i, b := range batches {
		fresh.insert(t, fmt.Sprint("spool/", i), b...)
	}
	fresh.refreshTraffic(t)
	d.refreshTraffic(t)
	sameSnapshot(t, fresh.snapshot(t), d.snapshot(t))
}
