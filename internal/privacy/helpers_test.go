package privacy

import (
	"testing"
	"time"

	"beckon/internal/keyring"
)

// now is a moment that is no whole minute, so that rounding shows.
var now = time.Date(2026, 11, 22, 10, 15, 42, 0, time.UTC)

// testSite returns keys that differ from each other and from those of any other seed.
func testSite(id string, seed byte) *keyring.Site {
	return &keyring.Site{
		ID: id, MAC: key(seed), Order: key(seed + 1), Link: key(seed + 2), Decision: key(seed + 3),
		Decide: []keyring.Epoch{{Number: 1, Key: key(seed + 4)}, {Number: 2, Key: key(seed + 5)}},
	}
}

func key(seed byte) (k keyring.Key) {
	for i := range k {
		k[i] = seed + byte(i)
	}
	return k
}

func allocs(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(200, f); got > want {
		t.Errorf("%s allocates %v times, want at most %v", what, got, want)
	}
}
