package schema

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// invented is a month of a shop: what its events and decisions say, in no order, repeats included. The same on every
// machine and every day, as docs/analysts.md prints answers about it.
type invented struct {
	events  []row
	repeats []row // sent again after the duplicate window, in segment repeatSegment
	answers []answer

	r       *rand.Rand
	known   []regular
	orders  int
	serving int
}

// A regular has been here before and may come again.
type regular struct {
	name, device string
	heldOut      bool // of every offer, as the draw does not change
}

const (
	lastDay       = 30 // of November 2026
	bigDay        = 27
	repeatSegment = 1000
	lostOn        = 13 // a day of which events are missing
	lostEvents    = 3
)

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return l
}()

var (
	products = []string{"harbour-mug", "dawn-kettle", "field-bag", "linen-apron", "oak-board", "rain-cape"}
	cents    = []int64{2800, 11900, 8450, 3990, 6200, 9900}
	sources  = []struct{ medium, source, referrer string }{
		{}, {}, {"cpc", "google", "www.google.com"}, {"", "", "www.google.de"}, {"", "", "www.google.de"}, {"email", "newsletter", ""}, {"", "", "m.facebook.com"}, {"", "", "blog.example"},
	}
)

func invent() *invented {
	v := &invented{r: rand.New(rand.NewPCG(20261101, 1))}
	for day := 1; day <= lastDay; day++ {
		visits := 25 + v.r.IntN(15)
		if day == bigDay {
			visits = 400
		}
		for range visits {
			v.visit(time.Date(2026, 11, day, 0, 0, v.r.IntN(24*60*60), 0, berlin))
		}
	}
	v.noise()
	for _, e := range v.events {
		if v.r.IntN(50) == 0 {
			e.Segment = repeatSegment
			v.repeats = append(v.repeats, e)
		}
	}
	return v
}

// chance is true in so many of a hundred cases.
func (v *invented) chance(percent int) bool { return v.r.IntN(100) < percent }

// a visit of somebody, from the first page to the order.
type visit struct {
	*invented
	at       time.Time
	lane     string
	visitor  string
	session  string
	device   string
	from     int
	bot      bool
	returns  bool
	heldOut  bool
	offer    string // accepted
	decision string // of it, as hexadecimal digits
	lookedAt []int
}

func (v *invented) visit(at time.Time) {
	w := &visit{invented: v, at: at, lane: "decide", from: v.r.IntN(len(sources)), bot: v.chance(3)}
	name, device := fmt.Sprintf("p%d", len(v.events)), []string{"mobile", "mobile", "desktop", "desktop", "mobile", "tablet"}[v.r.IntN(6)]
	switch dice := v.r.IntN(100); {
	case dice < 8:
		w.lane, name = "count", ""
	case dice < 20:
		w.lane = "measure"
	case v.chance(40) && len(v.known) > 0:
		who := v.known[v.r.IntN(len(v.known))]
		name, device, w.returns, w.heldOut = who.name, who.device, true, who.heldOut
	default:
		v.known = append(v.known, regular{name, device, v.chance(20)})
	}
	w.visitor, w.session, w.device = id(name), zeroID, device
	if w.lane == "decide" {
		w.session = id(fmt.Sprintf("s%d", len(v.events)))
	}
	w.walk()
}

// event is one more of this visit, up to a minute and a half after the last.
func (w *visit) event(kindOf string, change ...func(*row)) {
	w.at = w.at.Add(time.Duration(1000+w.r.IntN(90_000)) * time.Millisecond)
	s := sources[w.from]
	e := row{
		Site: "demo", Environment: "production", EventID: id(fmt.Sprintf("e%d", len(w.events))), Kind: kindOf, Source: "beacon", Lane: w.lane, Cause: "choice",
		ReceivedAt: w.at, OccurredAt: w.at, Visitor: w.visitor, Session: w.session, VisitorSince: epoch, Device: w.device, Country: "DE",
		UTMMedium: s.medium, UTMSource: s.source, Referrer: s.referrer, Path: "/", ConsentAt: epoch,
		OrderKey: zeroID, CouponKey: zeroID, CustomerKey: zeroID, Spool: id("spool"), Segment: uint64(w.at.UTC().YearDay()), Sequence: uint64(len(w.events)),
		Expires: base.AddDate(0, 0, 395), ProfileExpires: base.AddDate(0, 0, 90),
	}
	if w.bot {
		e.Bot = 1
	}
	for _, f := range change {
		f(&e)
	}
	w.events = append(w.events, e)
}

