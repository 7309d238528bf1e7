package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// script is a short life of a spool in which every kind of file is made, removed and renamed.
func script(t *testing.T, o *oracle, s *Spool) {
	s.Sealing(0)
	finish := func(newest bool) bool {
		all := batches(s)
		if len(all) == 0 {
			return false
		}
		b := all[0]
		if newest {
			b = all[len(all)-1]
		}
		return o.load(b) == nil && s.Done(b.ID) == nil
	}
	for n := range 3 {
		if o.append(t, s, n) != nil && s.failure() != nil || s.Seal() != nil {
			return
		}
	}
	if !finish(true) || o.append(t, s, 1) != nil && s.failure() != nil || !finish(false) {
		return
	}
	for n := range 5 {
		if o.append(t, s, n) != nil && s.failure() != nil {
			return
		}
	}
	if s.Seal() == nil {
		finish(false)
	}
	_ = s.Close()
}

// The power goes, or the process dies, before each single operation on the disk in turn: with room and without.
func TestACrashBeforeEveryOperationLosesAndDoublesNothing(t *testing.T) {
	ends := map[string]func(*memFS, *rand.Rand) *memFS{"power loss": (*memFS).losePower, "kill -9": (*memFS).die}
	for what, end := range ends {
		for _, free := range []int64{-1, 900} {
			for seed := range uint64(3) {
				done := false
				for stop := 1; !done; stop++ {
					o := newOracle()
					m := newMemFS()
					m.free = free
					count := 0
					m.fault = func(string, string) error {
						if count++; count >= stop {
							m.dead = true
							return errPower
						}
						return nil
					}
					where := fmt.Sprintf("%s before operation %d, %d bytes free, seed %d", what, stop, free, seed)
					s, err := Open("/s", Options{FS: m, Log: quiet})
					if err == nil {
						script(t, o, s)
						done = count < stop
						_ = s.Close()
					}
					if stop > 500 {
						t.Fatal("the script has no end")
					}
					again := mustOpen(t, "/s", Options{FS: end(m, rand.New(rand.NewPCG(seed, uint64(stop))))})
					for n := range 7 { // clients send again what they are not sure of
						if err := o.append(t, again, n); err != nil {
							t.Fatalf("%s: %v", where, err)
						}
					}
					o.verify(t, where, sealNow(t, again))
					mustClose(t, again)
				}
			}
		}
	}
}

// Linux marks pages clean that an fsync could not write: they are read back as if nothing had happened, the next
// fsync says that all is well, and a power loss takes them.
func TestWhatAFailedFsyncLeftInMemoryIsMadeDurableOrNotHandedOut(t *testing.T) {
	for _, mode := range []Sync{SyncAlways, SyncOS} {
		m := newMemFS()
		s := mustOpen(t, "/s", Options{FS: m, Sync: mode})
		o := newOracle()
		if err := o.append(t, s, 1); err != nil {
			t.Fatal(err)
		}
		m.breaks(func(op, name string) error {
			if op == "sync" && strings.HasSuffix(name, segmentExt) {
				return syscall.EIO
			}
			return nil
		})
		if err := o.append(t, s, 2); mode == SyncAlways {
			wantError(t, err, ErrFailed)
		}
		if mode == SyncOS { // the sync that fails is the one of the sealing
			wantError(t, s.Seal(), ErrFailed)
		}
		<-s.Failed()
		wantError(t, s.Close(), ErrFailed)
		m.breaks(nil)
		s = mustOpen(t, "/s", Options{FS: m})
		if err := o.load(batches(s)[0]); err != nil { // its reply is lost, so the batch comes again
			t.Fatal(err)
		}
		for seed := range uint64(10) {
			after := m.losePower(rand.New(rand.NewPCG(seed, 0)))
			s := mustOpen(t, "/s", Options{FS: after})
			want(t, "records after a power loss", s.Stats().Records, 2)
			o.verify(t, "after a power loss", s)
		}
	}
}

// On a disk too full for two files the segment itself becomes the ids file. Its new name has to be durable before
// its new content is.
func TestASegmentIsRenamedDurablyBeforeItBecomesItsIDs(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	mustAppend(t, s, numbered(1))
	sealNow(t, s)
	m.setFree(0)
	m.forget()
	drain(t, s)
	const seg, ids = "00000000000000000001.segment", "00000000000000000001.ids"
	ops := m.did()
	at := slices.Index(ops, "rename "+seg)
	if at < 0 || !slices.Equal(ops[at+1:at+3], []string{"syncdir s", "create " + ids}) {
		t.Fatalf("operations %q", ops)
	}
}

func TestAnIDAnsweredFullIsForgottenAcrossACrashToo(t *testing.T) {
	for _, end := range []func(*memFS, *rand.Rand) *memFS{(*memFS).losePower, (*memFS).die} {
		const commit = 115 // bytes: the write tears at each of the record and of its counters
		for free := range int64(commit) {
			m := newMemFS()
			s := mustOpen(t, "/s", Options{FS: m})
			o := newOracle()
			if err := o.append(t, s, 1); err != nil {
				t.Fatal(err)
			}
			m.setFree(free)
			wantError(t, o.append(t, s, 2), ErrFull)
			after := end(m, rand.New(rand.NewPCG(uint64(free), 0)))
			s = mustOpen(t, "/s", Options{FS: after})
			if e := mustAppend(t, s, numbered(2)); e[0].Duplicate {
				t.Fatalf("torn after %d bytes: an entry that was refused is called a repeat", free)
			}
			o.acks(2)
			o.verify(t, "after the crash", sealNow(t, s))
		}
	}
}

