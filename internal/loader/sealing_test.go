package loader

import (
	"testing"
	"time"
)

func TestBatchesGatherForAsLongAsInsertsNeed(t *testing.T) {
	f := func(want time.Duration, inserts ...time.Duration) {
		t.Helper()
		if got := sealingFor(inserts); got != want {
			t.Errorf("inserts of %v: %s, want %s", inserts, got, want)
		}
	}
	const ms = time.Millisecond
	f(250*ms, 10*ms)
	f(400*ms, 50*ms)
	f(500*ms, 100*ms)
	f(500*ms, 300*ms)
	f(1500*ms, 1000*ms) // or they would pile up
	f(10*time.Second, time.Minute)
	f(400*ms, 10*ms, 50*ms, time.Minute) // one that was slow says nothing
}
