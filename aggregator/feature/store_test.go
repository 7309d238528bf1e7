package feature

import (
	"encoding/binary"
	"testing"
	"time"

	"beckon/internal/privacy"
)

func storeKey(n int) Key {
	k := Key{Site: "demo"}
	binary.LittleEndian.PutUint64(k.Visitor[:], uint64(n))
	return k
}

func newTestStore(t *testing.T, recent int) *Store {
	t.Helper()
	s, err := NewStore(recent)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreIsBoundedAndKeepsTheNewcomer(t *testing.T) {
	s := newTestStore(t, 100)
	now := time.Now()
	for n := range 10_000 {
		s.Put(storeKey(n), &Profile{ReadAt: now}, now)
		if s.Get(storeKey(n)) == nil {
			t.Fatalf("newcomer %d is not there", n)
		}
		if s.Len() > 100 {
			t.Fatalf("%d recently seen visitors, want at most 100", s.Len())
		}
	}
}

func TestStoreHandsTheOldToRistretto(t *testing.T) {
	s := newTestStore(t, 100)
	now := time.Now()
	for n := range 150 {
		s.Put(storeKey(n), &Profile{ReadAt: now, LastSeen: int64(n)}, now)
	}
	s.older.Wait()
	if p := s.Get(storeKey(0)); p == nil || p.LastSeen != 0 {
		t.Errorf("the oldest of 150 is gone; there was room for 600")
	}
}

func TestStoreKnowsWhomItIsHandingToRistretto(t *testing.T) {
	s := newTestStore(t, 20_000)
	now := time.Now()
	var keys []Key
	for n := range 20_001 { // the last has half of them handed over
		s.Put(storeKey(n), &Profile{ReadAt: now}, now)
		keys = append(keys, storeKey(n))
	}
	if known := s.known(append(keys, storeKey(20_001))); len(known) != len(keys) {
		t.Errorf("%d visitors are known, want the 20,001 that were put in", len(known))
	}
}

func TestStoreKeepsTheProfileThatWasReadLater(t *testing.T) {
	s := newTestStore(t, 100)
	now := time.Now()
	s.Put(storeKey(1), &Profile{ReadAt: now, LastSeen: 2}, now)
	s.Put(storeKey(1), &Profile{ReadAt: now.Add(-time.Second), LastSeen: 1}, now)
	if p := s.Get(storeKey(1)); p.LastSeen != 2 {
		t.Error("a profile that was read earlier replaced a later one")
	}
}

func TestStoreKeepsAServeThatClickHouseDoesNotKnowYet(t *testing.T) {
	s := newTestStore(t, 100)
	now := time.Now()
	s.Put(storeKey(1), &Profile{ReadAt: now}, now)
	serve := Serve{Offer: "welcome-back", DecisionID: privacy.StoredID([16]byte{1}), At: now}
	s.AddServe(storeKey(1), nil, serve)
	s.AddServe(storeKey(1), nil, serve) // by two requests at once
	s.Put(storeKey(1), &Profile{ReadAt: now.Add(time.Second)}, now)
	if p := s.Get(storeKey(1)); len(p.Serves) != 1 {
		t.Errorf("serves %+v, want the one of a second ago", p.Serves)
	}
	s.Put(storeKey(1), &Profile{ReadAt: now.Add(2 * time.Second), Serves: []Serve{serve}}, now)
	if p := s.Get(storeKey(1)); len(p.Serves) != 1 {
		t.Errorf("serves %+v, want it once", p.Serves)
	}
}

func TestStoreKeepsAServeOfAVisitorWhoHasFaded(t *testing.T) {
	s := newTestStore(t, 10)
	now := time.Now()
	s.AddServe(storeKey(0), &Profile{ReadAt: now}, Serve{Offer: "welcome-back", DecisionID: privacy.StoredID([16]byte{1}), At: now})
	for n := 1; n <= 10; n++ {
		s.Put(storeKey(n), &Profile{ReadAt: now}, now)
	}
	s.older.Wait()
	name := s.suppressed.Name(storeKey(0))
	if s.current[name] != nil || s.previous[name] != nil {
		t.Fatal("the visitor still counts as recently seen")
	}
	s.Put(storeKey(0), &Profile{ReadAt: now.Add(time.Second)}, now) // ClickHouse does not know the serve yet
	p := s.Get(storeKey(0))
	if p == nil || len(p.Serves) != 1 || !p.ReadAt.Equal(now.Add(time.Second)) {
		t.Errorf("profile %+v, want the later one with the serve", p)
	}
}

// refused is a list of suppressed visitors who stand under their own ids.
type refused map[privacy.ID]bool

func (r refused) Name(k Key) privacy.ID    { return privacy.StoredID(k.Visitor) }
func (r refused) Has(name privacy.ID) bool { return r[name] }

func TestStoreForgetsWhoSaysNoAndKeepsNothingOfThemAgain(t *testing.T) {
	s, list := newTestStore(t, 10), refused{}
	s.Refuse(list)
	now := time.Now()
	for n := range 30 { // some are recently seen, most are with ristretto
		s.Put(storeKey(n), &Profile{ReadAt: now}, now)
	}
	s.older.Wait()
	for n := range 29 {
		name := list.Name(storeKey(n))
		list[name] = true
		s.Drop([]privacy.ID{name})
	}
	s.older.Wait()
	for n := range 29 {
		if s.Get(storeKey(n)) != nil {
			t.Errorf("visitor %d is still there", n)
		}
		s.Put(storeKey(n), &Profile{ReadAt: now.Add(time.Second)}, now) // a late event of theirs
		if s.Get(storeKey(n)) != nil {
			t.Errorf("visitor %d came back with a change", n)
		}
		s.AddServe(storeKey(n), &Profile{}, Serve{DecisionID: privacy.StoredID([16]byte{1})}) // a decision that was being made
		if s.Get(storeKey(n)) != nil {
			t.Errorf("visitor %d came back with a grant", n)
		}
	}
	if s.Get(storeKey(29)) == nil {
		t.Error("somebody who did not say no is gone")
	}
}

func TestClearForgetsEverybody(t *testing.T) {
	s := newTestStore(t, 10)
	now := time.Now()
	for n := range 30 {
		s.Put(storeKey(n), &Profile{ReadAt: now}, now)
	}
	s.older.Wait()
	s.Clear()
	for n := range 30 {
		if s.Get(storeKey(n)) != nil {
			t.Fatalf("visitor %d is still there", n)
		}
	}
	s.Put(storeKey(1), &Profile{ReadAt: now}, now)
	if s.Get(storeKey(1)) == nil {
		t.Error("nobody is remembered afterwards")
	}
}

func TestRecentlySeenFadeWithTime(t *testing.T) {
	s := newTestStore(t, 1000)
	start := time.Now()
	s.Put(storeKey(1), &Profile{ReadAt: start}, start)
	for _, later := range []time.Duration{20 * time.Minute, 40 * time.Minute} {
		s.Put(storeKey(2), &Profile{ReadAt: start.Add(later)}, start.Add(later))
	}
	if n := s.Len(); n != 1 {
		t.Errorf("%d recently seen after 40 minutes, want only the one who came back", n)
	}
}

func TestVisitorWhoMakesUpThousandsIsBounded(t *testing.T) {
	now := time.Now()
	p := &Profile{}
	for h := 99; h >= 0; h-- {
		hour := Hour{Start: now.Add(-time.Duration(h) * time.Hour).Unix()}
		for n := range 1000 {
			hour.Products = append(hour.Products, uint64(h*1000+n))
		}
		p.Hours = append(p.Hours, hour)
	}
	p.trim()
	if n := p.At(now).DistinctProducts7d; n != maxDistinct {
		t.Errorf("%d of 100,000 products count, want the newest %d", n, maxDistinct)
	}
	if newest := p.Hours[99]; len(newest.Products) != 1000 {
		t.Errorf("%d products of the newest hour are left, want all", len(newest.Products))
	}
}

func BenchmarkAt(b *testing.B) {
	p := &Profile{}
	now := time.Now()
	for h := range 40 {
		p.Hours = append(p.Hours, Hour{Start: now.Add(-time.Duration(h*18) * time.Hour).Unix(), Pageviews: 3, Sessions: []uint64{uint64(h)}, Products: []uint64{1, 2, uint64(h)}})
	}
	b.ReportAllocs()
	for b.Loop() {
		p.At(now)
	}
}
