package suppress

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"beckon/internal/privacy"
)

var start = time.Date(2026, 11, 27, 12, 0, 0, 42e6, time.UTC)

// no is the nth entry.
func no(n int) Entry {
	return Entry{privacy.StoredID([16]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}), privacy.CauseOptOut, start}
}

// host is a folder that several processes share.
type host struct {
	*testing.T
	dir string
	now time.Time
}

func newHost(t *testing.T) *host { return &host{t, filepath.Join(t.TempDir(), "suppressed"), start} }

func (h *host) list() string { return filepath.Join(h.dir, listName) }

// open is one process; its Follow is look, called by the test.
func (h *host) open() *List {
	h.Helper()
	l, err := Open(h.dir, Options{Now: func() time.Time { return h.now }})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	return l
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) has(l *List, entries ...Entry) {
	h.Helper()
	for _, e := range entries {
		if cause, at := l.Find(e.Key); cause != e.Cause || !at.Equal(e.At) {
			h.Fatalf("entry %s: cause %q at %s, want %q at %s", e.Key.Hex(), cause, at, e.Cause, e.At)
		}
	}
}

func (h *host) content() []byte {
	h.Helper()
	b, err := os.ReadFile(h.list())
	h.must(err)
	return b
}

func TestOneProcessWritesAndTheOthersReadAlsoAfterARestart(t *testing.T) {
	h := newHost(t)
	collector, aggregator := h.open(), h.open()
	var told []privacy.ID
	aggregator.OnNew = func(keys []privacy.ID) { told = append(told, keys...) }
	denied := Entry{no(2).Key, privacy.CauseDenied, start.Add(time.Second)}
	h.must(collector.Add(no(1), denied))
	h.has(collector, no(1), denied)
	if cause, _ := aggregator.Find(no(1).Key); cause != privacy.CauseNone {
		t.Fatal("known before it was read")
	}
	h.must(aggregator.look())
	h.has(aggregator, no(1), denied)
	if len(told) != 2 {
		t.Errorf("told of %d entries, want 2", len(told))
	}
	h.must(aggregator.Add(no(3))) // read by it in ClickHouse, say
	h.must(collector.look())
	h.has(collector, no(3))
	h.must(collector.Add(no(3), denied))
	if n := bytes.Count(h.content(), []byte("\n")); n != 3 {
		t.Errorf("%d lines for 3 entries", n)
	}
	h.has(h.open(), no(1), denied, no(3))
}

// What an operator, a crash or a disk does to the file, between two looks of a process that runs. Nothing
// that it knows may be missing afterwards, here, in the other process, or after a restart; nor may the
// next entry.
func TestFaultsOfTheFile(t *testing.T) {
	whole := func(b []byte) []byte { return b }
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	for _, f := range []struct {
		name    string
		becomes func(content []byte) []byte // nil = no file
		replace bool                        // by another file of that name
	}{
		{"untouched", whole, false},
		{"torn last line", func(b []byte) []byte { return b[:len(b)-9] }, false},
		{"torn line behind the last", func(b []byte) []byte { return append(b, b[:20]...) }, false},
		{"a whole line without its end", func(b []byte) []byte { return b[:len(b)-1] }, false},
		{"zeros behind the last", func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, false},
		{"a flipped bit", func(b []byte) []byte { b[30] ^= 1; return b }, true},
		{"a line of 200,000 bytes", func(b []byte) []byte {
			return append(bytes.Repeat([]byte("x"), 200_000), append([]byte("\n"), b...)...)
		}, true},
		{"emptied", func([]byte) []byte { return nil }, false},
		{"cut in the middle of the first line", func(b []byte) []byte { return b[:10] }, false},
		{"deleted", nil, true},
		{"rotated away", whole, true},
		{"an old copy", func(b []byte) []byte { return lines(b)[0] }, true},
		{"lines in another order, one twice", func(b []byte) []byte {
			l := lines(b)
			return bytes.Join([][]byte{l[2], l[0], l[0], l[1]}, nil)
		}, true},
	} {
		t.Run(f.name, func(t *testing.T) {
			h := newHost(t)
			collector, aggregator := h.open(), h.open()
			h.must(collector.Add(no(1)))
			h.must(collector.Add(no(2)))
			h.must(collector.Add(no(3)))
			h.must(aggregator.look())
			content := h.content()
			if f.replace {
				h.must(os.Remove(h.list()))
			}
			if f.becomes != nil {
				h.must(os.WriteFile(h.list(), f.becomes(content), fileMode))
				h.must(os.Chmod(h.list(), fileMode))
			}
			h.must(aggregator.look())
			h.must(collector.look())
			h.must(collector.Add(no(4)))
			h.must(aggregator.look())
			all := []Entry{no(1), no(2), no(3), no(4)}
			h.has(collector, all...)
			h.has(aggregator, all...)
			h.has(h.open(), all...)
			if info, err := os.Stat(h.list()); err != nil || info.Mode().Perm() != fileMode {
				t.Errorf("file %v (%v), want mode %#o", info.Mode(), err, fileMode)
			}
		})
	}
}

