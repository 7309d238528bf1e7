package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/internal/chconn"
)

func (d db) refreshTraffic(t *testing.T) {
	t.Helper()
	d.exec(t, "SYSTEM REFRESH VIEW DB.refresh_traffic")
	d.exec(t, "SYSTEM WAIT VIEW DB.refresh_traffic")
}

func at(minutes int) func(*row) {
	return func(r *row) { r.OccurredAt = base.Add(time.Duration(minutes) * time.Minute) }
}

func kind(name string) func(*row) { return func(r *row) { r.Kind = name } }

func cart(value, rate string) func(*row) {
	return func(r *row) { r.CartValue, r.Rate, r.Currency = amount(value), *amount(rate), "EUR" }
}

func TestVisitorActivityIsOfPeopleInLaneDecide(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1",
		view("anna", at(0)),
		view("anna", at(61), kind("product_view"), func(r *row) { r.Product = "mug" }),
		view("anna", at(62), kind("product_view"), func(r *row) { r.Product = "mug" }),
		view("anna", at(62), kind("cart_add")),
		view("anna", at(63), kind("checkout_start")),
		view("anna", at(64), func(r *row) { r.Session = id("second") }),
		view("anna", at(999), kind("consent"), func(r *row) { r.Session = zeroID }),
		view("anna", at(999), func(r *row) { r.Bot = 1 }),
		view("anna", at(999), func(r *row) { r.Lane = "measure" }),
		view("anna", at(999), func(r *row) { r.Lane = "count" }),
		view("", at(999), func(r *row) { r.Visitor, r.Session = zeroID, zeroID }),
	)
	d.want(t, "SELECT toString((visitor, sessions, pageviews, product_views, products, cart_adds, checkout_starts, last_seen, last_cart)) FROM DB.v_visitors",
		fmt.Sprintf("('%s',2,2,2,1,1,1,'%s','%s')", hexOf("anna"), base.Add(64*time.Minute).Format("2006-01-02 15:04:05.000"), base.Add(63*time.Minute).Format("2006-01-02 15:04:05.000")))
	d.want(t, "SELECT toString(uniqExact(hour)) FROM DB.visitor_activity", "2")
	d.want(t, "SELECT toString((session, pageviews, product_views, cart_adds, seconds)) FROM DB.v_sessions ORDER BY session",
		fmt.Sprintf("('%s',1,2,1,3780)\n('%s',1,0,0,0)", hexOf("s-anna"), hexOf("second")))
	d.want(t, "SELECT hex(visitor) FROM DB.visitor_changes FINAL", strings.ToUpper(hexOf("anna")))
}

func TestCartValueIsTheLastKnownOne(t *testing.T) {
	d, cases := newDB(t), 0
	f := func(want string, rows ...row) {
		t.Helper()
		cases++
		visitor := fmt.Sprint("visitor", cases)
		for i := len(rows) - 1; i >= 0; i-- { // the order of arrival must not matter
			rows[i].Visitor = id(visitor)
			d.insert(t, fmt.Sprint(visitor, i), rows[i])
		}
		d.want(t, "SELECT toString(cart_value) FROM DB.v_visitors WHERE visitor = '"+hexOf(visitor)+"'", want)
	}
	f("0", view("anna"))
	f("20", view("anna", at(1), cart("10", "1")), view("anna", at(2), cart("20", "1")), view("anna", at(3)))
	f("21.6", view("anna", at(1), cart("20", "1.08")))
	f("20", view("anna", at(1), cart("20", "1")), view("anna", at(2), cart("7", "0"))) // no known rate
	f("0", view("anna", at(1), cart("20", "1")), view("anna", at(2), cart("20", "1"), kind("purchase")))
	f("5", view("anna", at(1), kind("purchase")), view("anna", at(2), cart("5", "1")))
	f("0.0001", view("anna", at(1), cart("0.0001", "0.5"))) // rounded half up
}

