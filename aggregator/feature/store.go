package feature

import (
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// Key names a visitor of a site.
type Key struct {
	Site    string
	Visitor [16]byte
}

func (k Key) bytes() []byte { return append(k.Visitor[:], k.Site...) }

// Store holds profiles in bounded memory. The recently seen live in a map of our own, because
// ristretto may reject a newcomer, and the newcomer is exactly the visitor who has just become
// eligible; ristretto keeps the rest as long as there is room. Safe for concurrent use.
type Store struct {
	mu                sync.RWMutex
	current, previous map[Key]*Profile // two generations: what is not asked for in one fades to ristretto
	rotated           time.Time
	limit             int // profiles in one generation

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
	return &Store{current: map[Key]*Profile{}, limit: max(1, recent/2), older: older}, nil
}

// Get returns the profile of k, or nil when it is not in memory.
func (s *Store) Get(k Key) *Profile {
	s.mu.RLock()
	p, inCurrent := s.current[k]
	if !inCurrent {
		p = s.previous[k]
	}
	s.mu.RUnlock()
	if inCurrent {
		return p
	}
	if p == nil {
		p, _ = s.older.Get(k.bytes())
	}
	if p != nil {
		return s.promote(k, p)
	}
	return nil
}

// promote moves p into the current generation, unless a newer profile got there first.
func (s *Store) promote(k Key, p *Profile) *Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer, ok := s.current[k]; ok {
		return newer
	}
	s.putLocked(k, p)
	return p
}

// Put stores p unless the stored profile of k was read later. Serves that only the stored profile
// knows (they are on their way to ClickHouse) are kept.
func (s *Store) Put(k Key, p *Profile, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.rotated) > recentFor/2 {
		s.rotateLocked(now)
	}
	old := s.current[k]
	if old == nil {
		old = s.previous[k]
	}
	if old != nil {
		if old.ReadAt.After(p.ReadAt) {
			return
		}
		p = p.keepServes(old)
	}
	s.putLocked(k, p)
}

// AddServe adds a serve to the profile of k. When the profile has been dropped meanwhile, known, the
// one that the serve was decided on, takes its place; it may be nil.
func (s *Store) AddServe(k Key, known *Profile, serve Serve) {
	p := s.Get(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer, ok := s.current[k]; ok {
		p = newer
	}
	if p == nil {
		p = known
	}
	if p == nil {
		p = &Profile{}
	}
	s.putLocked(k, p.WithServe(serve))
}

// Delete forgets k everywhere.
func (s *Store) Delete(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.current, k)
	delete(s.previous, k)
	s.older.Del(k.bytes())
}

// Clear forgets everybody.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.previous = map[Key]*Profile{}, nil
	s.older.Clear()
}

// Len returns how many recently seen visitors are held.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.current) + len(s.previous)
}

func (s *Store) putLocked(k Key, p *Profile) {
	if len(s.current) >= s.limit {
		s.rotateLocked(s.rotated)
	}
	s.current[k] = p
	delete(s.previous, k)
}

// rotateLocked begins a new generation and hands the oldest one to ristretto.
func (s *Store) rotateLocked(now time.Time) {
	for k, p := range s.previous {
		s.older.Set(k.bytes(), p, 1)
	}
	s.previous, s.current, s.rotated = s.current, map[Key]*Profile{}, now
}

// keepServes returns p with those serves of old that p does not know.
func (p *Profile) keepServes(old *Profile) *Profile {
	for _, s := range old.Serves {
		p = p.WithServe(s)
	}
	return p
}
