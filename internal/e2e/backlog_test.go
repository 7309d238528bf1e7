package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/spool"
)

// backlogEvents is what has gathered while ClickHouse was down: little in `make test`, and in `make fault`
// BECKON_FAULT_BACKLOG, 3 million, which are ten minutes at 5,000 a second.
func backlogEvents(t *testing.T) (n int, full bool) {
	text := os.Getenv("BECKON_FAULT_BACKLOG")
	if text == "" {
		return 30_000, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BECKON_FAULT_BACKLOG=%q is no number of events", text)
	}
	return n, true
}

const patience = 3 * time.Minute // on a machine that is busy with other tests too

const (
	outageRate    = 5000            // events per second that the backlog stands for
	drainFactor   = 4               // the bar: it drains so many times faster than it gathered
	decisionLimit = 5 * time.Second // the bar: no decision waits longer, while it drains
)

// growthLimit is what a backlog may cost the collector in memory, in MiB, however long it is: one batch at a time in
// columns, of segments of 1 MiB; in full of 8 MiB, with the window of 4 million repeats (48 MiB).
func growthLimit(full bool) int {
	if full {
		return 48 + 96
	}
	return 48
}

func reached(bar bool) string {
	if bar {
		return "reached"
	}
	return "MISSED"
}

func TestBacklogOfAnOutageDrainsBesideFreshEvents(t *testing.T) {
	events, full := backlogEvents(t)
	s := startStack(t)
	s.newVisitor("demo").becomesEligible()
	before := s.collector.resident(t)
	if code := s.collector.stop(); code != 0 {
		t.Fatalf("the collector ended with %d", code)
	}
	s.killClickHouse()
	bytes := s.gathers(events, full)
	s.collector.start()
	waiting := s.collector.resident(t)
	s.restartClickHouse()
	began := time.Now()
	var peak int
	var took []time.Duration
	for s.spooled(t) > events/50 {
		v := s.newVisitor("demo")
		v.comesTwice()
		acknowledged := time.Now()
		for v.asks(s.aggregator).ID == "" {
			if time.Since(acknowledged) > patience {
				t.Fatalf("no decision within %s", patience)
			}
			time.Sleep(pollEvery)
		}
		took = append(took, time.Since(acknowledged))
		if took[len(took)-1] > decisionLimit {
			t.Logf("a decision took %s, of an event acknowledged %s after ClickHouse was back",
				took[len(took)-1].Round(time.Millisecond), acknowledged.Sub(began).Round(time.Millisecond))
		}
		peak = max(peak, s.collector.resident(t))
	}
	s.drained()
	drain := time.Since(began)
	faster := float64(events) / outageRate / drain.Seconds()
	slices.Sort(took)
	if n := s.number("SELECT count() FROM events WHERE product = 'backlog'"); n != events {
		t.Errorf("%d events of the outage are there, want %d", n, events)
	}
	if n := s.number("SELECT uniqExact(event_id) FROM events WHERE product = 'backlog'"); n != events {
		t.Errorf("%d different events of the outage are there, want %d", n, events)
	}
	t.Logf("outage: %d events in %d MiB, gathered in %s at %d/s; drained in %s, %.0f/s, %.1f times faster", events, bytes>>20,
		time.Duration(events/outageRate)*time.Second, outageRate, drain.Round(100*time.Millisecond), float64(events)/drain.Seconds(), faster)
	growth, limit := peak-before, growthLimit(full)
	t.Logf("collector's resident memory: %d MiB before, %d MiB with the backlog on disk, at most %d MiB while it drained: %d MiB more, of %d allowed",
		before, waiting, peak, growth, limit)
	if growth > limit {
		t.Errorf("the collector grew by %d MiB, want at most %d", growth, limit)
	}
	if len(took) == 0 {
		t.Fatal("the backlog was gone before a decision could be measured beside it")
	}
	longest := took[len(took)-1]
	t.Logf("from a new event to the decision that it changes, meanwhile: median %s, longest %s of %d",
		took[len(took)/2].Round(time.Millisecond), longest.Round(time.Millisecond), len(took))
	if full { // with little, the start of ClickHouse is most of it
		t.Logf("drained at least %d times faster than it gathered: %s; every decision within %s: %s",
			drainFactor, reached(faster >= drainFactor), decisionLimit, reached(longest <= decisionLimit))
	}
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	s.ledgerCloses()
	s.killClickHouse() // a stop would wait for its merges
}

// gathers writes events into the collector's spool as it does while ClickHouse is down, and returns their bytes.
func (s *stack) gathers(events int, full bool) int64 {
	s.t.Helper()
	// What was written faster than it would come is stamped as it would have: how long a batch has waited matters later.
	outage, sent := time.Now().Add(-time.Duration(events)*time.Second/outageRate), 0
	var clock atomic.Int64 // of the spool's goroutines too: time since the outage began
	at := func() time.Time { return outage.Add(time.Duration(clock.Load())) }
	o := spool.Options{Sync: spool.SyncOS, Now: at}
	if !full {
		o.SegmentBytes = 1 << 20
	}
	sp, err := spool.Open(s.path("spool"), o)
	if err != nil {
		s.t.Fatal(err)
	}
	sp.Sealing(0)
	rng, key := rand.New(rand.NewPCG(1, 1)), &keyring.Key{1}
	kinds := []event.Kind{event.PageView, event.PageView, event.ProductView, event.CollectionView, event.CartAdd}
	for sent < events {
		var entries []spool.Entry
		clock.Store(int64(time.Duration(sent) * time.Second / outageRate))
		now := at().UnixMilli()
		for range min(2000, events-sent) {
			sent++
			who := fmt.Append(nil, rng.IntN(max(100, events/30)))
			e := event.Event{
				Kind: kinds[rng.IntN(len(kinds))], Source: event.SourceBeacon, Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
				ID:         event.UUID{6: 0x70, 8: 0x80, 12: byte(sent >> 24), 13: byte(sent >> 16), 14: byte(sent >> 8), 15: byte(sent)},
				ReceivedAt: now, OccurredAt: now - rng.Int64N(600_000), Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("production"),
				Visitor: privacy.KeyedID(key, "visitor", who), Session: privacy.KeyedID(key, "session", who), VisitorSince: now - 1e6,
				Country: privacy.NewBucket("DE"), Device: privacy.NewBucket("mobile"), Browser: privacy.NewBucket("Chrome"), OS: privacy.NewBucket("Android"),
				Path: privacy.ScrubURL(fmt.Append(nil, "/p/", rng.IntN(600))).Path, Product: privacy.NewLabel([]byte("backlog")),
				Rate: event.RateScale, ExpiresDay: 40_000, ProfileExpiresDay: 40_000,
			}
			entries = append(entries, spool.Entry{Site: "demo", Fingerprint: rng.Uint64(), Payload: e.AppendTo(nil)})
		}
		if err := sp.Append(entries, nil); err != nil {
			s.t.Fatal(err)
		}
	}
	bytes := sp.Stats().Bytes
	if err := sp.Close(); err != nil {
		s.t.Fatal(err)
	}
	return bytes
}

// resident is the memory that a service holds, in MiB.
func (p *service) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("resident memory: %v", err)
	}
	return kib >> 10
}
