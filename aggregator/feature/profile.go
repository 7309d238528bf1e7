package feature

import (
	"cmp"
	"slices"
	"time"

	"beckon/internal/privacy"
)

// Hour is what a visitor did in one clock hour (UTC). Sessions and Products hold 64-bit hashes, so
// that the same session seen in two hours counts once in a window.
type Hour struct {
	Start                                             int64 // Unix seconds
	Pageviews, ProductViews, CartAdds, CheckoutStarts uint32
	Sessions, Products                                []uint64
}

// Order is one order with its refunds taken off, in the site's currency.
type Order struct {
	At       int64 // Unix milliseconds
	Revenue  float64
	Decision string // the decision id that its discount came from, "" = none
}

// Arm is the side of an experiment that a visitor is on.
type Arm string

// The arms.
const (
	NoArm     Arm = ""
	Treatment Arm = "treatment"
	HeldOut   Arm = "holdout"
)

// Serve is the first time we answered a visitor with an offer, or drew it for the holdout. Cooldown,
// cap and validity count from here.
type Serve struct {
	Offer, Rule    string // Rule is "offer@version"
	Arm            Arm
	DecisionID     privacy.ID
	Session        privacy.ID
	At, ValidUntil time.Time
	Used           bool // an order was placed with it: the grant is over, its clocks run on
}

// Profile is what ClickHouse knows of one visitor. A profile is never changed once it is in a
// Store: whoever has a newer one puts a new one.
type Profile struct {
	Hours                  []Hour // oldest first, 30 days
	Orders                 []Order
	MoreOrders             int64   // that were not read: see maxOrders
	Serves                 []Serve // oldest first
	FirstSeen, LastSeen    int64   // Unix milliseconds, 0 = never
	LastCart, VisitorSince int64
	CartValue              float64

	Country, Region, Device, Browser, OS string
	Referrer                             string
	UTMSource, UTMMedium, UTMCampaign    string

	ReadAt time.Time // the moment whose state this is, by our clock, before the query was sent
}

// At returns the values of the features at now. A window of N days begins N x 24 h before now,
// rounded down to the hour.
func (p *Profile) At(now time.Time) Features {
	f := Features{
		CartValue:            p.CartValue,
		MinutesSinceLastSeen: minutesSince(now, p.LastSeen),
		MinutesSinceCart:     minutesSince(now, p.LastCart),
		LastOfferMinutes:     NeverMinutes,
		Country:              p.Country, Region: p.Region, Device: p.Device, Browser: p.Browser, OS: p.OS,
		Referrer: p.Referrer, UTMSource: p.UTMSource, UTMMedium: p.UTMMedium, UTMCampaign: p.UTMCampaign,
	}
	if since := firstNonZero(p.VisitorSince, p.FirstSeen); since != 0 {
		f.DaysSinceFirstSeen = max(0, now.UnixMilli()-since) / (24 * 60 * 60 * 1000)
	}
	day1, day7, day30 := windowStart(now, 1), windowStart(now, 7), windowStart(now, 30)
	for i := range p.Hours {
		h := &p.Hours[i]
		if h.Start >= day30 {
			f.Pageviews30d += int64(h.Pageviews)
		}
		if h.Start >= day7 {
			f.Pageviews7d += int64(h.Pageviews)
			f.ProductViews7d += int64(h.ProductViews)
			f.CartAdds7d += int64(h.CartAdds)
			f.CheckoutStarts7d += int64(h.CheckoutStarts)
		}
		if h.Start >= day1 {
			f.Pageviews1d += int64(h.Pageviews)
		}
	}
	f.Sessions1d = p.distinct(day1, func(h *Hour) []uint64 { return h.Sessions })
	f.Sessions7d = p.distinct(day7, func(h *Hour) []uint64 { return h.Sessions })
	f.Sessions30d = p.distinct(day30, func(h *Hour) []uint64 { return h.Sessions })
	f.DistinctProducts7d = p.distinct(day7, func(h *Hour) []uint64 { return h.Products })
	f.IsReturning = f.Sessions30d > 1

	day90 := windowStart(now, 90) * 1000
	for _, o := range p.Orders {
		if o.At >= day90 {
			f.Purchases90d++
			f.Revenue90d += o.Revenue
		}
	}
	f.Purchases90d = min(f.Purchases90d+p.MoreOrders, ordersKnown)
	for i := range p.Serves {
		s := &p.Serves[i]
		if s.Arm == Treatment && s.At.Unix() >= day30 {
			f.OffersShown30d++
		}
		if s.Arm == Treatment {
			f.LastOfferMinutes = min(f.LastOfferMinutes, minutesSince(now, s.At.UnixMilli()))
		}
	}
	return f
}

