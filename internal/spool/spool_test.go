package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRecordsComeOutInTheOrderTheyWentIn(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	mustAppend(t, s, numbered(1), numbered(2))
	mustAppend(t, s, numbered(3))
	want(t, "records", payloads(t, s), names(1, 3))
}

func TestABatchIsTheSameAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1), numbered(2))
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, numbered(3))
	mustClose(t, s)
	describe := func(s *Spool) (all []string) {
		for _, b := range batches(s) {
			line := b.ID.Token() + " " + fmt.Sprint(b.Len, b.Bytes, b.First.UnixMilli(), b.Last.UnixMilli(), b.Counts())
			if err := b.Records(func(seq uint64, p []byte) error { line += fmt.Sprint(" ", seq, string(p)); return nil }); err != nil {
				t.Fatal(err)
			}
			all = append(all, line)
		}
		return all
	}
	before := describe(s)
	s = mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(4))
	want(t, "batches", describe(s), before)
	want(t, "number of batches", len(before), 2)
	want(t, "token of the first", batches(s)[0].ID.Token(), s.ID().String()+"/1")
}

func TestPayloadIsCopied(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	p := []byte("mine")
	mustAppend(t, s, Entry{Site: "demo", Payload: p})
	copy(p, "gone")
	want(t, "records", payloads(t, s), []string{"mine"})
}

func TestTooLargeEntriesAreRefusedByName(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	f := func(e Entry, c Count, part string) {
		t.Helper()
		err := s.Append([]Entry{e}, []Count{c})
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("got %v, want an error with %q", err, part)
		}
	}
	f(Entry{Payload: make([]byte, maxBodyBytes)}, Count{}, "1 MiB")
	f(Entry{Site: strings.Repeat("s", 256)}, Count{}, "255")
	f(Entry{}, Count{Reason: strings.Repeat("r", 256)}, "255")
	want(t, "records", s.Stats().Records, int64(0))

	largest := Entry{Payload: make([]byte, maxBodyBytes-recordHead)}
	mustAppend(t, s, largest)
	want(t, "length read back", len(payloads(t, s)[0]), len(largest.Payload))
}

func TestConcurrentAppendersAllFindTheirRecordsOnce(t *testing.T) {
	for _, mode := range []Sync{SyncAlways, SyncOS} {
		s := mustOpen(t, t.TempDir(), Options{Sync: mode, SegmentBytes: 16 << 10})
		s.Sealing(time.Millisecond)
		const goroutines, each = 16, 60
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					n := g*each + i
					repeat := (n + 1) % (goroutines * each) // somebody else's, at about the same time
					if err := s.Append([]Entry{numbered(n), numbered(repeat)}, []Count{{"demo", "dropped:too-old", 2}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		loaded := map[string]int{}
		var lines []LedgerLine
		loader := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			defer close(loader)
			for {
				b, err := s.Next(ctx)
				if err != nil {
					return
				}
				lines = append(lines, b.Counts()...)
				err = b.Records(func(_ uint64, p []byte) error { loaded[string(p)]++; return nil })
				if err = errors.Join(err, s.Done(b.ID)); err != nil {
					t.Error(err)
				}
			}
		}()
		wg.Wait()
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "everything is loaded", func() bool { return s.Stats().Segments == 0 })
		stop()
		<-loader
		for n := range goroutines * each {
			if name := fmt.Sprintf("record-%d", n); loaded[name] != 1 {
				t.Fatalf("%s was loaded %d times", name, loaded[name])
			}
		}
		want(t, "stored", ledgerSum(lines, ReasonStored), goroutines*each)
		want(t, "duplicate", ledgerSum(lines, ReasonDuplicate), goroutines*each)
		want(t, "accepted", ledgerSum(lines, ReasonAccepted), 2*goroutines*each)
		want(t, "dropped", ledgerSum(lines, "dropped:too-old"), 2*goroutines*each)
		want(t, "left in the ledger", len(s.Ledger()), 0)
		want(t, "bytes left", s.Stats().Bytes, int64(0))
		mustClose(t, s)
	}
}