func TestLastKnownPlaceIsNotForgottenByAnEmptyOne(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1",
		view("anna", at(1), func(r *row) { r.Country, r.UTMSource, r.Referrer = "DE", "news", "a.example" }),
		view("anna", at(2), func(r *row) { r.Country = "AT" }),
		view("anna", at(3)))
	d.want(t, "SELECT toString((country, utm_source, referrer)) FROM DB.v_visitors", "('AT','news','a.example')")
	d.want(t, "SELECT toString((country, utm_source, referrer)) FROM DB.v_sessions", "('DE','news','a.example')")
}

func order(source, value string, minutes int) row {
	return view("anna", kind("purchase"), at(minutes), func(r *row) {
		r.Source, r.Value, r.Rate, r.Currency, r.OrderKey = source, amount(value), *amount("2"), "CHF", id("order")
	})
}

func refund(value string) row {
	return view("", kind("refund"), at(500), func(r *row) {
		r.Source, r.Visitor, r.Session, r.OrderKey, r.Rate = "server", zeroID, zeroID, id("order"), *amount("2")
		if value != "" {
			r.Value = amount(value)
		}
	})
}

func TestOrdersTakeTheMostTrustedThenTheLatestReport(t *testing.T) {
	d, orders := newDB(t), 0
	f := func(want string, rows ...row) {
		t.Helper()
		for range 2 {
			orders++
			key := fmt.Sprint("order", orders)
			for i := range rows {
				rows[i].OrderKey = id(key)
				d.insert(t, fmt.Sprint(key, i), rows[i])
			}
			d.want(t, "SELECT toString((reported_by, value, value_site, refunds, refunded_site, net_site, unconverted)) FROM DB.v_orders WHERE order_key = '"+hexOf(key)+"'", want)
			slices.Reverse(rows) // the order of arrival must not matter
		}
	}
	f("('browser',10,20,0,0,20,0)", order("pixel", "10", 1))
	f("('browser',12,24,0,0,24,0)", order("pixel", "10", 1), order("beacon", "12", 2))
	f("('server',9,18,0,0,18,0)", order("server", "9", 1), order("beacon", "12", 2))
	f("('server',9,18,0,0,18,0)", order("server", "9", 1), order("import", "12", 2), order("beacon", "13", 3))
	f("('import',12,24,0,0,24,0)", order("import", "12", 1), order("pixel", "13", 3))
	f("('browser',10,20,2,6,14,0)", order("pixel", "10", 1), refund("1"), refund("2"))
	f("('browser',10,20,1,40,0,0)", order("pixel", "10", 1), refund("20")) // gross of tax and shipping: never below 0
	f("('browser',10,20,1,20,0,0)", order("pixel", "10", 1), refund(""))   // without an amount: the whole order
	f("('',NULL,NULL,1,4,NULL,0)", refund("2"))
	unknown := order("pixel", "10", 1)
	unknown.Rate = *amount("0")
	f("('browser',10,NULL,0,0,NULL,1)", unknown)
}

func TestOrdersKeepTheirVisitorWhenTheServerNamesNone(t *testing.T) {
	d := newDB(t)
	byServer := order("server", "9", 2)
	byServer.Visitor, byServer.Session = zeroID, zeroID
	fromBrowser := order("beacon", "10", 1)
	fromBrowser.Offer, fromBrowser.Decision = "welcome-back", "d1"
	d.insert(t, "1", fromBrowser)
	d.insert(t, "2", byServer)
	d.want(t, "SELECT toString((reported_by, value, visitor, session, offer, decision, sources)) FROM DB.v_orders",
		fmt.Sprintf("('server',9,'%s','%s','welcome-back','d1',['beacon','server'])", hexOf("anna"), hexOf("s-anna")))
	d.want(t, "SELECT toString((placed_at, units)) FROM DB.v_orders", fmt.Sprintf("('%s',0)", base.Add(time.Minute).Format("2006-01-02 15:04:05.000")))
	d.want(t, "SELECT toString((hex(visitor), hex(order_key))) FROM DB.visitor_changes FINAL ORDER BY visitor",
		fmt.Sprintf("('%032d','%s')\n('%s','%032d')", 0, strings.ToUpper(hexOf("order")), strings.ToUpper(hexOf("anna")), 0))
	d.want(t, "SELECT toString(orders) FROM DB.v_visitors", "1")
}

