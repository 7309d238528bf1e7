package spool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// slowDisk is a disk whose fsyncs take their time. In a bubble of synctest nothing else takes any.
type slowDisk struct {
	FS
	takes time.Duration
}

type slowFile struct {
	File
	takes time.Duration
}

func (d slowDisk) Create(name string) (File, error) {
	f, err := d.FS.Create(name)
	return slowFile{f, d.takes}, err
}

func (d slowDisk) SyncDir(dir string) error {
	time.Sleep(d.takes)
	return d.FS.SyncDir(dir)
}

func (f slowFile) Sync() error {
	time.Sleep(f.takes)
	return f.File.Sync()
}

// hasSpare tells whether the next segment is made.
func (s *Spool) hasSpare() bool { return len(s.spares) > 0 }

// waits is how long appenders wait, from the shortest to the longest: one record a millisecond for some seconds,
// sealed four times a second and taken away.
func waits(t *testing.T, mode Sync, fsync time.Duration) (took []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, "/s", Options{Sync: mode, FS: slowDisk{newMemFS(), fsync}})
		mustAppend(t, s, numbered(0)) // a start's first commit makes its file itself
		s.Sealing(defaultSealing)
		ctx, cancel := context.WithCancel(t.Context())
		var loader, all sync.WaitGroup
		loader.Go(func() {
			for {
				b, err := s.Next(ctx)
				if err != nil {
					return
				}
				if err := s.Done(b.ID); err != nil {
					t.Error(err)
				}
			}
		})
		const records = 5000
		took = make([]time.Duration, records)
		for n := range records {
			all.Go(func() {
				began := time.Now()
				mustAppend(t, s, numbered(n+1))
				took[n] = time.Since(began)
			})
			time.Sleep(time.Millisecond)
		}
		all.Wait()
		cancel()
		loader.Wait()
		mustClose(t, s)
	})
	slices.Sort(took)
	return took
}

func TestSealingKeepsNobodyWaiting(t *testing.T) {
	const fsync = 5 * time.Millisecond
	f := func(mode Sync, fsync, longest time.Duration) {
		t.Helper()
		took := waits(t, mode, fsync)
		t.Logf("fsyncs of %s: median %s, p99 %s, longest %s", fsync, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		if got := took[len(took)-1]; got > longest {
			t.Errorf("somebody waited for %s", got)
		}
	}
	f(SyncAlways, fsync, 2*fsync) // one's own commit, and the one that was under way
	f(SyncOS, fsync, 0)
	f(SyncOS, 2*time.Second, 0) // slower than segments are to be sealed: they grow
}

// A keeper that falls behind for long holds the committer up, and nothing grows.
func TestSegmentsThatWaitForTheKeeperAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{Sync: SyncOS, SegmentBytes: 1000, FS: slowDisk{m, time.Second}})
		ended := make(chan bool)
		go func() {
			defer close(ended)
			for n := range 300 {
				mustAppend(t, s, numbered(n))
			}
		}()
		most := 0
		for running := true; running; {
			select {
			case <-ended:
				running = false
			case <-time.After(10 * time.Millisecond):
			}
			s.mu.Lock()
			most = max(most, len(s.unsealed))
			s.mu.Unlock()
		}
		if most < 2 || most > 3 {
			t.Errorf("%d segments were not sealed at once", most)
		}
		want(t, "records", payloads(t, s), names(0, 299))
		mustClose(t, s)
	})
}

func TestSealAnswersWhenTheBatchIsThere(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
	g := hold(t, m, "sync", segmentExt)
	mustAppend(t, s, numbered(1))
	sealed := make(chan error, 1)
	go func() { sealed <- s.Seal() }()
	<-g.reached
	select {
	case <-sealed:
		t.Fatal("answered before the sync")
	default:
	}
	want(t, "records in it", s.Stats().Records, int64(1))
	want(t, "ledger", ledgerSum(s.Ledger(), ReasonStored), uint64(1))
	g.result <- nil
	if err := <-sealed; err != nil {
		t.Fatal(err)
	}
	want(t, "batches", len(batches(s)), 1)
}

// What was committed while the segment before it was finished is synced as soon as any.
func TestSyncOSSyncsWhatWasWrittenDuringASealing(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
	mustAppend(t, s, numbered(1))
	g := hold(t, m, "write", fmt.Sprintf("%020d.segment", 1)) // of the seal
	go s.Seal()
	<-g.reached
	eventually(t, "the next segment", func() bool {
		mustAppend(t, s, Entry{Payload: []byte("x")})
		return s.Stats().Segments == 2
	})
	g.result <- nil
	eventually(t, "its sync", func() bool {
		return slices.Contains(m.did(), "sync 00000000000000000002.segment")
	})
}

func TestASpareForWhichThereIsNoRoomIsMadeByTheCommitThatNeedsIt(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	tries := 0
	full := func(op, name string) error {
		if op == "create" && strings.HasSuffix(name, segmentExt) {
			if tries++; tries > 1 {
				return syscall.ENOSPC
			}
		}
		return nil
	}
	m.breaks(full)
	mustAppend(t, s, numbered(1)) // its own file, and the spare that fails
	sealNow(t, s)
	for range 3 {
		wantError(t, s.Append([]Entry{numbered(2)}, nil), ErrFull)
	}
	want(t, "files tried", tries, 5)
	m.breaks(nil)
	mustAppend(t, s, numbered(2))
	want(t, "records", payloads(t, s), names(1, 2))
	eventually(t, "a spare again", s.hasSpare)
}

