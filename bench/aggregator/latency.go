package main

import (
	"slices"
	"time"
)

// latency is what a thing that was done often took, in milliseconds.
type latency struct {
	N                  int
	P50, P90, P99, Max float64
}

func latencyOf(took []time.Duration) latency {
	if len(took) == 0 {
		return latency{}
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[min(int(float64(len(took))*share), len(took)-1)].Microseconds()) / 1000
	}
	return latency{len(took), at(.5), at(.9), at(.99), at(1)}
}