func TestConsentsAreKeptOnceWithWhatWasGranted(t *testing.T) {
	d := newDB(t)
	c := view("anna", kind("consent"), func(r *row) {
		r.Source, r.Lane, r.Cause, r.Choice, r.ConsentSource, r.ConsentPolicy = "collector", "count", "gpc", "decide", "banner", "2026-05"
		r.ConsentAt, r.Session = base, zeroID
	})
	d.insert(t, "1", c)
	d.insert(t, "2", c)
	d.want(t, "SELECT toString((choice, lane, cause, source, policy, at)) FROM DB.consents FINAL",
		fmt.Sprintf("('decide','count','gpc','banner','2026-05','%s')", base.Format("2006-01-02 15:04:05.000")))
	for _, table := range []string{"visitor_activity", "sessions", "visitor_changes", "traffic_touched"} {
		d.want(t, "SELECT toString(count()) FROM DB."+table, "0")
	}
}

// The page view with the campaign stayed in lane count. What comes after the consent is of this lane, and
// so is its campaign, which came later and with another one.
func TestConsentBringsWhereTheVisitCameFrom(t *testing.T) {
	d := newDB(t)
	from := func(source, medium, campaign, referrer string) func(*row) {
		return func(r *row) { r.UTMSource, r.UTMMedium, r.UTMCampaign, r.Referrer = source, medium, campaign, referrer }
	}
	d.insert(t, "1",
		view("anna", at(5), kind("consent"), from("spring", "email", "mugs", "mail.example"), func(r *row) { r.Path, r.Device = "", "" }),
		view("anna", at(4), from("banner", "cpc", "other", "")),
		view("ben", at(5), kind("consent"), from("spring", "email", "mugs", ""))) // and did nothing else
	d.want(t, "SELECT toString((visitor, pageviews, events, referrer, utm_source, utm_medium, utm_campaign, channel)) FROM DB.v_sessions",
		fmt.Sprintf("('%s',1,1,'mail.example','spring','email','mugs','email')", hexOf("anna")))
	d.want(t, "SELECT toString((visitor, pageviews, sessions, utm_campaign)) FROM DB.v_visitors ORDER BY pageviews DESC",
		fmt.Sprintf("('%s',1,1,'mugs')\n('%s',0,0,'mugs')", hexOf("anna"), hexOf("ben")))
	d.want(t, "SELECT toString(uniqExact(visitor)) FROM DB.visitor_changes", "2")
	d.want(t, "SELECT toString(count()) FROM DB.traffic_touched", "1")

	for i := range 9 { // with anna enough people to be shown
		v := fmt.Sprint("v", i)
		d.insert(t, fmt.Sprint(i+2), view(v, at(1), from("banner", "cpc", "other", "")), view(v, at(2), kind("consent"), from("spring", "email", "", ""), func(r *row) { r.Device = "" }))
	}
	day := base.Format(time.DateOnly)
	d.want(t, "SELECT toString((channel, sessions, folded_sessions)) FROM DB.report_funnel_daily(site = 'demo', timezone = 'UTC', since = '"+day+"', until = '"+day+"', k = 10)", "('email',10,0)")
}

