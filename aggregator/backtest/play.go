package backtest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/experiment"
	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// order is one order of the period, in the currency of the site.
type order struct {
	visitor             [16]byte
	at                  time.Time
	paid, net, shipping float64 // before refunds, after them; shipping is on top
}

func (in *replay) readOrders(ctx context.Context) ([]order, error) {
	rows, err := in.query(ctx, everybody, placedSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []order
	for rows.Next() {
		var (
			o     order
			owner string
			at    int64
		)
		if err := rows.Scan(&owner, &at, &o.paid, &o.net, &o.shipping); err != nil {
			return nil, err
		}
		copy(o.visitor[:], owner)
		o.at = time.UnixMilli(at)
		list = append(list, o)
	}
	return list, rows.Err()
}

// ordersOf returns the orders of one visitor, by time.
func (in *replay) ordersOf(visitor privacy.ID) []order {
	id := visitor.Bytes()
	first, _ := slices.BinarySearchFunc(in.orders, id, func(o order, id [16]byte) int { return bytes.Compare(o.visitor[:], id[:]) })
	last := first
	for last < len(in.orders) && in.orders[last].visitor == id {
		last++
	}
	return in.orders[first:last]
}

// tally is what is counted on the way. It grows with days and offers, not with visitors.
type tally struct {
	first   time.Time // of the history
	days    map[string]*Day
	overlap map[string]*Overlap
	outcome experiment.Sums
}

// play leads the looks of some visitors through the gates.
func (in *replay) play(looks []look) {
	for len(looks) > 0 {
		n := 1
		for n < len(looks) && looks[n].visitor == looks[0].visitor {
			n++
		}
		p := &player{replay: in, orders: in.ordersOf(looks[0].visitor)}
		for i := range looks[:n] {
			p.look(&looks[i])
		}
		p.settle(time.Time{})
		p.leave()
		looks = looks[n:]
	}
}

// player is one visitor on the way through the period.
type player struct {
	*replay
	orders   []order
	settled  int             // orders that have been looked at
	serves   []feature.Serve // of every offer
	eligible string          // the day on which the visitor was last found eligible
	reached  bool            // was eligible at all
	met      map[string]bool // other offers that the visitor was eligible for at the same look
	beaten   map[string]bool // of them, who won
	assigned time.Time       // first serve or assignment of the offer
}

// look is one moment: what would the offer have answered?
func (p *player) look(l *look) {
	p.settle(l.at)
	p.ownFeatures(l)
	input := eligibility.Input{
		Site: p.site, Features: &l.values, Visitor: l.visitor, Session: l.session, Since: l.since,
		Lane: privacy.LaneDecide, Serves: p.serves, DrawKey: p.DrawKey,
	}
	eligible := p.passes(input, p.offer.ID, l.at)
	if eligible {
		day := l.at.Format(time.DateOnly)
		if d := p.tally.days[day]; d != nil && p.eligible != day {
			d.Eligible++
		}
		p.eligible, p.reached = day, true
	}
	v := p.program.Evaluate(input, l.at)
	if eligible {
		p.meet(input, l.at, v.Offer)
	}
	if v.NewServe {
		p.serve(l, &v)
	}
}

// passes reports whether an offer's rule and terms are met, whoever else is in its way: cap and cooldown, which
// depend on what was served, are the last gates.
func (p *player) passes(input eligibility.Input, offer string, at time.Time) bool {
	switch p.program.Ask(input, offer, at) {
	case eligibility.ReasonNone, eligibility.Capped, eligibility.Cooldown:
		return true
	case eligibility.EvaluationFailed:
		if offer == p.offer.ID {
			p.result.Failed++
		}
	}
	return false
}

// ownFeatures are those that depend on what was served, which here is what would have been served.
func (p *player) ownFeatures(l *look) {
	own := (&feature.Profile{Serves: p.serves}).At(l.at)
	l.values.OffersShown30d, l.values.LastOfferMinutes = own.OffersShown30d, own.LastOfferMinutes
}

// meet notes which other offers were open at the same look, and which of them won.
func (p *player) meet(input eligibility.Input, at time.Time, winner *site.Offer) {
	for _, r := range p.rules {
		id := r.Offer.ID
		if id == p.offer.ID || p.met[id] && p.beaten[id] || !p.passes(input, id, at) {
			continue
		}
		if p.met == nil {
			p.met, p.beaten = map[string]bool{}, map[string]bool{}
		}
		p.met[id] = true
		if winner != nil && winner.ID == id {
			p.beaten[id] = true
		}
	}
}

// serve records what the visitor would have been given, or held out from.
func (p *player) serve(l *look, v *eligibility.Verdict) {
	p.serves = append(p.serves, feature.Serve{
		Offer: v.Offer.ID, Rule: v.Rule, Arm: v.Arm, DecisionID: v.DecisionID, Session: l.session, At: l.at, ValidUntil: v.ValidUntil,
	})
	if v.Offer.ID != p.offer.ID {
		return
	}
	if p.assigned.IsZero() {
		p.assigned = l.at
		if v.Arm == feature.HeldOut {
			p.result.VisitorsHeldOut++
		} else {
			p.result.VisitorsServed++
		}
	}
	if d := p.tally.days[l.at.Format(time.DateOnly)]; d != nil {
		if v.Arm == feature.Treatment {
			d.Exposures++
		} else {
			d.HeldOut++
		}
	}
}

// settle looks at the orders until then, all of them when until is zero. One that is placed under a grant
// is taken to use it: the grant is over, and its discount was given.
func (p *player) settle(until time.Time) {
	for p.settled < len(p.orders) && (until.IsZero() || !p.orders[p.settled].at.After(until)) {
		o := &p.orders[p.settled]
		p.settled++
		for i := range p.serves {
			s := &p.serves[i]
			if s.Used || s.Arm != feature.Treatment || o.at.Before(s.At) || o.at.After(s.ValidUntil) {
				continue
			}
			cost, used := discount(p.site.Offer(s.Offer), o)
			s.Used = used
			if d := p.tally.days[o.at.In(p.Site.Timezone).Format(time.DateOnly)]; d != nil && used && s.Offer == p.offer.ID {
				d.Orders++
				d.Revenue += o.net
				d.Cost += cost
			}
		}
	}
}

// discount is what an offer takes off an order; used is false when the order is below its minimum.
func discount(terms *site.Offer, o *order) (cost float64, used bool) {
	if terms == nil || terms.MinCartValue.Set && o.paid < units(terms.MinCartValue) {
		return 0, false
	}
	switch terms.Kind {
	case site.Percent:
		return o.paid * terms.Percent / 100, true
	case site.FixedAmount:
		return min(units(terms.Amount), o.paid), true
	}
	return o.shipping, true
}

func units(a event.Amount) float64 { return float64(a.Units) / event.AmountScale }

// leave adds the visitor up.
func (p *player) leave() {
	if p.reached {
		p.result.VisitorsEligible++
	}
	for id := range p.met {
		o := p.tally.overlap[id]
		o.Visitors++
		if p.beaten[id] {
			o.Won++
		}
	}
	if p.assigned.IsZero() {
		return
	}
	// As the report of a running experiment counts: every order since the assignment.
	one := experiment.Sums{Visitors: 1}
	for i := range p.orders {
		if o := &p.orders[i]; !o.at.Before(p.assigned) {
			one.Orders++
			one.Converted = 1
			one.Revenue += o.net
		}
	}
	one.RevenueSquared = one.Revenue * one.Revenue
	p.tally.outcome = p.tally.outcome.Add(one)
}

// byDay sorts days.
func byDay(a, b Day) int { return cmp.Compare(a.Day, b.Day) }
