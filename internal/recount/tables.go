package recount

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"beckon/internal/event"
)

// list writes fields of a row as line does.
func list(fields ...string) string {
	return "concatWithSeparator('|', " + strings.Join(fields, ", ") + ")"
}

func hexed(id string) string     { return "lower(hex(" + id + "))" }
func number(n string) string     { return "toString(" + n + ")" }
func millis(t string) string     { return "toString(toUnixTimestamp64Milli(" + t + "))" }
func winner(state string) string { return "argMaxMerge(" + state + ")" }
func timed(text string) string   { return "substring(max(" + text + "), 9)" }
func day(d string) string        { return "toString(toUInt16(" + d + "))" }

// ofKind counts different events of a kind, by its number in visitor_activity.
func ofKind(kind int) string {
	return fmt.Sprintf("toString(arrayCount(x -> bitAnd(x, 7) = %d, groupUniqArrayArray(events)))", kind)
}

func hexes(array string) string {
	return "arrayStringConcat(arraySort(arrayMap(x -> lower(hex(x)), groupUniqArrayArray(" + array + "))), ',')"
}

var tables = []table{
	{"events", `SELECT ` + list(hexed("event_id"), "site", "environment", "kind", "source", "lane", "cause", "bot_reason", millis("occurred_at"), millis("received_at"),
		hexed("visitor"), hexed("session"), hexed("order_key"), "path", "referrer", "product", number("quantity"), "ifNull(toString(value), '')", "ifNull(toString(cart_value), '')") + ` FROM DB.events`, countEvents},
	{"visitor_activity", `SELECT ` + list("site", hexed("visitor"), number("toUnixTimestamp(hour)"), "max(environment)",
		ofKind(1), ofKind(2), ofKind(3), ofKind(4), hexes("sessions"),
		"toString(length(groupUniqArrayArray(products)))", hexes("orders"), millis("min(first_seen)"), millis("max(last_seen)"), millis("max(last_cart)"),
		millis("max(visitor_since)"), "toString(toDecimal128OrZero(substring(max(cart_value), 25), 4))", timed("country"), timed("region"), timed("device"), timed("browser"), timed("os"),
		timed("referrer"), timed("utm_source"), timed("utm_medium"), timed("utm_campaign"), day("max(expires)")) +
		` FROM DB.visitor_activity GROUP BY site, visitor, hour`, countActivity},
	{"sessions", `SELECT ` + list("site", hexed("session"), "max(environment)", hexed("max(visitor)"), millis("min(started_at)"), millis("max(ended_at)"),
		"toString(length(groupUniqArrayArray(events)))", ofKind(1), ofKind(2), ofKind(3), ofKind(4), hexes("orders"),
		timed("entry_path"), timed("exit_path"), timed("referrer"), timed("utm_source"), timed("utm_medium"), timed("utm_campaign"),
		timed("country"), timed("device"), timed("browser"), timed("os"), day("max(expires)")) +
		` FROM DB.sessions GROUP BY site, session`, countSessions},
	{"orders", `SELECT ` + list("site", hexed("order_key"), "max(environment)", number("max(trust)"), "if(max(trust) = 0, '', toString(toUnixTimestamp64Milli(minMerge(placed_at))))",
		"ifNull(toString((argMaxMerge(facts) AS f).value), '')", "ifNull(toString(f.discount), '')", "ifNull(toString(f.value_site), '')", "f.currency", number("f.units"),
		"arrayStringConcat(arraySort(arrayMap(r -> concat(lower(hex(r.event_id)), ' ', ifNull(toString(r.amount), ''), ' ', ifNull(toString(r.amount_site), '')), groupUniqArrayArray(refunds))), ',')",
		hexed("argMaxMerge(visitor)"), hexed("argMaxMerge(session)"), winner("offer"), winner("decision"),
		"arrayStringConcat(arraySort(groupUniqArrayArray(sources)), ',')", day("max(expires)")) +
		` FROM DB.orders GROUP BY site, order_key`, countOrders},
	{"traffic", `SELECT ` + list("site", "environment", number("toUnixTimestamp(bucket)"), "lane", number("events"), number("pageviews"), number("product_views"),
		number("cart_adds"), number("checkout_starts"), number("purchases"), number("visitors"), number("sessions"), number("bot_events")) +
		` FROM DB.traffic FINAL`, countTraffic},
}

