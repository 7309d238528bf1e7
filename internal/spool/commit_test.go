package spool

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gate holds the first operation of a kind on a file until it is told how that ends.
type gate struct {
	reached chan struct{}
	result  chan error
}

func hold(t *testing.T, m *memFS, op, ext string) gate {
	g := gate{make(chan struct{}), make(chan error)}
	t.Cleanup(func() { close(g.result) }) // a test that has failed must end all the same
	var once sync.Once
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = func(at, name string) (err error) {
		if at == op && strings.HasSuffix(name, ext) {
			once.Do(func() {
				m.mu.Unlock() // others may go on
				close(g.reached)
				err = <-g.result
				m.mu.Lock()
			})
		}
		return err
	}
	return g
}

func (m *memFS) breaks(fault func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memFS) setFree(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = n
}

func appendLater(s *Spool, entries ...Entry) chan error {
	done := make(chan error, 1)
	go func() { done <- s.Append(entries, nil) }()
	return done
}

func TestNobodyIsAnsweredBeforeTheSync(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	g := hold(t, m, "sync", segmentExt)
	first := appendLater(s, numbered(1))
	<-g.reached
	var behind []chan error
	for n := 2; n <= 20; n++ {
		behind = append(behind, appendLater(s, numbered(n)))
	}
	eventually(t, "the others gather", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.gathering.records == 19
	})
	select {
	case <-first:
		t.Fatal("answered before the sync")
	default:
	}
	g.result <- nil
	for _, done := range append(behind, first) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	syncs := 0
	for _, op := range m.did() {
		if strings.HasPrefix(op, "sync ") && strings.HasSuffix(op, segmentExt) {
			syncs++
		}
	}
	want(t, "syncs for 20 calls", syncs, 2)
}

func TestSyncOSAnswersAfterTheWriteAndSyncsInTheBackground(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
	g := hold(t, m, "sync", segmentExt)
	mustAppend(t, s, numbered(1)) // does not wait
	<-g.reached                   // but a sync comes
	mustAppend(t, s, numbered(2))
	g.result <- syscall.EIO
	<-s.Failed()
	wantError(t, s.Append([]Entry{numbered(3)}, nil), ErrFailed)
}

func TestARepeatOfAnUncommittedEntrySharesItsFate(t *testing.T) {
	f := func(result error, wanted error) {
		t.Helper()
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m})
		mustAppend(t, s, numbered(0))
		g := hold(t, m, "write", segmentExt)
		first := appendLater(s, numbered(1))
		<-g.reached
		repeat := []Entry{numbered(1), numbered(2), numbered(0)} // in flight, new, durable
		second := make(chan error, 1)
		go func() { second <- s.Append(repeat, nil) }()
		eventually(t, "the repeat is seen", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.gathering.awaited
		})
		select {
		case <-second:
			t.Fatal("the repeat did not wait")
		default:
		}
		g.result <- result
		for _, done := range []chan error{first, second} {
			if err := <-done; !errors.Is(err, wanted) {
				t.Fatalf("after %v: got %v, want %v", result, err, wanted)
			}
		}
		if wanted == nil {
			want(t, "marks", []bool{repeat[0].Duplicate, repeat[1].Duplicate, repeat[2].Duplicate}, []bool{true, false, true})
			want(t, "records", payloads(t, s), names(0, 2))
		}
		if wanted == ErrFull {
			again := mustAppend(t, s, numbered(1), numbered(2)) // forgotten, so stored now
			want(t, "marks", []bool{again[0].Duplicate, again[1].Duplicate}, []bool{false, false})
			want(t, "records", payloads(t, s), names(0, 2))
			want(t, "stored", ledgerSum(s.Ledger(), ReasonStored), 3)
		}
	}
	f(nil, nil)
	f(syscall.ENOSPC, ErrFull)
	f(syscall.EIO, ErrFailed)
}

func TestARepeatInsideOneCallIsStoredOnce(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	e := mustAppend(t, s, numbered(1), numbered(1), Entry{Payload: []byte("x")}, Entry{Payload: []byte("x")})
	want(t, "marks", []bool{e[0].Duplicate, e[1].Duplicate, e[2].Duplicate, e[3].Duplicate}, []bool{false, true, false, false})
	want(t, "records", payloads(t, s), []string{"record-1", "x", "x"})
}

