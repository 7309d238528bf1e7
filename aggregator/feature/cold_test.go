package feature

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// reads is a ClickHouse that remembers what it was asked, and answers when it is told to.
type reads struct {
	mu    sync.Mutex
	asked []string // sites, one for each query
	keys  int
	err   error
	bad   map[Key]bool             // ClickHouse refuses what has one of them in it
	hold  map[string]chan struct{} // by site: its queries wait for this
	begun chan string
}

func (r *reads) Read(ctx context.Context, site string, keys []Key) ([]*Profile, error) {
	r.mu.Lock()
	r.asked, r.keys = append(r.asked, site), r.keys+len(keys)
	err, hold := r.err, r.hold[site]
	for _, k := range keys {
		if r.bad[k] {
			err = &clickhouse.Exception{Code: 241, Message: "memory limit exceeded"}
		}
	}
	r.mu.Unlock()
	r.begun <- site
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	profiles := make([]*Profile, len(keys))
	for i := range profiles {
		profiles[i] = &Profile{ReadAt: time.Now()}
	}
	return profiles, nil
}

func (r *reads) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *reads) count() (queries, keys int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked), r.keys
}

// cold is a Cold whose millisecond is over when the test says so, and whose clock it sets.
type coldTest struct {
	*Cold
	*reads
	millisecond chan time.Time
	clock       time.Time
}

func newCold(t *testing.T) *coldTest {
	t.Helper()
	store, err := NewStore(10_000)
	if err != nil {
		t.Fatal(err)
	}
	c := &coldTest{reads: &reads{hold: map[string]chan struct{}{}, begun: make(chan string, 1000)}, millisecond: make(chan time.Time), clock: time.Now()}
	c.Cold = NewCold(c.reads, store, slog.New(slog.DiscardHandler))
	c.after = func(time.Duration) <-chan time.Time { return c.millisecond }
	c.now = func() time.Time { return c.clock }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = c.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c *coldTest) over() { c.millisecond <- time.Time{} }

func visitorOf(site string, n int) Key {
	return Key{Site: site, Visitor: [16]byte{byte(n), byte(n >> 8), 1}}
}

func TestAllMissesOfAMillisecondAreOneQuery(t *testing.T) {
	c := newCold(t)
	var lookups []*lookup
	for n := range 300 {
		lookups = append(lookups, c.ask(visitorOf("demo", n%100)), c.ask(visitorOf("other", n%10)))
	}
	c.over()
	for _, l := range lookups {
		if <-l.done; l.profile == nil {
			t.Fatal("a visitor without rows is not known as one")
		}
	}
	if queries, keys := c.count(); queries != 2 || keys != 110 {
		t.Errorf("%d queries for %d visitors, want one for each site, for 110", queries, keys)
	}
	if c.store.Get(visitorOf("demo", 1)) == nil {
		t.Error("that there is nothing is not remembered, so it is asked again")
	}
}

func TestWhoIsBeingReadIsNotReadTwice(t *testing.T) {
	c := newCold(t)
	release := make(chan struct{})
	c.hold["demo"] = release
	first := c.ask(visitorOf("demo", 1))
	c.over()
	<-c.begun
	if second := c.ask(visitorOf("demo", 1)); second != first {
		t.Error("a second reading begins while the first is under way")
	}
	late, cancel := context.WithCancel(t.Context())
	cancel() // its deadline has passed
	if p := c.Load(late, visitorOf("demo", 1)); p != nil {
		t.Error("an answer after the deadline")
	}
	// Another query does not wait for the one that hangs.
	other := c.ask(visitorOf("other", 1))
	c.over()
	<-other.done
	close(release)
	<-first.done
	if c.store.Get(visitorOf("demo", 1)) == nil {
		t.Error("a reading that came too late for its caller is lost to the next")
	}
	if queries, _ := c.count(); queries != 2 {
		t.Errorf("%d queries", queries)
	}
}

func TestWhoIsBeingReadIsKnown(t *testing.T) {
	c := newCold(t)
	release := make(chan struct{})
	c.hold["demo"] = release
	k := visitorOf("demo", 1)
	first := c.ask(k)
	c.over()
	<-c.begun
	if known := c.store.known([]Key{k, visitorOf("demo", 2)}); len(known) != 1 || known[0] != k {
		t.Errorf("%d visitors are known, want the one whose profile is on its way", len(known))
	}
	close(release)
	<-first.done
	c.fail(errors.New("connection refused"))
	other := c.ask(visitorOf("other", 1))
	c.over()
	<-other.done
	if known := c.store.known([]Key{visitorOf("other", 1)}); len(known) != 0 || len(c.store.reading) != 0 {
		t.Errorf("somebody who could not be read is known")
	}
}

