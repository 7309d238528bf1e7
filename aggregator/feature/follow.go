package feature

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"beckon/internal/chconn"
)

const (
	pollEvery    = 50 * time.Millisecond // a look costs ClickHouse some 4 ms
	queryTimeout = 10 * time.Second
	readTimeout  = 3 * time.Second // a thousand visitors cost some 120 ms of ClickHouse; who takes longer is set aside
	errorBackoff = time.Second
	chunk        = 1000           // visitors in one read
	groupSize    = 16             // batches whose visitors are read together
	groupRows    = 10_000         // and their rows, but for one batch: one of a backlog changes thousands of visitors
	changesKept  = 48 * time.Hour // visitor_changes keeps a change for three days, counted by date
	lateRows     = 25_000         // of late batches that are taken together, while whoever shops now waits
)

// Follower keeps a Store up to date: it watches `loads` for batches it has not processed, asks
// which visitors they changed, and reads those visitors again. It follows batches and not a clock,
// since a change feed row becomes visible before the aggregates it announces; a `loads` row comes
// after both.
//
// Who is in no store is read when somebody asks for them. That they are read before is for those who are shopping
// now. So a batch that comes late, after an outage, has only those visitors read again who are in the store, a
// few at a time, when no other batch waits: reading everybody would take ClickHouse as long as loading them did.
type Follower struct {
	reader   *Reader
	profiles ProfileReader // the same
	store    *Store
	changed  func(keys []Key) // told after the store has the new profiles
	log      *slog.Logger
	now      func() time.Time

	mu        sync.Mutex          // of these two, which Run alone changes
	processed map[batch]time.Time // when they were loaded, by ClickHouse's clock
	looked    time.Time           // by ClickHouse's clock: what was loaded before is in the store; zero before the first look

	farLook  time.Time // when the last look that looked back far began, by our clock
	late     []load    // late batches that are being processed
	lateKeys []Key     // who of them is still to be read again

	aside aside

	delay *prometheus.HistogramVec

	begin      sync.Once
	begun      chan struct{} // closed after the first look of this run
	completeAt atomic.Int64  // Unix milliseconds: every batch loaded before is in the store
}

// NewFollower returns a follower that has read nothing yet. changed may be nil, and must not keep it waiting.
func NewFollower(r *Reader, s *Store, changed func([]Key), log *slog.Logger, reg prometheus.Registerer) *Follower {
	return &Follower{
		reader: r, profiles: r, store: s, changed: changed, log: log, now: time.Now, processed: map[batch]time.Time{}, begun: make(chan struct{}),
		delay: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "beckon_features_delay_seconds", Help: "How old the first event of a batch was when decisions knew it, backlogs left out: whole, and by step.",
			Buckets: prometheus.ExponentialBuckets(0.01, 1.6, 16),
		}, []string{"step"}),
		aside: newAside(log, reg),
	}
}

