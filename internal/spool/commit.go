package spool

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loosePatience    = time.Second            // counts that came without a record wait so long for a commit
	counterPatience  = time.Minute            // a segment of counters alone is sealed after it
	osSyncInterval   = 100 * time.Millisecond // what SyncOS can lose in a power loss
	maxGatheredBytes = 4 << 20                // appenders wait while so much waits for the disk
)

// fate is what all callers of one commit wait for and share. It is used again when the committer and the last
// of them have let go of it, so that a commit allocates nothing.
type fate struct {
	done    sync.WaitGroup
	err     error // set before done
	holders atomic.Int32
}

var fates = sync.Pool{New: func() any { return new(fate) }}

// newFate returns one that its caller holds, and settles.
func newFate() *fate {
	f := fates.Get().(*fate)
	f.err = nil
	f.holders.Store(1)
	f.done.Add(1)
	return f
}

// hold is called before wait, by who knows that the fate is not settled yet.
func (f *fate) hold() { f.holders.Add(1) }

func (f *fate) wait() error {
	f.done.Wait()
	err := f.err
	f.release()
	return err
}

func (f *fate) settle(err error) {
	f.err = err
	f.done.Done()
	f.release()
}

func (f *fate) release() {
	if f.holders.Add(-1) == 0 {
		fates.Put(f)
	}
}

// commit is the shared buffer of a group commit. There are two: one gathers while the other is written.
type commit struct {
	frames  []byte // closed, not finished: sequences and checksums are the committer's
	records int
	ids     idSet
	counts  counts // die with the commit
	loose   counts // of calls that did not wait; survive a failed commit
	awaited bool   // somebody waits for fate
	fate    *fate

	reserved int64 // bytes counted as used while it is written
}

func newCommit() *commit {
	return &commit{counts: make(counts), loose: make(counts), fate: newFate()}
}

func (c *commit) reset() {
	c.frames = c.frames[:0]
	c.records = 0
	c.ids.clear()
	clear(c.counts)
	clear(c.loose)
	c.awaited = false
	c.fate = newFate()
}

// gather adds the entries to the commit and marks the repeats. It reports whether the caller has to
// wait for the commit: not when each is a repeat of what is durable already.
func (s *Spool) gather(c *commit, entries []Entry) (wait bool) {
	s.window.fetch(entries)
	for i := range entries {
		e := &entries[i]
		e.Duplicate = false
		if id := e.Fingerprint; id != 0 {
			switch {
			case c.ids.has(id), s.flying != nil && s.flying.ids.has(id):
				e.Duplicate, wait = true, true // the flying commit settles before this one, and takes it along when it fails
				continue
			case s.window.has(id):
				e.Duplicate = true
				continue
			}
			c.ids.add(id)
		}
		c.frames = appendRecord(c.frames, e)
		c.records++
		wait = true
	}
	return wait
}

// tally adds what became of the entries to the counts, one addition for each run of the same site.
func tally(c counts, minute int64, entries []Entry) (duplicates int) {
	for len(entries) > 0 {
		site, n, repeats := entries[0].Site, 0, 0
		for n < len(entries) && entries[n].Site == site {
			if entries[n].Duplicate {
				repeats++
			}
			n++
		}
		c.add(site, minute, ReasonAccepted, uint64(n))
		c.add(site, minute, ReasonStored, uint64(n-repeats))
		c.add(site, minute, ReasonDuplicate, uint64(repeats))
		duplicates += repeats
		entries = entries[n:]
	}
	return duplicates
}

// order is what one round of the committer has to do.
type order struct {
	commit   *commit // nil: nothing to write
	seal     *fate   // not nil: seal, and say so
	interval time.Duration
	closing  bool
}

// commitLoop is the only goroutine that writes segments. Each round writes what has gathered meanwhile, wakes
// those who waited for it, and seals the segment when that is due.
func (s *Spool) commitLoop() {
	defer close(s.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
			// Who wakes this goroutine is about to wait, and the scheduler would run it next: a commit of one. Behind
			// those who are ready to append as well, it writes for all of them.
			runtime.Gosched()
		case <-timer.C:
		}
		o := s.takeOrder()
		if o.commit != nil {
			s.settle(o.commit, s.write(o.commit))
		}
		if s.failure() == nil && s.sealDue(o) {
			s.seal()
		}
		if o.seal != nil {
			s.jobs <- func() { o.seal.settle(s.failure()) } // behind the sealing
		}
		if o.closing {
			close(s.jobs)
			return
		}
		timer.Reset(s.pause(o.interval))
	}
}

