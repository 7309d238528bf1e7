package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/internal/chconn"
)

// answer is one row of decisions; its tags are the columns that matter to reports.
type answer struct {
	Site         string    `ch:"site"`
	Environment  string    `ch:"environment"`
	DecidedAt    time.Time `ch:"decided_at"`
	DecisionID   string    `ch:"decision_id"`
	Visitor      string    `ch:"visitor"`
	Session      string    `ch:"session"`
	Lane         string    `ch:"lane"`
	Offer        string    `ch:"offer"`
	Rule         string    `ch:"rule"`
	Arm          string    `ch:"arm"`
	Reason       string    `ch:"reason"`
	Eligible     uint8     `ch:"eligible"`
	FirstServe   uint8     `ch:"first_serve"`
	Personalised uint8     `ch:"personalised"`
	ValidUntil   time.Time `ch:"valid_until"`
	Repeats      uint32    `ch:"repeats"`
	Spool        string    `ch:"spool"`
	Sequence     uint64    `ch:"sequence"`
	Expires      time.Time `ch:"expires"`
}

// granted is the first serve of a grant of welcome-back, named name, at minutes after base.
func granted(name string, minutes int, change ...func(*answer)) answer {
	a := answer{
		Site: "demo", Environment: "production", DecidedAt: base.Add(time.Duration(minutes) * time.Minute), DecisionID: id(name),
		Visitor: id("v-" + name), Session: id("s-v-" + name), Lane: "decide", Offer: "welcome-back", Rule: "welcome-back@1", Arm: "treatment",
		Reason: "TARGETING_MATCH", Eligible: 1, FirstServe: 1, Personalised: 1, ValidUntil: base.Add(time.Duration(minutes+30) * time.Minute), Spool: id("spool"), Sequence: ids.Add(1), Expires: base.AddDate(0, 0, 90),
	}
	for _, f := range change {
		f(&a)
	}
	return a
}

func heldOut(a *answer) { a.Arm, a.Reason, a.Eligible = "holdout", "HOLDOUT", 0 }

func again(repeats uint32) func(*answer) {
	return func(a *answer) { a.FirstServe, a.Repeats = 0, repeats }
}

func toEveryone(a *answer) {
	a.DecisionID, a.Visitor, a.Session, a.FirstServe, a.Personalised, a.Lane, a.Offer, a.Rule = zeroID, zeroID, zeroID, 0, 0, "count", "winter", "winter@1"
}

