package feature

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"beckon/internal/privacy"
)

// Key names a visitor of a site.
type Key struct {
	Site    string
	Visitor [16]byte
}

// Suppressed is what a store needs of internal/suppress: visitors who said no, and the name by which it
// knows them.
type Suppressed interface {
	Name(Key) privacy.ID
	Has(name privacy.ID) bool
}

// Store holds profiles in bounded memory. The recently seen live in a map of our own, because
// ristretto may reject a newcomer, and the newcomer is exactly the visitor who has just become
// eligible; ristretto keeps the rest as long as there is room. Visitors stand under the name that the list
// of suppressed ones has for them, so that one who says no is found and dropped at once; from then on
// nothing is kept of them, whoever brings it. Safe for concurrent use.
type Store struct {
	mu                sync.RWMutex
	current, previous map[privacy.ID]*Profile // two generations: what is not asked for in one fades to ristretto
	rotated           time.Time
	limit             int // profiles in one generation
	suppressed        Suppressed
	reading           map[privacy.ID]int      // visitors whose profiles are on their way from ClickHouse, by how many reads
	onServe           func(privacy.ID, Serve) // told of each first serve once it is here; nil: nobody is

	older *ristretto.Cache[[]byte, *Profile]
}

const (
	recentFor      = 30 * time.Minute // how long a visitor counts as recently seen
	defaultRecent  = 200_000
	olderPerRecent = 5
)

// NewStore returns a store for about recent recently seen visitors (0 = 200,000) and five times as
// many older ones.
func NewStore(recent int) (*Store, error) {
	if recent <= 0 {
		recent = defaultRecent
	}
	older, err := ristretto.NewCache(&ristretto.Config[[]byte, *Profile]{
		NumCounters: int64(recent * olderPerRecent * 10), // ristretto's advice: ten counters an item
		MaxCost:     int64(recent * olderPerRecent),      // every profile costs 1
		BufferItems: 64,

		IgnoreInternalCost: true, // else every item would cost 57 instead of 1
	})
	if err != nil {
		return nil, err
	}
	return &Store{current: map[privacy.ID]*Profile{}, limit: max(1, recent/2), older: older, suppressed: nobody{}, reading: map[privacy.ID]int{}}, nil
}

// Refuse says whom the store keeps nothing of. It is called before anything else.
func (s *Store) Refuse(these Suppressed) { s.suppressed = these }

// nobody is suppressed, and everybody has a name.
type nobody struct{}

func (nobody) Name(k Key) privacy.ID {
	sum := sha256.Sum256(append(k.Visitor[:], k.Site...))
	return privacy.StoredID([16]byte(sum[:]))
}

func (nobody) Has(privacy.ID) bool { return false }

// Get returns the profile of k, or nil when it is not in memory.
func (s *Store) Get(k Key) *Profile { return s.Find(s.suppressed.Name(k)) }

// Find is Get for who knows the visitor's name in the list of suppressed ones.
func (s *Store) Find(name privacy.ID) *Profile {
	s.mu.RLock()
	p, inCurrent := s.current[name]
	if !inCurrent {
		p = s.previous[name]
	}
	s.mu.RUnlock()
	if inCurrent {
		return p
	}
	if p == nil {
		p, _ = s.older.Get(bytesOf(name))
	}
	if p != nil {
		return s.promote(name, p)
	}
	return nil
}

// known returns those of keys whose profiles are in memory or about to be: fill is reading them, perhaps as they
// were a moment ago.
func (s *Store) known(keys []Key) []Key {
	var known, rest []Key
	for _, k := range keys {
		if s.has(k) {
			known = append(known, k)
		} else {
			rest = append(rest, k)
		}
	}
	s.older.Wait() // who was on the way there is found now
	return append(known, slices.DeleteFunc(rest, func(k Key) bool { return !s.has(k) })...)
}

func (s *Store) has(k Key) bool {
	name := s.suppressed.Name(k)
	s.mu.RLock()
	_, inCurrent := s.current[name]
	_, inPrevious := s.previous[name]
	reading := s.reading[name] > 0
	s.mu.RUnlock()
	if inCurrent || inPrevious || reading {
		return true
	}
	_, older := s.older.Get(bytesOf(name))
	return older
}

// fill reads the profiles of keys, which are all of one site, and puts them into the store.
func (s *Store) fill(ctx context.Context, r ProfileReader, site string, keys []Key, now func() time.Time) error {
	names := make([]privacy.ID, len(keys))
	for i, k := range keys {
		names[i] = s.suppressed.Name(k)
	}
	s.count(names, 1)
	defer s.count(names, -1)
	profiles, err := r.Read(ctx, site, keys)
	if err != nil {
		return err
	}
	at := now()
	for i, k := range keys {
		s.Put(k, profiles[i], at)
	}
	return nil
}

func (s *Store) count(names []privacy.ID, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if s.reading[name] += n; s.reading[name] == 0 {
			delete(s.reading, name)
		}
	}
}

