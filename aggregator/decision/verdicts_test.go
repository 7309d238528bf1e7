package decision

import (
	"encoding/binary"
	"testing"

	"beckon/aggregator/feature"
)

func TestVerdictsWaitOnceForAVisitorAndOnlySoMany(t *testing.T) {
	var w Verdicts
	key := func(n int) feature.Key {
		k := feature.Key{Site: "demo"}
		binary.BigEndian.PutUint64(k.Visitor[:], uint64(n))
		return k
	}
	w.Changed([]feature.Key{key(1), key(2)})
	w.Changed([]feature.Key{key(2), {Site: "other"}})
	if w.n != 3 || len(w.changed["demo"]) != 2 || len(w.changed["other"]) != 1 {
		t.Errorf("%d wait, %v", w.n, w.changed)
	}
	for n := range maxVerdicts + 10 {
		w.Changed([]feature.Key{key(n)})
	}
	if w.n != maxVerdicts || len(w.changed["demo"])+len(w.changed["other"]) != maxVerdicts {
		t.Errorf("%d wait, want at most %d", w.n, maxVerdicts)
	}
}
