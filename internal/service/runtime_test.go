package service

import (
	"runtime"
	"testing"
)

func TestTwoThreadsAreKeptOnOneCore(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for given, want := range map[int]int{1: 2, 2: 2, 5: 5} {
		runtime.GOMAXPROCS(given)
		KeepTwoThreads()
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("with %d given, %d threads run Go code, want %d", given, got, want)
		}
	}
}
