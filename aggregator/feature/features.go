// Package feature is about what Beckon knows of a visitor: a fixed list of named values, such as
// sessions_7d, that rules may use.
//
// A Profile is what ClickHouse's visitor_activity, orders and decisions tables say of one visitor,
// hour by hour. Profile.At(now) turns it into Features, without I/O, so windows slide by themselves
// between two reads. Follow keeps the profiles of changed visitors up to date. It stands between
// the tables of schema/ and aggregator/eligibility.
package feature

import (
	"fmt"
	"strconv"
)

// NeverMinutes is the value of a minutes_since_... feature when the thing never happened. It is so
// large that "more than N minutes ago" is true and "less than N minutes ago" is false.
const NeverMinutes = 1_000_000_000

// Features are a visitor's values at one instant. Money is in the site's currency. An empty string
// is "not known".
type Features struct {
	Pageviews1d, Pageviews7d, Pageviews30d int64
	Sessions1d, Sessions7d, Sessions30d    int64
	ProductViews7d, DistinctProducts7d     int64
	CartAdds7d                             int64
	CartValue                              float64
	CheckoutStarts7d                       int64
	Purchases90d                           int64
	Revenue90d                             float64
	MinutesSinceLastSeen, MinutesSinceCart int64
	DaysSinceFirstSeen                     int64
	OffersShown30d, LastOfferMinutes       int64
	Country, Region, Device, Browser, OS   string
	Referrer                               string
	UTMSource, UTMMedium, UTMCampaign      string
	IsReturning                            bool
}

// Type is the type of a feature in rules.
type Type uint8

// The types.
const (
	Int Type = iota
	Double
	String
	Bool
)

func (t Type) String() string { return [...]string{"int", "double", "string", "bool"}[t] }

// ClickHouse is the type that has the same values there.
func (t Type) ClickHouse() string { return [...]string{"Int64", "Float64", "String", "UInt8"}[t] }

// Source is the rows that a feature is computed from.
type Source uint8

// The sources.
const (
	Activity Source = iota // visitor_activity: a row for each hour
	Orders                 // v_orders_all: placed_at, net_site
	Serves                 // first serves of offers in decisions: decision_id, decided_at
)

// Feature describes one value: how rules name it, what it means, and how ClickHouse computes the same
// number. All is the one place for it: docs, analysts and the backtest take it from there.
type Feature struct {
	Name string
	Type Type
	Unit string
	Doc  string
	From Source
	// Aggregate is the value as a ClickHouse expression over one visitor's rows of that source; Now stands for the
	// time. TestSQLAgreesWithAt runs every one of them.
	Aggregate string
	// Field points at the value: a *int64, *float64, *string or *bool, as Type says.
	Field func(*Features) any
}

// Now is the time in Feature.Aggregate, a parameter of a query.
const Now = "{now:DateTime64(3)}"

// SQL is the value as an expression over one visitor's rows of visitor_activity, with the parameters site,
// visitor (32 hexadecimal digits) and now.
func (f *Feature) SQL() string {
	switch f.From {
	case Orders:
		return "(SELECT " + f.Aggregate + " FROM {database}.v_orders_all WHERE site = {site:String} AND visitor = {visitor:String})"
	case Serves:
		return "(SELECT " + f.Aggregate + " FROM {database}.decisions WHERE site = {site:String} AND visitor = unhex({visitor:String}) AND first_serve = 1 AND arm = 'treatment')"
	}
	return f.Aggregate
}

// Get returns the value of f in values: an int64, float64, string or bool, as Type says.
func (f *Feature) Get(values *Features) any {
	switch p := f.Field(values).(type) {
	case *int64:
		return *p
	case *float64:
		return *p
	case *string:
		return *p
	case *bool:
		return *p
	}
	panic("BUG: feature " + f.Name + " has no known type")
}

// Text spells the value of f in values, as explanations and the decisions table show it.
func Text(f *Feature, values *Features) string {
	switch v := f.Get(values).(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case string:
		return v
	}
	panic("BUG: feature " + f.Name + " has no known type")
}

