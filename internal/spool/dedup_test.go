package spool

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

func TestTheWindowRemembersAtLeastAsManyIDsAsItWasToldTo(t *testing.T) {
	const ids = 1000
	w := newWindow(time.Hour, ids)
	for n := uint64(1); n <= 50_000; n++ {
		w.add(n, 0)
		if n > ids && !w.has(n-ids+1) {
			t.Fatalf("%d forgotten after %d", n-ids+1, n)
		}
		if total := w.len(); total > ids+ids/generations+generations {
			t.Fatalf("%d ids remembered", total)
		}
	}
	if w.has(50_000 - 2*ids) {
		t.Fatal("an id far back is remembered")
	}
	bytes := 0
	for _, p := range w.parts {
		bytes += 9 * len(p.ids)
	}
	if bytes > 24*ids {
		t.Fatalf("%d bytes for %d ids", bytes, ids)
	}
}

func TestTheWindowForgetsByTime(t *testing.T) {
	w := newWindow(time.Hour, 1_000_000)
	const minute = 60_000
	for now := int64(0); now < 300; now++ { // an id a minute
		w.expire(now * minute)
		w.add(uint64(now)+1, now*minute)
		if now >= 59 && !w.has(uint64(now-59)+1) {
			t.Fatalf("minute %d: the id of an hour ago is forgotten", now)
		}
		if now >= 90 && w.has(uint64(now-90)+1) {
			t.Fatalf("minute %d: the id of 90 minutes ago is remembered", now)
		}
	}
	w.expire(1000 * minute)
	want(t, "ids after a long silence", w.len(), 0)
	w.add(7, 1000*minute)
	w.expire(500 * minute) // a clock that goes back forgets nothing
	want(t, "id", w.has(7), true)
	want(t, "reach", w.reach(1001*minute), time.Hour)

	w = newWindow(time.Hour, 1_000_000)
	for now := range int64(1000) { // an id an hour, as a restart after an outage of weeks finds them, before it knows the time
		w.add(uint64(now)+1, now*60*minute)
		want(t, "the last one", w.has(uint64(now)+1), true)
	}
	w.expire(1000 * 60 * minute)
	want(t, "the last one an hour later", w.has(1000), true)
	want(t, "the one before", w.has(999), false)
}

func TestTheWindowTellsItsReachWhenIDsLeaveForWantOfRoom(t *testing.T) {
	w := newWindow(time.Hour, 100)
	for n := range int64(1000) {
		w.add(uint64(n)+1, n*1000)
	}
	if got := w.reach(999_000); got < 99*time.Second || got > 121*time.Second {
		t.Fatalf("an id a second and room for 100: reach %s", got)
	}
}

// TestTheWindowIsRightAboutEveryID goes through a history of steady hours, rushes and silences, in which numbers of
// generations are used many times.
func TestTheWindowIsRightAboutEveryID(t *testing.T) {
	const ids, span = 260, 1000 // milliseconds
	f := func(name string, id func(n uint64) uint64) {
		t.Helper()
		w := newWindow(span*time.Millisecond, ids)
		rng := rand.New(rand.NewPCG(3, 4))
		type added struct{ at, nth int64 }
		last := map[uint64]added{}
		now, nth, fresh, pause := int64(1), int64(0), uint64(0), int64(3)
		for step := range 20_000 {
			if step%500 == 0 {
				pause = []int64{0, 1, 3, 20, 200}[rng.IntN(5)]
				now += rng.Int64N(3) * span
			}
			now += rng.Int64N(pause + 1)
			fresh++
			n := fresh
			if rng.IntN(10) == 0 {
				n = 1 + rng.Uint64N(fresh) // a repeat, perhaps of one that is forgotten
			}
			w.expire(now)
			w.add(id(n), now)
			nth++
			last[n] = added{now, nth}
			if step%20 != 0 {
				continue
			}
			remembered := 0
			for n := max(1, fresh-min(fresh, 3*ids)); n <= fresh+10; n++ {
				a, ever := last[n]
				got := w.has(id(n))
				if got {
					remembered++
				}
				if promised := ever && nth-a.nth < ids && now-a.at <= span; got && !ever || !got && promised {
					t.Fatalf("%s, step %d: %d is remembered: %v, ever added: %v, %d ids and %d ms ago", name, step, n, got, ever, nth-a.nth, now-a.at)
				}
			}
			used := 0
			for i := range w.parts {
				w.sweep(&w.parts[i])
				used += w.parts[i].used
			}
			if used != w.len() || remembered > used || used > ids+2*w.perGen {
				t.Fatalf("%s, step %d: %d ids in the table, %d remembered, %d counted", name, step, used, remembered, w.len())
			}
		}
	}
	f("random", func(n uint64) uint64 { return rand.New(rand.NewPCG(n, 1)).Uint64() | 1 })
	f("rising", func(n uint64) uint64 { return n })
	f("in one part", func(n uint64) uint64 { return n*0xf1de83e19937733d%(1<<58) | 1<<63 })
}

