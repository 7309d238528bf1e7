package decision

import (
	"slices"
	"testing"

	"beckon/aggregator/feature"
)

// What is kept of an offer for everyone says nothing of who asked, though other offers were asked for them first.
func TestRowOfAnOfferForEveryoneNamesNoVisitor(t *testing.T) {
	s := newSetup(t)
	s.use(t, rivals)
	r := startReplica(t, s)
	ask := func() {
		t.Helper()
		visit, key := r.visitor("demo")
		r.store.Put(key, &feature.Profile{ReadAt: r.now(), LastSeen: r.now().UnixMilli(), Orders: []feature.Order{{At: r.now().UnixMilli(), Revenue: 10}}}, r.now())
		if got := r.ask(request{visit: visit}); !got.Eligible || got.Reply.Offer.ID != "e" || got.Header.Get("Beckon-Lane") != "decide; recorded" {
			t.Fatalf("got %s, want the offer for everyone", got.body)
		}
	}
	ask()
	ask()
	r.ask(request{}) // in lane count
	r.server.Recorder.flush(func(fold) bool { return true })
	repeats := map[string]uint32{}
	for _, row := range r.rows() {
		repeats[row.Lane] = row.Repeats
		if row.Visitor != [16]byte{} || row.Session != [16]byte{} || row.DecisionID != [16]byte{} || row.Personalised || row.FreshAt != 0 || len(row.Features) > 0 {
			t.Errorf("the row names its visitor: %+v", row)
		}
		if len(row.Gates) == 0 || slices.ContainsFunc(row.Gates, func(g Gate) bool { return g.Offer != "e" }) {
			t.Errorf("gates %+v, want those of the offer for everyone", row.Gates)
		}
	}
	if len(repeats) != 2 || repeats["decide"] != 1 || repeats["count"] != 0 {
		t.Errorf("repeats by lane %v, want one row for both visitors of lane decide, and one for lane count", repeats)
	}
}
