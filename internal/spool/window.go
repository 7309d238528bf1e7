package spool

import (
	"math/bits"
	"slices"
	"time"
)

// window remembers the fingerprints that were committed lately: for a time and up to a number, whichever
// is less. It is one table, so that an id is looked for in one place in memory: the table is far larger than the
// processor's caches. Beside each id stands the number of its generation. Ids enter the youngest one; the oldest is
// forgotten as a whole, by its number, and its ids leave a part of the table when that part is next written to.
// An id costs about 12 bytes.
type window struct {
	span    time.Duration
	ids     int // that are remembered at least
	perGen  int
	full    int // places of a part when all generations are full
	parts   [windowParts]part
	ages    [256]generation // by number; 0 is that of an empty place
	alive   [256]bool
	order   []uint8 // the numbers of the living, oldest first
	number  uint8   // of the last one that began
	turn    int     // counts the forgotten ones
	fetched uint64  // keeps the reads of fetch from being left out
	evicted int64   // unix ms of the youngest id that left for want of room, not of age
}

type generation struct {
	n           int   // places that bear its number, also after it is forgotten
	first, last int64 // unix ms of the commits it holds
}

// part is an open-addressing table for the ids of the same first bits. There are many, so that no growth and no sweep
// of one is long.
type part struct {
	ids  []uint64 // mixed; 0 is empty
	gens []uint8
	used int // at most 4/5 of the places
	turn int // of the window, when it was swept
}

const (
	generations = 13 // full ones; another one is filling
	windowBits  = 6
	windowParts = 1 << windowBits
)

func newWindow(span time.Duration, ids int) *window {
	w := &window{span: span, ids: ids, perGen: (ids + generations - 1) / generations}
	w.full = w.perGen * (generations + 1) / windowParts * 14 / 11 // 4/5 of them used, and a little more for chance
	w.alive[0] = true
	w.begin()
	return w
}

// mix spreads ids over the table, also plain numbers; no two become one.
func mix(id uint64) uint64 { return id * 0x9e3779b97f4a7c15 }

func (w *window) part(mixed uint64) *part { return &w.parts[mixed>>(64-windowBits)] }

func (w *window) has(id uint64) bool {
	x := mix(id)
	p := w.part(x)
	if p.used == 0 {
		return false
	}
	i := p.place(x)
	return p.ids[i] == x && w.alive[p.gens[i]]
}

// fetch reads the places of the entries' ids before anybody looks at what is there. Looked up one after the other, each
// id waits for memory; read together, the waits overlap.
func (w *window) fetch(entries []Entry) {
	sum := uint64(0)
	for i := range entries {
		x := mix(entries[i].Fingerprint)
		if p := w.part(x); p.used > 0 {
			sum += p.ids[p.home(x)]
		}
	}
	w.fetched = sum
}

// add remembers an id committed at a time, in unix milliseconds.
func (w *window) add(id uint64, millis int64) {
	cur := &w.ages[w.youngest()]
	if cur.n >= w.perGen || cur.n > 0 && millis-cur.first >= w.span.Milliseconds()/generations {
		w.rotate()
		cur = &w.ages[w.youngest()]
	}
	if cur.n == 0 {
		cur.first = millis
	}
	cur.last = max(cur.last, millis)
	x := mix(id)
	p := w.part(x)
	if p.turn != w.turn {
		w.sweep(p)
	}
	if 5*(p.used+1) > 4*len(p.ids) {
		size := max(8, len(p.ids)*5/4)
		if len(p.ids) < w.full {
			size = min(size, w.full)
		}
		p.resize(size)
	}
	i := p.place(x)
	if p.ids[i] == 0 {
		p.used++
	} else {
		w.ages[p.gens[i]].n--
	}
	p.ids[i], p.gens[i] = x, w.youngest()
	cur.n++
}

func (w *window) youngest() uint8 { return w.order[len(w.order)-1] }

// rotate begins a new generation, and forgets the oldest when there are enough without it. Numbers run out only where
// nobody lets time expire: of those that are full there are at most two more than generations, of the others within the
// span as many.
func (w *window) rotate() {
	for len(w.order) > 4*generations || w.len()-w.ages[w.order[0]].n >= w.ids {
		w.evicted = max(w.evicted, w.ages[w.order[0]].last)
		w.forget()
	}
	w.begin()
}

// begin gives a new generation a number that no place bears any more.
func (w *window) begin() {
	for tries := 0; w.alive[w.number] || w.ages[w.number].n > 0; w.number++ {
		if tries++; tries == len(w.ages) {
			for i := range w.parts {
				w.sweep(&w.parts[i])
			}
		}
	}
	w.ages[w.number], w.alive[w.number] = generation{}, true
	w.order = append(w.order, w.number)
}

// forget forgets the oldest generation.
func (w *window) forget() {
	w.alive[w.order[0]] = false
	w.order = slices.Delete(w.order, 0, 1)
	w.turn++
}

// expire forgets the generations whose youngest id is older than the span.
func (w *window) expire(nowMillis int64) {
	cutoff := nowMillis - w.span.Milliseconds()
	for w.ages[w.order[0]].last < cutoff && w.len() > 0 {
		if w.forget(); len(w.order) == 0 {
			w.parts = [windowParts]part{}
			clear(w.ages[:])
			w.begin()
		}
	}
}

func (w *window) len() int {
	n := 0
	for _, number := range w.order {
		n += w.ages[number].n
	}
	return n
}

// reach is how far back repeats are recognised: less than the span only when ids left for want of room.
func (w *window) reach(nowMillis int64) time.Duration {
	return max(0, min(w.span, time.Duration(nowMillis-w.evicted)*time.Millisecond))
}

// sweep takes the forgotten ids out of a part.
func (w *window) sweep(p *part) {
	p.turn = w.turn
	for i := range p.gens {
		for !w.alive[p.gens[i]] {
			w.ages[p.gens[i]].n--
			p.remove(i)
		}
	}
	if len(p.ids) > 8*(p.used+1) { // of what a rush has left, little is needed
		p.resize(2 * (p.used + 1))
	}
}

// home is where an id is looked for first: homes rise as ids do.
func (p *part) home(mixed uint64) int {
	hi, _ := bits.Mul64(mixed<<windowBits, uint64(len(p.ids)))
	return int(hi)
}

// place is where an id is, or would go.
func (p *part) place(mixed uint64) int {
	i := p.home(mixed)
	for p.ids[i] != 0 && p.ids[i] != mixed {
		i = p.after(i)
	}
	return i
}

func (p *part) after(i int) int {
	if i++; i == len(p.ids) {
		return 0
	}
	return i
}

// remove empties a place, and moves up those behind it that would not be found any more.
func (p *part) remove(i int) {
	for j := p.after(i); p.ids[j] != 0; j = p.after(j) {
		if home := p.home(p.ids[j]); p.distance(home, j) >= p.distance(i, j) {
			p.ids[i], p.gens[i] = p.ids[j], p.gens[j]
			i = j
		}
	}
	p.ids[i], p.gens[i] = 0, 0
	p.used--
}

// distance is how many steps lead from one place to another.
func (p *part) distance(from, to int) int {
	if to < from {
		to += len(p.ids)
	}
	return to - from
}

func (p *part) resize(places int) {
	old := *p
	p.ids, p.gens = make([]uint64, places), make([]uint8, places)
	for i, id := range old.ids {
		if id != 0 {
			at := p.place(id)
			p.ids[at], p.gens[at] = id, old.gens[i]
		}
	}
}
