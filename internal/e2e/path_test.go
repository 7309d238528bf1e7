package e2e_test

import (
	"slices"
	"testing"
	"time"
)

func TestDecisionReflectsAnAcknowledgedEventWithinTwoSeconds(t *testing.T) {
	s := startStack(t)
	var took []time.Duration
	for range 7 {
		first, after := s.newVisitor("demo").becomesEligible()
		if !first.Eligible || first.Offer == nil || first.Offer.ID != "welcome-back" || first.Reason != "TARGETING_MATCH" || first.Token == "" {
			t.Fatalf("decision %+v, want the offer", first)
		}
		took = append(took, after)
	}
	slices.Sort(took)
	t.Logf("from the acknowledgement of an event to the decision that it changes: median %s, longest %s of %d",
		took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
	if longest := took[len(took)-1]; longest > 2*time.Second {
		t.Errorf("a decision reflected an event after %s, want at most 2 s", longest)
	}
}