func countEvents(all Events) (lines []string) {
	for _, e := range all {
		lines = append(lines, line([16]byte(e.ID), e.Site, e.Environment, e.Kind, e.Source, e.Lane, e.Cause, e.Bot, e.OccurredAt, e.ReceivedAt,
			e.Visitor, e.Session, e.Order, e.Path, e.Referrer, e.Product, e.Quantity, amount(e.Value), amount(e.CartValue)))
	}
	return lines
}

func amount(a event.Amount) string {
	if !a.Set {
		return ""
	}
	return decimal.New(a.Units, -4).String()
}

// converted is an amount in the currency of the site, where its rate is known.
func converted(a event.Amount, rate int64) string {
	if !a.Set || rate <= 0 {
		return ""
	}
	return decimal.New(a.Units, -4).Mul(decimal.New(rate, -8)).Round(4).String()
}

func countActivity(all Events) (lines []string) {
	hour := func(e *event.Stored) int64 { return start(e.OccurredAt, time.Hour) / 1000 }
	for _, g := range all.group(func(e *event.Stored) (string, bool) {
		return line(e.Site, e.Visitor, hour(e)), personal(e) && e.Visitor != [16]byte{}
	}) {
		e := g[0]
		cart := last(g, func(e *event.Stored) string {
			if e.Kind == event.Purchase {
				return "0"
			}
			return converted(e.CartValue, e.Rate)
		})
		if cart == "" {
			cart = "0"
		}
		lines = append(lines, line(e.Site, e.Visitor, hour(e), largest(g),
			kinds(g, event.PageView), kinds(g, event.ProductView), kinds(g, event.CartAdd), kinds(g, event.CheckoutStart),
			different(g, func(e *event.Stored) ([16]byte, bool) { return known(e.Session) }),
			len(strings.FieldsFunc(different(g, func(e *event.Stored) (string, bool) {
				return fmt.Sprintf("%x", e.Product), e.Kind == event.ProductView && e.Product != ""
			}), func(r rune) bool { return r == ',' })),
			different(g, ordered), e.OccurredAt, g[len(g)-1].OccurredAt,
			most(g, func(e *event.Stored) int64 {
				if e.Kind == event.CartAdd || e.Kind == event.CheckoutStart {
					return e.OccurredAt
				}
				return 0
			}),
			most(g, func(e *event.Stored) int64 { return e.VisitorSince }), cart,
			latest(g, country), latest(g, func(e *event.Stored) string { return e.Region }), latest(g, device), latest(g, browser), latest(g, system),
			latest(g, referrer), latest(g, source), latest(g, medium), latest(g, campaign),
			most(g, func(e *event.Stored) int64 { return int64(e.ProfileExpiresDay) })))
	}
	return lines
}

func countSessions(all Events) (lines []string) {
	for _, g := range all.group(func(e *event.Stored) (string, bool) {
		return line(e.Site, e.Session), personal(e) && e.Session != [16]byte{}
	}) {
		e := g[0]
		visitor := e.Visitor
		for _, e := range g {
			if string(e.Visitor[:]) > string(visitor[:]) {
				visitor = e.Visitor
			}
		}
		path := func(e *event.Stored) string { return e.Path }
		lines = append(lines, line(e.Site, e.Session, largest(g), visitor, e.OccurredAt, g[len(g)-1].OccurredAt,
			len(g), kinds(g, event.PageView), kinds(g, event.ProductView), kinds(g, event.CartAdd), kinds(g, event.CheckoutStart), different(g, ordered),
			earliest(g, path), latest(g, path), earliest(g, referrer), earliest(g, source), earliest(g, medium), earliest(g, campaign),
			earliest(g, country), earliest(g, device), earliest(g, browser), earliest(g, system),
			most(g, func(e *event.Stored) int64 { return int64(e.ExpiresDay) })))
	}
	return lines
}

