package loader

import (
	"testing"
	"time"
)

func TestBatchesGatherForAsLongAsInsertsNeed(t *testing.T) {
	f := func(want time.Duration, inserts ...time.Duration) {
		t.Helper()
		if got := sealingFor(inserts); got != want {
			t.Errorf("inserts of %v: %s, want %s", inserts, got, want)
		}
	}
	const ms = time.Millisecond
	f(250*ms, 10*ms)
	f(400*ms, 50*ms)
	f(500*ms, 100*ms)
	f(500*ms, 300*ms)
	f(1500*ms, 1000*ms) // or they would pile up
	f(10*time.Second, time.Minute)
	f(400*ms, 10*ms, 50*ms, time.Minute) // one that was slow says nothing
}

// gatherer is a source that only notes how long batches shall gather.
type gatherer struct {
	Source
	interval time.Duration
}

func (g *gatherer) Sealing(interval time.Duration) { g.interval = interval }

func TestWhatAnOutageLeftIsNoMeasureForWhatGathersNow(t *testing.T) {
	const fresh, late = false, true
	g := &gatherer{}
	l := New(Config{Source: g, Table: Events()})
	f := func(want, took time.Duration, of bool) {
		t.Helper()
		if l.succeeded(took, 1, of); g.interval != want {
			t.Errorf("after an insert of %s, late: %t: %s, want %s", took, of, g.interval, want)
		}
	}
	const ms = time.Millisecond
	f(3000*ms, 3000*ms, late)
	f(3000*ms, 100*ms, fresh) // goes in between
	for range recent {
		f(2000*ms, 2000*ms, late)
	}
	f(2000*ms, 100*ms, fresh)
	f(500*ms, 100*ms, fresh) // the outage is over
	f(10*time.Second, time.Minute, late)
	f(10*time.Second, 100*ms, fresh)
	f(500*ms, 100*ms, fresh)
	f(500*ms, 100*ms, late)
	for range recent {
		l.succeeded(1000*ms, 1, late)
		l.succeeded(1000*ms, 1, fresh)
	}
	f(1500*ms, 1000*ms, late) // nobody keeps up: they must not come faster than they go
	l = New(Config{Source: g, Table: Events(), Gather: 2 * time.Second})
	f(2000*ms, 10*ms, fresh) // nobody waits for these
	f(3000*ms, 2000*ms, fresh)
}
