package decision

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"beckon/aggregator/feature"
)

// A report compares the arms by these rows: whatever one arm has and the other lacks would be taken for the
// effect of the offer.
func TestBothArmsAreRecordedInTheSameShape(t *testing.T) {
	r := startReplica(t, newSetup(t))
	arms := map[string]Row{}
	for range 30 { // 30 heads in a row are one in a billion
		visit, key := r.visitor("split")
		r.store.Put(key, &feature.Profile{ReadAt: r.now(), LastSeen: r.now().UnixMilli(), Hours: []feature.Hour{{Start: r.now().Unix(), Pageviews: 1}}}, r.now())
		r.ask(request{site: "split", visit: visit})
		rows := r.rows()
		if len(rows) != 1 || !rows[0].FirstServe {
			t.Fatalf("%+v, want one first serve", rows)
		}
		arms[rows[0].Arm] = rows[0]
	}
	treatment, holdout := arms["treatment"], arms["holdout"]
	if len(arms) != 2 {
		t.Fatalf("arms %v", slices.Collect(maps.Keys(arms)))
	}
	if treatment.Experiment != 3 || treatment.Holdout != 0.5 || treatment.Offer != "ten" || !treatment.Personalised || treatment.ValidUntil-treatment.DecidedAt != (30*time.Minute).Milliseconds() {
		t.Errorf("treatment %+v", treatment)
	}
	// What may differ: who it is, what was said, and the gate that said so.
	for _, row := range []*Row{&treatment, &holdout} {
		if last := len(row.Gates) - 1; row.Gates[last].Gate != "holdout" || row.Gates[last].Pass != row.Eligible || row.Eligible != (row.Arm == "treatment") {
			t.Errorf("arm %s, eligible %t, gates %+v", row.Arm, row.Eligible, row.Gates)
		}
		row.Gates[len(row.Gates)-1].Pass = false
		row.Arm, row.Reason, row.Eligible = "", "", false
		row.Visitor, row.Session, row.DecisionID, row.DecidedAt, row.FreshAt, row.ValidUntil = [16]byte{}, [16]byte{}, [16]byte{}, 0, 0, 0
	}
	one, _ := json.Marshal(treatment)
	two, _ := json.Marshal(holdout)
	if string(one) != string(two) {
		t.Errorf("treatment and holdout differ:\n%s\n%s", one, two)
	}
}