func TestReportTrafficCountsDaysOfTheShop(t *testing.T) {
	d := newDB(t)
	day := base.Format(time.DateOnly) // base is noon
	late := order("server", "10", 11*60+30)
	d.insert(t, "1",
		view("anna", at(11*60+20)), // 23:20 UTC: the next day in Kathmandu, 5:45 ahead
		late,
		view("anna", at(0)), view("ben", at(1)), view("ben", at(1), func(r *row) { r.Bot = 1 }),
		view("carl", at(2), func(r *row) { r.Lane, r.Session = "measure", zeroID }),
		view("", at(3), func(r *row) { r.Lane, r.Visitor, r.Session = "count", zeroID, zeroID }),
		view("dora", at(4), func(r *row) { r.Environment = "staging" }))
	report := func(timezone string) string {
		return d.text(t, "SELECT toString((day, pageviews, visitors, visitors_estimated, sessions, orders, net_site, bot_events)) FROM DB.report_traffic(site = 'demo', timezone = '"+timezone+"', since = '"+day+"', until = '"+base.AddDate(0, 0, 1).Format(time.DateOnly)+"') ORDER BY day")
	}
	d.refreshTraffic(t)
	if got, want := report("UTC"), fmt.Sprintf("('%s',5,2,1,2,1,20,1)", day); got != want {
		t.Fatalf("UTC:\n got %s\nwant %s", got, want)
	}
	next := base.AddDate(0, 0, 1).Format(time.DateOnly)
	if got, want := report("Asia/Kathmandu"), fmt.Sprintf("('%s',4,2,1,2,0,0,1)\n('%s',1,1,0,1,1,20,0)", day, next); got != want {
		t.Fatalf("Kathmandu:\n got %s\nwant %s", got, want)
	}

	d.insert(t, "late", view("anna", at(5))) // an old quarter is counted again
	d.refreshTraffic(t)
	if got, want := report("UTC"), fmt.Sprintf("('%s',6,2,1,2,1,20,1)", day); got != want {
		t.Fatalf("after a late event:\n got %s\nwant %s", got, want)
	}
}

// Lane measure has no session ids: a visit begins after half an hour of silence, in whatever order events came.
func TestReportTrafficFindsTheVisitsOfLaneMeasure(t *testing.T) {
	d := newDB(t)
	measured := func(visitor string, minutes ...int) (rows []row) {
		for _, m := range minutes {
			rows = append(rows, view(visitor, at(m), func(r *row) { r.Lane, r.Session, r.VisitorSince = "measure", zeroID, epoch }))
		}
		return rows
	}
	rows := slices.Concat(
		measured("anna", 0, 29, 58, 88, 90),           // 58 to 88 is half an hour: two visits
		measured("ben", 0), measured("carl", 100, 10), // carl's came in the wrong order: two visits
		measured("dora", -12*60-1, -12*60+1), // around midnight UTC, as if it were one id: one visit, begun the day before
		[]row{view("anna", at(300), func(r *row) { r.Lane, r.Session, r.Visitor = "count", zeroID, zeroID })},
		[]row{view("bot", at(300), func(r *row) { r.Lane, r.Bot = "measure", 1 })})
	slices.Reverse(rows)
	d.insert(t, "1", rows...)
	d.insert(t, "2", rows[len(rows)-1], rows[0]) // repeats
	day, before := base.Format(time.DateOnly), base.AddDate(0, 0, -1).Format(time.DateOnly)
	d.refreshTraffic(t)
	d.want(t, "SELECT toString((day, visitors, sessions, visitors_estimated, sessions_estimated)) FROM DB.report_traffic(site = 'demo', timezone = 'UTC', since = '"+before+"', until = '"+day+"') ORDER BY day",
		fmt.Sprintf("('%s',0,0,1,1)\n('%s',0,0,4,5)", before, day))
	// Only visitors of lane decide have rows of their own.
	for _, table := range []string{"visitor_activity", "sessions", "visitor_changes", "orders"} {
		d.want(t, "SELECT toString(count()) FROM DB."+table, "0")
	}
}

// What names a visitor of lane measure is in events and nowhere else; no aggregate keeps a state of such ids.
func TestTrafficKeepsNumbersOnly(t *testing.T) {
	d := newDB(t)
	d.want(t, "SELECT name FROM system.columns WHERE database = '"+d.name+"' AND table = 'traffic' AND (type LIKE '%Aggregate%' OR type LIKE '%FixedString%' OR type LIKE '%Array%')", "")
}