func TestAFullDiskRefusesWholeCommitsAndResumes(t *testing.T) {
	for _, sync := range []Sync{SyncAlways, SyncOS} {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m, Sync: sync})
		large := numbered(1)
		large.Payload = make([]byte, 1000)
		mustAppend(t, s, large)
		if err := s.Append(nil, []Count{{"demo", "dropped:a", 7}}); err != nil {
			t.Fatal(err)
		}
		before := s.Stats().Bytes
		for free := range int64(150) { // the write stops at any byte of the commit
			m.setFree(free)
			wantError(t, s.Append([]Entry{numbered(2), numbered(3)}, []Count{{"demo", "never", 1}}), ErrFull)
		}
		want(t, "bytes used", s.Stats().Bytes, before)
		if err := s.Append(nil, []Count{{"demo", "dropped:b", 5}}); err != nil {
			t.Fatal(err) // counts do not wait, so they cannot be refused
		}
		m.setFree(0)
		if err := s.Seal(); err != nil { // what is there can go out although no seal frame fits
			t.Fatal(err)
		}
		want(t, "batches", len(batches(s)), 1)
		wantError(t, s.Append([]Entry{numbered(2)}, nil), ErrFull) // no room for a new segment
		want(t, "records loaded", len(drain(t, s)), 1)             // and its ids file replaces it
		mustAppend(t, s, numbered(2), numbered(3))                 // the room has come back by itself
		e := mustAppend(t, s, numbered(1))
		want(t, "the loaded one is still known", e[0].Duplicate, true)
		m.setFree(-1)
		want(t, "records", payloads(t, s), names(2, 3))
		lines := s.Ledger()
		want(t, "counts", []uint64{ledgerSum(lines, "dropped:b"), ledgerSum(lines, "never")}, []uint64{5, 0})
		mustClose(t, s)
		s = mustOpen(t, "/s", Options{FS: m})
		want(t, "records after a restart", payloads(t, s), names(2, 3))
		e = mustAppend(t, s, numbered(1))
		want(t, "known after a restart", e[0].Duplicate, true)
		mustClose(t, s)
	}
}

func TestTheSizeBoundRefusesWholeCalls(t *testing.T) {
	const bound = 20_000
	s := mustOpen(t, t.TempDir(), Options{MaxBytes: bound, SegmentBytes: 4000})
	n := 0
	var err error
	for ; err == nil; n++ {
		err = s.Append([]Entry{numbered(2 * n), numbered(2*n + 1)}, []Count{{"demo", "x", 1}})
	}
	wantError(t, err, ErrFull)
	want(t, "records", len(payloads(t, s)), 2*(n-1))
	if used := s.Stats().Bytes; used > bound || used < bound/2 {
		t.Fatalf("%d bytes used of %d", used, bound)
	}
	b, err := s.Next(t.Context())
	if err := errors.Join(err, s.Done(b.ID)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, numbered(2*n), numbered(2*n+1))
}

func TestTheSizeBoundHoldsForCountersToo(t *testing.T) {
	const bound = 3000
	s := mustOpen(t, t.TempDir(), Options{MaxBytes: bound, SegmentBytes: 1000})
	for n := range 200 {
		if err := s.Append(nil, []Count{{"demo", fmt.Sprint("reason ", n), 1}}); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			sealNow(t, s)
		}
	}
	if used := s.Stats().Bytes; used > bound+1000 {
		t.Fatalf("%d bytes used of %d", used, bound)
	}
	want(t, "lines", len(s.Ledger()), 200)
}

func TestAnIOErrorEndsAcceptanceAndIsNotRetried(t *testing.T) {
	for _, op := range []string{"write", "sync", "syncdir", "create"} {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m})
		if op == "write" || op == "sync" {
			mustAppend(t, s, numbered(0))
		}
		calls := 0
		m.breaks(func(at, name string) error {
			if at == op {
				calls++
				return syscall.EIO
			}
			return nil
		})
		err := s.Append([]Entry{numbered(1)}, nil)
		wantError(t, err, ErrFailed)
		wantError(t, err, syscall.EIO)
		<-s.Failed()
		m.breaks(nil) // the disk looks well again: not to be believed
		wantError(t, s.Append([]Entry{numbered(2)}, nil), ErrFailed)
		wantError(t, s.Append(nil, []Count{{"demo", "x", 1}}), ErrFailed)
		wantError(t, s.Seal(), ErrFailed)
		want(t, "the committer sleeps", s.pause(1), time.Hour)
		wantError(t, s.Close(), ErrFailed)
		want(t, op+" calls", calls, 1)
		mustClose(t, mustOpen(t, "/s", Options{FS: m})) // a new process reads what is there
	}
}

func TestAFailedUndoOfATornWriteEndsAcceptance(t *testing.T) {
	for _, op := range []string{"truncate", "sync"} {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m})
		mustAppend(t, s, numbered(1))
		m.breaks(func(at, name string) error {
			switch at {
			case "write":
				return syscall.ENOSPC
			case op:
				return syscall.EIO
			}
			return nil
		})
		wantError(t, s.Append([]Entry{numbered(2)}, nil), ErrFailed)
	}
}