func TestAnIDThatWasForgottenInAQuietPartStaysForgotten(t *testing.T) {
	w := newWindow(time.Hour, generations) // a generation is an id
	w.add(1, 0)
	for n, more := uint64(2), 0; more < 2*len(w.ages); n++ {
		if w.part(mix(n)) == w.part(mix(1)) {
			continue
		}
		w.add(n, 0)
		if more++; more > 2*generations && w.has(1) {
			t.Fatalf("remembered again after %d others", more)
		}
	}
}

func TestIDSetHoldsWhatWasPutIn(t *testing.T) {
	f := func(name string, next func(n uint64) uint64) {
		t.Helper()
		var s idSet
		for round := range 2 {
			in := map[uint64]bool{}
			for n := range uint64(5000) {
				id := next(n)
				s.add(id)
				s.add(id)
				in[id] = true
			}
			want(t, name+": size", s.n, len(in))
			for id := range s.all() {
				if !in[id] || !s.has(id) {
					t.Fatalf("%s: %d", name, id)
				}
			}
			for n := range uint64(5000) {
				if id := next(n + 1_000_000); s.has(id) != in[id] {
					t.Fatalf("%s, round %d: has(%d)", name, round, id)
				}
			}
			s.clear()
			want(t, name+": cleared", s.has(next(1)), false)
		}
	}
	f("random", func(n uint64) uint64 { return rand.New(rand.NewPCG(n, 1)).Uint64() | 1 })
	f("rising", func(n uint64) uint64 { return n + 1 })
	f("same low bits", func(n uint64) uint64 { return (n + 1) << 40 })
}

func TestRepeatsAreKnownAfterTheSegmentIsGoneAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	clock := time.Unix(1_800_000_000, 0)
	o := Options{Now: func() time.Time { return clock }}
	s := mustOpen(t, dir, o)
	mustAppend(t, s, numbered(1))
	drain(t, sealNow(t, s)) // loaded: only its ids are left
	mustAppend(t, s, numbered(2))
	sealNow(t, s)
	mustAppend(t, s, numbered(3))
	f := func(s *Spool, marks ...bool) {
		t.Helper()
		e := mustAppend(t, s, numbered(1), numbered(2), numbered(3))
		want(t, "repeats", []bool{e[0].Duplicate, e[1].Duplicate, e[2].Duplicate}, marks)
	}
	f(s, true, true, true)
	mustClose(t, s)
	s = mustOpen(t, dir, o)
	f(s, true, true, true)
	clock = clock.Add(30 * time.Minute)
	f(s, true, true, true)
	drain(t, sealNow(t, s))
	want(t, "ids files, the one of the spare of before too", len(must(filepath.Glob(dir+"/*.ids"))), 5)
	mustClose(t, s)

	clock = clock.Add(45 * time.Minute)
	s = mustOpen(t, dir, o)
	want(t, "ids files after the window, the one of the spare too", len(must(filepath.Glob(dir+"/*.ids"))), 2)
	f(s, false, false, false) // the window is over
}

func TestIDsFilesAreBoundedByTheNumberOfIDs(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{WindowIDs: 10})
	for n := range 40 {
		mustAppend(t, s, numbered(2*n), numbered(2*n+1))
		drain(t, sealNow(t, s))
	}
	want(t, "ids files", len(must(filepath.Glob(dir+"/*.ids"))), 5)
	mustClose(t, s)
	s = mustOpen(t, dir, Options{WindowIDs: 10})
	for n := 70; n < 80; n++ {
		if e := mustAppend(t, s, numbered(n)); !e[0].Duplicate {
			t.Fatalf("record %d was forgotten", n)
		}
	}
}

func TestIDsFileSaysNothingWhenAnyByteIsWrong(t *testing.T) {
	good := encodeIDs(header{testID, 3, 1}, 5, []uint64{7, 8})
	h, last, ids, err := decodeIDs(good)
	want(t, "read", fmt.Sprint(h, last, ids, err), fmt.Sprint(header{testID, 3, 1}, 5, []uint64{7, 8}, error(nil)))
	for i := range good {
		bad := append([]byte{}, good...)
		flip(bad, i)
		if _, _, _, err := decodeIDs(bad); err == nil {
			t.Fatalf("flip at %d", i)
		}
		if _, _, _, err := decodeIDs(good[:i]); err == nil {
			t.Fatalf("cut at %d", i)
		}
	}
}
