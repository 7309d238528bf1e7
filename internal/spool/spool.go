package spool

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrFull means that there is no room now; nothing was accepted, and a later try may succeed.
	ErrFull = errors.New("spool is full")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("spool is closed")
	// ErrFailed means that the disk failed: whether the entries are stored is not known, and nothing is
	// accepted any more. The process must exit, because a later fsync may report a success that is none;
	// the next Open reads what is really there.
	ErrFailed = errors.New("spool has failed")
	// ErrDamaged means that a batch has fewer records on the disk than it was sealed with. Reread describes what is left.
	ErrDamaged = errors.New("sealed batch is damaged")
	// ErrUnreadable means that the disk does not give back the file of a batch, or that it has gone. It may pass; if it
	// does not, Salvage describes what can be read.
	ErrUnreadable = errors.New("sealed batch cannot be read")
)

// ID names a spool directory. It is random, and part of every token and checksum.
type ID [16]byte

// String returns 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Sync says what Append waits for.
type Sync uint8

const (
	// SyncAlways waits for an fsync: entries survive a power loss.
	SyncAlways Sync = iota
	// SyncOS waits for the write only: entries survive kill -9, and a power loss costs the last 100 ms, or what
	// came while the disk was busy with an fsync.
	SyncOS
)

// Options for Open. The zero value of each field means the default in its comment.
type Options struct {
	Sync         Sync
	MaxBytes     int64                 // of all segments together; 4 GiB. Ids files come on top: 8 bytes an id of the window
	Reserve      int64                 // free bytes to leave on the disk, though never over a twentieth of it; 0: the disk is not watched
	SegmentBytes int64                 // a segment is sealed at this size; 8 MiB
	Window       time.Duration         // how long repeats are recognised; 1 h
	WindowIDs    int                   // and how many ids back at least; 4 million
	Now          func() time.Time      // stamps minutes and ages; time.Now
	FS           FS                    // Disk
	Log          *slog.Logger          // slog.Default()
	Registerer   prometheus.Registerer // nil: no metrics
}

const (
	defaultSealing = 250 * time.Millisecond
	maxNameBytes   = 255 // of a site or a reason: their length is one byte on disk
)

func (o *Options) setDefaults() {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 30
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 8 << 20
	}
	if o.Window <= 0 {
		o.Window = time.Hour
	}
	if o.WindowIDs <= 0 {
		o.WindowIDs = 4_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = Disk
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Spool is an open spool directory. Its methods may be called from any goroutine.
type Spool struct {
	dir     string
	o       Options
	fs      FS
	log     *slog.Logger
	id      ID
	lock    File
	metrics *metrics

	opened time.Time
	since  func(time.Time) time.Duration // by Options.Now, whose steps do not count when it is time.Now

	wake       chan struct{} // to the committer, holds one
	stopped    chan struct{} // the committer has ended
	failed     chan struct{} // see Failed
	background sync.WaitGroup
	unsynced   atomic.Pointer[writer] // what the keeper has to sync; SyncOS

	// Between the committer and the keeper (keeper.go).
	jobs   chan func()
	spares chan *writer
	next   uint64 // segment number; the keeper's while a spare is ordered, else the committer's

	// Of the committer alone.
	writer  *writer
	ordered bool // a spare is, and was not taken yet
	keys    []countKey

	finishing sync.Mutex // one Done at a time
	idsFiles  []idsFile  // by number; guarded by finishing

	reading sync.Mutex // one reader of sealed segments at a time
	scratch []byte     // that all of them are read into, so that a backlog leaves no garbage; guarded by reading

	mu         sync.Mutex // guards what follows; never held during I/O
	room       *sync.Cond // gathering has been taken, or nobody may wait any more
	gathering  *commit
	flying     *commit // being written, or nil
	idle       *commit // the other one, when nothing is being written
	loose      counts
	looseSince time.Time
	window     *window
	used       atomic.Int64  // bytes of all segments, and of the flying commit; written under mu
	bound      atomic.Int64  // of used: MaxBytes, or less (room.go); written under mu
	blind      bool          // the last measurement of the disk failed
	unsealed   []*segment    // by number: those that the keeper has to finish, and the open one
	sealed     []*segment    // by number
	changed    chan struct{} // closed and renewed when sealed grows or the spool closes
	ahead      int64         // bytes of fresh batches that may still go before the oldest
	behind     bool          // a full batch of an outage was handed out last: before the next, what is open is sealed
	interval   time.Duration
	sealing    *fate // wanted by Seal
	closed     bool
	failErr    error // what everybody gets once failed is closed
}

// Open takes the directory for this process, creates it when missing, and recovers what is in it.
// It reads every segment, at about the speed of the disk.
func Open(dir string, o Options) (*Spool, error) {
	o.setDefaults()
	s := &Spool{
		dir: dir, o: o, fs: o.FS, log: o.Log.With("spool", dir),
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), failed: make(chan struct{}), changed: make(chan struct{}),
		jobs: make(chan func(), 2), spares: make(chan *writer, 1),
		gathering: newCommit(), idle: newCommit(), loose: make(counts),
		window: newWindow(o.Window, o.WindowIDs), interval: defaultSealing,
	}
	s.opened, s.since = o.Now(), func(t time.Time) time.Duration { return o.Now().Sub(t) }
	s.room = sync.NewCond(&s.mu)
	s.metrics = newMetrics(s)
	s.bound.Store(o.MaxBytes)
	if err := s.recover(); err != nil {
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	if err := s.metrics.register(o.Registerer); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), s.lock.Close())
	}
	go s.commitLoop()
	s.background.Go(s.keepLoop)
	if o.Reserve > 0 {
		s.measureRoom()
		s.background.Go(s.roomLoop)
	}
	return s, nil
}

