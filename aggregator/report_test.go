package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/alecthomas/kong"

	"beckon/aggregator/experiment"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/schema"
)

const reportSites = `
sites:
  - id: demo
    origins: ["http://127.0.0.1:8082"]
    timezone: Europe/Berlin
    currency: EUR
    consent: {default: decide, allow: decide}
    holdout: 20%
    offers:
      - {id: welcome-back, title: 10% off, when: "true", discount: {percent: 10}}
      - {id: fresh, title: 10% off, when: "true", discount: {percent: 10}}
      - {id: all-in, title: 10% off, when: "true", discount: {percent: 10}, holdout: 0%}
      - {id: winter, title: 10% off, audience: everyone, discount: {percent: 10}}
  - id: test-shop
    environment: staging
    currency: EUR
    origins: ["http://127.0.0.1:8083"]
    consent: {default: decide, allow: decide}
    holdout: 50%
    offers:
      - {id: welcome-back, title: 10% off, when: "true", discount: {percent: 10}}
`

// reporting is a ClickHouse with the schema, and a sites file.
type reporting struct {
	*testing.T
	conn  driver.Conn
	dsn   string
	sites string
}

func startReporting(t *testing.T) *reporting {
	t.Helper()
	server := chlocal.ForTest(t)
	conn, err := chconn.Open(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Apply(t.Context(), conn, "beckon"); err != nil {
		t.Fatal(err)
	}
	return &reporting{t, conn, server.DSN(), writeSites(t)}
}

func writeSites(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sites.yaml")
	if err := os.WriteFile(path, []byte(reportSites), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// report runs the command as main does.
func report(t *testing.T, dsn, sites string, args ...string) (string, error) {
	t.Helper()
	var c cli
	k, err := kong.New(&c, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(append([]string{"report", "--sites", sites, "--clickhouse-dsn", dsn}, args...)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = c.Report.run(t.Context(), &out, time.Now())
	return out.String(), err
}

func (r *reporting) exec(query string) {
	r.Helper()
	if err := r.conn.Exec(r.Context(), query); err != nil {
		r.Fatalf("%s: %v", query, err)
	}
}

const (
	shoppers = 20_000
	overDays = 21 // days of either arm: 5 does not divide it
)

// shopper says what the generated visitor n does: every fifth is held out; of the treatment one in 16 buys, of the
// holdout one in 20; every tenth order of the treatment is half paid back.
func shopper(n int) (heldOut, buys bool, brings float64) {
	heldOut = n%5 == 0
	buys = !heldOut && n%20 == 1 || heldOut && n%100 == 0
	value := float64(20 + n%37)
	if n%200 == 1 {
		value /= 2
	}
	return heldOut, buys, value
}

// generate brings the same visitors to ClickHouse. Each was assigned n % overDays days ago, asks again, and orders an hour later;
// some ordered an hour before as well.
func (r *reporting) generate(site, environment, offer string) {
	r.Helper()
	const visitor = "toFixedString(leftPad(toString(number), 16, 'v'), 16)"
	assigned := fmt.Sprintf("now64(3, 'UTC') - toIntervalHour(2) - toIntervalDay(number %% %d)", overDays)
	for _, again := range []int{0, 1} {
		r.exec(fmt.Sprintf(`INSERT INTO beckon.decisions (site, environment, decided_at, decision_id, visitor, lane, offer, arm, experiment, holdout, eligible, first_serve, personalised, expires)
			SELECT '%s', '%s', %s + toIntervalMinute(%d), %s, %s, 'decide', '%s', if(number %% 5 = 0, 'holdout', 'treatment'), 1, 0.2, number %% 5 != 0, %d, 1, today() + 60 FROM numbers(%d)`,
			site, environment, assigned, again, visitor, visitor, offer, 1-again, shoppers))
	}
	buyers := "(number % 5 != 0 AND number % 20 = 1 OR number % 100 = 0)"
	event := func(kind, value, hours, where, id string) {
		r.exec(fmt.Sprintf(`INSERT INTO beckon.events (site, environment, event_id, kind, source, lane, received_at, occurred_at, visitor, session, order_key, value, currency, rate, offer, expires, profile_expires)
			SELECT '%[1]s', '%[2]s', toFixedString(leftPad(toString(number), 16, '%[8]s'), 16), '%[3]s', 'server', 'decide', now(), %[4]s + toIntervalHour(%[5]s), %[6]s, %[6]s,
				if('%[3]s' = 'offer_shown', toFixedString('', 16), toFixedString(leftPad(toString(number), 16, if(%[5]s < 0, 'b', 'o')), 16)), %[7]s, 'EUR', 1, '%[10]s', today() + 100, today() + 60
			FROM numbers(%[11]d) WHERE %[9]s`, site, environment, kind, assigned, hours, visitor, value, id, where, offer, shoppers))
	}
	event("purchase", "toDecimal64(20 + number % 37, 4)", "1", buyers, "p")
	event("purchase", "999", "-1", "number % 50 = 0", "q") // before the assignment
	event("refund", "toDecimal64((20 + number % 37) / 2, 4)", "1", buyers+" AND number % 200 = 1", "r")
	event("offer_shown", "NULL", "1", "number % 5 != 0 AND number % 3 != 0", "s")
}

// treatedSince counts the generated visitors of the treatment who were assigned in the last days of the shop, today
// included. In its first two hours nobody was assigned today.
func treatedSince(t *testing.T, days int) (n int) {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	first := now.In(berlin).AddDate(0, 0, 1-days).Format(time.DateOnly)
	for i := range shoppers {
		assigned := now.Add(-2*time.Hour - time.Duration(i%overDays)*24*time.Hour)
		if held, _, _ := shopper(i); !held && assigned.In(berlin).Format(time.DateOnly) >= first {
			n++
		}
	}
	return n
}

func TestReportHasTheKnownAnswers(t *testing.T) {
	r := startReporting(t)
	r.generate("demo", "production", "welcome-back")
	r.generate("test-shop", "staging", "welcome-back")
	var treatment, holdout experiment.Sums
	for n := range shoppers {
		held, buys, brings := shopper(n)
		arm := &treatment
		if held {
			arm = &holdout
		}
		arm.Visitors++
		if !held {
			arm.Served++
			if n%3 != 0 {
				arm.Shown++
			}
		}
		if buys {
			arm.Orders++
			arm.Converted++
			arm.Revenue += brings
			arm.RevenueSquared += brings * brings
		}
	}
	for _, args := range [][]string{{"--site", "demo"}, {"--site", "test-shop"}} {
		out, err := report(t, r.dsn, r.sites, append(args, "--offer", "welcome-back", "--json")...)
		if err != nil {
			t.Fatal(err)
		}
		var got experiment.Report
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		want := experiment.Evaluate([]experiment.Stratum{{Share: 0.2, Treatment: treatment, Holdout: holdout}})
		if !alike(got.Treatment, want.Treatment) || !alike(got.Holdout, want.Holdout) || want.Revenue == nil || got.Revenue == nil {
			t.Fatalf("%v: got\n%+v\n%+v, want\n%+v\n%+v", args, got.Treatment, got.Holdout, want.Treatment, want.Holdout)
		}
		if math.Abs(got.Revenue.Always.Low-want.Revenue.Always.Low) > 1e-6 || math.Abs(got.Conversion.PAlways-want.Conversion.PAlways) > 1e-6 || got.Ratio.P < 0.9 {
			t.Errorf("%v: got %+v, want %+v", args, got.Revenue, want.Revenue)
		}
		if len(got.Days) < 2*overDays || got.Experiment != 1 || len(got.Shares) != 1 || got.Shares[0] != 0.2 {
			t.Errorf("%v: %d days of experiment %d, shares %v", args, len(got.Days), got.Experiment, got.Shares)
		}
	}

	out, err := report(t, r.dsn, r.sites, "--site", "demo", "--offer", "welcome-back")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"20% held out", "visitors assigned 16,000 4,000", "conversion 6.25% 5.00%", "Sample ratio: 4,000 in the holdout, 4,000 expected"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), words) {
			t.Errorf("%q is missing in\n%s", words, out)
		}
	}

	out, err = report(t, r.dsn, r.sites, "--site", "demo", "--offer", "welcome-back", "--days", "3", "--json")
	var last experiment.Report
	want := treatedSince(t, 3)
	if err != nil || json.Unmarshal([]byte(out), &last) != nil || int(last.Treatment.Visitors) != want {
		t.Errorf("the last three days: %v, %d visitors, want %d", err, last.Treatment.Visitors, want)
	}

	// Half of the holdout of one arm is lost: there must be no difference to read.
	r.exec("DELETE FROM beckon.decisions WHERE site = 'demo' AND arm = 'holdout' AND toUInt8OrZero(substring(visitor, 14, 1)) % 2 = 0 SETTINGS lightweight_deletes_sync = 2")
	out, err = report(t, r.dsn, r.sites, "--site", "demo", "--offer", "welcome-back")
	if err != nil || !strings.Contains(out, "No result: the holdout has") || strings.Contains(out, "difference   always") {
		t.Errorf("%v, and\n%s", err, out)
	}
	reportErrors(t, r)
}

func alike(a, b experiment.Sums) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) < 1e-6*(1+math.Abs(y)) }
	ok := near(a.Revenue, b.Revenue) && near(a.RevenueSquared, b.RevenueSquared)
	a.Revenue, a.RevenueSquared, b.Revenue, b.RevenueSquared = 0, 0, 0, 0
	return ok && a == b
}

