package suppress

import (
	"testing"

	"beckon/internal/loader"
)

// A row bears the time at which its insert began, and is seen when that has ended.
func TestWeAskFurtherBackThanAnInsertMayTake(t *testing.T) {
	if askBack < loader.MaxPatience+2*askTimeout {
		t.Errorf("asks %s back, an insert may take %s", askBack, loader.MaxPatience)
	}
}