func TestViewsShowProductionUnlessAskedAndNothingExpired(t *testing.T) {
	d := newDB(t)
	d.exec(t, "SYSTEM STOP TTL MERGES")
	t.Cleanup(func() { d.Exec(context.Background(), "SYSTEM START TTL MERGES") })
	gone := func(r *row) { r.Expires, r.ProfileExpires = base, base }
	d.insert(t, "1", view("anna"), view("ben", func(r *row) { r.Environment = "staging" }), view("carl", gone))
	for _, v := range []string{"v_events", "v_sessions", "v_visitors"} {
		d.want(t, "SELECT visitor FROM DB."+v, hexOf("anna"))
		d.want(t, "SELECT visitor FROM DB."+v+"_all WHERE environment = 'staging'", hexOf("ben"))
	}
	d.want(t, "SELECT hex(visitor) FROM DB.v_events_between(site = 'demo', since = '"+base.Format(time.DateOnly)+"', until = '"+base.Format(time.DateOnly)+"')", strings.ToUpper(hexOf("anna")))
}

// A browser and the shop's server may tell of one thing under one id. The server's word is the one that counts,
// whoever came first.
func TestEventsOfOneIDAreShownAsTheShopToldThem(t *testing.T) {
	d := newDB(t)
	both := func(event, source, value, site string) row {
		return view("anna", kind("purchase"), func(r *row) {
			r.EventID, r.Source, r.Value, r.Site = id(event), source, amount(value), site
		})
	}
	d.insert(t, "1", both("first", "beacon", "1", "demo"), both("second", "server", "20", "demo"), both("other site", "server", "20", "zoo"))
	d.insert(t, "2", both("first", "server", "10", "demo"), both("second", "pixel", "2", "demo"), both("other site", "beacon", "3", "demo"))
	d.insert(t, "3", both("third", "import", "30", "demo"), both("fourth", "beacon", "4", "demo"), both("fourth", "beacon", "4", "demo"))
	const want = "[(3,'beacon'),(4,'beacon'),(10,'server'),(20,'server'),(30,'import')]"
	const list = "SELECT toString(arraySort(groupArray((toUInt8(value), CAST(source, 'String'))))) FROM "
	for range 3 { // any of two, or always the right one
		d.want(t, list+"DB.v_events WHERE site = 'demo'", want)
		day := base.Format("2006-01-02")
		d.want(t, list+"DB.v_events_between(site = 'demo', since = '"+day+"', until = '"+day+"')", want)
	}
}

func TestDecisionsExplainThemselvesOnce(t *testing.T) {
	d := newDB(t)
	const insert = `INSERT INTO DB.decisions (site, environment, decided_at, decision_id, visitor, offer, rule, reason, eligible, gates, features, spool, segment, sequence, expires)
		VALUES ('demo', 'production', '2026-11-20 10:00:00.000', 'd1', 'anna', 'welcome-back', 'welcome-back@3f2a9c1d', 'TARGETING_MATCH', 1,
			[('enabled', 1, ''), ('rule', 1, 'sessions_7d >= 2')], {'sessions_7d': '2'}, 'spool', 1, 1, today() + 9)`
	for _, token := range []string{"1", "1 after the window"} {
		if err := d.Exec(chconn.WithToken(t.Context(), token), d.in(insert)); err != nil {
			t.Fatal(err)
		}
	}
	d.want(t, "SELECT toString((decision_id, visitor, session, reason, gates.gate, features['sessions_7d'], valid_until)) FROM DB.v_decisions",
		fmt.Sprintf("('%s','%s','','TARGETING_MATCH',['enabled','rule'],'2',NULL)", hexOf("d1"), hexOf("anna")))
}

// A view that an analyst filters by site must not read the other sites.
func TestSiteConditionReachesTheSortKeyThroughEveryView(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1", view("anna"), order("server", "1", 1))
	d.insert(t, "2", func() row { r := order("server", "1", 1); r.Site = "zoo"; return r }())
	for _, v := range []string{"v_events", "v_sessions", "v_visitors", "v_orders"} {
		plan := d.text(t, "EXPLAIN indexes = 1 SELECT * FROM DB."+v+" WHERE site = 'zoo'")
		if !strings.Contains(plan, "PrimaryKey") || !strings.Contains(plan, "site") || !strings.Contains(plan, "Parts: 1/2") {
			t.Errorf("%s reads every site:\n%s", v, plan)
		}
	}
}