// The original is in flight and its repeat waits for it, when the power goes. Nobody was answered, so either may be
// sent again, and one of them is stored.
func TestARepeatOfAnUncommittedEntryAndACrashBetween(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		for _, end := range []func(*memFS, *rand.Rand) *memFS{(*memFS).losePower, (*memFS).die} {
			for seed := range uint64(10) {
				m := newMemFS()
				s := mustOpen(t, "/s", Options{FS: m})
				o := newOracle()
				if err := o.append(t, s, 1); err != nil {
					t.Fatal(err)
				}
				o.sends(2)
				g := hold(t, m, op, segmentExt)
				first := appendLater(s, numbered(2))
				<-g.reached
				second := appendLater(s, numbered(2))
				eventually(t, "the repeat waits", func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.gathering.awaited
				})
				after := end(m, rand.New(rand.NewPCG(seed, 0)))
				g.result <- errPower
				for _, answer := range []chan error{first, second} {
					if err := <-answer; err == nil {
						t.Fatal("a repeat outran its original")
					}
				}
				s = mustOpen(t, "/s", Options{FS: after})
				mustAppend(t, s, numbered(2))
				o.acks(2)
				o.verify(t, op, sealNow(t, s))
			}
		}
	}
}

// Three hours of an id each minute, finished in any order, with a kill -9 now and then.
func TestARestartForgetsNoIDOfTheLastHour(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 0))
	clock := time.Unix(1_800_000_000, 0)
	o := Options{Now: func() time.Time { return clock }}
	dir := t.TempDir()
	s := mustOpen(t, dir, o)
	for n := range 180 {
		clock = clock.Add(time.Minute)
		mustAppend(t, s, numbered(n))
		if rng.IntN(3) == 0 {
			sealNow(t, s)
		}
		if all := batches(s); len(all) > 0 && rng.IntN(2) == 0 {
			if err := s.Done(all[rng.IntN(len(all))].ID); err != nil {
				t.Fatal(err)
			}
		}
		if n%20 != 19 {
			continue
		}
		dir = copyDir(t, dir) // the first one is still running
		s = mustOpen(t, dir, o)
		for back := 0; back < 60 && back <= n; back++ {
			if e := mustAppend(t, s, numbered(n-back)); !e[0].Duplicate {
				t.Fatalf("after %d minutes and a restart, the id of %d minutes ago is forgotten", n, back)
			}
		}
	}
}

func TestAClockThatIsSetLosesAndDoublesNothing(t *testing.T) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-day, day} {
		dir := t.TempDir()
		wall, up := time.Unix(1_800_000_000, 0), time.Duration(0)
		o := Options{Now: func() time.Time { return wall }}
		open := func() *Spool {
			s := mustOpen(t, dir, o)
			began := up
			s.since = func(time.Time) time.Duration { return up - began } // what time.Now's monotonic part is
			return s
		}
		world := newOracle()
		s := open()
		pass := func(d time.Duration) { wall, up = wall.Add(d), up+d }
		send := func(from, to int) {
			t.Helper()
			for n := from; n < to; n++ {
				if err := world.append(t, s, n); err != nil {
					t.Fatal(err)
				}
			}
		}
		send(0, 10)
		pass(10 * time.Minute)
		wall = wall.Add(step)
		send(0, 20) // the first ten are repeats
		world.verify(t, "stepped", sealNow(t, s))
		if age := s.Stats().OldestAge; age < 0 {
			t.Fatalf("an age of %s", age)
		}
		want(t, "minutes of the ledger", minutes(s.Ledger()), 2)
		pass(40 * time.Minute)
		send(0, 30)
		drain(t, sealNow(t, s))
		if step < 0 { // a restart has only the wall clock to go by: set back, it forgets too late
			mustClose(t, s)
			s = open()
			send(0, 40)
		}
		pass(100 * time.Minute)
		if e := mustAppend(t, s, numbered(0)); step > 0 && e[0].Duplicate {
			t.Fatal("an id is remembered long after its hour")
		}
	}
}

func minutes(lines []LedgerLine) int {
	seen := map[time.Time]bool{}
	for _, l := range lines {
		seen[l.Minute] = true
	}
	return len(seen)
}

func TestASecondProcessIsRefusedAndTheLockOfADeadOneIsNot(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1))
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	said, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(said, []byte("stop it, or give this process a directory of its own")) {
		t.Fatalf("the second process ended with %v: %s", err, said)
	}
	mustAppend(t, s, numbered(2)) // the first is none the worse
	want(t, "records", payloads(t, s), names(1, 2))
	mustClose(t, s)
	runAndKill(t, dir, 0, new(bytes.Buffer), 0) // leaves its lock file
	mustClose(t, mustOpen(t, dir, Options{}))
}

// Each fsync takes its time, and whoever is answered finds his record in what survives a power loss.
func TestSlowFsyncsDelayAnswersAndNothingElse(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, SegmentBytes: 4 << 10})
	m.breaks(func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, segmentExt) {
			m.mu.Unlock()
			time.Sleep(3 * time.Millisecond) // the fault itself, not a wait for something
			m.mu.Lock()
		}
		return nil
	})
	durable := func(record []byte) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, n := range m.durable {
			if bytes.Contains(n.synced, record) {
				return true
			}
		}
		return false
	}
	var wg sync.WaitGroup
	const callers, each = 16, 12
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				e := numbered(1_000_000 + c*1000 + i)
				if err := s.Append([]Entry{e}, nil); err != nil {
					t.Error(err)
				}
				if !durable(e.Payload) {
					t.Errorf("%s was acknowledged and is not durable", e.Payload)
				}
			}
		})
	}
	wg.Wait()
	want(t, "records", len(payloads(t, s)), callers*each)
}