func (w *visit) walk() {
	for range 1 + w.r.IntN(3) {
		w.event("page_view")
	}
	w.askForOffer()
	if !w.chance(70) {
		return
	}
	for range 1 + w.r.IntN(4) {
		p := min(w.r.IntN(len(products)), w.r.IntN(len(products)))
		w.lookedAt = append(w.lookedAt, p)
		w.event("product_view", func(e *row) { e.Product = products[p] })
	}
	odds := 45
	if w.decision != "" {
		odds = 75
	}
	if !w.chance(odds) {
		return
	}
	for range 1 + w.r.IntN(2) {
		w.event("cart_add", func(e *row) { e.Product = products[w.lookedAt[0]] })
	}
	if !w.chance(odds + 10) {
		return
	}
	w.event("checkout_start")
	if w.chance(odds + 10) {
		w.buy()
	}
}

// askForOffer: who came back gets welcome-back, unless held out, as one in five is; from the 20th on everybody else gets winter.
func (w *visit) askForOffer() {
	w.serving++
	a := answer{
		Site: "demo", Environment: "production", DecidedAt: w.at, DecisionID: zeroID, Visitor: zeroID, Session: zeroID, Lane: w.lane,
		Arm: "treatment", Reason: "TARGETING_MATCH", Eligible: 1, ValidUntil: w.at.Add(30 * time.Minute), Spool: id("spool"), Sequence: uint64(w.serving), Expires: base.AddDate(0, 0, 90),
	}
	day := w.at.In(berlin).Day()
	switch {
	case w.bot:
		return
	case w.returns && w.chance(60):
		a.DecisionID, a.Visitor, a.Session, a.FirstServe, a.Personalised = id(fmt.Sprintf("d%d", w.serving)), w.visitor, w.session, 1, 1
		a.Offer, a.Rule = "welcome-back", "welcome-back@1c9e55a0"
		if day >= 15 {
			a.Rule = "welcome-back@3f2a9c1d"
		}
		if w.heldOut {
			heldOut(&a)
		}
		w.answers = append(w.answers, a)
		if w.chance(50) { // asked again
			a.FirstServe, a.Repeats, a.DecidedAt, a.Sequence = 0, uint32(w.r.IntN(4)), w.at.Add(time.Minute), uint64(100_000+w.serving)
			w.answers = append(w.answers, a)
		}
	case day >= 20:
		a.Offer, a.Rule, a.Repeats = "winter", "winter@77b0d3e2", uint32(w.r.IntN(3))
		w.answers = append(w.answers, a)
	default:
		return
	}
	if a.Arm == "treatment" && w.chance(85) {
		w.see(a)
	}
}

// see: an offer is shown, and perhaps answered.
func (w *visit) see(a answer) {
	decision := ""
	if a.DecisionID != zeroID {
		decision = hexOf(a.DecisionID)
	}
	named := func(e *row) { e.Offer, e.Decision = a.Offer, decision }
	w.event("offer_shown", named)
	if w.chance(20) {
		w.event("offer_shown", named) // on the next page again
	}
	switch {
	case w.chance(50):
		w.event("offer_accepted", named)
		w.offer, w.decision = a.Offer, decision
	case w.chance(30):
		w.event("offer_dismissed", named)
	}
}