// kill -9 while a line is being written: whatever was written of it, the lines before it and after it stand.
func TestEveryCutOfTheLastLine(t *testing.T) {
	h := newHost(t)
	l := h.open()
	h.must(l.Add(no(1)))
	h.must(l.Add(no(2)))
	content := h.content()
	first := bytes.IndexByte(content, '\n') + 1
	for cut := first; cut <= len(content); cut++ {
		h.must(os.WriteFile(h.list(), content[:cut], fileMode))
		after := h.open()
		h.has(after, no(1))
		h.must(after.Add(no(3)))
		h.has(h.open(), no(1), no(3))
		if cause, _ := h.open().Find(no(2).Key); cause != privacy.CauseNone && cut < len(content)-1 {
			t.Fatalf("a line cut to %d of %d bytes was taken for whole", cut-first, len(content)-first)
		}
	}
}

// A disk that is full, or fails: the no is in force here, the caller hears that it is not kept, and it is
// as soon as the disk takes it, without anybody asking again.
func TestWhatTheDiskRefusesIsInForceAndWrittenLater(t *testing.T) {
	f := func(name string, breakIt func(*List)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			l, other := h.open(), h.open()
			h.must(l.Add(no(1)))
			breakIt(l)
			if err := l.Add(no(2)); err == nil {
				t.Fatal("taken by a disk that refuses it")
			}
			h.has(l, no(1), no(2))
			if err := l.Add(no(2)); err == nil {
				t.Fatal("asked again, it is taken by a disk that refuses it")
			}
			if err := l.look(); err == nil {
				t.Fatal("nothing is wrong")
			}
			l.write, l.sync = (*os.File).Write, (*os.File).Sync
			h.must(l.look())
			h.must(other.look())
			h.has(other, no(1), no(2))
			h.has(h.open(), no(1), no(2))
		})
	}
	f("full", func(l *List) { l.write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC } })
	f("full in the middle of a line", func(l *List) {
		l.write = func(f *os.File, b []byte) (int, error) {
			n, _ := f.Write(b[:len(b)/2])
			return n, syscall.ENOSPC
		}
	})
	f("failing fsync", func(l *List) { l.sync = func(*os.File) error { return syscall.EIO } })
}

// After a failed fsync the system may say that what it has forgotten is clean: only another file is proof.
func TestAfterAFailedSyncTheFileIsWrittenAnew(t *testing.T) {
	h := newHost(t)
	l := h.open()
	before, err := os.Stat(h.list())
	h.must(err)
	l.sync = func(*os.File) error { return syscall.EIO }
	if l.Add(no(1)) == nil {
		t.Fatal("no error")
	}
	l.sync = (*os.File).Sync
	h.must(l.Add(no(1)))
	after, err := os.Stat(h.list())
	h.must(err)
	if os.SameFile(before, after) {
		t.Error("the same file")
	}
	h.has(h.open(), no(1))
}

func TestEntriesEndWithTheLastCookieAndTheFileShrinks(t *testing.T) {
	h := newHost(t)
	l, other := h.open(), h.open()
	var all []Entry
	for n := range 2*spareLines + 10 {
		all = append(all, no(n))
	}
	h.must(l.Add(all...))
	late := no(99_999)
	late.At = start.Add(24 * time.Hour)
	h.must(l.Add(late))
	h.must(other.look())
	h.now = start.Add(privacy.CookieLife)
	h.must(l.compact())
	h.has(l, no(0), late) // a cookie of that moment may still be valid
	h.now = start.Add(life)
	h.must(l.compact())
	if n := l.Len(); n != 1 {
		t.Errorf("%d entries, want the last one", n)
	}
	if n := bytes.Count(h.content(), []byte("\n")); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	h.must(other.look()) // still has the old ones in memory, and must not bring them back
	h.must(other.compact())
	h.has(other, late)
	h.has(h.open(), late)
	if n := bytes.Count(h.content(), []byte("\n")); n != 1 {
		t.Errorf("%d lines after the other process looked, want 1", n)
	}
}

func TestOptOutIsTheWiderNo(t *testing.T) {
	h := newHost(t)
	l := h.open()
	denied := Entry{no(1).Key, privacy.CauseDenied, start}
	h.must(l.Add(denied))
	h.must(l.Add(no(1)))
	h.has(l, no(1))
	h.must(l.Add(denied))
	h.has(l, no(1))
	h.has(h.open(), no(1))
}