// ID names this spool.
func (s *Spool) ID() ID { return s.id }

// Entry is one record of an Append call. Site is at most 255 bytes, Payload at most about 1 MiB; both are copied.
type Entry struct {
	Site        string
	Fingerprint uint64 // a keyed hash of what makes the record unique; 0: never a duplicate
	Payload     []byte
	Duplicate   bool // set by Append: a repeat within the window, not stored again
}

// Append makes all entries durable, in order, and returns when they are; or it accepts none and returns
// ErrFull, ErrClosed or ErrFailed. A repeat of an entry that another call is just storing waits for that
// one and shares its fate. The counts are added to the ledger with the same commit; counts alone, or beside
// repeats alone, do not wait: they go with the next commit or within a second.
//
// One call is one write: its entries together should be far smaller than a segment.
func (s *Spool) Append(entries []Entry, extra []Count) error {
	need, err := bytesNeeded(entries, extra)
	if err != nil {
		return err
	}
	s.mu.Lock()
	for len(s.gathering.frames) >= maxGatheredBytes && !s.closed && s.failErr == nil {
		s.room.Wait()
	}
	if err := s.refusalLocked(need); err != nil {
		s.mu.Unlock()
		s.metrics.refused(err)
		return err
	}
	now := s.o.Now()
	s.window.expire(s.windowMillis())
	c := s.gathering
	wait := s.gather(c, entries)
	into, wake := c.counts, wait
	if !wait {
		into = s.loose
		if len(s.loose) == 0 {
			s.looseSince, wake = time.Now(), true
		}
		if len(s.loose) >= maxLooseLines {
			s.loose.fold()
		}
	}
	minute := now.Unix() / 60
	duplicates := tally(into, minute, entries)
	for _, e := range extra {
		into.add(e.Site, minute, e.Reason, uint64(e.N))
	}
	c.awaited = c.awaited || wait
	fate := c.fate
	if wait {
		fate.hold()
	}
	s.mu.Unlock()

	if wake {
		s.nudge()
	}
	if wait {
		if err := fate.wait(); err != nil {
			s.metrics.refused(err)
			return err
		}
	}
	if duplicates > 0 {
		s.metrics.duplicates.Add(float64(duplicates))
	}
	return nil
}