// CompleteAt is the moment up to which all loaded changes are in the store, of everybody who is in it:
// who is aside is not. Zero before the first successful look.
func (f *Follower) CompleteAt() time.Time {
	if ms := f.completeAt.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// position is where the follower is in the feed: every batch before it is in the store.
func (f *Follower) position() snapshotHead {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := snapshotHead{Looked: f.looked, CompleteAt: f.completeAt.Load(), Processed: make([]snapshotBatch, 0, len(f.processed))}
	for b, at := range f.processed {
		head.Processed = append(head.Processed, snapshotBatch{b.spool, b.segment, at})
	}
	return head
}

// resume goes on from the position of an earlier run, whose visitors are in the store. It is called before Run.
func (f *Follower) resume(head snapshotHead) {
	f.looked = head.Looked
	f.completeAt.Store(head.CompleteAt)
	for _, b := range head.Processed {
		f.processed[batch{b.Spool, b.Segment}] = b.At
	}
}

// Begun is closed after the first look. No visitor may be read into the store before:
// that look takes for granted that the store is empty.
func (f *Follower) Begun() <-chan struct{} { return f.begun }

// Run follows until ctx ends. While ClickHouse is down it keeps trying; the store keeps what it has
// and CompleteAt stands still, which is how an answer's age becomes visible.
func (f *Follower) Run(ctx context.Context) error {
	var retries sync.WaitGroup
	retries.Go(func() { f.retryAside(ctx) })
	defer retries.Wait()
	failing := false
	for {
		wait := pollEvery
		err := f.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errConnecting): // a look-up is at it, and will be done soon
		case err != nil:
			if !failing {
				f.log.Error("cannot follow changes, answering from memory", "error", err)
			}
			failing, wait = true, errorBackoff
		case failing:
			failing = false
			f.log.Info("following changes again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// poll processes the batches that were loaded since the last look, the newest few of them: there can be more to read
// than any one deadline allows, and what is done need not be done again. The late ones come last.
func (f *Follower) poll(ctx context.Context) error {
	start := f.now()
	far := f.looked.IsZero() || start.Sub(f.farLook) >= farLookEvery
	fresh, clock, err := f.newLoads(ctx, far)
	if err != nil {
		return err
	}
	if far {
		f.farLook = start
	}
	switch {
	case f.looked.IsZero():
		// The store is empty, and whatever is read from now on has these batches in it.
		f.remember(fresh)
		fresh = nil
	case clock.Sub(f.looked) > changesKept:
		// Who changed is forgotten by now, so everybody has to be read again.
		f.store.Clear()
		f.mu.Lock()
		f.looked = clock.Add(-loadsLookBack) // so that this is done once
		f.mu.Unlock()
		fresh = slices.DeleteFunc(fresh, func(l load) bool { return clock.Sub(l.at) > loadsLookBack })
	}
	if err := f.work(ctx, start, clock, fresh); err != nil {
		return err
	}
	f.moveOn(start, clock, fresh)
	f.begin.Do(func() { close(f.begun) })
	return nil
}

// work does as much of the batches as is for one look, which began at start by our clock and at clock by ClickHouse's.
func (f *Follower) work(ctx context.Context, start, clock time.Time, fresh []load) error {
	now, late := inTurn(fresh)
	group := upTo(groupRows, now[:min(len(now), groupSize)])
	if err := f.process(ctx, group); err != nil {
		return err
	}
	f.observe(group, clock, f.now().Sub(start))
	if len(group) < len(now) || len(late) == 0 {
		return nil // look again first: a newer one may be there
	}
	return f.catchUp(ctx, late)
}

// inTurn tells the late ones of batches from the others. Of these the newest comes first: who has just done something.
// Of the late ones the oldest does, by which moveOn goes.
func inTurn(fresh []load) (now, late []load) {
	for _, l := range fresh {
		if l.late() {
			late = append(late, l)
		} else {
			now = append(now, l)
		}
	}
	slices.Reverse(now)
	return now, late
}

// moveOn notes how far a look has come that found these batches, the oldest first: up to the oldest that is still
// to be done. So a backlog that takes hours, where there is always something left, holds up neither CompleteAt nor
// the forgetting of what is done.
func (f *Follower) moveOn(start, clock time.Time, fresh []load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := clock
	for _, l := range fresh {
		if _, done := f.processed[l.batch]; !done {
			to = l.at
			break
		}
	}
	if to.Before(f.looked) { // its row was seen late: newLoads looks back that far
		to = f.looked
	}
	if to.After(clock) { // which was set back
		to = clock
	}
	f.looked = to
	for b, at := range f.processed {
		if to.Sub(at) > 2*loadsLookBack {
			delete(f.processed, b)
		}
	}
	f.completeAt.Store(start.Add(to.Sub(clock)).UnixMilli())
}

// upTo is the first of some batches, as many as have that many rows together.
func upTo(rows uint64, list []load) []load {
	sum := uint64(0)
	for i, l := range list {
		if sum += l.rows; sum > rows {
			return list[:max(i, 1)]
		}
	}
	return list
}

// process reads the visitors again whom some batches have changed.
func (f *Follower) process(ctx context.Context, group []load) error {
	if len(group) == 0 {
		return nil
	}
	keys, err := f.changedVisitors(ctx, group)
	if err != nil {
		return err
	}
	if err := f.refresh(ctx, keys); err != nil {
		return err
	}
	f.remember(group)
	return nil
}

// catchUp does a little for the late batches; the next look goes on. A read that began before one of them was loaded
// and ends after this is no trouble: its visitors are known to the store, and the later of two reads stays.
func (f *Follower) catchUp(ctx context.Context, late []load) error {
	if len(f.late) == 0 {
		group := upTo(lateRows, late[:min(len(late), groupSize)])
		keys, err := f.changedVisitors(ctx, group)
		if err != nil {
			return err
		}
		f.late, f.lateKeys = group, f.store.known(keys)
	}
	n := min(len(f.lateKeys), chunk)
	if err := f.refresh(ctx, f.lateKeys[:n]); err != nil {
		return err
	}
	if f.lateKeys = f.lateKeys[n:]; len(f.lateKeys) == 0 {
		f.remember(f.late)
		f.late, f.lateKeys = nil, nil
	}
	return nil
}

// observe notes how long some batches took to become known, each duration by the clock of one machine.
func (f *Follower) observe(group []load, clock time.Time, read time.Duration) {
	for _, l := range group {
		if l.rows == 0 {
			continue
		}
		load, notice := time.Duration(l.waited)*time.Millisecond, max(0, clock.Sub(l.at))
		f.delay.WithLabelValues("gather").Observe(l.gathered.Seconds())
		f.delay.WithLabelValues("load").Observe(load.Seconds())
		f.delay.WithLabelValues("notice").Observe(notice.Seconds())
		f.delay.WithLabelValues("read").Observe(read.Seconds())
		f.delay.WithLabelValues("whole").Observe((l.gathered + load + notice + read).Seconds())
	}
}

func (f *Follower) remember(loads []load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range loads {
		f.processed[l.batch] = l.at
	}
}

// refresh reads the visitors again and puts them into the store. Who cannot be read is set aside.
func (f *Follower) refresh(ctx context.Context, keys []Key) error {
	keys, again := f.aside.without(keys)
	f.store.forget(again) // until they are read, what is known of them is not what they did
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && n < chunk && keys[n].Site == keys[0].Site {
			n++
		}
		part := keys[:n]
		keys = keys[n:]
		if err := f.read(ctx, part, readTimeout); err != nil {
			if ctx.Err() != nil || !ofTheRead(err) || readNobody(ctx, f.profiles, part[0].Site, readTimeout) != nil || !f.aside.add(part, f.now(), err) {
				return err
			}
			f.store.forget(part)
		}
	}
	return nil
}

// read reads visitors of one site into the store.
func (f *Follower) read(ctx context.Context, part []Key, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := f.store.fill(chconn.WithPriority(limited, 2), f.profiles, part[0].Site, part, f.now); err != nil { // after who is waited for
		return err
	}
	if f.changed != nil {
		f.changed(part)
	}
	return nil
}
