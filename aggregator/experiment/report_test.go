package experiment

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden reports anew")

// half is the sums of one of two days.
func half(s Sums) Sums {
	return Sums{s.Visitors / 2, s.Served / 2, s.Shown / 2, s.Orders / 2, s.Converted / 2, s.Unconverted / 2, s.Revenue / 2, s.RevenueSquared / 2}
}

func about() About {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return About{
		Query:    Query{Site: "demo", Environment: "production", Offer: "welcome-back", Timezone: berlin, Kept: 90 * 24 * time.Hour, Now: time.Date(2026, 11, 27, 11, 0, 0, 0, time.UTC)},
		Currency: "EUR", Experiment: 2,
	}
}

// days are two days of experiment 2 with these sums together, and a day of experiment 1.
func daysOf(share float64, treatment, holdout Sums) []Day {
	return []Day{
		{"2026-10-01", 1, 0.5, "treatment", sums(10, 1, 1, 1)},
		{"2026-11-18", 2, share, "holdout", half(holdout)},
		{"2026-11-18", 2, share, "treatment", half(treatment)},
		{"2026-11-26", 2, share, "holdout", half(holdout)},
		{"2026-11-26", 2, share, "treatment", half(treatment)},
	}
}

func TestPrintedReports(t *testing.T) {
	f := func(name string, change func(*About), days []Day) {
		t.Helper()
		a := about()
		if change != nil {
			change(&a)
		}
		r := Make(a, days)
		var b strings.Builder
		if err := r.Print(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s:\n%s\nwant (go test -update writes it)\n%s", name, &b, want)
		}
	}
	treatment, holdout := sums(90_000, 2_700, 1.5, 180), heldOut(sums(10_000, 260, 1.2, 170))
	f("undecided", nil, daysOf(0.1, treatment, holdout))
	f("earns", nil, daysOf(0.5, sums(60_000, 2_700, 2.5, 180), heldOut(sums(60_000, 1_560, 1.2, 170))))
	f("costs", func(a *About) { a.Currency = "" }, daysOf(0.5, sums(60_000, 1_600, 0.9, 180), heldOut(sums(60_000, 1_560, 1.5, 170))))
	f("too-early", nil, daysOf(0.1, sums(180, 6, 1.5, 180), heldOut(sums(20, 0, 0, 0))))
	f("lost", nil, daysOf(0.1, treatment, heldOut(sums(9_400, 260, 1.2, 170))))
	contaminated, seen := treatment, holdout
	contaminated.Shown, contaminated.Unconverted, seen.Served, seen.Shown = 4_000, 8, 12, 40
	f("warned", func(a *About) { a.Kept = 10 * 24 * time.Hour }, append(daysOf(0.1, contaminated, seen), Day{"2026-11-27", 2, 0.2, "holdout", heldOut(sums(250, 6, 1, 50))}, Day{"2026-11-27", 2, 0.2, "treatment", sums(1000, 25, 1, 50)}))
	f("nobody", nil, nil)
	f("everybody", nil, daysOf(0, treatment, Sums{}))
}

func TestReportTakesTheExperimentAndTheDaysThatWereAsked(t *testing.T) {
	days := daysOf(0.1, sums(90_000, 2_700, 1.5, 180), heldOut(sums(10_000, 260, 1.2, 170)))
	f := func(experiment uint32, last int, wantExperiment uint32, wantVisitors uint64, wantOthers int) {
		t.Helper()
		a := about()
		a.Experiment, a.LastDays = experiment, last
		r := Make(a, days)
		if r.Experiment != wantExperiment || r.Treatment.Visitors != wantVisitors || len(r.Others) != wantOthers {
			t.Errorf("experiment %d, %d days: got %d with %d visitors beside %v", experiment, last, r.Experiment, r.Treatment.Visitors, r.Others)
		}
	}
	f(0, 0, 2, 90_000, 1)
	f(2, 10, 2, 90_000, 1)
	f(2, 9, 2, 45_000, 1)
	f(2, 1, 2, 0, 1)
	f(1, 0, 1, 10, 1)
	f(3, 0, 3, 0, 2)
}