func TestSegmentsAreSealedBySizeByTimeAndByRequest(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: 2048})
	for n := range 40 {
		mustAppend(t, s, Entry{Site: "demo", Payload: make([]byte, 200), Fingerprint: uint64(n + 1)})
	}
	eventually(t, "sealed by size", func() bool { return len(batches(s)) >= 4 })
	for _, b := range batches(s) {
		if b.Bytes > 2048+400 { // one commit and the seal frame
			t.Errorf("batch %d has %d bytes", b.ID.Segment, b.Bytes)
		}
	}
	drainSealed := func() {
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
		drain(t, s)
	}
	drainSealed()

	mustAppend(t, s, numbered(1000))
	s.Sealing(5 * time.Millisecond) // must also reach the segment that is open already
	eventually(t, "sealed by time", func() bool { return len(batches(s)) == 1 })
	drainSealed()

	s.Sealing(0)
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	want(t, "batches of nothing", len(batches(s)), 0)
}

func TestNextWaitsAndGivesTheOldest(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	wantError(t, err, context.Canceled)

	got := make(chan uint64)
	go func() {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		got <- b.ID.Segment
	}()
	seal := func(n int) {
		mustAppend(t, s, numbered(n))
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	seal(1)
	want(t, "the one that was waited for", <-got, 1)
	for n := 2; n <= 6; n++ {
		seal(n)
	}
	var turns []uint64
	for range 6 {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, b.ID.Segment)
		if len(turns) > 2 {
			continue // not done: stays available
		}
		if err := s.Done(b.ID); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "turns", turns, []uint64{1, 2, 3, 3, 3, 3})
}

// TestFreshBatchesGoBeforeWhatAnOutageLeft: all of them while they are small, and no more than the old ones when they are not.
func TestFreshBatchesGoBeforeWhatAnOutageLeft(t *testing.T) {
	now := time.Now()
	s := mustOpen(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	s.Sealing(0)
	seal := func(records int) {
		t.Helper()
		for n := range records {
			mustAppend(t, s, numbered(n))
		}
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	var order []uint64
	take := func(times int) {
		t.Helper()
		for range times {
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Done(b.ID); err != nil {
				t.Fatal(err)
			}
			order = append(order, b.ID.Segment)
		}
	}
	for range 6 {
		seal(10)
	}
	now = now.Add(time.Hour)
	for range 3 {
		seal(1)
	}
	take(5)
	seal(1)
	take(2)
	want(t, "while fresh ones are small", order, []uint64{1, 9, 8, 7, 2, 10, 3})
	order = nil
	for range 3 {
		seal(10)
	}
	take(5)
	take(1)
	want(t, "while they are as large", order, []uint64{13, 4, 12, 5, 11, 6})
}

// TestWhatIsOpenIsSealedBehindAFullBatchOfAnOutage: whoever is here now does not wait until it has gathered for long enough.
func TestWhatIsOpenIsSealedBehindAFullBatchOfAnOutage(t *testing.T) {
	now := time.Now()
	s := mustOpen(t, t.TempDir(), Options{Now: func() time.Time { return now }, SegmentBytes: 1000})
	s.Sealing(0)
	next := func() (b *Batch) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		b, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Done(b.ID); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, size := range []int{900, 900, 900, 10, 10} { // the last two are small: they take no time
		mustAppend(t, s, Entry{Site: "demo", Payload: make([]byte, size)})
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	next()
	mustAppend(t, s, numbered(2))
	if b := next(); b.Len != 1 || !b.Last.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("behind a full batch of an outage comes one of %d records of %s, want the one that was open", b.Len, b.Last)
	}
	var fresh []bool
	for n := range 6 {
		mustAppend(t, s, numbered(3+n))
		fresh = append(fresh, next().Last.After(now.Add(-time.Minute)))
	}
	want(t, "turns", fresh, []bool{false, true, false, true, false, false})
	for range 2 {
		mustAppend(t, s, Entry{Site: "demo", Payload: make([]byte, 900)})
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	next() // what was left open
	next()
	mustAppend(t, s, numbered(9))
	next()
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if b, err := s.Next(soon); err == nil {
		t.Errorf("where nothing is of an outage, a batch of %d records was sealed behind a full one", b.Len)
	}
}

func TestDoneRefusesWhatItDoesNotKnow(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	mustAppend(t, s, numbered(1))
	open := BatchID{s.ID(), 1}
	if err := s.Done(open); err == nil {
		t.Fatal("an open segment was done")
	}
	payloads(t, s)
	if err := s.Done(BatchID{ID{1}, 1}); err == nil {
		t.Fatal("a batch of another spool was done")
	}
	if err := s.Done(open); err != nil {
		t.Fatal(err)
	}
	if err := s.Done(open); err == nil {
		t.Fatal("a batch was done twice")
	}
}

func TestRecordsRefusesAFileThatLostRecords(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1), numbered(2), numbered(3))
	payloads(t, s)
	name := segmentFiles(t, dir)[0]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	flip(data, strings.Index(string(data), "record-2"))
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	err = batches(s)[0].Records(func(uint64, []byte) error { return nil })
	wantError(t, err, ErrDamaged)
	if !strings.Contains(err.Error(), "had 3 records and now has 2") {
		t.Fatalf("got %v", err)
	}
	_, err = batches(s)[0].Sites(map[uint64]bool{1: true})
	wantError(t, err, ErrDamaged)
	stop := errors.New("stop")
	err = batches(s)[0].Records(func(uint64, []byte) error { return stop })
	wantError(t, err, stop)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	err = batches(s)[0].Records(func(uint64, []byte) error { return nil })
	wantError(t, err, os.ErrNotExist)
}

func TestASecondOpenOfTheSameDirectoryFails(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{Log: quiet})
	wantError(t, err, ErrLocked)
	if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "stop it") {
		t.Fatalf("%v does not say what to do", err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, dir, Options{}))
}

func TestOpenSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("got %v", err)
	}
	for _, op := range []string{"lock", "create", "readdir", "syncdir", "write", "sync"} {
		m := newMemFS()
		m.fault = func(at, name string) error {
			if at == op {
				return os.ErrPermission
			}
			return nil
		}
		_, err := Open("/s", Options{FS: m, Log: quiet})
		wantError(t, err, os.ErrPermission)
	}
}

func TestCloseFinishesWhatWasBegunAndRefusesTheRest(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	var acked atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				err := s.Append([]Entry{numbered(g*1_000_000 + i)}, nil)
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				acked.Add(1)
			}
		})
	}
	waiting := make(chan error)
	go func() {
		for {
			b, err := s.Next(t.Context())
			if err != nil {
				waiting <- err
				return
			}
			_ = b
			time.Sleep(time.Millisecond)
		}
	}()
	eventually(t, "some are in", func() bool { return acked.Load() > 50 })
	mustClose(t, s)
	wg.Wait()
	wantError(t, <-waiting, ErrClosed)
	wantError(t, s.Append(nil, []Count{{"demo", "x", 1}}), ErrClosed)
	wantError(t, s.Seal(), ErrClosed)
	wantError(t, s.Done(BatchID{}), ErrClosed)
	wantError(t, s.Close(), ErrClosed)
	s = mustOpen(t, dir, Options{})
	want(t, "stored", len(payloads(t, s)), int(acked.Load()))
}

func TestMetricsAreRegisteredOnceAndGivenBack(t *testing.T) {
	reg := prometheus.NewRegistry()
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Registerer: reg})
	if _, err := Open(t.TempDir(), Options{Registerer: reg, Log: quiet}); err == nil {
		t.Fatal("a second spool took the same names")
	}
	mustAppend(t, s, numbered(1), numbered(2))
	mustAppend(t, s, numbered(1))
	f := func(name string, value float64) {
		t.Helper()
		want(t, name, metric(t, reg, name), value)
	}
	f("beckon_spool_records_total", 2)
	f("beckon_spool_duplicates_total", 1)
	f("beckon_spool_commits_total", 1)
	f("beckon_spool_commit_seconds", 1)
	f("beckon_spool_segments", 1)
	f("beckon_spool_records", 2)
	f("beckon_spool_bytes", float64(s.Stats().Bytes))
	f("beckon_spool_window_seconds", 3600)
	mustClose(t, s)
	mustClose(t, mustOpen(t, dir, Options{Registerer: reg}))
}

func TestStatsTellTheAgeOfTheOldest(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	s := mustOpen(t, t.TempDir(), Options{Now: func() time.Time { return clock }})
	want(t, "age of nothing", s.Stats().OldestAge, 0)
	mustAppend(t, s, numbered(1))
	clock = clock.Add(time.Minute)
	want(t, "age while open", s.Stats().OldestAge, time.Minute)
	payloads(t, s)
	mustAppend(t, s, numbered(2))
	st := s.Stats()
	want(t, "stats", []any{st.Segments, st.Records, st.OldestAge}, []any{2, 2, time.Minute})
}
