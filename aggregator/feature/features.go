// Package feature is about what Beckon knows of a visitor: a fixed list of named values, such as
// sessions_7d, that rules may use.
//
// A Profile is what ClickHouse's visitor_activity, orders and decisions tables say of one visitor,
// hour by hour. Profile.At(now) turns it into Features, without I/O, so windows slide by themselves
// between two reads. Follow keeps the profiles of changed visitors up to date. It stands between
// the tables of schema/ and aggregator/eligibility.
package feature

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

// Feature describes one value: how rules name it, what it means, and how an analyst gets the same
// number from ClickHouse.
type Feature struct {
	Name string
	Type Type
	Unit string
	Doc  string
	// SQL is an expression; features.sql says over which rows.
	SQL string
	Get func(*Features) any // int64, float64, string or bool, as Type says
}

// All lists the features that rules may use, in the order of the documentation.
var All = []Feature{
	{"pageviews_1d", Int, "events", "page views in the last 24 h", "", func(f *Features) any { return f.Pageviews1d }},
	{"pageviews_7d", Int, "events", "page views in the last 7 x 24 h", "", func(f *Features) any { return f.Pageviews7d }},
	{"pageviews_30d", Int, "events", "page views in the last 30 x 24 h", "", func(f *Features) any { return f.Pageviews30d }},
	{"sessions_1d", Int, "sessions", "sessions with an event in the last 24 h", "", func(f *Features) any { return f.Sessions1d }},
	{"sessions_7d", Int, "sessions", "sessions with an event in the last 7 x 24 h", "", func(f *Features) any { return f.Sessions7d }},
	{"sessions_30d", Int, "sessions", "sessions with an event in the last 30 x 24 h", "", func(f *Features) any { return f.Sessions30d }},
	{"product_views_7d", Int, "events", "product views in the last 7 x 24 h", "", func(f *Features) any { return f.ProductViews7d }},
	{"distinct_products_7d", Int, "products", "different products viewed in the last 7 x 24 h", "", func(f *Features) any { return f.DistinctProducts7d }},
	{"cart_adds_7d", Int, "events", "additions to the cart in the last 7 x 24 h", "", func(f *Features) any { return f.CartAdds7d }},
	{"cart_value", Double, "site currency", "value of the cart as last reported; 0 after a purchase", "", func(f *Features) any { return f.CartValue }},
	{"checkout_starts_7d", Int, "events", "checkouts started in the last 7 x 24 h", "", func(f *Features) any { return f.CheckoutStarts7d }},
	{"purchases_90d", Int, "orders", "orders in the last 90 x 24 h, each counted once", "", func(f *Features) any { return f.Purchases90d }},
	{"revenue_90d", Double, "site currency", "order totals less refunds in the last 90 x 24 h", "", func(f *Features) any { return f.Revenue90d }},
	{"minutes_since_last_seen", Int, "minutes", "full minutes since the last event", "", func(f *Features) any { return f.MinutesSinceLastSeen }},
	{"minutes_since_cart", Int, "minutes", "full minutes since something was last put into the cart", "", func(f *Features) any { return f.MinutesSinceCart }},
	{"days_since_first_seen", Int, "days", "full days since the visitor cookie was made", "", func(f *Features) any { return f.DaysSinceFirstSeen }},
	{"offers_shown_30d", Int, "offers", "offers first served by us in the last 30 x 24 h, holdouts not counted", "", func(f *Features) any { return f.OffersShown30d }},
	{"last_offer_minutes", Int, "minutes", "full minutes since we last first-served an offer", "", func(f *Features) any { return f.LastOfferMinutes }},
	{"country", String, "ISO 3166-1", "country of the truncated address", "", func(f *Features) any { return f.Country }},
	{"region", String, "ISO 3166-2", "region, where the site keeps it", "", func(f *Features) any { return f.Region }},
	{"device", String, "", "desktop, mobile, tablet or other", "", func(f *Features) any { return f.Device }},
	{"browser", String, "", "browser family", "", func(f *Features) any { return f.Browser }},
	{"os", String, "", "operating system family", "", func(f *Features) any { return f.OS }},
	{"referrer", String, "host", "host of the last outside page that led here", "", func(f *Features) any { return f.Referrer }},
	{"utm_source", String, "", "utm_source of the last tagged landing", "", func(f *Features) any { return f.UTMSource }},
	{"utm_medium", String, "", "utm_medium of the last tagged landing", "", func(f *Features) any { return f.UTMMedium }},
	{"utm_campaign", String, "", "utm_campaign of the last tagged landing", "", func(f *Features) any { return f.UTMCampaign }},
	{"is_returning", Bool, "", "more than one session in the last 30 x 24 h", "", func(f *Features) any { return f.IsReturning }},
}
