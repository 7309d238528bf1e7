//go:build !race

package spool

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What docs/operations.md says of the memory. The race detector would take a minute for it.
func TestAWindowOfFourMillionIDsTakes48MiB(t *testing.T) {
	w := newWindow(time.Hour, 4_000_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5_000_000 { // more than it keeps
		w.add(rng.Uint64(), 0)
	}
	bytes := 0
	for _, g := range w.sets {
		bytes += 8 * len(g.ids.slots)
	}
	want(t, "bytes", bytes, 48<<20)
	if n := w.len(); n < 4_000_000 {
		t.Fatalf("%d ids are remembered", n)
	}
}