// reportErrors asks for what there is no report of.
func reportErrors(t *testing.T, r *reporting) {
	f := func(want string, args ...string) {
		t.Helper()
		out, err := report(t, r.dsn, r.sites, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q\n%s", args, err, want, out)
		}
	}
	f("did you mean welcome-back?", "--site", "demo", "--offer", "welcom-back")
	f("the site has welcome-back, fresh", "--site", "demo", "--offer", "gone")
	f(`--site "": the sites file has demo, test-shop`, "--offer", "gone")
	f(`--site "zoo"`, "--site", "zoo", "--offer", "gone")
	f("audience everyone", "--site", "demo", "--offer", "winter")
	f("has no holdout", "--site", "demo", "--offer", "all-in")
	f("--experiment with one of 1 has", "--site", "demo", "--offer", "welcome-back", "--experiment", "7")
	f("--days -1", "--site", "demo", "--offer", "fresh", "--days=-1")
	f("--database", "--site", "demo", "--offer", "fresh", "--database", "a b")
	f("run the schema migration", "--site", "demo", "--offer", "fresh", "--database", "elsewhere")
	out, err := report(t, r.dsn, r.sites, "--site", "demo", "--offer", "fresh")
	if err != nil || !strings.Contains(out, "No result: no visitor was eligible for this offer yet.") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReportSaysThatClickHouseIsDown(t *testing.T) {
	_, err := report(t, "clickhouse://reader:hunter2@127.0.0.1:1/default", writeSites(t), "--site", "demo", "--offer", "fresh")
	if err == nil || !strings.Contains(err.Error(), "--clickhouse-dsn: connect to clickhouse at 127.0.0.1:1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