func (d db) decide(t *testing.T, token string, answers ...answer) {
	t.Helper()
	b, err := d.PrepareBatch(chconn.WithToken(t.Context(), token), "INSERT INTO "+d.name+".decisions ("+columnsOf[answer]()+")")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range answers {
		if err := b.AppendStruct(&answers[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
}

// reaction is an event that answers the decision named name.
func reaction(kindOf, name string, minutes int) row {
	return view("v-"+name, kind(kindOf), at(minutes), func(r *row) { r.Offer, r.Decision = "welcome-back", hexOf(name) })
}

// sale is an order under the decision named name; its currency is worth two of the site's.
func sale(source, orderKey, name, value, discount string, minutes int) row {
	r := reaction("purchase", name, minutes)
	r.Source, r.OrderKey, r.Value, r.Discount, r.Currency, r.Rate = source, id(orderKey), amount(value), amount(discount), "CHF", *amount("2")
	return r
}

func (d db) offers(t *testing.T, timezone string, since, until time.Time) string {
	t.Helper()
	return d.text(t, fmt.Sprintf("SELECT toString(tuple(*)) FROM DB.report_offer_daily(site = 'demo', timezone = '%s', since = '%s', until = '%s') ORDER BY day, offer, rule, arm DESC",
		timezone, since.Format(time.DateOnly), until.Format(time.DateOnly)))
}

func TestReportOfferDailyFollowsAGrantFromItsDayToTheOrder(t *testing.T) {
	d := newDB(t)
	day, next := base.Format(time.DateOnly), base.AddDate(0, 0, 1).Format(time.DateOnly)
	const evening = 11*60 + 30 // 23:30 UTC, the next day in Berlin
	d.decide(t, "1",
		granted("a", 0), granted("a", 1, again(3)), granted("a", 13*60, again(0)), // 4 + 1 further answers, one of them the next day
		granted("b", 5), granted("c", 6, heldOut), granted("c", 7, heldOut, again(1)),
		granted("d", evening),
		granted("e", 8, func(a *answer) { a.Rule, a.ValidUntil = "welcome-back@2", base.AddDate(0, 0, 20) }),
		granted("x", 9, func(a *answer) { a.Environment = "staging" }),
		granted("y", 9, func(a *answer) { a.Site = "zoo" }),
		granted("z", 9, func(a *answer) {
			a.Arm, a.Reason, a.Eligible, a.FirstServe, a.DecisionID = "", "COOLDOWN", 0, 0, zeroID
		}))
	d.decide(t, "another replica", granted("b", 6))
	d.insert(t, "1",
		reaction("offer_shown", "a", 1), reaction("offer_shown", "a", 2), // two tabs: one grant was seen
		reaction("offer_accepted", "a", 3), reaction("offer_shown", "b", 6), reaction("offer_dismissed", "b", 7),
		reaction("offer_shown", "d", 24*60),                                        // after its own day
		reaction("offer_shown", "e", 8), reaction("offer_accepted", "e", 19*24*60), // valid for three weeks
		reaction("offer_shown", "unknown", 1),                                                       // of no decision that we know
		func() row { r := reaction("offer_accepted", "b", 1); r.Bot = 1; return r }(),               // a program
		func() row { r := reaction("offer_accepted", "b", 1); r.Environment = "s"; return r }(),     // not production
		sale("beacon", "o1", "a", "10", "1", 20), sale("server", "o1", "a", "9", "0.9", 20+3*24*60), // the server's amounts count
		sale("server", "o2", "d", "5", "0.0001", 24*60))
	d.insert(t, "3", sale("server", "o4", "e", "3", "0", 21*24*60))
	unknown := sale("server", "o3", "a", "7", "3", 30)
	unknown.Rate = *amount("0")
	bare := sale("server", "o5", "b", "2", "0.5", 40) // the shop kept the decision and not the offer's name
	bare.Offer = ""
	d.insert(t, "2", unknown, bare, func() row { r := refund("2"); r.OrderKey = id("o1"); return r }())
	d.insert(t, "repeats", reaction("offer_shown", "a", 2), sale("server", "o1", "a", "9", "0.9", 20+3*24*60))

	// o1: 18 less 4 refunded, o3 left out twice: its value and its discount; o5: 4.
	a := "('%s','welcome-back','welcome-back@1','treatment',2,8,2,1,1,3,18,2.8,2)"
	want := fmt.Sprintf("%s\n('%s','welcome-back','welcome-back@1','holdout',1,3,0,0,0,0,0,0,0)\n('%s','welcome-back','welcome-back@2','treatment',1,1,1,0,1,1,6,0,0)\n", fmt.Sprintf(a, day), day, day)
	late := fmt.Sprintf("('%s','welcome-back','welcome-back@1','treatment',1,1,1,0,0,1,10,0.0002,0)", next)
	if got := d.offers(t, "Europe/Berlin", base, base.AddDate(0, 0, 1)); got != want+late {
		t.Errorf("Berlin:\n got %s\nwant %s", got, want+late)
	}
	if got := d.offers(t, "Europe/Berlin", base.AddDate(0, 0, 1), base.AddDate(0, 0, 2)); got != late {
		t.Errorf("from the next day on, an earlier grant's answers are no day of their own:\n got %s\nwant %s", got, late)
	}
}

func TestReportOfferDailyKnowsAnOfferToEveryoneByItsName(t *testing.T) {
	d := newDB(t)
	named := func(kindOf, decision string, minutes int) row {
		return view("", kind(kindOf), at(minutes), func(r *row) {
			r.Lane, r.Visitor, r.Session, r.Offer, r.Decision = "count", zeroID, zeroID, "winter", decision
		})
	}
	order := named("purchase", "QRSTUVWXYZ234567QRSTUVWXYZ", 4) // the token's own subject, which is no decision
	order.Source, order.OrderKey, order.Value, order.Discount, order.Currency, order.Rate = "server", id("o1"), amount("40"), amount("4"), "EUR", *amount("1")
	d.decide(t, "1", granted("", 0, toEveryone), granted("", 1, toEveryone, again(9)), granted("", 24*60, toEveryone))
	d.insert(t, "1", named("offer_shown", "", 1), named("offer_shown", "", 2), named("offer_accepted", "", 3), order)
	want := fmt.Sprintf("('%s','winter','winter@1','',0,11,2,0,1,1,40,4,0)\n('%s','winter','winter@1','',0,1,0,0,0,0,0,0,0)",
		base.Format(time.DateOnly), base.AddDate(0, 0, 1).Format(time.DateOnly))
	if got := d.offers(t, "UTC", base, base.AddDate(0, 0, 1)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func (d db) funnel(t *testing.T, timezone string, since, until time.Time, k int) string {
	t.Helper()
	return d.text(t, fmt.Sprintf("SELECT toString(tuple(*)) FROM DB.report_funnel_daily(site = 'demo', timezone = '%s', since = '%s', until = '%s', k = %d) ORDER BY day, channel, device",
		timezone, since.Format(time.DateOnly), until.Format(time.DateOnly), k))
}

// visits is n sessions of as many visitors whose names begin with name.
func visits(n int, name string, change ...func(*row)) (rows []row) {
	for i := range n {
		rows = append(rows, view(fmt.Sprint(name, i), append([]func(*row){func(r *row) { r.Device = "mobile" }}, change...)...))
	}
	return rows
}

func TestReportFunnelDailyCountsSessionsOfTheDayTheyBegan(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1", visits(12, "a", at(11*60+50))...) // 23:50 UTC
	for i, k := range []string{"product_view", "cart_add", "checkout_start", "purchase"} {
		d.insert(t, k, visits(8-2*i, "a", kind(k), at(12*60+30))...) // past midnight
		d.insert(t, k+" again", visits(8-2*i, "a", kind(k), at(12*60+31))...)
	}
	d.insert(t, "others", append(visits(15, "b", at(0), func(r *row) { r.Bot = 1 }),
		append(visits(15, "c", at(0), func(r *row) { r.Lane = "measure" }), visits(15, "d", at(0), func(r *row) { r.Environment = "staging" })...)...)...)
	row := "('%s','direct','mobile',12,8,6,4,2,0)"
	if got, want := d.funnel(t, "UTC", base, base.AddDate(0, 0, 2), 10), fmt.Sprintf(row, base.Format(time.DateOnly)); got != want {
		t.Errorf("UTC:\n got %s\nwant %s", got, want)
	}
	if got := d.funnel(t, "UTC", base.AddDate(0, 0, 1), base.AddDate(0, 0, 2), 10); got != "" {
		t.Errorf("the rest of a session became a session of the next day: %s", got)
	}
	if got, want := d.funnel(t, "Asia/Kathmandu", base, base.AddDate(0, 0, 2), 10), fmt.Sprintf(row, base.AddDate(0, 0, 1).Format(time.DateOnly)); got != want {
		t.Errorf("Kathmandu:\n got %s\nwant %s", got, want)
	}
}

func TestReportFunnelDailyHidesCellsOfFewPeople(t *testing.T) {
	d, day := newDB(t), base
	f := func(want string, k int, cells ...int) {
		t.Helper()
		day = day.AddDate(0, 0, -1)
		var rows []row
		for i, n := range cells {
			rows = append(rows, visits(n, fmt.Sprint(day.Day(), "-", i, "-"), func(r *row) { r.OccurredAt, r.Device = day, fmt.Sprint("device", i) })...)
		}
		d.insert(t, day.String(), rows...)
		var got []string
		for _, line := range strings.Split(d.funnel(t, "UTC", day, day, k), "\n") {
			part := strings.Split(strings.Trim(line, "()"), ",")
			got = append(got, strings.Trim(part[2], "'")+" "+part[3]+" "+part[8])
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%v with k = %d: got %q, want %q", cells, k, s, want)
		}
	}
	f("device0 20 0, device1 30 0", 20, 20, 30)
	f("device2 40 0, other 30 30", 20, 19, 11, 40)
	f("device2 41 0, other 43 43", 20, 3, 40, 41) // 3 alone would be 3 people: the next larger cell hides them
	f("other 43 43", 20, 3, 40)
	f("other 3 3", 20, 3)                        // the total of a day is no secret
	f("device2 11 0, other 19 19", 1, 9, 10, 11) // k is at least 10
}

// One person with many sessions is one person.
func TestReportFunnelDailyFoldsByPeopleAndNotBySessions(t *testing.T) {
	d := newDB(t)
	var rows []row
	for i := range 30 {
		rows = append(rows, view("anna", at(i), func(r *row) { r.Session, r.Device, r.UTMMedium = id(fmt.Sprint("s", i)), "tablet", "email" }))
	}
	d.insert(t, "1", append(rows, visits(40, "b")...)...)
	day := base.Format(time.DateOnly)
	if got, want := d.funnel(t, "UTC", base, base, 10), fmt.Sprintf("('%s','other','other',70,0,0,0,0,70)", day); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// The words for a channel are in two views.
func TestChannelIsTheSameInSessionsAndInTheFunnel(t *testing.T) {
	d := newDB(t)
	cases := []struct{ medium, source, referrer, want string }{
		{"", "", "", "direct"},
		{"CPC", "google", "www.google.com", "paid"},
		{"paid_social", "facebook", "", "paid"},
		{"email", "", "mail.example", "email"},
		{"", "Newsletter-May", "", "email"},
		{"affiliates", "a", "", "affiliate"},
		{"social", "", "", "social"},
		{"", "instagram", "", "social"},
		{"", "", "m.facebook.com", "social"},
		{"", "", "t.co", "social"},
		{"", "", "cart.co", "referral"},
		{"organic", "", "", "search"},
		{"", "", "www.google.co.uk", "search"},
		{"", "", "duckduckgo.com", "search"},
		{"", "", "notgoogle.example", "referral"},
		{"qr", "", "www.google.com", "search"},
		{"qr", "", "", "campaign"},
		{"", "flyer", "a.example", "campaign"},
		{"", "", "a.example", "referral"},
	}
	var rows []row
	for i, c := range cases {
		for _, r := range visits(10+i, fmt.Sprint(i, "-")) { // as many people as tell the cases apart
			r.UTMMedium, r.UTMSource, r.Referrer, r.Device = c.medium, c.source, c.referrer, fmt.Sprint("case", i)
			rows = append(rows, r)
		}
	}
	d.insert(t, "1", rows...)
	for i, c := range cases {
		device := fmt.Sprint("case", i)
		d.want(t, "SELECT DISTINCT channel FROM DB.v_sessions WHERE device = '"+device+"'", c.want)
		if got := d.funnel(t, "UTC", base, base, 10); !strings.Contains(got, fmt.Sprintf("'%s','%s',%d,", c.want, device, 10+i)) {
			t.Errorf("the funnel does not have %+v in channel %s:\n%s", c, c.want, got)
		}
	}
}

// A report of a few days must not cost a big site all of its years.
func TestReportsReadTheDaysThatTheyAreAskedFor(t *testing.T) {
	d := newDB(t)
	d.stopMerges(t)
	d.insert(t, "1", view("anna"), order("server", "1", 1))
	d.insert(t, "2", view("anna", at(-40*24*60)), order("server", "1", -40*24*60))
	day := base.Format(time.DateOnly)
	for _, call := range []string{"report_offer_daily(", "report_funnel_daily(k = 50, "} {
		plan := d.text(t, "EXPLAIN indexes = 1 SELECT * FROM DB."+call+"site = 'demo', timezone = 'Europe/Berlin', since = '"+day+"', until = '"+day+"')")
		reads := strings.Split(plan, "ReadFromMergeTree ("+d.name+".events)")[1:]
		if len(reads) == 0 {
			t.Errorf("%s reads no events: this test proves nothing\n%s", call, plan)
		}
		for _, read := range reads {
			read, _, _ = strings.Cut(read, "ReadFromMergeTree")
			if _, key, _ := strings.Cut(read, "PrimaryKey"); !strings.Contains(key, "toDate(occurred_at)") || !strings.Contains(key, "Parts: 1/2") {
				t.Errorf("%s reads days that nobody asked for:\n%s", call, read)
			}
		}
	}
}
