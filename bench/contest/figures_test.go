package contest

import (
	"math"
	"testing"
)

func TestRatioIsOfRoundsAndNotOfMedians(t *testing.T) {
	// The machine was half as fast in the second round.
	if got := Ratio([]float64{70, 35, 71}, []float64{100, 50, 100}); math.Abs(got-.7) > 1e-9 {
		t.Fatalf("%v, want 0.7", got)
	}
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Fatalf("median %v, want 2.5", got)
	}
}
