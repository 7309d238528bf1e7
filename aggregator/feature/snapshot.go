package feature

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"beckon/internal/privacy"
)

// Snapshot keeps the recently seen visitors of a Store on disk, so that a service which starts while ClickHouse
// is down does not begin with nobody. It holds profiles under the names that the list of suppressed visitors has
// for them, never an id, and a visitor who has said no is not taken back from it.
//
// With the profiles goes the Follower's place in the feed: it goes on from there, and reads whoever has changed
// since. First serves do not come with the feed, so each is written behind the snapshot (see serves.go): what was
// given in the moment before a kill -9 is not given once more.
//
// A file that is torn, damaged, of another version or too old is not used, and the log says so. Layout:
//
//	magic and shape (what a Profile is made of, and by which SQL) | gob: head, entries, one without a name | SHA-256 of all before
type Snapshot struct {
	dir      string
	maxAge   time.Duration
	store    *Store
	follower *Follower
	log      *slog.Logger
	now      func() time.Time
	serves   servesFile
}

const (
	snapshotName     = "visitors.snapshot"
	snapshotMagic    = "BKNVIS01"
	maxSnapshotBytes = 64 << 20 // about 100,000 visitors
	snapshotPart     = 256      // visitors that are written without a pause
	snapshotPause    = 5 * time.Millisecond
)

// snapshotHead is what stands before the visitors.
type snapshotHead struct {
	At         time.Time
	Serves     uint64 // the first file of serves that are not in the profiles
	CompleteAt int64
	Looked     time.Time
	Processed  []snapshotBatch
}

type snapshotBatch struct {
	Spool   [16]byte
	Segment uint64
	At      time.Time
}

// snapshotEntry is one visitor.
type snapshotEntry struct {
	Name    [16]byte
	Profile Profile
}

// NewSnapshot returns the snapshot in dir, which is not read yet. Visitors of one that is older than maxAge would
// get no targeted offer anyhow.
func NewSnapshot(dir string, maxAge time.Duration, s *Store, f *Follower, log *slog.Logger) *Snapshot {
	return &Snapshot{dir: dir, maxAge: maxAge, store: s, follower: f, log: log, now: time.Now, serves: servesFile{dir: dir, log: log}}
}

// Load takes back what the last run has left, before anything else is put into the store, and returns how many
// visitors that were. It begins a new file of serves in any case.
func (s *Snapshot) Load() (visitors int) {
	head, visitors, err := s.read()
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		s.log.Warn("snapshot of visitors is not used", "error", err)
	default:
		serves := s.serves.read(head.Serves, s.store.restoreServe)
		s.follower.resume(head)
		s.log.Info("visitors taken from the snapshot", "visitors", visitors, "serves", serves, "age", s.now().Sub(head.At).Round(time.Second).String())
	}
	if err != nil {
		_ = os.Remove(s.path()) // what is not used is not kept
		head.Serves = 0
	}
	if err := s.serves.begin(); err != nil {
		s.log.Error("serves cannot be noted, so no snapshot is kept", "error", err)
	}
	s.store.onServe = s.note
	return visitors
}

// Remove deletes what there is: for a service that keeps no snapshots.
func (s *Snapshot) Remove() {
	_ = os.Remove(s.path())
	s.serves.removeBelow(1 << 63)
}

// Keep writes a snapshot every interval, and a last one when ctx ends.
func (s *Snapshot) Keep(every time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				s.keep(0)
				return nil
			case <-tick.C:
				s.keep(snapshotPause)
			}
		}
	}
}

func (s *Snapshot) keep(pause time.Duration) {
	if err := s.write(pause); err != nil {
		s.log.Error("snapshot of visitors not written", "error", err)
	}
}

func (s *Snapshot) path() string { return filepath.Join(s.dir, snapshotName) }

// note writes a first serve behind the snapshot. When it cannot, the snapshot is worse than none.
func (s *Snapshot) note(name privacy.ID, serve Serve) {
	if err := s.serves.add(name, serve); err != nil {
		s.log.Error("a serve could not be noted, so the snapshot is removed", "error", err)
		_ = os.Remove(s.path())
	}
}

