package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// run works on the disk until it dies, first repeating what earlier runs have sent.
func (o *oracle) run(t *testing.T, s *Spool, base int, repeats []int) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n := base + 4*i + g
				if at := 4*i + g; at < len(repeats) {
					n = repeats[at]
				}
				if err := o.append(t, s, n); err != nil {
					return
				}
			}
		})
	}
	wg.Go(func() {
		for {
			b, err := s.Next(ctx)
			if err != nil {
				return
			}
			if err := o.load(b); err != nil {
				if !errors.Is(err, errPower) {
					t.Error(err)
				}
				return
			}
			if err := s.Done(b.ID); err != nil {
				return
			}
		}
	})
	return func() { cancel(); wg.Wait(); _ = s.Close() }
}

func TestPowerLossLosesNothingAcknowledgedAndDoublesNothing(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := newOracle()
		m := newMemFS()
		o := Options{Log: quiet, SegmentBytes: int64(500 + rng.IntN(3000))}
		for life := range 4 {
			o.FS = m
			s := mustOpen(t, "/s", o)
			s.Sealing(time.Duration(1+rng.IntN(3)) * time.Millisecond)
			var repeats []int
			for n := range w.sent {
				repeats = append(repeats, n)
			}
			before := w.acknowledged()
			stop := w.run(t, s, life*1_000_000, repeats)
			goal := before + 20 + rng.IntN(300)
			eventually(t, "enough acknowledged", func() bool {
				return w.acknowledged() >= goal || s.failure() != nil
			})
			m = m.losePower(rng)
			stop()
		}
		o.FS = m
		s := mustOpen(t, "/s", o)
		w.verify(t, fmt.Sprint("seed ", seed), sealNow(t, s))
		mustClose(t, s)
	}
}

func TestPowerLossUnderSyncOSKeepsWhatWasSynced(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
	mustAppend(t, s, numbered(1), numbered(2))
	eventually(t, "the background sync", func() bool {
		return slices.Contains(m.did(), "sync 00000000000000000001.segment")
	})
	after := m.losePower(rand.New(rand.NewPCG(1, 1)))
	want(t, "records", payloads(t, mustOpen(t, "/s", Options{FS: after})), names(1, 2))
}

// After kill -9 the last records may be in the page cache alone, and still be sent with their batch. A power
// loss later must not take them out of it.
func TestRecoverySyncsWhatItHandsOut(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	mustAppend(t, s, numbered(1))
	m.forget()
	g := hold(t, m, "sync", segmentExt)
	appendLater(s, numbered(2)) // written, never synced, never acknowledged
	<-g.reached
	m.breaks(nil)
	m.mu.Lock()
	clear(m.locked) // the process is gone, with its goroutines
	m.mu.Unlock()
	store := newOracle()
	if err := store.load(batches(mustOpen(t, "/s", Options{FS: m}))[0]); err != nil {
		t.Fatal(err)
	}
	want(t, "loaded", len(store.records), 2)
	for seed := range uint64(10) {
		after := m.losePower(rand.New(rand.NewPCG(seed, 0)))
		if err := store.load(batches(mustOpen(t, "/s", Options{FS: after}))[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSealingSyncsWhatItHandsOut(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, Sync: SyncOS})
	mustAppend(t, s, numbered(1), numbered(2))
	store := newOracle()
	if err := store.load(batches(sealNow(t, s))[0]); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(10) {
		after := m.losePower(rand.New(rand.NewPCG(seed, 0)))
		if err := store.load(batches(mustOpen(t, "/s", Options{FS: after}))[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoryIsSyncedBeforeTheFirstAnswerAndBeforeARemoval(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	m.forget()
	mustAppend(t, s, numbered(1))
	const seg, ids, spare = "00000000000000000001.segment", "00000000000000000001.ids", "00000000000000000002.segment"
	eventually(t, "a spare", s.hasSpare)
	ops := slices.DeleteFunc(m.did(), func(op string) bool { return op == "create "+spare })
	own := slices.Index(ops, "syncdir s") + 1
	ops = append(ops[:own], slices.DeleteFunc(ops[own:], func(op string) bool { return op == "syncdir s" })...) // the spare's
	want(t, "to the first answer", ops, []string{"create " + seg, "syncdir s", "write " + seg, "write " + seg, "sync " + seg})
	sealNow(t, s)
	m.forget()
	drain(t, s)
	want(t, "to the removal", m.did(), []string{
		"open " + seg, "read " + seg, // by the loader
		"open " + seg, "read " + seg, "create " + ids, "truncate " + ids, "write " + ids, "sync " + ids, "syncdir s",
		"remove " + seg, "syncdir s",
	})
}