// buy: the browser tells of the order, the shop's server nearly always too, and sometimes later of a refund.
func (w *visit) buy() {
	w.orders++
	lines := w.lookedAt[:1+w.r.IntN(len(w.lookedAt))]
	slices.Sort(lines)
	lines = slices.Compact(lines)
	var sum int64
	order := func(e *row) {
		e.Currency, e.Rate, e.Offer, e.Decision = "EUR", *amount("1"), w.offer, w.decision
		if w.lane == "decide" {
			e.OrderKey = id(fmt.Sprintf("o%d", w.orders))
		}
	}
	switch dice := w.r.IntN(100); {
	case dice < 6:
		order = with(order, func(e *row) { e.Currency, e.Rate = "CHF", *amount("1.05") })
	case dice < 8:
		order = with(order, func(e *row) { e.Currency, e.Rate = "SEK", *amount("0") })
	}
	purchase := with(order, func(e *row) {
		sum = 0
		for _, p := range lines {
			q := 1 + w.orders%2
			sum += cents[p] * int64(q)
			e.ItemProduct, e.ItemVariant = append(e.ItemProduct, products[p]), append(e.ItemVariant, "")
			e.ItemQuantity, e.ItemPrice = append(e.ItemQuantity, uint32(q)), append(e.ItemPrice, decimal.New(cents[p], -2))
		}
		off := decimal.Zero
		if w.offer != "" {
			off = decimal.New(sum/10, -2)
		}
		value := decimal.New(sum, -2).Sub(off)
		e.Value, e.Discount = &value, &off
	})
	w.event("purchase", purchase)
	if w.lane != "decide" || w.bot {
		return
	}
	if w.chance(90) { // net of tax, which the browser did not know
		w.event("purchase", purchase, func(e *row) {
			net := e.Value.Div(*amount("1.19")).Round(2)
			e.Source, e.Value, e.Device, e.Referrer, e.UTMMedium, e.UTMSource = "server", &net, "", "", "", ""
		})
	}
	if w.chance(10) {
		back := &visit{invented: w.invented, at: w.at.Add(time.Duration(24+w.r.IntN(72)) * time.Hour), lane: "decide", visitor: zeroID, session: zeroID}
		back.event("refund", order, func(e *row) {
			e.Source, e.Offer, e.Decision, e.Referrer, e.UTMMedium, e.UTMSource = "server", "", "", "", "", ""
			if w.chance(50) {
				part := decimal.New(sum/4, -2)
				e.Value = &part
			}
		})
	}
}

func with(first, then func(*row)) func(*row) { return func(e *row) { first(e); then(e) } }

// noise is what no answer may count: another shop, another environment.
func (v *invented) noise() {
	for i, e := range v.events[:400] {
		e.EventID = id(fmt.Sprintf("n%d", i))
		if i%2 == 0 {
			e.Site = "zoo"
		} else {
			e.Environment = "staging"
			e.Session, e.OrderKey, e.Visitor = id("x"+e.Session), id("x"+e.OrderKey), id("x"+e.Visitor)
		}
		v.events = append(v.events, e)
	}
	for i, a := range v.answers[:40] {
		a.Sequence = uint64(200_000 + i)
		if i%2 == 0 {
			a.Site = "zoo"
		} else {
			a.Environment = "staging"
		}
		v.answers = append(v.answers, a)
	}
}

// store brings the month into d as the services would, with a ledger of it.
func (v *invented) store(t *testing.T, d db) {
	t.Helper()
	var lines []string
	ledger := func(site string, at time.Time, reason string, segment uint64, n int) {
		lines = append(lines, fmt.Sprintf("('%s', '%s', '%s', toFixedString('spool', 16), %d, %d, today() + 395)", site, at.UTC().Format(time.DateTime), reason, segment, n))
	}
	segments := map[uint64][]row{}
	for _, e := range slices.Concat(v.events, v.repeats) {
		segments[e.Segment] = append(segments[e.Segment], e)
	}
	for segment, rows := range segments {
		d.insert(t, fmt.Sprint("segment ", segment), rows...)
		stored := map[string]int{}
		at := time.Date(2026, 1, 0, 12, 0, 0, 0, time.UTC).AddDate(0, 0, int(segment))
		if segment == repeatSegment {
			at = time.Date(2026, 11, lastDay, 12, 0, 0, 0, time.UTC)
		}
		for _, e := range rows {
			stored[e.Site]++
		}
		for site, n := range stored {
			if at.Month() == time.November && at.Day() == lostOn && site == "demo" {
				n += lostEvents
			}
			ledger(site, at, "stored", segment, n)
			ledger(site, at, "duplicate", segment, 2)
			ledger(site, at, "too-old", segment, 1)
			ledger(site, at, "accepted", segment, n+3)
		}
	}
	d.exec(t, "INSERT INTO DB.ledger (site, minute, reason, spool, segment, n, expires) VALUES "+strings.Join(lines, ", "))
	d.decide(t, "decisions", v.answers...)
}