// write replaces the snapshot. The order matters: a serve is in the store before it is noted, and notes begin a
// new file before the store is read, so each serve is in the profiles or in a file that is read with them.
func (s *Snapshot) write(pause time.Duration) error {
	if err := s.serves.begin(); err != nil {
		return err
	}
	head := s.follower.position()
	head.At, head.Serves = s.now(), s.serves.number
	if head.Looked.IsZero() {
		return nil // nothing is known yet that could go on
	}
	f, err := os.CreateTemp(s.dir, snapshotName+".*.tmp") // mode 0600
	if err != nil {
		return fmt.Errorf("create snapshot: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	defer f.Close()
	sum := sha256.New()
	out := &counter{w: io.MultiWriter(f, sum)}
	if err := s.fill(out, head, pause); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if _, err := f.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync snapshot: %w", err)
	}
	if err := os.Rename(f.Name(), s.path()); err != nil {
		return fmt.Errorf("rename snapshot: %w", err)
	}
	s.serves.removeBelow(head.Serves)
	return nil
}

func (s *Snapshot) fill(out *counter, head snapshotHead, pause time.Duration) error {
	if _, err := out.Write(append([]byte(snapshotMagic), shape()...)); err != nil {
		return err
	}
	enc := gob.NewEncoder(out)
	if err := enc.Encode(head); err != nil {
		return err
	}
	var failed error
	s.store.each(func(name privacy.ID, p *Profile) bool {
		failed = enc.Encode(snapshotEntry{name.Bytes(), *p})
		return failed == nil && out.n < maxSnapshotBytes
	}, pause)
	if failed != nil {
		return failed
	}
	return enc.Encode(snapshotEntry{})
}

// read takes a snapshot apart once its sum is right.
func (s *Snapshot) read() (head snapshotHead, visitors int, err error) {
	info, err := os.Stat(s.path())
	if err != nil {
		return head, 0, err
	}
	if info.Size() > 2*maxSnapshotBytes {
		return head, 0, fmt.Errorf("%d bytes, which is more than any has", info.Size())
	}
	data, err := os.ReadFile(s.path())
	if err != nil {
		return head, 0, err
	}
	begin := append([]byte(snapshotMagic), shape()...)
	if !bytes.HasPrefix(data, begin) {
		return head, 0, errors.New("of another version")
	}
	if len(data) < len(begin)+sha256.Size {
		return head, 0, errors.New("cut short")
	}
	body, want := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], want) {
		return head, 0, errors.New("cut short or damaged: its sum is wrong")
	}
	dec := gob.NewDecoder(bytes.NewReader(body[len(begin):]))
	if err := dec.Decode(&head); err != nil {
		return head, 0, fmt.Errorf("read its head: %w", err)
	}
	if age := s.now().Sub(head.At); age > s.maxAge || age < -time.Minute {
		return head, 0, fmt.Errorf("%s old", age.Round(time.Second))
	}
	for {
		var e snapshotEntry
		if err := dec.Decode(&e); err != nil {
			return head, visitors, fmt.Errorf("read visitor %d: %w", visitors, err)
		}
		if e.Name == [16]byte{} {
			return head, visitors, nil
		}
		if s.store.restore(privacy.StoredID(e.Name), &e.Profile) {
			visitors++
		}
	}
}

// shape is what a profile is made of and by which SQL: after a change of either, an old snapshot says something else.
func shape() []byte {
	sum := sha256.New()
	describe(sum, reflect.TypeFor[snapshotHead]())
	describe(sum, reflect.TypeFor[snapshotEntry]())
	fmt.Fprint(sum, activitySQL, ordersSQL, servesSQL)
	return sum.Sum(nil)
}

func describe(sum hash.Hash, t reflect.Type) {
	fmt.Fprintf(sum, "%s %s;", t.Name(), t.Kind())
	switch {
	case t.Kind() == reflect.Slice:
		describe(sum, t.Elem())
	case t.Kind() == reflect.Struct && t.PkgPath() != "time":
		for i := range t.NumField() {
			fmt.Fprintf(sum, "%s:", t.Field(i).Name)
			describe(sum, t.Field(i).Type)
		}
	}
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
