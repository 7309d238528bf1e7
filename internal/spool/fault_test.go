package spool

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

func TestSegmentsUnderOtherNamesAreFoundByTheirHeaders(t *testing.T) {
	move := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, dir string, f []string){
		"two swapped": func(t *testing.T, dir string, f []string) {
			move(t, f[0], dir+"/x")
			move(t, f[1], f[0])
			move(t, dir+"/x", f[1])
		},
		"all moved up by one": func(t *testing.T, _ string, f []string) {
			move(t, f[2], nameOf(f[2], 4))
			move(t, f[1], f[2])
			move(t, f[0], f[1])
		},
		"one with a later number":        func(t *testing.T, _ string, f []string) { move(t, f[0], nameOf(f[0], 9)) },
		"a copy under another number":    func(t *testing.T, _ string, f []string) { copyFile(t, f[1], nameOf(f[1], 9)) },
		"a copy in place of another one": func(t *testing.T, _ string, f []string) { move(t, f[0], nameOf(f[0], 9)); copyFile(t, f[1], f[0]) },
		"two copies and no original": func(t *testing.T, _ string, f []string) {
			copyFile(t, f[0], nameOf(f[0], 8))
			move(t, f[0], nameOf(f[0], 9))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := damagedSpool(t)
			tokens := func(s *Spool) map[string][]string {
				all := map[string][]string{}
				for _, b := range batches(s) {
					var records []string
					if err := b.Records(func(_ uint64, p []byte) error { records = append(records, string(p)); return nil }); err != nil {
						t.Fatal(err)
					}
					all[b.ID.Token()] = records
				}
				return all
			}
			before := tokens(mustOpen(t, copyDir(t, dir), Options{}))
			change(t, dir, segmentFiles(t, dir))
			for range 2 { // also after another restart
				s := mustOpen(t, dir, Options{})
				want(t, "records", payloads(t, s), names(1, 9))
				if after := tokens(s); !maps.EqualFunc(after, before, slices.Equal) {
					t.Fatalf("batches were %v and are %v", before, after)
				}
				mustClose(t, s)
			}
			s := mustOpen(t, dir, Options{})
			mustAppend(t, s, numbered(10))
			for id := range drain(t, sealNow(t, s)) {
				delete(before, id.Token())
			}
			want(t, "batches that were not drained", len(before), 0)
			want(t, "segments left", len(segmentFiles(t, dir)), 0)
			mustClose(t, s)
			s = mustOpen(t, dir, Options{})
			for n := 1; n <= 10; n++ {
				if e := mustAppend(t, s, numbered(n)); !e[0].Duplicate {
					t.Fatalf("record %d was forgotten", n)
				}
			}
		})
	}
}

// nameOf is the name of segment n beside another one.
func nameOf(file string, n int) string {
	return filepath.Join(filepath.Dir(file), fmt.Sprintf("%020d.segment", n))
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
	m.mu.Lock()
	m.ops = nil
	m.mu.Unlock()
	drain(t, s)
	const seg, ids = "00000000000000000001.segment", "00000000000000000001.ids"
	at := slices.Index(m.ops, "rename "+seg)
	if at < 0 || !slices.Equal(m.ops[at+1:at+3], []string{"syncdir s", "create " + ids}) {
		t.Fatalf("operations %q", m.ops)
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

func TestIDsFilesThatAreStaleOrMissingCostRepeatsAtMost(t *testing.T) {
	prepared := func(t *testing.T) (dir, ids string, o *oracle) {
		dir, o = t.TempDir(), newOracle()
		s := mustOpen(t, dir, Options{})
		for n := range 3 {
			if err := o.append(t, s, n); err != nil {
				t.Fatal(err)
			}
		}
		o.verify(t, "loaded", sealNow(t, s))
		copyFile(t, segmentFiles(t, dir)[0], dir+"/kept")
		drain(t, s)
		mustClose(t, s)
		return dir, dir + "/00000000000000000001.ids", o
	}
	f := func(name string, known bool, damage func(t *testing.T, dir, ids string)) {
		t.Run(name, func(t *testing.T) {
			dir, ids, o := prepared(t)
			damage(t, dir, ids)
			s := mustOpen(t, dir, Options{})
			o.verify(t, name, sealNow(t, s)) // what comes again comes with its old token
			e := mustAppend(t, s, numbered(1))
			want(t, "known", e[0].Duplicate, known)
			mustAppend(t, s, numbered(7))
			for _, b := range batches(sealNow(t, s)) {
				if _, used := o.batches[b.ID.Token()]; used && name != "the segment is still there" {
					t.Fatalf("token %s was used before", b.ID.Token())
				}
			}
		})
	}
	f("sound", true, func(*testing.T, string, string) {})
	f("the segment is still there", true, func(t *testing.T, dir, _ string) { copyFile(t, dir+"/kept", dir+"/00000000000000000001.segment") })
	f("a bit is flipped", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { flip(b, len(b)/2); return b }) })
	f("cut", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { return b[:len(b)-5] }) })
	f("full of zeros", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { clear(b); return b }) })
	f("under another number", false, func(t *testing.T, dir, ids string) {
		copyFile(t, ids, dir+"/00000000000000000005.ids")
		remove(t, ids)
	})
	f("missing", false, func(t *testing.T, _, ids string) { remove(t, ids) }) // the last one: a new spool id
}

func TestASegmentThatCannotBeReadStopsAStartAndNothingIsChanged(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	mustAppend(t, s, numbered(1), numbered(2))
	mustClose(t, s)
	before := maps.Clone(m.names)
	m.breaks(func(op, name string) error {
		if op == "read" && strings.HasSuffix(name, segmentExt) {
			return syscall.EIO
		}
		return nil
	})
	_, err := Open("/s", Options{FS: m, Log: quiet})
	wantError(t, err, syscall.EIO)
	if !maps.Equal(before, m.names) {
		t.Fatal("files were changed")
	}
	m.breaks(nil)
	want(t, "records", payloads(t, mustOpen(t, "/s", Options{FS: m})), names(1, 2))
}