func TestWantOfDescriptorsIsAFullSpoolNotAFailedOne(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	for _, cause := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EDQUOT} {
		m.breaks(func(op, name string) error {
			if op == "create" {
				return cause
			}
			return nil
		})
		wantError(t, s.Append([]Entry{numbered(1)}, nil), ErrFull)
	}
	m.breaks(nil)
	mustAppend(t, s, numbered(1))
	sealNow(t, s)
	m.breaks(func(op, name string) error {
		if strings.HasSuffix(name, idsExt) && op == "create" || op == "open" {
			return syscall.EMFILE
		}
		return nil
	})
	id := batches(s)[0].ID
	wantError(t, s.Done(id), syscall.EMFILE)
	m.breaks(nil)
	if err := s.Done(id); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteThatKeepsBytesToItselfIsNoSuccess(t *testing.T) {
	wantError(t, writeAt(stingy{}, make([]byte, 10), 0), io.ErrShortWrite)
}

type stingy struct{ File }

func (stingy) WriteAt(p []byte, _ int64) (int, error) { return len(p) - 1, nil }

func TestCountsAloneDoNotWaitAndAreSoonDurable(t *testing.T) {
	dir := t.TempDir()
	clock := time.Date(2026, 11, 22, 10, 30, 59, 0, time.UTC)
	s := mustOpen(t, dir, Options{Now: func() time.Time { return clock }})
	if err := s.Append(nil, []Count{{"demo", "dropped:too-old", 3}}); err != nil {
		t.Fatal(err)
	}
	want(t, "seen at once", s.Ledger(), []LedgerLine{{"demo", clock.Truncate(time.Minute), "dropped:too-old", 3}})
	want(t, "not on disk yet", s.Stats().Bytes, int64(0))
	eventually(t, "a commit of its own", func() bool { return s.Stats().Bytes > headerBytes })
	after := mustOpen(t, copyDir(t, dir), Options{})
	want(t, "after kill -9", after.Ledger(), s.Ledger())
	want(t, "as a batch", batches(after)[0].Counts(), s.Ledger())
	want(t, "without records", batches(after)[0].Len, 0)
}

func TestALedgerIsKeptBySiteAndMinute(t *testing.T) {
	dir := t.TempDir()
	clock := time.Date(2026, 11, 22, 10, 30, 59, 0, time.UTC)
	s := mustOpen(t, dir, Options{Now: func() time.Time { return clock }})
	a, b := numbered(1), numbered(2)
	b.Site = "other"
	mustAppend(t, s, a, b, a)
	clock = clock.Add(time.Second)
	mustAppend(t, s, a) // does not wait, but is counted
	if err := s.Append([]Entry{numbered(3)}, []Count{{"demo", "dropped:bad-id", 2}}); err != nil {
		t.Fatal(err)
	}
	expect := "demo 10:30 accepted 2, demo 10:30 duplicate 1, demo 10:30 stored 1, " +
		"demo 10:31 accepted 2, demo 10:31 dropped:bad-id 2, demo 10:31 duplicate 1, demo 10:31 stored 1, " +
		"other 10:30 accepted 1, other 10:30 stored 1"
	f := func(lines []LedgerLine) {
		t.Helper()
		var all []string
		for _, l := range lines {
			all = append(all, fmt.Sprintf("%s %s %s %d", l.Site, l.Minute.Format("15:04"), l.Reason, l.N))
		}
		want(t, "ledger", strings.Join(all, ", "), expect)
	}
	f(s.Ledger())
	sealNow(t, s)
	f(s.Ledger())
	f(batches(s)[0].Counts())
	mustClose(t, s)
	s = mustOpen(t, dir, Options{})
	f(s.Ledger())
	drain(t, s)
	want(t, "after loading", len(s.Ledger()), 0)
}

func TestASegmentIsSealedAtItsTime(t *testing.T) {
	began, filled := time.Unix(100, 0), time.Unix(130, 0)
	f := func(w writer, interval time.Duration, at time.Time, due bool) {
		t.Helper()
		gotAt, gotDue := w.sealTime(interval)
		want(t, "seal time", []any{gotAt, gotDue}, []any{at, due})
	}
	f(writer{}, time.Second, time.Time{}, false)
	f(writer{began: began}, time.Second, began.Add(time.Minute), true) // counters alone
	f(writer{began: began}, 0, began.Add(time.Minute), true)           // also while sealing is by size
	f(writer{began: began, filled: filled, records: 1}, time.Second, filled.Add(time.Second), true)
	f(writer{began: began, filled: filled, records: 1}, 0, filled, false)
}

func TestAppendersWaitWhileTheDiskIsBehind(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	g := hold(t, m, "sync", segmentExt)
	all := []chan error{appendLater(s, numbered(0))}
	<-g.reached
	big := make([]byte, 1_000_000)
	const calls = 12
	for range calls {
		all = append(all, appendLater(s, Entry{Payload: big}))
	}
	eventually(t, "the buffer is full", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.gathering.frames) >= maxGatheredBytes
	})
	s.mu.Lock()
	gathered := len(s.gathering.frames)
	s.mu.Unlock()
	if gathered > maxGatheredBytes+2*len(big) {
		t.Fatalf("%d bytes wait in memory", gathered)
	}
	g.result <- nil
	for _, done := range all {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	want(t, "records", s.Stats().Records, calls+1)
}
