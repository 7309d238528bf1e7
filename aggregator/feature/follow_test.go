package feature

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// TestTheFeedMovesOnWhileSomethingIsLeft has two hours of one late batch a second, and a follower that is always
// thirty of them behind.
func TestTheFeedMovesOnWhileSomethingIsLeft(t *testing.T) {
	const behind = 30
	f := NewFollower(nil, nil, nil, slog.New(slog.DiscardHandler), nil)
	start := time.Now()
	clock := start.Add(-time.Minute) // ClickHouse has another clock
	f.moveOn(start, clock, nil)
	var left []load
	for n := range 7200 {
		start, clock = start.Add(time.Second), clock.Add(time.Second)
		left = append(left, load{batch: batch{segment: uint64(n + 1)}, at: clock, rows: 1, waited: 11_000})
		if len(left) > behind {
			f.remember(left[:1])
		}
		f.moveOn(start, clock, left)
		if len(left) > behind {
			left = left[1:]
		}
		want := clock.Add(-time.Duration(min(n, behind-1)) * time.Second)
		if !f.looked.Equal(want) || f.CompleteAt().UnixMilli() != start.Add(want.Sub(clock)).UnixMilli() {
			t.Fatalf("batch %d: looked up to %s and complete up to %s, want the oldest batch that is left, %s", n, f.looked, f.CompleteAt(), want)
		}
		if most := int(2 * loadsLookBack / time.Second); len(f.processed) > most+1 {
			t.Fatalf("batch %d: %d are remembered, want at most those of 20 minutes", n, len(f.processed))
		}
	}
}

func TestALookDoesNotGoBack(t *testing.T) {
	f := NewFollower(nil, nil, nil, slog.New(slog.DiscardHandler), nil)
	now := time.Now()
	f.moveOn(now, now, nil)
	f.moveOn(now.Add(time.Second), now.Add(time.Second), []load{{batch: batch{segment: 1}, at: now.Add(-time.Minute)}})
	if !f.looked.Equal(now) || f.CompleteAt().UnixMilli() != now.UnixMilli() {
		t.Errorf("a row that is seen late: looked up to %s, want where it was, %s", f.looked, now)
	}
	f.moveOn(now.Add(2*time.Second), now.Add(-time.Hour), nil)
	if !f.looked.Equal(now.Add(-time.Hour)) || f.CompleteAt().UnixMilli() != now.Add(2*time.Second).UnixMilli() {
		t.Errorf("ClickHouse's clock was set back an hour: looked up to %s", f.looked)
	}
}

func TestABatchOfCountsAloneIsNotLate(t *testing.T) {
	for rows, want := range map[uint64]bool{0: false, 1: true} {
		if got := (load{rows: rows, waited: 3_600_000}).late(); got != want {
			t.Errorf("%d rows of an hour ago: late is %t", rows, got)
		}
	}
}

func TestTheNewestComesFirstAndOfTheLateOnesTheOldest(t *testing.T) {
	var fresh []load
	for n := range 6 {
		fresh = append(fresh, load{batch: batch{segment: uint64(n)}, rows: 1, waited: uint64(n%2) * 11_000})
	}
	order := ""
	now, late := inTurn(fresh)
	for _, l := range append(now, late...) {
		order += fmt.Sprint(l.segment)
	}
	if order != "420135" {
		t.Errorf("batches come in the order %s, want 420135", order)
	}
}

// TestAReadingThatBeganEarlierDoesNotReplaceALaterOne: so a late batch needs no wait for the readings under way.
func TestAReadingThatBeganEarlierDoesNotReplaceALaterOne(t *testing.T) {
	s, k := newTestStore(t, 100), storeKey(1)
	now := time.Now()
	err := s.fill(t.Context(), readerFunc(func() []*Profile {
		s.Put(k, &Profile{ReadAt: now, LastSeen: 2}, now) // by the follower, meanwhile
		return []*Profile{{ReadAt: now.Add(-time.Second), LastSeen: 1}}
	}), k.Site, []Key{k}, time.Now)
	if err != nil || s.Get(k).LastSeen != 2 {
		t.Errorf("%v, last seen %d, want 2", err, s.Get(k).LastSeen)
	}
}

type readerFunc func() []*Profile

func (f readerFunc) Read(context.Context, string, []Key) ([]*Profile, error) { return f(), nil }
