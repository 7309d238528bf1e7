package loader_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/recount"
	"beckon/internal/spool"
)

// shop makes events and keeps what a spool has acknowledged of them.
type shop struct {
	mu    sync.Mutex
	rng   *rand.Rand
	made  uint64
	acked recount.Events
}

func newShop() *shop { return &shop{rng: rand.New(rand.NewPCG(1, 2)), acked: recount.Events{}} }

// event is something that somebody did within the last hour: people and programs, in all lanes, orders
// that are reported twice and refunded.
func (s *shop) event() event.Event {
	s.made++
	r, key := s.rng, &keyring.Key{7}
	label := func(of string, n int) privacy.Label { return privacy.NewLabel(fmt.Append(nil, of, r.IntN(n))) }
	id := func(of string, n int) privacy.ID { return privacy.KeyedID(key, of, fmt.Append(nil, r.IntN(n))) }
	amount := func() event.Amount { return event.Amount{Units: r.Int64N(1_000_000), Set: r.IntN(4) > 0} }
	bucket := func(of ...string) privacy.Bucket { return privacy.NewBucket(of[r.IntN(len(of))]) }
	now := time.Now().UnixMilli()
	e := event.Event{
		Kind: event.Kind(1 + r.IntN(int(event.Refund))), Source: event.Source(1 + r.IntN(3)), Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
		ID:         event.UUID{6: 0x70, 8: 0x80, 12: byte(s.made >> 24), 13: byte(s.made >> 16), 14: byte(s.made >> 8), 15: byte(s.made)},
		ReceivedAt: now, OccurredAt: now - r.Int64N(time.Hour.Milliseconds()),
		Site: bucket("demo", "other"), Environment: privacy.NewBucket("production"),
		Visitor: id("visitor", 50), Session: id("session", 90), VisitorSince: now - 1e9,
		Country: bucket("", "DE", "NZ"), Device: bucket("mobile", "desktop"), Browser: bucket("", "Firefox"), Path: privacy.ScrubURL(fmt.Append(nil, "/p/", r.IntN(9))).Path,
		UTMSource: label("news", 3), Product: label("mug", 20), Quantity: r.Uint32N(5), Currency: privacy.NewBucket("EUR"), Rate: r.Int64N(2) * 92_000_000,
		CartValue: amount(), Value: amount(), Discount: amount(), ExpiresDay: 40_000, ProfileExpiresDay: 40_000,
	}
	switch r.IntN(10) {
	case 0:
		e.Bot = privacy.NewBucket("list")
	case 1:
		e.Lane, e.Visitor, e.Session = privacy.LaneCount, privacy.ID{}, privacy.ID{}
	}
	if e.Kind == event.Purchase || e.Kind == event.Refund {
		e.Order, e.Offer = id("order", 30), label("offer", 2)
		e.Items = []event.Item{{Product: label("mug", 20), Quantity: 1 + r.Uint32N(3)}}
	}
	if e.Lane == privacy.LaneCount {
		e.Order = privacy.ID{} // as the collector does
	}
	return e
}

// sells appends n events to a spool and notes them when they are acknowledged. Each change is made to all of them.
func (s *shop) sells(t testing.TB, to *spool.Spool, n int, change ...func(i int, e *event.Event)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for from := 0; from < n; from += 100 {
		var entries []spool.Entry
		for i := from; i < min(n, from+100); i++ {
			e := s.event()
			for _, f := range change {
				f(i, &e)
			}
			entries = append(entries, spool.Entry{Site: e.Site.String(), Fingerprint: s.made, Payload: e.AppendTo(nil)})
		}
		if err := to.Append(entries, nil); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			stored := new(event.Stored)
			if err := stored.Decode(e.Payload); err != nil {
				t.Fatal(err)
			}
			s.acked[stored.ID] = stored
		}
	}
}

func seal(t testing.TB, s *spool.Spool) {
	t.Helper()
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := conn.Exec(context.WithoutCancel(t.Context()), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