func TestManyWritersLoseNothing(t *testing.T) {
	h := newHost(t)
	lists := []*List{h.open(), h.open(), h.open()}
	failed := make(chan error, 30)
	for n := range cap(failed) {
		go func() { failed <- lists[n%3].Add(no(n), no(1000+n)) }()
	}
	for range cap(failed) {
		h.must(<-failed)
	}
	fresh := h.open()
	for n := range cap(failed) {
		h.has(fresh, no(n), no(1000+n))
	}
	if n := bytes.Count(h.content(), []byte("\n")); n != 60 {
		t.Errorf("%d lines, want 60", n)
	}
}

func TestOpenRefusesWhatIsNotSafe(t *testing.T) {
	f := func(want string, damage func(h *host)) {
		t.Helper()
		h := newHost(t)
		h.must(h.open().Add(no(1)))
		damage(h)
		if _, err := Open(h.dir, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("let everybody in: run `chmod 2770", func(h *host) { h.must(os.Chmod(h.dir, 0o755)) })
	f("let everybody in: run `chmod 0660`", func(h *host) { h.must(os.Chmod(h.list(), 0o664)) })
	f("no folder", func(h *host) { h.must(os.RemoveAll(h.dir)); h.must(os.WriteFile(h.dir, nil, 0o600)) })
	f("not a regular file", func(h *host) { h.must(os.Remove(h.list())); h.must(os.Mkdir(h.list(), 0o700)) })
	f("no such file", func(h *host) { h.dir = filepath.Join(h.dir, "a", "b") })

	h := newHost(t) // and a process that runs says so, and goes on
	l := h.open()
	h.must(l.Add(no(1)))
	h.must(os.Chmod(h.list(), 0o666))
	if err := l.look(); err == nil {
		t.Error("a file that everybody may write is in order")
	}
	h.has(l, no(1))
}

// A client that says the same no again and again must not make the others wait for a sync of its own each.
func TestWhoWaitsAtTheSameTimeSharesOneFlush(t *testing.T) {
	h := newHost(t)
	l := h.open()
	h.must(l.Add(no(0)))
	var entered, syncs atomic.Int64
	l.Now = func() time.Time { entered.Add(1); return start }
	release := make(chan struct{})
	l.sync = func(f *os.File) error {
		syncs.Add(1)
		<-release
		return f.Sync()
	}
	const callers = 100
	failed := make(chan error, callers)
	for n := range callers {
		go func() { failed <- l.Add(no(n % 2 * n)) }() // every other one is known
	}
	for entered.Load() < callers {
		runtime.Gosched()
	}
	close(release)
	for range callers {
		h.must(<-failed)
	}
	if n := syncs.Load(); n > callers/10 { // two, and one more for each caller who was on the way just then
		t.Errorf("%d syncs for %d callers", n, callers)
	}
	fresh := h.open()
	for n := 1; n < callers; n += 2 {
		h.has(fresh, no(n))
	}
}

func TestAProcessThatHoldsTheLockHoldsNobodyForLong(t *testing.T) {
	h := newHost(t)
	unlock, err := h.open().lock()
	h.must(err)
	defer unlock()
	l := h.open2()
	const callers = 20
	failed := make(chan error, callers)
	for n := range callers {
		go func() { failed <- l.Add(no(n % 2 * n)) }()
	}
	for range callers {
		if err := <-failed; !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("error %v", err)
		}
	}
	if n := l.flushes.Load(); n > callers/5 { // each has the patience of one
		t.Errorf("%d of %d callers waited for the lock, one after the other", n, callers)
	}
}

// open2 is open without the lock, which the test holds.
func (h *host) open2() *List {
	return &List{
		dir: h.dir, Options: Options{Now: func() time.Time { return h.now }}, metrics: newMetrics(nil),
		marks: map[privacy.ID]mark{}, owed: map[privacy.ID]struct{}{}, write: (*os.File).Write, sync: (*os.File).Sync,
	}
}

func TestTheListNamesNobody(t *testing.T) {
	h := newHost(t)
	h.must(h.open().Add(no(0xabcdef)))
	want := fmt.Sprintf("1 2026-11-27T12:00:00.042Z opt-out %s ", no(0xabcdef).Key.Hex())
	if got := string(h.content()); !strings.HasPrefix(got, want) || len(got) != len(want)+9 {
		t.Errorf("line %q, want %q and a checksum", got, want)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(string(appendLine(nil, no(1))))
	f.Add("1 2026-11-27T12:00:00,042Z opt-out 01000001000000000000000000000000 e9298601")
	f.Add("1 2026-11-27T12:00:00.000Z denied 00 00000000")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := parseLine([]byte(line))
		if ok && string(appendLine(nil, e)) != line+"\n" {
			t.Errorf("%q is read as %q", line, appendLine(nil, e))
		}
	})
}
