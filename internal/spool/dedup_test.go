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
		if total := w.len(); total > ids+ids/generations {
			t.Fatalf("%d ids remembered", total)
		}
	}
	if w.has(50_000 - 2*ids) {
		t.Fatal("an id far back is remembered")
	}
	bytes := 0
	for _, g := range w.sets {
		bytes += 8 * len(g.ids.slots)
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