// takeOrder swaps the two commits when the gathering one has to be written now.
func (s *Spool) takeOrder() order {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := order{seal: s.sealing, interval: s.interval, closing: s.closed}
	s.sealing = nil
	c := s.gathering
	looseDue := len(s.loose) > 0 && s.used.Load() < s.bound.Load() &&
		(o.seal != nil || o.closing || time.Since(s.looseSince) >= loosePatience)
	if !c.awaited && !looseDue {
		return o
	}
	c.loose, s.loose = s.loose, c.loose
	s.gathering, s.idle = s.idle, nil
	s.flying = c
	c.reserved = int64(len(c.frames))
	s.used.Add(c.reserved)
	s.room.Broadcast()
	o.commit = c
	return o
}

// write makes a commit durable, all of it or none.
func (s *Spool) write(c *commit) error {
	if err := s.failure(); err != nil {
		return err
	}
	began := time.Now()
	if w := s.writer; w != nil && w.records > 0 && w.size+c.reserved > s.o.SegmentBytes {
		s.seal()
	}
	if s.writer == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	w, millis := s.writer, s.millis()
	c.counts.merge(c.loose)
	s.keys = c.counts.keys(s.keys[:0])
	c.frames = appendCommit(c.frames, w.sequence, millis, c.counts, s.keys)
	after := finishFrames(c.frames, w.seed, w.sequence)
	if err := s.append(w, c.frames); err != nil {
		return err
	}
	if err := s.sync(w); err != nil {
		return err
	}
	w.sequence = after
	w.size += int64(len(c.frames))
	w.records += c.records
	if w.began.IsZero() {
		w.began = began
	}
	if w.filled.IsZero() && c.records > 0 {
		w.filled = began
	}
	s.enter(c, w, millis)
	s.metrics.commits.Inc()
	s.metrics.commitSeconds.Observe(time.Since(began).Seconds())
	s.metrics.records.Add(float64(c.records))
	return nil
}

// sync makes the open segment durable, or asks the background to.
func (s *Spool) sync(w *writer) error {
	if s.o.Sync == SyncOS {
		s.unsynced.Store(w)
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync segment %d: %w", w.seg.number, err))
	}
	return nil
}

// enter makes a written commit known: its ids are repeats from now on, its counts are its segment's.
func (s *Spool) enter(c *commit, w *writer, millis int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.windowMillis()
	for id := range c.ids.all() {
		s.window.add(id, at)
	}
	seg := w.seg
	s.used.Add(w.size - seg.bytes - c.reserved)
	seg.bytes = w.size
	seg.records = w.records
	seg.counts.merge(c.counts)
	clear(c.loose)
	if seg.first == 0 {
		seg.first = millis
	}
	seg.last = millis
}

// settle tells the callers of a commit what became of it. A failed commit forgets its ids, keeps the
// loose counts for the next one, and takes with it what gathered behind it: that may hold repeats of
// entries that are not stored now.
func (s *Spool) settle(c *commit, err error) {
	done := []*fate{c.fate}
	s.mu.Lock()
	s.flying, s.idle = nil, c
	if err != nil {
		s.used.Add(-c.reserved)
		s.loose.merge(c.loose)
		s.looseSince = time.Now()
		done = append(done, s.gathering.fate)
		s.gathering.reset()
		s.room.Broadcast()
	}
	c.reset()
	s.mu.Unlock()
	for _, f := range done {
		f.settle(err)
	}
}

// sealDue says whether the open segment is to be sealed in this round.
func (s *Spool) sealDue(o order) bool {
	w := s.writer
	switch {
	case w == nil || w.began.IsZero():
		return false // nothing in it
	case o.seal != nil, o.closing, w.size >= s.o.SegmentBytes:
		return true
	}
	at, ok := w.sealTime(o.interval)
	return ok && !time.Now().Before(at) && s.hasNext()
}

// sealTime is when the segment is sealed if nothing more happens; false: by size alone.
func (w *writer) sealTime(interval time.Duration) (time.Time, bool) {
	switch {
	case w.began.IsZero():
		return time.Time{}, false
	case w.records == 0:
		return w.began.Add(counterPatience), true
	default:
		return w.filled.Add(interval), interval > 0
	}
}

// pause is how long the committer may sleep when nobody wakes it.
func (s *Spool) pause(interval time.Duration) time.Duration {
	pause := time.Hour
	if s.writer != nil && s.hasNext() {
		if at, ok := s.writer.sealTime(interval); ok {
			pause = time.Until(at)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failErr != nil {
		return time.Hour // what is due will never be done
	}
	if len(s.loose) > 0 {
		pause = min(pause, max(time.Until(s.looseSince.Add(loosePatience)), osSyncInterval))
	}
	return max(pause, 0)
}

// nudge wakes the committer. One signal waiting is enough: each round takes all there is.
func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