// bytesNeeded is what the entries take on disk if none is a repeat; 0 without entries.
func bytesNeeded(entries []Entry, extra []Count) (int64, error) {
	need := 0
	for i := range entries {
		n := recordSize(&entries[i])
		if n-frameOverhead > maxBodyBytes || len(entries[i].Site) > maxNameBytes {
			return 0, fmt.Errorf("append: entry %d has %d bytes of payload and %d of site; a record holds 1 MiB and a site name 255 bytes",
				i, len(entries[i].Payload), len(entries[i].Site))
		}
		need += n
	}
	for _, e := range extra {
		if len(e.Site) > maxNameBytes || len(e.Reason) > maxNameBytes {
			return 0, fmt.Errorf("append: a count's site has %d and its reason %d bytes, of 255 allowed", len(e.Site), len(e.Reason))
		}
	}
	return int64(need), nil
}

// refusalLocked says why nothing, or not so much, can be accepted now.
func (s *Spool) refusalLocked(need int64) error {
	switch {
	case s.failErr != nil:
		return s.failErr
	case s.closed:
		return ErrClosed
	case need > 0 && s.used.Load()+int64(len(s.gathering.frames))+need > fullAt(s.bound.Load()):
		return fmt.Errorf("%w: %d of %d bytes used", ErrFull, s.used.Load(), s.bound.Load())
	}
	return nil
}

// Failed is closed when an I/O error has ended acceptance.
func (s *Spool) Failed() <-chan struct{} { return s.failed }

// fail ends acceptance, and returns the error that everybody gets from now on.
func (s *Spool) fail(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failErr == nil {
		s.failErr = fmt.Errorf("%w: %w", ErrFailed, cause)
		s.log.Error("the spool has failed and accepts nothing more; restart after the disk is in order", "error", cause)
		close(s.failed)
		s.room.Broadcast()
	}
	return s.failErr
}

func (s *Spool) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failErr
}

func (s *Spool) millis() int64 { return s.o.Now().UnixMilli() }

// windowMillis is the time by which repeats are forgotten: the clock as it was at Open, and on from there without
// its steps. A clock that is set ahead by a day must not make an hour pass.
func (s *Spool) windowMillis() int64 { return s.opened.UnixMilli() + s.since(s.opened).Milliseconds() }

// Sealing sets how long after its first record a segment is sealed, 250 ms at first; 0: by size alone.
func (s *Spool) Sealing(interval time.Duration) {
	s.mu.Lock()
	s.interval = interval
	s.mu.Unlock()
	s.nudge()
}

// Seal makes a batch of everything appended before the call, counts included.
func (s *Spool) Seal() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	if s.sealing == nil {
		s.sealing = newFate()
	}
	f := s.sealing
	f.hold()
	s.mu.Unlock()
	s.nudge()
	return f.wait()
}

// Stats describes what is in the spool now.
type Stats struct {
	Segments  int           // not done, those included that are not sealed yet
	Bytes     int64         // of their files
	Records   int64         // in them
	OldestAge time.Duration // since the first commit of the oldest
}

// Stats returns what is in the spool now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Segments: len(s.sealed) + len(s.unsealed), Bytes: s.used.Load()}
	var oldest *segment
	for _, segs := range [][]*segment{s.sealed, s.unsealed} {
		for _, seg := range segs {
			st.Records += int64(seg.records)
			oldest = cmp.Or(oldest, seg)
		}
	}
	if oldest != nil && oldest.first > 0 {
		st.OldestAge = max(0, time.Duration(s.millis()-oldest.first)*time.Millisecond)
	}
	return st
}

// Close accepts nothing more, finishes the group commit, seals and syncs, and releases the directory.
// Sealed batches that are not done stay for the next Open. A second call returns ErrClosed.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.room.Broadcast()
	s.announce()
	s.mu.Unlock()
	s.nudge()
	<-s.stopped
	s.background.Wait()

	s.finishing.Lock() // a Done that has begun
	defer s.finishing.Unlock()
	err := s.failure()
	if s.writer != nil { // it failed, or nothing is in it
		err = errors.Join(err, s.writer.file.Close())
	}
	s.dropSpare()
	s.metrics.unregister(s.o.Registerer)
	if err = errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close spool %s: %w", s.dir, err)
	}
	return nil
}
