package feature_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/feature"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/schema"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

const db = "beckon"

// shop is a ClickHouse with the schema, and the real way of events into it.
type shop struct {
	t       *testing.T
	server  *chlocal.Server
	conn    driver.Conn
	events  *spool.Spool
	load    *loader.Loader
	connect func(context.Context) (driver.Conn, error)
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, server: chlocal.ForTest(t)}
	s.connect = func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, s.server.DSN()) }
	conn, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.conn = conn
	if err := schema.Apply(t.Context(), conn, db); err != nil {
		t.Fatal(err)
	}
	s.reopen(time.Now)
	t.Cleanup(func() { s.events.Close() })
	return s
}

// reopen takes a new spool, with a clock of its own.
func (s *shop) reopen(now func() time.Time) {
	s.t.Helper()
	if s.events != nil {
		s.events.Close()
	}
	var err error
	dir := s.t.TempDir()
	if s.events, err = spool.Open(dir, spool.Options{Now: now}); err != nil {
		s.t.Fatal(err)
	}
	s.load = loader.New(loader.Config{Source: s.events, Table: loader.Events(), Connect: s.connect, Database: db, DeadLetter: filepath.Join(dir, "dead")})
}

// bring loads the events as one batch.
func (s *shop) bring(events ...*event.Event) {
	s.t.Helper()
	entries := make([]spool.Entry, len(events))
	for i, e := range events {
		entries[i] = spool.Entry{Site: "demo", Payload: e.AppendTo(nil)}
	}
	if err := s.events.Append(entries, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := s.events.Seal(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.load.Drain(ctx); err != nil {
		s.t.Fatal(err)
	}
	if s.events.Stats().Segments != 0 {
		s.t.Fatal("the batch was not loaded within 30 s")
	}
}

var testKey = &keyring.Key{7}

func hash(format string, args ...any) privacy.ID {
	return privacy.KeyedID(testKey, "test", fmt.Appendf(nil, format, args...))
}

func key(visitor privacy.ID) feature.Key { return feature.Key{Site: "demo", Visitor: visitor.Bytes()} }

func bucket(s string) privacy.Bucket { return privacy.NewBucket(s) }

// newEvent is what all events of the tests have in common.
func newEvent(kind event.Kind, n int, visitor, session privacy.ID, at time.Time) *event.Event {
	day := uint16(time.Now().Unix()/86400) + 395
	return &event.Event{
		Kind: kind, Source: event.SourceBeacon, Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
		ID: event.UUID{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, ReceivedAt: time.Now().UnixMilli(), OccurredAt: at.UnixMilli(),
		Site: bucket("demo"), Environment: bucket("production"), Visitor: visitor, Session: session,
		Rate: event.RateScale, ExpiresDay: day, ProfileExpiresDay: day,
	}
}

// history is random shoppers over 100 days, with all that makes counting hard: events that come late
// and out of order, orders that two sides report, refunds, other currencies, other lanes, bots.
func history(r *rand.Rand, visitors, perVisitor int, now time.Time) map[privacy.ID][]*event.Event {
	kinds := []event.Kind{event.PageView, event.PageView, event.ProductView, event.CartAdd, event.CheckoutStart, event.Purchase, event.Search}
	all := map[privacy.ID][]*event.Event{}
	n := 0
	for v := range visitors {
		visitor := hash("visitor %d", v)
		since := now.Add(-time.Duration(r.IntN(100*24)) * time.Hour)
		for range perVisitor {
			n++
			at := now.Add(-time.Duration(r.ExpFloat64() * float64(8*24*time.Hour)))
			e := newEvent(kinds[r.IntN(len(kinds))], n, visitor, hash("session %d %d", v, at.Unix()/(3*3600)), at)
			e.VisitorSince = since.UnixMilli()
			e.Device = bucket([]string{"mobile", "desktop", ""}[r.IntN(3)])
			e.Country = bucket([]string{"DE", "FR", ""}[r.IntN(3)])
			e.Browser, e.OS = bucket("firefox"), bucket("linux")
			amount := event.Amount{Units: int64(r.IntN(2_000_000)), Set: r.IntN(4) > 0}
			switch e.Kind {
			case event.ProductView:
				e.Product = privacy.NewLabel(fmt.Appendf(nil, "product-%d", r.IntN(6)))
			case event.CartAdd, event.CheckoutStart:
				e.CartValue = amount
			case event.Purchase:
				e.Order, e.Value = hash("order %d", n), amount
				if r.IntN(3) == 0 { // an amount that nobody can convert
					e.Currency, e.Rate = bucket("JPY"), 0
				}
			}
			switch r.IntN(12) {
			case 0: // must not count; the collector keeps no ids in this lane
				e.Lane, e.Session, e.Order = privacy.LaneCount, privacy.ID{}, privacy.ID{}
			case 1:
				e.Bot = bucket("crawler")
			}
			all[visitor] = append(all[visitor], e)
			if e.Lane != privacy.LaneDecide || e.IsBot() {
				continue
			}
			if e.Kind == event.Purchase && r.IntN(2) == 0 { // the shop's server reports the same order
				n++
				twin := *e
				twin.ID, twin.Source = newEvent(e.Kind, n, visitor, e.Session, at).ID, event.SourceServer
				twin.Value = event.Amount{Units: int64(r.IntN(2_000_000)), Set: true}
				twin.Currency, twin.Rate = privacy.Bucket{}, event.RateScale
				all[visitor] = append(all[visitor], &twin)
			}
			if e.Kind == event.Purchase && r.IntN(4) == 0 {
				n++
				refund := newEvent(event.Refund, n, visitor, e.Session, at.Add(time.Hour))
				refund.Source, refund.Order = event.SourceServer, e.Order
				refund.Value = event.Amount{Units: int64(r.IntN(500_000)), Set: r.IntN(5) > 0}
				all[visitor] = append(all[visitor], refund)
			}
		}
	}
	return all
}

// naive computes the features from the raw events, one definition after the other, as a reader of
// docs would.
func naive(events []*event.Event, now time.Time) feature.Features {
	var counted []*event.Event
	for _, e := range events {
		if e.Lane == privacy.LaneDecide && !e.IsBot() {
			counted = append(counted, e)
		}
	}
	slices.SortFunc(counted, func(a, b *event.Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	within := func(e *event.Event, days int) bool {
		return e.OccurredAt/1000 >= now.Add(-time.Duration(days)*24*time.Hour).Truncate(time.Hour).Unix()
	}
	count := func(days int, kind event.Kind) (n int64) {
		for _, e := range counted {
			if e.Kind == kind && within(e, days) {
				n++
			}
		}
		return n
	}
	distinct := func(days int, value func(*event.Event) string) int64 {
		seen := map[string]bool{}
		for _, e := range counted {
			if v := value(e); v != "" && within(e, days) {
				seen[v] = true
			}
		}
		return int64(len(seen))
	}
	session := func(e *event.Event) string { return e.Session.Hex() }
	f := feature.Features{
		Pageviews1d: count(1, event.PageView), Pageviews7d: count(7, event.PageView), Pageviews30d: count(30, event.PageView),
		Sessions1d: distinct(1, session), Sessions7d: distinct(7, session), Sessions30d: distinct(30, session),
		ProductViews7d: count(7, event.ProductView), CartAdds7d: count(7, event.CartAdd), CheckoutStarts7d: count(7, event.CheckoutStart),
		DistinctProducts7d:   distinct(7, func(e *event.Event) string { return e.Product.String() }),
		MinutesSinceLastSeen: feature.NeverMinutes, MinutesSinceCart: feature.NeverMinutes, LastOfferMinutes: feature.NeverMinutes,
	}
	f.IsReturning = f.Sessions30d > 1
	minutes := func(e *event.Event) int64 { return (now.UnixMilli() - e.OccurredAt) / 60_000 }
	for _, e := range counted {
		f.MinutesSinceLastSeen = minutes(e)
		f.DaysSinceFirstSeen = (now.UnixMilli() - e.VisitorSince) / 86_400_000
		if e.Kind == event.CartAdd || e.Kind == event.CheckoutStart {
			f.MinutesSinceCart = minutes(e)
		}
		if e.CartValue.Set {
			f.CartValue = float64(e.CartValue.Units) / event.AmountScale
		}
		if e.Kind == event.Purchase {
			f.CartValue = 0
		}
		for word, value := range map[*string]privacy.Bucket{&f.Country: e.Country, &f.Device: e.Device, &f.Browser: e.Browser, &f.OS: e.OS} {
			if value.String() != "" {
				*word = value.String()
			}
		}
	}
	f.Purchases90d, f.Revenue90d = naiveOrders(counted, now)
	return f
}

func naiveOrders(events []*event.Event, now time.Time) (orders int64, revenue float64) {
	best := map[privacy.ID]*event.Event{}
	placed := map[privacy.ID]int64{}
	refunded := map[privacy.ID]int64{}
	whole := map[privacy.ID]bool{}
	for _, e := range events { // by time: the later of equal trust wins
		switch {
		case e.Kind == event.Refund && !e.Value.Set:
			whole[e.Order] = true
		case e.Kind == event.Refund:
			refunded[e.Order] += e.Value.Units
		case e.Kind == event.Purchase:
			if best[e.Order] == nil || e.Source == event.SourceServer {
				best[e.Order] = e
			}
			if at, ok := placed[e.Order]; !ok || e.OccurredAt < at {
				placed[e.Order] = e.OccurredAt
			}
		}
	}
	for order, e := range best {
		if placed[order]/1000 < now.Add(-90*24*time.Hour).Truncate(time.Hour).Unix() {
			continue
		}
		orders++
		if e.Value.Set && e.Rate != 0 && !whole[order] {
			revenue += float64(max(0, e.Value.Units-refunded[order])) / event.AmountScale
		}
	}
	return orders, revenue
}
