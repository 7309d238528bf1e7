package feature

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"beckon/internal/privacy"
)

// run is a service with a snapshot in dir, until the next run takes its place.
type run struct {
	*Snapshot
	said bytes.Buffer
}

func startRun(t *testing.T, dir string, now time.Time, refuse Suppressed) (r *run, restored int) {
	t.Helper()
	store := newTestStore(t, 10_000)
	if refuse != nil {
		store.Refuse(refuse)
	}
	r = &run{}
	log := slog.New(slog.NewTextHandler(&r.said, nil))
	r.Snapshot = NewSnapshot(dir, time.Hour, store, NewFollower(nil, store, nil, log, nil), log)
	r.now = func() time.Time { return now }
	return r, r.Load()
}

// know makes the run know n visitors, and where it is in the feed.
func (r *run) know(n int, now time.Time) {
	for i := range n {
		r.store.Put(storeKey(i), &Profile{
			ReadAt: now, LastSeen: int64(i), Country: "DE", CartValue: 1.5, Hours: []Hour{{Start: 3600, Pageviews: 2, Sessions: []uint64{1, 1 << 63}}},
			Orders: []Order{{At: 5, Revenue: 9.5, Decision: "d"}}, Serves: []Serve{serveOf(i, now)},
		}, now)
	}
	r.follower.remember([]load{{batch: batch{[16]byte{7}, 8}, at: now.UTC(), rows: 1}})
	r.follower.looked = now.UTC()
	r.follower.completeAt.Store(now.UnixMilli())
}

func serveOf(i int, now time.Time) Serve {
	return Serve{
		Offer: "o", Rule: "o@1", Arm: Treatment, DecisionID: privacy.StoredID([16]byte{1, byte(i), byte(i >> 8)}), Session: privacy.StoredID([16]byte{2}),
		At: now.UTC().Round(0), ValidUntil: now.Add(time.Hour).UTC().Round(0),
	}
}

func TestANewRunKnowsWhomTheLastOneKnew(t *testing.T) {
	dir, now := t.TempDir(), time.Now().Round(0)
	before, _ := startRun(t, dir, now, nil)
	before.know(700, now)
	if err := before.write(0); err != nil {
		t.Fatal(err)
	}
	late := serveOf(9999, now)
	before.store.AddServe(storeKey(3), nil, late) // and then kill -9
	before.store.AddServe(storeKey(900), nil, serveOf(9998, now))

	after, n := startRun(t, dir, now.Add(59*time.Minute), nil)
	if n != 700 {
		t.Fatalf("%d visitors are taken back, want 700: %s", n, &after.said)
	}
	for i := range 700 {
		want := before.store.Get(storeKey(i))
		got := after.store.Get(storeKey(i))
		if !got.ReadAt.Equal(want.ReadAt) {
			t.Fatalf("visitor %d was read at %s, want %s", i, got.ReadAt, want.ReadAt)
		}
		got.ReadAt = want.ReadAt
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("visitor %d is\n%+v, want\n%+v", i, got, want)
		}
	}
	if serves := after.store.Get(storeKey(3)).Serves; len(serves) != 2 || serves[1] != late {
		t.Errorf("serves %+v, want the one after the snapshot too", serves)
	}
	if after.store.Get(storeKey(900)) != nil {
		t.Error("of a visitor with a serve alone nothing is known, and somebody is made of it")
	}
	if after.follower.CompleteAt() != before.follower.CompleteAt() || !after.follower.looked.Equal(now) || !reflect.DeepEqual(after.follower.processed, before.follower.processed) {
		t.Error("the feed does not go on where it was")
	}
	if info, err := os.Stat(after.path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read it", info.Mode(), err)
	}
	// A next run, after another snapshot, has the serve too, and old files are gone.
	if err := after.write(0); err != nil {
		t.Fatal(err)
	}
	third, _ := startRun(t, dir, now.Add(59*time.Minute), nil)
	if serves := third.store.Get(storeKey(3)).Serves; len(serves) != 2 {
		t.Errorf("serves %+v", serves)
	}
	if files := third.serves.numbers(); len(files) > 2 {
		t.Errorf("files of serves %v pile up", files)
	}
}