func TestWhoCouldNotBeReadIsNotAskedForAtOnce(t *testing.T) {
	c := newCold(t)
	c.fail(errors.New("connection refused"))
	l := c.ask(visitorOf("demo", 1))
	c.over()
	<-l.done
	for range 10 {
		if again := c.ask(visitorOf("demo", 1)); again != nil {
			t.Fatal("an answer waits for a ClickHouse that has just failed")
		}
	}
	c.fail(nil)
	c.clock = c.clock.Add(failedFor)
	l = c.ask(visitorOf("demo", 1))
	if l == nil {
		t.Fatal("a failure is remembered for longer than a moment")
	}
	c.over()
	if <-l.done; l.profile == nil {
		t.Error("nothing is known after the trouble")
	}
	if queries, _ := c.count(); queries != 2 {
		t.Errorf("%d queries, want the one that failed and one after it", queries)
	}
}

func TestWhoCannotBeReadCostsNobodyElse(t *testing.T) {
	c := newCold(t)
	c.bad = map[Key]bool{visitorOf("demo", 123): true}
	lookups := map[int]*lookup{}
	for n := range 500 {
		lookups[n] = c.ask(visitorOf("demo", n))
	}
	c.over()
	for n, l := range lookups {
		if <-l.done; (l.profile == nil) != (n == 123) {
			t.Errorf("visitor %d of 500, of whom one cannot be read: known %t", n, l.profile != nil)
		}
	}
	if queries, _ := c.count(); queries > 50 {
		t.Errorf("%d queries to find one visitor of 500", queries)
	}
	// Who is read with him pays nothing, however often he asks.
	c.clock = c.clock.Add(failedFor)
	bad, good := c.ask(visitorOf("demo", 123)), c.ask(visitorOf("demo", 1000))
	c.over()
	if <-good.done; good.profile == nil {
		t.Error("a visitor is not known, since another cannot be read")
	}
	<-bad.done
	if c.clock = c.clock.Add(failedFor); c.ask(visitorOf("demo", 123)) != nil {
		t.Error("who could not be read twice is asked for as soon as after the first time")
	}
	c.reads.mu.Lock()
	c.bad = nil
	c.reads.mu.Unlock()
	c.clock = c.clock.Add(failedFor)
	l := c.ask(visitorOf("demo", 123))
	if <-l.done; l.profile == nil {
		t.Error("he is not read again")
	}
}

func TestARoundIsNotReadInPartsWhereNobodyCanBeRead(t *testing.T) {
	c := newCold(t)
	c.fail(&clickhouse.Exception{Code: 60, Message: "no such table"})
	var lookups []*lookup
	for n := range 500 {
		lookups = append(lookups, c.ask(visitorOf("demo", n)))
	}
	c.over()
	for _, l := range lookups {
		<-l.done
	}
	if queries, _ := c.count(); queries != 2 {
		t.Errorf("%d queries, want the one that failed and one that asks whether others do", queries)
	}
}

// Those who are refused one by one, and do not come back.
func TestWhoIsSetAsideIsRememberedWithinBounds(t *testing.T) {
	c := NewCold(nil, nil, slog.New(slog.DiscardHandler))
	for n := range maxFailed + 100 {
		k := visitorOf("demo", n)
		c.pending[k] = &lookup{done: make(chan struct{})}
		c.setAside(k, errors.New("refused"))
		if len(c.failed) > maxFailed {
			t.Fatalf("%d failures are remembered", len(c.failed))
		}
	}
	if c.failed[visitorOf("demo", maxFailed+99)].alone == 0 {
		t.Error("the last of them is not set aside")
	}
}

func TestWaitingIsBounded(t *testing.T) {
	c := newCold(t)
	for n := range maxWaiting {
		if c.ask(visitorOf("demo", n)) == nil {
			t.Fatalf("%d wait, and the next may not", n)
		}
	}
	if c.ask(visitorOf("other", 1)) != nil {
		t.Error("one more may wait than there is room for")
	}
	c.fail(errors.New("too slow"))
	c.over()
	for range maxWaiting / chunk {
		<-c.begun
	}
	for {
		c.Cold.mu.Lock()
		waiting, failed := len(c.pending), len(c.failed)
		c.Cold.mu.Unlock()
		if failed > maxFailed {
			t.Fatalf("%d failures are remembered", failed)
		}
		if waiting == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