// All lists the features that rules may use, in the order of the documentation.
var All = []Feature{
	{"pageviews_1d", Int, "events", "page views in the last 24 h", Activity, events(1, 1), func(f *Features) any { return &f.Pageviews1d }},
	{"pageviews_7d", Int, "events", "page views in the last 7 x 24 h", Activity, events(1, 7), func(f *Features) any { return &f.Pageviews7d }},
	{"pageviews_30d", Int, "events", "page views in the last 30 x 24 h", Activity, events(1, 30), func(f *Features) any { return &f.Pageviews30d }},
	{"sessions_1d", Int, "sessions", "sessions with an event in the last 24 h", Activity, distinct("sessions", 1), func(f *Features) any { return &f.Sessions1d }},
	{"sessions_7d", Int, "sessions", "sessions with an event in the last 7 x 24 h", Activity, distinct("sessions", 7), func(f *Features) any { return &f.Sessions7d }},
	{"sessions_30d", Int, "sessions", "sessions with an event in the last 30 x 24 h", Activity, distinct("sessions", 30), func(f *Features) any { return &f.Sessions30d }},
	{"product_views_7d", Int, "events", "product views in the last 7 x 24 h", Activity, events(2, 7), func(f *Features) any { return &f.ProductViews7d }},
	{"distinct_products_7d", Int, "products", "different products viewed in the last 7 x 24 h", Activity, distinct("products", 7), func(f *Features) any { return &f.DistinctProducts7d }},
	{"cart_adds_7d", Int, "events", "additions to the cart in the last 7 x 24 h", Activity, events(3, 7), func(f *Features) any { return &f.CartAdds7d }},
	{"cart_value", Double, "site currency", "value of the cart as last reported; 0 after a purchase", Activity, "toFloat64(toDecimal128OrZero(substring(max(cart_value), 25), 4))", func(f *Features) any { return &f.CartValue }},
	{"checkout_starts_7d", Int, "events", "checkouts started in the last 7 x 24 h", Activity, events(4, 7), func(f *Features) any { return &f.CheckoutStarts7d }},
	{"purchases_90d", Int, "orders", "orders in the last 90 x 24 h, each counted once; 1001 is more than 1000", Orders, fmt.Sprintf("least(countIf(%s), %d)", placed(90), ordersKnown), func(f *Features) any { return &f.Purchases90d }},
	{"revenue_90d", Double, "site currency", "order totals less refunds in the last 90 x 24 h, of the newest 1000 orders", Orders, "toFloat64(sumIf(ifNull(net_site, 0), " + placed(90) + "))", func(f *Features) any { return &f.Revenue90d }},
	{"minutes_since_last_seen", Int, "minutes", "full minutes since the last event", Activity, minutesSQL("max(last_seen)"), func(f *Features) any { return &f.MinutesSinceLastSeen }},
	{"minutes_since_cart", Int, "minutes", "full minutes since something was last put into the cart", Activity, minutesSQL("max(last_cart)"), func(f *Features) any { return &f.MinutesSinceCart }},
	{"days_since_first_seen", Int, "days", "full days since the visitor cookie was made", Activity, "intDiv(toUnixTimestamp64Milli(" + Now + ") - toUnixTimestamp64Milli(if(max(visitor_since) > toDateTime64(0, 3), max(visitor_since), min(first_seen))), 86400000)", func(f *Features) any { return &f.DaysSinceFirstSeen }},
	{"offers_shown_30d", Int, "offers", "offers first served by us in the last 30 x 24 h, holdouts not counted", Serves, "uniqExactIf(decision_id, decided_at >= " + window(30) + ")", func(f *Features) any { return &f.OffersShown30d }},
	{"last_offer_minutes", Int, "minutes", "full minutes since we last first-served an offer", Serves, minutesSQL("max(decided_at)"), func(f *Features) any { return &f.LastOfferMinutes }},
	{"country", String, "ISO 3166-1", "country of the truncated address", Activity, last("country"), func(f *Features) any { return &f.Country }},
	{"region", String, "ISO 3166-2", "region, where the site keeps it", Activity, last("region"), func(f *Features) any { return &f.Region }},
	{"device", String, "", "desktop, mobile, tablet or other", Activity, last("device"), func(f *Features) any { return &f.Device }},
	{"browser", String, "", "browser family", Activity, last("browser"), func(f *Features) any { return &f.Browser }},
	{"os", String, "", "operating system family", Activity, last("os"), func(f *Features) any { return &f.OS }},
	{"referrer", String, "host", "host of the last outside page that led here", Activity, last("referrer"), func(f *Features) any { return &f.Referrer }},
	{"utm_source", String, "", "utm_source of the last tagged landing", Activity, last("utm_source"), func(f *Features) any { return &f.UTMSource }},
	{"utm_medium", String, "", "utm_medium of the last tagged landing", Activity, last("utm_medium"), func(f *Features) any { return &f.UTMMedium }},
	{"utm_campaign", String, "", "utm_campaign of the last tagged landing", Activity, last("utm_campaign"), func(f *Features) any { return &f.UTMCampaign }},
	{"is_returning", Bool, "", "more than one session in the last 30 x 24 h", Activity, distinct("sessions", 30) + " > 1", func(f *Features) any { return &f.IsReturning }},
}

// window is the beginning of the last n x 24 h, rounded down to the hour, as windowStart has it.
func window(n int) string {
	return fmt.Sprintf("toStartOfHour(%s - INTERVAL %d HOUR)", Now, n*24)
}

// events counts those of one kind, by its number in visitor_activity.
func events(kind, days int) string {
	return distinct(fmt.Sprintf("arrayFilter(x -> bitAnd(x, 7) = %d, events)", kind), days)
}

// distinct has no bound such as maxDistinct: only a program reaches that.
func distinct(column string, days int) string {
	return fmt.Sprintf("toInt64(uniqExactArrayIf(%s, hour >= %s))", column, window(days))
}

func minutesSQL(instant string) string {
	return fmt.Sprintf("if(%[1]s > toDateTime64(0, 3), intDiv(toUnixTimestamp64Milli(%[3]s) - toUnixTimestamp64Milli(%[1]s), 60000), %[2]d)", instant, NeverMinutes, Now)
}

func last(column string) string { return "substring(max(" + column + "), 9)" }

// placed holds for orders of the last n x 24 h. Revenue has no bound here such as maxOrders: only a program reaches that.
func placed(days int) string { return "placed_at >= " + window(days) }
