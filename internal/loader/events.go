package loader

import (
	"time"

	"github.com/shopspring/decimal"

	"beckon/internal/event"
	"beckon/schema"
)

// Events is the table of events. A new event column is a line here, a field in internal/event and
// a numbered file in schema/.
func Events() *Table[event.Stored] {
	return &Table[event.Stored]{
		Name:   "events",
		Ledger: true,
		Refill: schema.Refill,
		// PARTITION BY toYYYYMM(received_at)
		Partition: func(e *event.Stored) string { return time.UnixMilli(e.ReceivedAt).UTC().Format("200601") },
		Decode:    func(record []byte, row *event.Stored) error { return row.Decode(record) },
		referral:  &refundsOfOrders,
		Columns: []Column[event.Stored]{
			WordCol("site", func(e *event.Stored) string { return e.Site }),
			WordCol("environment", func(e *event.Stored) string { return e.Environment }),
			IDCol("event_id", func(e *event.Stored) [16]byte { return e.ID }),
			WordCol("kind", func(e *event.Stored) string { return e.Kind.String() }),
			WordCol("source", func(e *event.Stored) string { return e.Source.String() }),
			WordCol("lane", func(e *event.Stored) string { return e.Lane.String() }),
			WordCol("cause", func(e *event.Stored) string { return e.Cause.String() }),
			Col("received_at", func(e *event.Stored) int64 { return e.ReceivedAt }),
			Col("occurred_at", func(e *event.Stored) int64 { return e.OccurredAt }),
			IDCol("visitor", func(e *event.Stored) [16]byte { return e.Visitor }),
			IDCol("session", func(e *event.Stored) [16]byte { return e.Session }),
			Col("visitor_since", func(e *event.Stored) int64 { return e.VisitorSince }),
			Col("network", func(e *event.Stored) string { return e.Network }),
			WordCol("country", func(e *event.Stored) string { return e.Country }),
			WordCol("region", func(e *event.Stored) string { return e.Region }),
			WordCol("device", func(e *event.Stored) string { return e.Device }),
			WordCol("browser", func(e *event.Stored) string { return e.Browser }),
			WordCol("os", func(e *event.Stored) string { return e.OS }),
			Col("bot", func(e *event.Stored) uint8 { return bit(e.Bot != "") }),
			WordCol("bot_reason", func(e *event.Stored) string { return e.Bot }),
			Col("path", func(e *event.Stored) string { return e.Path }),
			WordCol("referrer", func(e *event.Stored) string { return e.Referrer }),
			WordCol("utm_source", func(e *event.Stored) string { return e.UTMSource }),
			WordCol("utm_medium", func(e *event.Stored) string { return e.UTMMedium }),
			Col("utm_campaign", func(e *event.Stored) string { return e.UTMName }),
			Col("product", func(e *event.Stored) string { return e.Product }),
			Col("variant", func(e *event.Stored) string { return e.Variant }),
			Col("category", func(e *event.Stored) string { return e.Category }),
			Col("quantity", func(e *event.Stored) uint32 { return e.Quantity }),
			WordCol("currency", func(e *event.Stored) string { return e.Currency }),
			Col("rate", func(e *event.Stored) decimal.Decimal { return decimal.New(e.Rate, -8) }),
			Col("price", func(e *event.Stored) *decimal.Decimal { return nullable(e.Price) }),
			Col("cart_value", func(e *event.Stored) *decimal.Decimal { return nullable(e.CartValue) }),
			Col("value", func(e *event.Stored) *decimal.Decimal { return nullable(e.Value) }),
			Col("discount", func(e *event.Stored) *decimal.Decimal { return nullable(e.Discount) }),
			Col("tax", func(e *event.Stored) *decimal.Decimal { return nullable(e.Tax) }),
			Col("shipping", func(e *event.Stored) *decimal.Decimal { return nullable(e.Shipping) }),
			Col("items.product", func(e *event.Stored) []string {
				return each(e.Items, func(it event.StoredItem) string { return it.Product })
			}),
			Col("items.variant", func(e *event.Stored) []string {
				return each(e.Items, func(it event.StoredItem) string { return it.Variant })
			}),
			Col("items.quantity", func(e *event.Stored) []uint32 {
				return each(e.Items, func(it event.StoredItem) uint32 { return it.Quantity })
			}),
			Col("items.price", func(e *event.Stored) []decimal.Decimal {
				return each(e.Items, func(it event.StoredItem) decimal.Decimal { return decimal.New(it.Price.Units, -4) })
			}),
			IDCol("order_key", func(e *event.Stored) [16]byte { return e.Order }),
			IDCol("coupon_key", func(e *event.Stored) [16]byte { return e.Coupon }),
			IDCol("customer_key", func(e *event.Stored) [16]byte { return e.Customer }),
			WordCol("offer", func(e *event.Stored) string { return e.Offer }),
			Col("decision", func(e *event.Stored) string { return e.Decision }),
			Col("query_length", func(e *event.Stored) uint16 { return e.QueryLength }),
			WordCol("choice", func(e *event.Stored) string { return e.Choice.String() }),
			WordCol("consent_source", func(e *event.Stored) string { return e.ConsentSource }),
			WordCol("consent_policy", func(e *event.Stored) string { return e.ConsentPolicy }),
			Col("consent_at", func(e *event.Stored) int64 { return e.ConsentAt }),
			IDCol("suppress_key", func(e *event.Stored) [16]byte { return e.Suppress }),
			Col("expires", func(e *event.Stored) time.Time { return day(e.ExpiresDay) }),
			Col("profile_expires", func(e *event.Stored) time.Time { return day(e.ProfileExpiresDay) }),
		},
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func nullable(a event.Amount) *decimal.Decimal {
	if !a.Set {
		return nil
	}
	d := decimal.New(a.Units, -4)
	return &d
}

func day(n uint16) time.Time { return time.Unix(int64(n)*24*60*60, 0).UTC() }

func each[T, R any](items []T, get func(T) R) []R {
	out := make([]R, len(items))
	for i, it := range items {
		out[i] = get(it)
	}
	return out
}
