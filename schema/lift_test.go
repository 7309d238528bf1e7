package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// decided is a row of decisions: by default the first serve of welcome-back to a visitor of the treatment, at base.
type decided struct {
	visitor, offer, arm, environment string
	minutes                          int
	experiment                       uint32
	holdout                          float64
	again, everyone                  bool // no first serve; no visitor data
	expires                          time.Time
}

func (d db) assign(t *testing.T, rows ...decided) {
	t.Helper()
	b, err := d.PrepareBatch(t.Context(), "INSERT INTO "+d.name+".decisions (site, environment, decided_at, decision_id, visitor, lane, offer, arm, experiment, holdout, eligible, first_serve, personalised, expires)")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, r := range rows {
		appendDecided(t, b, r)
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
}

func appendDecided(t *testing.T, b driver.Batch, r decided) {
	t.Helper()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	if r.experiment == 0 && !r.everyone {
		r.experiment, r.holdout = 1, 0.1
	}
	if r.expires.IsZero() {
		r.expires = base.AddDate(0, 0, 90)
	}
	bit := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	arm := or(r.arm, "treatment")
	err := b.Append("demo", or(r.environment, "production"), base.Add(time.Duration(r.minutes)*time.Minute), id("d-"+r.visitor), id(r.visitor), "decide",
		or(r.offer, "welcome-back"), arm, r.experiment, r.holdout, bit(arm == "treatment"), bit(!r.again), bit(!r.everyone), r.expires)
	if err != nil {
		t.Fatal(err)
	}
}

func paid(visitor, value string, minutes int) row {
	return view(visitor, kind("purchase"), at(minutes), func(r *row) {
		r.Source, r.Value, r.Rate, r.Currency = "server", amount(value), *amount("1"), "EUR"
		r.OrderKey = id(fmt.Sprintf("%s-%d", visitor, minutes))
	})
}

func paidBack(visitor string, order int, value string) row {
	r := refund(value)
	r.OrderKey, r.Rate = id(fmt.Sprintf("%s-%d", visitor, order)), *amount("1")
	return r
}

func shown(visitor string, minutes int) row {
	return view(visitor, kind("offer_shown"), at(minutes), func(r *row) { r.Offer = "welcome-back" })
}

// lift is what report_lift says, a line for each row.
func (d db) lift(t *testing.T, timezone, where string) string {
	t.Helper()
	return d.text(t, fmt.Sprintf("SELECT toString((offer, experiment, holdout, arm, day, visitors, served, shown, orders, converted, revenue, revenue_squared, unconverted)) "+
		"FROM DB.report_lift(site = 'demo', timezone = '%s', since = '%s', until = '%s') %s ORDER BY offer, experiment, holdout, arm, day",
		timezone, base.AddDate(0, 0, -3).Format(time.DateOnly), base.AddDate(0, 0, 3).Format(time.DateOnly), where))
}

func days(n int) string { return base.AddDate(0, 0, n).Format(time.DateOnly) }

func (d db) wantLift(t *testing.T, timezone string, want ...string) {
	t.Helper()
	if got := d.lift(t, timezone, ""); got != strings.Join(want, "\n") {
		t.Fatalf("in %s\n got %s\nwant %s", timezone, got, strings.Join(want, "\n"))
	}
}

func TestReportLiftAddsUpWhatVisitorsBroughtAfterTheirAssignment(t *testing.T) {
	d := newDB(t)
	d.assign(
		t,
		decided{visitor: "anna"},
		decided{visitor: "anna", minutes: 20, again: true},
		decided{visitor: "anna", minutes: 26 * 60},          // a second grant: the same visitor, of the day of the first
		decided{visitor: "ben", minutes: 11*60 + 30},        // 23:30 UTC
		decided{visitor: "carl", arm: "holdout"},            // no order
		decided{visitor: "dora", arm: "holdout"},            // an order without a rate
		decided{visitor: "eve", arm: "holdout", minutes: 5}, // orders and pays back
		decided{visitor: "finn", offer: "other"},
		decided{visitor: "gus", offer: "winter", everyone: true, arm: "treatment"},
		decided{visitor: "hal", environment: "staging"},
		decided{visitor: "ida", expires: base},
		decided{visitor: "jan", again: true}, // asked, and never assigned within the time that is kept
	)
	d.insert(
		t, "1",
		paid("anna", "7", -1), paid("anna", "20", 0), paid("anna", "30", 27*60), paidBack("anna", 27*60, "5"), shown("anna", 1), shown("anna", 2), shown("ben", 0),
		paid("dora", "9", 1), paid("eve", "50", 10), paidBack("eve", 10, ""), paid("finn", "3", 600), paid("jan", "11", 10), paid("nobody", "99", 10),
		paid("hal", "1", 10), paid("gus", "1", 10),
	)
	noRate := paid("dora", "9", 2)
	noRate.Rate = *amount("0")
	d.insert(t, "2", noRate)
	d.insert(t, "3", paid("dora", "9", 1)) // another report of the same order

	d.wantLift(
		t, "UTC",
		fmt.Sprintf("('other',1,0.1,'treatment','%s',1,1,0,1,1,3,9,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'holdout','%s',3,0,0,3,2,9,81,1)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'treatment','%s',2,2,1,2,1,45,2025,0)", days(0)),
	)
	d.assign(t, decided{visitor: "anna"}, decided{visitor: "carl", arm: "holdout"}) // sent again, past the window of the server
	d.wantLift(
		t, "Asia/Kathmandu", // 5:45 ahead
		fmt.Sprintf("('other',1,0.1,'treatment','%s',1,1,0,1,1,3,9,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'holdout','%s',3,0,0,3,2,9,81,1)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'treatment','%s',1,1,1,2,1,45,2025,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'treatment','%s',1,1,0,0,0,0,0,0)", days(1)),
	)
	d.want(t, "SELECT toString((environment, visitors, revenue)) FROM DB.report_lift_all(site = 'demo', timezone = 'UTC', since = '2020-01-01', until = '2100-01-01') WHERE environment != 'production'", "('staging',1,1)")
	d.want(t, "SELECT toString(sum(visitors)) FROM DB.report_lift(site = 'other', timezone = 'UTC', since = '2020-01-01', until = '2100-01-01')", "0")
	d.want(t, fmt.Sprintf("SELECT toString(sum(visitors)) FROM DB.report_lift(site = 'demo', timezone = 'UTC', since = '%s', until = '2100-01-01')", days(1)), "0") // a second grant is no assignment
}

func TestReportLiftShowsWhoChangedArms(t *testing.T) {
	d := newDB(t)
	d.assign(
		t,
		decided{visitor: "anna", arm: "holdout"},
		decided{visitor: "anna", minutes: 60, experiment: 1, holdout: 0.05}, // the share was lowered: the first arm stays
		decided{visitor: "ben", arm: "holdout", minutes: 1},
		decided{visitor: "carl", experiment: 1, holdout: 0.05, minutes: 70},
	)
	d.insert(t, "1", shown("ben", 3), paid("anna", "4", 61))
	d.wantLift(
		t, "UTC",
		fmt.Sprintf("('welcome-back',1,0.05,'treatment','%s',1,1,0,0,0,0,0,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'holdout','%s',2,1,1,1,1,4,16,0)", days(0)),
	)
}

// What ends an experiment must be the same for both arms: the start of the next, not the next assignment of a visitor.
func TestReportLiftEndsAnExperimentForEverybodyWhenTheNextBegins(t *testing.T) {
	d := newDB(t)
	d.assign(
		t,
		decided{visitor: "anna"},
		decided{visitor: "ben", arm: "holdout"},
		decided{visitor: "carl", minutes: 60, experiment: 2, holdout: 0.2},
		decided{visitor: "ben", minutes: 90, experiment: 2, holdout: 0.2},
		decided{visitor: "dora", minutes: 91}, // by a replica with the old file
		decided{visitor: "anna", offer: "other", minutes: 1},
	)
	d.insert(t, "1", paid("anna", "1", 59), paid("anna", "2", 61), shown("anna", 61), paid("ben", "5", 60), paid("ben", "7", 95))
	d.wantLift(
		t, "UTC",
		fmt.Sprintf("('other',1,0.1,'treatment','%s',1,1,0,2,1,3,9,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'holdout','%s',1,0,0,0,0,0,0,0)", days(0)),
		fmt.Sprintf("('welcome-back',1,0.1,'treatment','%s',1,1,0,1,1,1,1,0)", days(0)),
		fmt.Sprintf("('welcome-back',2,0.2,'treatment','%s',2,2,0,1,1,7,49,0)", days(0)),
	)
}