// promote moves p into the current generation, unless a newer profile got there first.
func (s *Store) promote(name privacy.ID, p *Profile) *Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer, ok := s.current[name]; ok {
		return newer
	}
	s.putLocked(name, p)
	return s.current[name]
}

// Put stores p unless the stored profile of k was read later. Serves that only the stored profile
// knows (they are on their way to ClickHouse) are kept.
func (s *Store) Put(k Key, p *Profile, now time.Time) {
	name := s.suppressed.Name(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.rotated) > recentFor/2 {
		s.rotateLocked(now)
	}
	old := s.current[name]
	if old == nil {
		old = s.previous[name]
	}
	if old == nil { // an outage of ClickHouse can outlast recentFor
		old, _ = s.older.Get(bytesOf(name))
	}
	if old != nil {
		if old.ReadAt.After(p.ReadAt) {
			return
		}
		p = p.keepServes(old)
	}
	s.putLocked(name, p)
}

// AddServe adds a serve to the profile of k. When the profile has been dropped meanwhile, known, the
// one that the serve was decided on, takes its place; it may be nil.
func (s *Store) AddServe(k Key, known *Profile, serve Serve) {
	p := s.Get(k)
	name := s.suppressed.Name(k)
	s.mu.Lock()
	if newer, ok := s.current[name]; ok {
		p = newer
	}
	if p == nil {
		p = known
	}
	if p == nil {
		p = &Profile{}
	}
	s.putLocked(name, p.WithServe(serve))
	s.mu.Unlock()
	if s.onServe != nil {
		s.onServe(name, serve)
	}
}

// each gives the recently seen visitors to f, the most recent generation first, until f says no. It holds the
// lock only to take a part of them, and pauses in between: requests go first.
func (s *Store) each(f func(privacy.ID, *Profile) bool, pause time.Duration) {
	type visitor struct {
		name privacy.ID
		p    *Profile
	}
	part := make([]visitor, 0, snapshotPart)
	give := func() (goOn bool) {
		for _, v := range part {
			if !f(v.name, v.p) {
				return false
			}
		}
		part = part[:0]
		time.Sleep(pause)
		return true
	}
	s.mu.RLock()
	for _, generation := range []map[privacy.ID]*Profile{s.current, s.previous} {
		for name, p := range generation { // it may change while the lock is free, which iterating allows
			if part = append(part, visitor{name, p}); len(part) < snapshotPart {
				continue
			}
			s.mu.RUnlock()
			if !give() {
				return
			}
			s.mu.RLock()
		}
	}
	s.mu.RUnlock()
	give()
}

// restore puts a profile of an earlier run in, and reports whether it is there: not that of somebody who has said
// no, nor in place of a newer one.
func (s *Store) restore(name privacy.ID, p *Profile) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current[name] != nil || s.previous[name] != nil {
		return false
	}
	s.putLocked(name, p)
	return s.current[name] != nil
}

// restoreServe adds a serve of an earlier run to a visitor who is here. Of others nothing is known, and whoever
// reads them finds the serve where it was recorded.
func (s *Store) restoreServe(name privacy.ID, serve Serve) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, generation := range []map[privacy.ID]*Profile{s.current, s.previous} {
		if p := generation[name]; p != nil {
			generation[name] = p.WithServe(serve)
		}
	}
}

// Drop forgets visitors everywhere, by the names of Suppressed.
func (s *Store) Drop(names []privacy.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		delete(s.current, name)
		delete(s.previous, name)
		s.older.Del(bytesOf(name))
	}
}

// forget drops visitors whose profiles are out of date: whoever asks for them reads them.
func (s *Store) forget(keys []Key) {
	names := make([]privacy.ID, len(keys))
	for i, k := range keys {
		names[i] = s.suppressed.Name(k)
	}
	s.Drop(names)
}

// Clear forgets everybody.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.previous = map[privacy.ID]*Profile{}, nil
	s.older.Clear()
}

// Len returns how many recently seen visitors are held.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.current) + len(s.previous)
}

func (s *Store) putLocked(name privacy.ID, p *Profile) {
	// Asked under the lock: whoever says no right now is either seen here or dropped after us.
	if s.suppressed.Has(name) {
		return
	}
	if len(s.current) >= s.limit {
		s.rotateLocked(s.rotated)
	}
	s.current[name] = p
	delete(s.previous, name)
}

func bytesOf(name privacy.ID) []byte {
	b := name.Bytes()
	return b[:]
}

// rotateLocked begins a new generation and hands the oldest one to ristretto.
func (s *Store) rotateLocked(now time.Time) {
	for name, p := range s.previous {
		s.older.Set(bytesOf(name), p, 1)
	}
	s.previous, s.current, s.rotated = s.current, map[privacy.ID]*Profile{}, now
}

// keepServes returns p with those serves of old that p does not know.
func (p *Profile) keepServes(old *Profile) *Profile {
	for _, s := range old.Serves {
		p = p.WithServe(s)
	}
	return p
}
