package recount

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// row is a row of `events` with what this package looks at.
type row struct {
	Site              string           `ch:"site"`
	Environment       string           `ch:"environment"`
	ID                string           `ch:"event_id"`
	Kind              string           `ch:"kind"`
	Source            string           `ch:"source"`
	Lane              string           `ch:"lane"`
	Cause             string           `ch:"cause"`
	Bot               string           `ch:"bot_reason"`
	ReceivedAt        time.Time        `ch:"received_at"`
	OccurredAt        time.Time        `ch:"occurred_at"`
	Since             time.Time        `ch:"visitor_since"`
	Visitor           string           `ch:"visitor"`
	Session           string           `ch:"session"`
	Order             string           `ch:"order_key"`
	Country           string           `ch:"country"`
	Region            string           `ch:"region"`
	Device            string           `ch:"device"`
	Browser           string           `ch:"browser"`
	OS                string           `ch:"os"`
	Path              string           `ch:"path"`
	Referrer          string           `ch:"referrer"`
	UTMSource         string           `ch:"utm_source"`
	UTMMedium         string           `ch:"utm_medium"`
	UTMCampaign       string           `ch:"utm_campaign"`
	Product           string           `ch:"product"`
	Quantity          uint32           `ch:"quantity"`
	Currency          string           `ch:"currency"`
	Rate              decimal.Decimal  `ch:"rate"`
	CartValue         *decimal.Decimal `ch:"cart_value"`
	Value             *decimal.Decimal `ch:"value"`
	Discount          *decimal.Decimal `ch:"discount"`
	ItemQuantity      []uint32         `ch:"items.quantity"`
	Offer             string           `ch:"offer"`
	Decision          string           `ch:"decision"`
	ExpiresDay        uint16           `ch:"expires_day"`
	ProfileExpiresDay uint16           `ch:"profile_expires_day"`
}

// Read returns the events of a database, for a test that knows from elsewhere which ids should be there: an id
// that is there twice is one event here, and a difference to Compare.
func Read(ctx context.Context, conn driver.Conn, database string) (Events, error) {
	var rows []row
	err := conn.Select(ctx, &rows, "SELECT site, environment, event_id, kind, source, lane, cause, bot_reason, received_at, occurred_at, visitor_since, visitor, session, "+
		"order_key, country, region, device, browser, os, path, referrer, utm_source, utm_medium, utm_campaign, product, quantity, currency, rate, cart_value, value, discount, "+
		"`items.quantity`, offer, decision, toUInt16(expires) AS expires_day, toUInt16(profile_expires) AS profile_expires_day FROM "+database+".events")
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	all := make(Events, len(rows))
	for i := range rows {
		e := rows[i].event()
		all[e.ID] = e
	}
	return all, nil
}

func (r *row) event() *event.Stored {
	lane, _ := privacy.ParseLane(r.Lane)
	e := &event.Stored{
		Kind: named[event.Kind](r.Kind), Source: named[event.Source](r.Source), Lane: lane, Cause: named[privacy.Cause](r.Cause),
		ReceivedAt: r.ReceivedAt.UnixMilli(), OccurredAt: r.OccurredAt.UnixMilli(), VisitorSince: r.Since.UnixMilli(),
		Site: r.Site, Environment: r.Environment, Country: r.Country, Region: r.Region, Device: r.Device, Browser: r.Browser, OS: r.OS, Bot: r.Bot,
		Path: r.Path, Referrer: r.Referrer, UTMSource: r.UTMSource, UTMMedium: r.UTMMedium, UTMName: r.UTMCampaign,
		Product: r.Product, Currency: r.Currency, Offer: r.Offer, Decision: r.Decision, Rate: r.Rate.Shift(8).IntPart(),
		CartValue: units(r.CartValue), Value: units(r.Value), Discount: units(r.Discount), Quantity: r.Quantity,
		ExpiresDay: r.ExpiresDay, ProfileExpiresDay: r.ProfileExpiresDay,
	}
	copy(e.ID[:], r.ID)
	copy(e.Visitor[:], r.Visitor)
	copy(e.Session[:], r.Session)
	copy(e.Order[:], r.Order)
	for _, n := range r.ItemQuantity {
		e.Items = append(e.Items, event.StoredItem{Quantity: n})
	}
	return e
}

func units(d *decimal.Decimal) event.Amount {
	if d == nil {
		return event.Amount{}
	}
	return event.Amount{Units: d.Shift(4).IntPart(), Set: true}
}

// named is the number of a name.
func named[T interface {
	~uint8
	String() string
}](name string,
) T {
	for n := range math.MaxUint8 {
		if T(n).String() == name {
			return T(n)
		}
	}
	return 0
}
