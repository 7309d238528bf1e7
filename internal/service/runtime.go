package service

import (
	"os"
	"runtime"
	"runtime/debug"
)

// KeepTwoThreads keeps one goroutine from stopping all others on a machine with one core: a blocking system
// call, such as fsync, holds the runtime's only P until it is taken away, which takes from 20 us to 10 ms.
func KeepTwoThreads() { runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))) }

// LeanHeap lets garbage be a fifth of the heap, not half. It is for the collector: its requests leave no garbage, and
// what lives on is its window of ids, which would count twice for the sake of the little that its loader leaves.
// GOGC in the environment wins.
func LeanHeap() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
}
