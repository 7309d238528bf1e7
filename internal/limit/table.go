package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ways    = 8         // entries of a set: two cache lines
	stripes = 256       // locks: two cores rarely want the same
	renewal = time.Hour // how long a seed lives
)

// Table limits each of any number of keys. Nil limits nothing.
type Table struct {
	pace
	sets      int // a power of two
	now       atomic.Pointer[generation]
	forgotten atomic.Uint64
}

// generation is what is remembered under one seed. Who holds a lock of it may take one of the generation
// before it, and never the other way round.
type generation struct {
	seed  maphash.Seed
	born  time.Duration
	past  atomic.Pointer[generation] // the one before, nil when all its debts are paid
	sets  []set
	locks [stripes]struct {
		sync.Mutex
		_ [56]byte // a cache line of its own
	}
}

// set is where a key can stand. When all its places hold debts, the smallest of them goes: whoever comes
// too often stays known, and an attacker who wants to be forgotten has to bring eight others of the same
// set deeper into debt than himself, without a way to know which keys those are.
type set [ways]entry

type entry struct {
	hash uint64 // of the key
	full int64  // when its bucket will be full
}

// NewTable returns a table of about the given number of places (16 bytes each, twice that while Tidy moves
// to a new seed): perSecond for long, burst's worth of that at once, for each key. Nil without a rate.
// A place is needed only while a key is in debt, so there can be many more keys than places.
func NewTable(perSecond int, burst time.Duration, places int) *Table {
	if perSecond <= 0 {
		return nil
	}
	t := &Table{pace: paceOf(perSecond, burst), sets: stripes}
	for t.sets*ways < places {
		t.sets *= 2
	}
	t.now.Store(t.generation(0))
	return t
}

func (t *Table) generation(born time.Duration) *generation {
	return &generation{seed: maphash.MakeSeed(), born: born, sets: make([]set, t.sets)}
}

func (g *generation) hash(key [16]byte) uint64 { return maphash.Bytes(g.seed, key[:]) }

// Take takes n tokens of key and returns 0, or takes none and returns how long there is none at all. now
// counts from any fixed moment.
func (t *Table) Take(now time.Duration, key [16]byte, n int) (wait time.Duration) {
	if t == nil {
		return 0
	}
	g := t.now.Load()
	hash := g.hash(key)
	lock := &g.locks[hash%stripes]
	lock.Lock()
	e, known := g.sets[hash&uint64(t.sets-1)].find(hash)
	full := e.full
	if !known {
		full = t.inherit(g, e, key, int64(now))
	}
	next, refused := t.take(full, int64(now), n)
	*e = entry{hash, next}
	lock.Unlock()
	return time.Duration(refused)
}

// Charge takes n tokens of key, whether it has them or not: what came turned out to be more than one.
func (t *Table) Charge(now time.Duration, key [16]byte, n int) {
	if t == nil || n == 0 {
		return
	}
	g := t.now.Load()
	hash := g.hash(key)
	lock := &g.locks[hash%stripes]
	lock.Lock()
	if e, known := g.sets[hash&uint64(t.sets-1)].find(hash); known {
		e.full = t.owe(e.full, int64(now), n)
	}
	lock.Unlock()
}

// find returns the key's entry, or the one with the smallest debt, which is where it may go.
func (s *set) find(hash uint64) (e *entry, known bool) {
	for i := range s {
		if s[i].hash == hash {
			return &s[i], true
		}
	}
	e = &s[0]
	for i := range s {
		if s[i].full < e.full {
			e = &s[i]
		}
	}
	return e, false
}

// inherit returns what a key that is not in the table owes: what it owed under the last seed, or else what
// is given up for its place, but at most half a bucket, so that nobody who comes new is refused and
// nobody who was forgotten gets a whole burst for it.
func (t *Table) inherit(g *generation, place *entry, key [16]byte, now int64) int64 {
	full := now
	if place.full > now { // somebody's debt, in a crowded set
		t.forgotten.Add(1)
		full = min(place.full, now+(t.tolerance-t.interval)/2)
	}
	if past := g.past.Load(); past != nil {
		full = max(full, past.owed(key))
	}
	return full
}

// owed is when the bucket of key will be full again, as far as this generation knows.
func (g *generation) owed(key [16]byte) int64 {
	hash := g.hash(key)
	lock := &g.locks[hash%stripes]
	lock.Lock()
	defer lock.Unlock()
	if e, known := g.sets[hash&uint64(len(g.sets)-1)].find(hash); known {
		return e.full
	}
	return 0
}

// Tidy changes the seed when it is an hour old, and forgets the one before as soon as every debt under it
// is paid. Call it every few seconds, from one goroutine.
func (t *Table) Tidy(now time.Duration) {
	if t == nil {
		return
	}
	g := t.now.Load()
	switch age := now - g.born; {
	case age >= renewal:
		g.past.Store(nil) // its debts are an hour old
		next := t.generation(now)
		next.past.Store(g)
		t.now.Store(next)
	case age > time.Duration(2*t.tolerance):
		g.past.Store(nil)
	}
}

// tidyEvery is soon enough after a seed is an hour old, and rare enough to cost nothing.
const tidyEvery = 5 * time.Second

// KeepTidy calls Tidy of the tables, by the clock that their callers use, until done is closed.
func KeepTidy(done <-chan struct{}, now func() time.Duration, tables ...*Table) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			for _, t := range tables {
				t.Tidy(now())
			}
		}
	}
}

// Forgotten counts the debts that were forgotten for want of room.
func (t *Table) Forgotten() uint64 {
	if t == nil {
		return 0
	}
	return t.forgotten.Load()
}
