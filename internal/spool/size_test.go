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
	for _, p := range w.parts {
		bytes += 8*cap(p.ids) + cap(p.gens)
	}
	if bytes > 48<<20 {
		t.Errorf("%d bytes", bytes)
	}
	if n := w.len(); n < 4_000_000 {
		t.Fatalf("%d ids are remembered", n)
	}
}