func TestADiskThatFailsInTheBackgroundEndsAcceptance(t *testing.T) {
	for _, op := range []string{"create", "syncdir", "write", "close"} {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m})
		mustAppend(t, s, numbered(1))
		eventually(t, "a spare", s.hasSpare)
		mustAppend(t, s, numbered(2))
		if op == "create" || op == "syncdir" {
			sealNow(t, s)
			m.breaks(func(at, name string) error {
				if at == op && !strings.HasSuffix(name, fmt.Sprintf("%020d.segment", 2)) {
					return syscall.EIO
				}
				return nil
			})
			_ = s.Append([]Entry{numbered(3)}, nil) // begins with the spare and orders the next
		} else {
			m.breaks(func(at, _ string) error {
				if at == op {
					return syscall.EIO
				}
				return nil
			})
			wantError(t, s.Seal(), ErrFailed)
		}
		<-s.Failed()
		wantError(t, s.Append([]Entry{numbered(4)}, nil), ErrFailed)
		m.breaks(nil)
		wantError(t, s.Close(), ErrFailed)
		got := payloads(t, mustOpen(t, "/s", Options{FS: m}))
		want(t, op+": records", got[:2], names(1, 2))
	}
}

func TestASpareLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1))
	eventually(t, "a spare", s.hasSpare)
	want(t, "files", len(segmentFiles(t, dir)), 2)
	killed := copyDir(t, dir)
	mustClose(t, s)
	for _, left := range []string{killed, dir} {
		reg := prometheus.NewRegistry()
		s = mustOpen(t, left, Options{Registerer: reg})
		want(t, "files after a start", len(segmentFiles(t, left)), 1)
		want(t, "batches", len(batches(s)), 1)
		want(t, "missing", metric(t, reg, "beckon_spool_missing_segments_total"), 0)
		mustAppend(t, s, numbered(2))
		want(t, "records", payloads(t, s), names(1, 2))
	}
}

// With SyncOS two segments may have bytes that are not synced, and the power may take those of the older one and leave
// those of the newer one. What Next has handed out stays, and whoever sends again is right.
func TestPowerLossWithTwoSegmentsUnsynced(t *testing.T) {
	holes := 0
	for seed := range uint64(60) {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
		o := newOracle()
		mustAppend(t, s, numbered(0))
		o.sends(0)
		o.verify(t, "handed out", sealNow(t, s))
		g := hold(t, m, "sync", fmt.Sprintf("%020d.segment", 2))
		for n := 1; n <= 3; n++ {
			o.sends(n)
			mustAppend(t, s, numbered(n))
		}
		go s.Seal()
		<-g.reached // by the sealing or the sync every 100 ms: nothing of segment 2 is durable
		eventually(t, "the third", func() bool {
			if n := s.Stats().Segments; n < 3 {
				o.sends(4)
				mustAppend(t, s, numbered(4))
				return false
			}
			return true
		})
		m = m.losePower(rand.New(rand.NewPCG(seed, 0)))
		g.result <- nil
		_ = s.Close()
		s = mustOpen(t, "/s", Options{FS: m})
		there := payloads(t, s)
		if slices.Contains(there, "record-4") && !slices.Contains(there, "record-3") {
			holes++
		}
		o.verify(t, fmt.Sprint("seed ", seed), s)
		for n := range 5 {
			if err := o.append(t, s, n); err != nil {
				t.Fatal(err)
			}
		}
		o.verify(t, fmt.Sprint("sent again, seed ", seed), sealNow(t, s))
	}
	if holes == 0 {
		t.Fatal("the case did not occur")
	}
}

// The keeper writes the seal of one segment and is at its fsync while commits go into the next: a process that is
// killed there leaves a seal that only the page cache holds, and not in its newest segment. What the next start hands
// out stays through a power loss all the same.
func TestASealThatIsNotDurableIsMadeSoBeforeItIsBelieved(t *testing.T) {
	for seed := range uint64(10) {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
		o := newOracle()
		g := hold(t, m, "sync", fmt.Sprintf("%020d.segment", 1))
		for n := range 3 {
			o.sends(n)
			mustAppend(t, s, numbered(n))
		}
		go s.Seal()
		<-g.reached
		eventually(t, "the second", func() bool {
			mustAppend(t, s, numbered(3))
			return s.Stats().Segments >= 2
		})
		o.sends(3)
		after := m.die(nil)
		g.result <- nil
		_ = s.Close()
		s = mustOpen(t, "/s", Options{FS: after})
		for _, b := range batches(s) {
			if err := o.load(b); err != nil {
				t.Fatal(err)
			}
		}
		after = after.losePower(rand.New(rand.NewPCG(seed, 0)))
		_ = s.Close()
		s = mustOpen(t, "/s", Options{FS: after})
		for _, b := range batches(s) {
			if err := o.load(b); err != nil {
				t.Fatalf("seed %d: a batch is another one after the power loss: %v", seed, err)
			}
		}
		want(t, "records", s.Stats().Records, 4)
	}
}