func countOrders(all Events) (lines []string) {
	for _, g := range all.group(func(e *event.Stored) (string, bool) {
		return line(e.Site, e.Order), e.Bot == "" && e.Order != [16]byte{} && (e.Kind == event.Purchase || e.Kind == event.Refund)
	}) {
		slices.SortStableFunc(g, func(a, b *event.Stored) int { return trust(a) - trust(b) }) // the winner comes last
		var won event.Stored
		placed, units := int64(0), uint64(0)
		for _, e := range g {
			if e.Kind != event.Purchase {
				continue
			}
			if won = *e; placed == 0 || e.OccurredAt < placed {
				placed = e.OccurredAt
			}
		}
		for _, item := range won.Items {
			units += uint64(item.Quantity)
		}
		at, level := "", 0
		if won.Kind != event.KindNone {
			at, level = fmt.Sprint(placed), trust(&won)
		}
		id := func(of func(*event.Stored) [16]byte) string {
			found := last(g, func(e *event.Stored) string {
				if id, ok := known(of(e)); ok {
					return line(id)
				}
				return ""
			})
			if found == "" {
				return line([16]byte{})
			}
			return found
		}
		lines = append(lines, line(g[0].Site, g[0].Order, largest(g), level, at,
			amount(won.Value), amount(won.Discount), converted(won.Value, won.Rate), won.Currency, units,
			different(g, func(e *event.Stored) (string, bool) {
				return fmt.Sprintf("%x %s %s", [16]byte(e.ID), amount(e.Value), converted(e.Value, e.Rate)), e.Kind == event.Refund
			}),
			id(func(e *event.Stored) [16]byte { return e.Visitor }), id(func(e *event.Stored) [16]byte { return e.Session }),
			last(g, func(e *event.Stored) string { return e.Offer }), last(g, func(e *event.Stored) string { return e.Decision }),
			different(g, func(e *event.Stored) (string, bool) { return e.Source.String(), e.Kind == event.Purchase }),
			most(g, func(e *event.Stored) int64 { return int64(e.ExpiresDay) })))
	}
	return lines
}

func trust(e *event.Stored) int {
	switch e.Source.String() {
	case "server":
		return 3
	case "import":
		return 2
	}
	return 1
}

func countTraffic(all Events) (lines []string) {
	quarter := func(e *event.Stored) int64 { return start(e.OccurredAt, 15*time.Minute) / 1000 }
	for _, g := range all.group(func(e *event.Stored) (string, bool) {
		return line(e.Site, e.Environment, quarter(e), e.Lane), e.Kind != event.Consent
	}) {
		people := slices.DeleteFunc(slices.Clone(g), func(e *event.Stored) bool { return e.Bot != "" })
		ids := func(of func(*event.Stored) [16]byte) int {
			seen := map[[16]byte]bool{}
			for _, e := range people {
				if id, ok := known(of(e)); ok {
					seen[id] = true
				}
			}
			return len(seen)
		}
		lines = append(lines, line(g[0].Site, g[0].Environment, quarter(g[0]), g[0].Lane, len(people),
			kinds(people, event.PageView), kinds(people, event.ProductView), kinds(people, event.CartAdd), kinds(people, event.CheckoutStart), kinds(people, event.Purchase),
			ids(func(e *event.Stored) [16]byte { return e.Visitor }), ids(func(e *event.Stored) [16]byte { return e.Session }), len(g)-len(people)))
	}
	return lines
}

func ordered(e *event.Stored) ([16]byte, bool) {
	return e.Order, e.Kind == event.Purchase && e.Order != [16]byte{}
}

// largest is the environment that sorts last; a site has one.
func largest(g []*event.Stored) (env string) {
	for _, e := range g {
		env = max(env, e.Environment)
	}
	return env
}

func country(e *event.Stored) string  { return e.Country }
func device(e *event.Stored) string   { return e.Device }
func browser(e *event.Stored) string  { return e.Browser }
func system(e *event.Stored) string   { return e.OS }
func referrer(e *event.Stored) string { return e.Referrer }
func source(e *event.Stored) string   { return e.UTMSource }
func medium(e *event.Stored) string   { return e.UTMMedium }
func campaign(e *event.Stored) string { return e.UTMName }