// maxDistinct bounds how many sessions, and how many products, of a visitor's hours are remembered,
// the newest first. People have tens; a program that makes up thousands must cost no more than they do.
const maxDistinct = 2000

// maxOrders bounds how many orders of a visitor are read and remembered, the newest first. People have few; what a
// program makes up beyond counts as one more, without revenue: who hides orders behind others has bought all the same.
const (
	maxOrders   = 1000
	ordersKnown = maxOrders + 1
)

// distinct counts different values over the hours since start. Most visitors have few: sorting them
// on the stack beats a map.
func (p *Profile) distinct(start int64, values func(*Hour) []uint64) int64 {
	var few [64]uint64
	seen := few[:0]
	for i := range p.Hours {
		if p.Hours[i].Start >= start {
			seen = append(seen, values(&p.Hours[i])...)
		}
	}
	slices.Sort(seen)
	return int64(len(slices.Compact(seen)))
}

// trim keeps the newest maxDistinct sessions and products of all hours together, and the newest orders.
func (p *Profile) trim() {
	if more := len(p.Orders) - maxOrders; more > 0 { // visitors of the same read named them too
		slices.SortFunc(p.Orders, func(a, b Order) int { return cmp.Compare(b.At, a.At) })
		p.Orders, p.MoreOrders = slices.Clone(p.Orders[:maxOrders]), p.MoreOrders+int64(more)
	}
	sessions, products := maxDistinct, maxDistinct
	for i := len(p.Hours) - 1; i >= 0; i-- {
		h := &p.Hours[i]
		h.Sessions, h.Products = slices.Clone(h.Sessions[:min(len(h.Sessions), sessions)]), slices.Clone(h.Products[:min(len(h.Products), products)])
		sessions, products = sessions-len(h.Sessions), products-len(h.Products)
	}
}

// Since is when the visitor cookie was made, the zero time when that is not known.
func (p *Profile) Since() time.Time {
	if p.VisitorSince == 0 {
		return time.Time{}
	}
	return time.UnixMilli(p.VisitorSince)
}

// WithServe returns a copy of p that knows of one more serve, or p when it knows of it.
func (p *Profile) WithServe(s Serve) *Profile {
	for i := range p.Serves {
		if p.Serves[i].DecisionID == s.DecisionID {
			return p
		}
	}
	s.Used = s.Used || p.HasUsed(s.DecisionID)
	next := *p
	next.Serves = append(slices.Clip(p.Serves), s)
	return &next
}

// HasUsed reports whether an order was placed with a decision. One of those that were not read may have been.
func (p *Profile) HasUsed(decision privacy.ID) bool {
	if p.MoreOrders > 0 {
		return true
	}
	for i := range p.Orders {
		if p.Orders[i].Decision == decision.Hex() {
			return true
		}
	}
	return false
}

// windowStart is the beginning of the last n x 24 h, rounded down to the hour, in Unix seconds.
func windowStart(now time.Time, n int) int64 {
	return now.Add(-time.Duration(n) * 24 * time.Hour).Truncate(time.Hour).Unix()
}

func minutesSince(now time.Time, unixMilli int64) int64 {
	if unixMilli == 0 {
		return NeverMinutes
	}
	return max(0, now.UnixMilli()-unixMilli) / 60_000
}

func firstNonZero(a, b int64) int64 {
	if a != 0 {
		return a
	}
	return b
}
