package feature

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/privacy"
)

// results are what the queries of one read have found. Each query has fields of its own in it.
type results struct {
	readAt   time.Time
	visitors map[string]*folding
}

// folding is a Profile that rows are folded into, in any order. Until it is done its texts have 8 bytes of their time
// before them, as in ClickHouse, and so has the cart, with 16 of its event.
type folding struct {
	*Profile
	cart   string
	orders []placement
}

// placement is an order and the hour of visitor_activity that names it.
type placement struct {
	hour int64
	key  string
}

// hour takes a row of visitor_activity.
func (f results) hour(rows driver.Rows) error {
	var (
		visitor                      string
		start                        uint32
		h                            Hour
		sessions, orders             []string
		first, last, lastCart, since time.Time
		cart                         string
		t                            Profile // of its texts
	)
	err := rows.Scan(&visitor, &start, &h.Pageviews, &h.ProductViews, &h.CartAdds, &h.CheckoutStarts, &sessions, &h.Products, &orders, &first, &last, &lastCart, &since,
		&cart, &t.Country, &t.Region, &t.Device, &t.Browser, &t.OS, &t.Referrer, &t.UTMSource, &t.UTMMedium, &t.UTMCampaign)
	if err != nil {
		return err
	}
	v := f.visitors[visitor]
	if v == nil {
		return nil
	}
	h.Start = int64(start)
	age := f.readAt.Sub(time.Unix(h.Start, 0))
	if age <= hoursBack {
		for _, s := range sessions {
			h.Sessions = append(h.Sessions, binary.LittleEndian.Uint64([]byte(s)))
		}
		v.Hours = append(v.Hours, h)
	}
	if age <= ordersBack {
		v.place(h.Start, orders)
	}
	if v.FirstSeen == 0 || first.UnixMilli() < v.FirstSeen {
		v.FirstSeen = first.UnixMilli()
	}
	v.LastSeen, v.LastCart = max(v.LastSeen, last.UnixMilli()), max(v.LastCart, lastCart.UnixMilli())
	v.VisitorSince = max(v.VisitorSince, since.UnixMilli())
	v.cart = max(v.cart, cart)
	texts := t.texts()
	for i, latest := range v.texts() {
		*latest = max(*latest, *texts[i])
	}
	return nil
}

// texts are the attributes of which the latest counts.
func (p *Profile) texts() [9]*string {
	return [9]*string{&p.Country, &p.Region, &p.Device, &p.Browser, &p.OS, &p.Referrer, &p.UTMSource, &p.UTMMedium, &p.UTMCampaign}
}

// place notes the orders of an hour. A program can make up any number of them: not many more are kept than will be read.
func (v *folding) place(hour int64, keys []string) {
	for _, key := range keys {
		v.orders = append(v.orders, placement{hour, key})
	}
	if len(v.orders) > 4*ordersKnown {
		v.newestOrders()
	}
}

// newestOrders leaves each order once, and of many those of the newest hours.
func (v *folding) newestOrders() {
	slices.SortFunc(v.orders, func(a, b placement) int { return cmp.Or(cmp.Compare(b.hour, a.hour), cmp.Compare(a.key, b.key)) })
	seen := make(map[string]bool, len(v.orders))
	v.orders = slices.DeleteFunc(v.orders, func(o placement) bool {
		twice := seen[o.key]
		seen[o.key] = true
		return twice
	})
	v.orders = v.orders[:min(len(v.orders), ordersKnown)]
}

// done ends the folding.
func (v *folding) done() {
	p := v.Profile
	for _, text := range p.texts() {
		*text = strings.Clone((*text)[min(8, len(*text)):])
	}
	if len(v.cart) > 24 {
		p.CartValue, _ = strconv.ParseFloat(v.cart[24:], 64)
	}
	slices.SortFunc(p.Hours, func(a, b Hour) int { return cmp.Compare(a.Start, b.Start) })
	p.trim()
	slices.SortFunc(p.Serves, func(a, b Serve) int { return a.At.Compare(b.At) })
	for i := range p.Serves {
		p.Serves[i].Used = p.HasUsed(p.Serves[i].DecisionID)
	}
}

// ordersToRead chooses the orders that are read, as literals, and notes of each visitor how many are not. What many visitors
// have made up together must not take long either: then those with the most of them have fewer read.
func (f results) ordersToRead() []string {
	for _, v := range f.visitors {
		v.newestOrders() // puts them in order, once
	}
	each := maxOrders
	for sum := ordersInRead + 1; sum > ordersInRead && each > 1; {
		sum = 0
		for _, v := range f.visitors {
			sum += min(len(v.orders), each)
		}
		if sum > ordersInRead {
			each = each * 3 / 4
		}
	}
	var list []string
	chosen := map[string]bool{}
	for _, v := range f.visitors {
		for _, o := range v.orders[:min(len(v.orders), each)] {
			if !chosen[o.key] { // two visitors can name one order
				chosen[o.key], list = true, append(list, literal([]byte(o.key)))
			}
		}
	}
	for _, v := range f.visitors {
		for _, o := range v.orders[min(len(v.orders), each):] {
			if !chosen[o.key] {
				v.MoreOrders++
			}
		}
	}
	return list
}

// order takes an order with its refunds taken off.
func (f results) order(rows driver.Rows) error {
	var (
		visitor string
		o       Order
	)
	if err := rows.Scan(&visitor, &o.At, &o.Revenue, &o.Decision); err != nil {
		return err
	}
	if v := f.visitors[visitor]; v != nil { // nil: a more trusted report linked the order to somebody else
		v.Orders = append(v.Orders, o)
	}
	return nil
}

// serve takes a row of decisions.
func (f results) serve(rows driver.Rows) error {
	var (
		visitor, decision, session string
		s                          Serve
	)
	if err := rows.Scan(&visitor, &decision, &s.Offer, &s.Rule, (*string)(&s.Arm), &session, &s.At, &s.ValidUntil); err != nil {
		return err
	}
	v := f.visitors[visitor]
	if v == nil {
		return nil
	}
	s.DecisionID, s.Session = storedID(decision), storedID(session)
	for i := range v.Serves {
		if known := &v.Serves[i]; known.DecisionID == s.DecisionID { // it was served in two places, or its row came twice
			if s.At.Before(known.At) {
				known.At = s.At
			}
			known.ValidUntil = later(known.ValidUntil, s.ValidUntil)
			return nil
		}
	}
	v.Serves = append(v.Serves, s)
	return nil
}

func storedID(s string) privacy.ID {
	var b [16]byte
	copy(b[:], s)
	return privacy.StoredID(b)
}