func TestASnapshotThatIsNotSoundIsNotUsed(t *testing.T) {
	now := time.Now()
	f := func(name, said string, damage func(*run, []byte) []byte, later time.Duration) {
		t.Helper()
		dir := t.TempDir()
		before, _ := startRun(t, dir, now, nil)
		before.know(300, now)
		if err := before.write(0); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(before.path())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(before.path(), damage(before, data), 0o600); err != nil {
			t.Fatal(err)
		}
		after, n := startRun(t, dir, now.Add(later), nil)
		if after.store.Len() != n || n != 0 && said != "" || !after.follower.CompleteAt().IsZero() && said != "" || !strings.Contains(after.said.String(), said) {
			t.Errorf("%s: %d visitors of %d, complete at %s; said %s", name, n, after.store.Len(), after.follower.CompleteAt(), &after.said)
		}
		if _, err := os.Stat(after.path()); said != "" && err == nil {
			t.Errorf("%s: it is kept", name)
		}
	}
	same := func(_ *run, b []byte) []byte { return b }
	f("sound", "", same, time.Minute)
	f("too old", "1h1m0s old", same, 61*time.Minute)
	f("of the future", "old", same, -2*time.Minute)
	f("empty", "another version", func(*run, []byte) []byte { return nil }, 0)
	f("another version", "another version", func(_ *run, b []byte) []byte { b[7]++; return b }, 0)
	f("another shape", "another version", func(_ *run, b []byte) []byte { b[20]++; return b }, 0)
	f("no room for a sum", "cut short", func(_ *run, b []byte) []byte { return b[:60] }, 0)
	for _, part := range []int{2, 3, 10} {
		f(fmt.Sprint("torn at 1/", part), "sum is wrong", func(_ *run, b []byte) []byte { return b[:len(b)-len(b)/part] }, 0)
		f(fmt.Sprint("flipped at 1/", part), "sum is wrong", func(_ *run, b []byte) []byte { b[len(b)-len(b)/part] ^= 1; return b }, 0)
	}
}

// noes are the visitors who have said no, by the name that they have without a list.
type noes map[privacy.ID]bool

func (n noes) Name(k Key) privacy.ID    { return nobody{}.Name(k) }
func (n noes) Has(name privacy.ID) bool { return n[name] }

func TestWhoSaidNoDoesNotComeBackFromASnapshot(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	list := noes{}
	before, _ := startRun(t, dir, now, list)
	before.know(5, now)
	if err := before.write(0); err != nil {
		t.Fatal(err)
	}
	before.store.AddServe(storeKey(2), nil, serveOf(50, now))
	gone := list.Name(storeKey(2))
	list[gone] = true
	before.store.Drop([]privacy.ID{gone})
	after, n := startRun(t, dir, now, list)
	if n != 4 || after.store.Get(storeKey(2)) != nil {
		t.Errorf("%d visitors are taken back, and the one who said no is %+v", n, after.store.Get(storeKey(2)))
	}
	// With the next snapshot nothing of them is on disk.
	if err := after.write(0); err != nil {
		t.Fatal(err)
	}
	raw := gone.Bytes()
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range files {
		if data, _ := os.ReadFile(name); bytes.Contains(data, raw[:]) || bytes.Contains(data, []byte(strings.ToLower(gone.Hex()))) {
			t.Errorf("%s still has them", name)
		}
	}
}

func TestNothingIsWrittenBeforeTheFeedIsKnown(t *testing.T) {
	dir := t.TempDir()
	r, _ := startRun(t, dir, time.Now(), nil)
	if err := r.write(0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path()); err == nil {
		t.Error("a snapshot of nothing is there")
	}
	r.Remove()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("%q are left by who keeps none", left)
	}
}

func TestTheStoreIsUsedWhileItIsWritten(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	r, _ := startRun(t, dir, now, nil)
	r.know(3000, now)
	done := make(chan error, 1)
	go func() { done <- r.write(time.Microsecond) }()
	for i := 0; ; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if _, n := startRun(t, dir, now, nil); n < 3000 {
				t.Errorf("%d visitors of 3000 are taken back", n)
			}
			return
		default:
			r.store.Put(storeKey(5000+i%1000), &Profile{ReadAt: now}, now)
			r.store.AddServe(storeKey(i%3000), nil, serveOf(i, now))
		}
	}
}

func FuzzNotedServe(f *testing.F) {
	f.Add("00000000 {}")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) { parseNoted(line) })
}
