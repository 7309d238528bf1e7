package schema

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// questions are the headings of docs/analysts.md, and what the answer must be: counted here from the events, in Go, by
// the meaning of the words and not by the query. The first line has the names of the columns.
var questions = map[string]func(*facts) []string{
	"1. What does each offer bring, and what does it cost?":       (*facts).offers,
	"2. Where do we lose people between the offer and the order?": (*facts).steps,
	"3. Is an order with an offer larger than one without?":       (*facts).basket,
	"4. From which channels come those who use an offer?":         (*facts).channels,
	"5. How many visitors come back?":                             (*facts).returning,
	"6. How long until the second order?":                         (*facts).secondOrder,
	"7. Where are carts abandoned?":                               (*facts).abandoned,
	"8. Which products turn views into orders?":                   (*facts).products,
	"9. What is sent back?":                                       (*facts).refunds,
	"10. What may each number be made of?":                        (*facts).lanes,
	"11. Is everything there?":                                    (*facts).ledger,
	"12. Did the offer earn anything?":                            (*facts).lift,
}

// facts is the month as an honest clerk would write it down: demo's production, each event once, no programs.
type facts struct {
	invented *invented
	events   []row // without bots
	answers  []answer
	orders   map[string]*bought
	sessions map[string]*stay
}

type bought struct {
	at                       time.Time
	best                     row // the report that counts
	offer, decision, visitor string
	net, value, discount     decimal.Decimal // in the currency of the site
	known                    bool            // its currency has a rate
	refunded                 decimal.Decimal
	refunds                  int
}

type stay struct {
	visitor, channel, device       string
	start                          time.Time
	viewed, carted, began, ordered bool
}

func newFacts(v *invented) *facts {
	f := &facts{invented: v, orders: map[string]*bought{}, sessions: map[string]*stay{}}
	once := map[string]bool{}
	for _, e := range slices.Concat(v.events, v.repeats) {
		if e.Site == "demo" && e.Environment == "production" && e.Bot == 0 && !once[e.EventID] {
			once[e.EventID] = true
			f.events = append(f.events, e)
		}
	}
	slices.SortFunc(f.events, func(a, b row) int { return a.OccurredAt.Compare(b.OccurredAt) })
	for _, a := range v.answers {
		if a.Site == "demo" && a.Environment == "production" {
			f.answers = append(f.answers, a)
		}
	}
	for _, e := range f.events {
		f.note(e)
	}
	for _, o := range f.orders {
		o.settle(f.events)
	}
	return f
}

// note puts one event, in the order of time, into its order and its session.
func (f *facts) note(e row) {
	if e.OrderKey != zeroID && e.Kind == "purchase" {
		o := f.orders[e.OrderKey]
		if o == nil {
			o = &bought{at: e.OccurredAt, best: e}
			f.orders[e.OrderKey] = o
		}
		if e.Source == "server" || o.best.Source != "server" {
			o.best = e
		}
		o.offer, o.decision, o.visitor = cmp.Or(e.Offer, o.offer), cmp.Or(e.Decision, o.decision), e.Visitor
	}
	if e.Lane != "decide" || e.Session == zeroID {
		return
	}
	s := f.sessions[e.Session]
	if s == nil { // the first event of a session has all that is known of where it came from
		s = &stay{visitor: e.Visitor, start: e.OccurredAt, device: e.Device, channel: "direct"}
		switch {
		case e.UTMMedium == "cpc":
			s.channel = "paid"
		case e.UTMMedium == "email":
			s.channel = "email"
		case strings.Contains(e.Referrer, "facebook"):
			s.channel = "social"
		case strings.Contains(e.Referrer, "google"):
			s.channel = "search"
		case e.Referrer != "":
			s.channel = "referral"
		}
		f.sessions[e.Session] = s
	}
	s.viewed = s.viewed || e.Kind == "product_view"
	s.carted = s.carted || e.Kind == "cart_add"
	s.began = s.began || e.Kind == "checkout_start"
	s.ordered = s.ordered || e.Kind == "purchase"
}

func (o *bought) settle(events []row) {
	rate := o.best.Rate
	o.known = rate.IsPositive()
	o.value, o.discount = o.best.Value.Mul(rate).Round(4), o.best.Discount.Mul(rate).Round(4)
	for _, e := range events {
		if e.Kind != "refund" || e.OrderKey != o.best.OrderKey {
			continue
		}
		o.refunds++
		if e.Value == nil {
			o.refunded = o.value
		} else {
			o.refunded = o.refunded.Add(e.Value.Mul(e.Rate).Round(4))
		}
	}
	if o.known {
		o.net = decimal.Max(o.value.Sub(o.refunded), decimal.Zero)
	}
}

// deal is what became of one grant, or of an offer to everyone on one day.
type deal struct {
	day              time.Time
	offer, rule, arm string
	served           int
	shown, accepted  map[string]bool // event ids
	orders           int
	revenue, cost    decimal.Decimal
}

func localDay(t time.Time) time.Time {
	y, m, d := t.In(berlin).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// deals by decision, or by offer and day.
func (f *facts) deals() map[string]*deal {
	all := map[string]*deal{}
	subject := func(decision, offer string, at time.Time) string {
		return cmp.Or(decision, offer+" "+localDay(at).Format(time.DateOnly))
	}
	for _, a := range f.answers {
		decision := ""
		if a.DecisionID != zeroID {
			decision = hexOf(a.DecisionID)
		}
		k := subject(decision, a.Offer, a.DecidedAt)
		if all[k] == nil {
			all[k] = &deal{day: localDay(a.DecidedAt), offer: a.Offer, rule: a.Rule, arm: a.Arm, shown: map[string]bool{}, accepted: map[string]bool{}}
		}
		all[k].served += int(a.FirstServe)
	}
	for _, e := range f.events {
		d := all[subject(e.Decision, e.Offer, e.OccurredAt)]
		if d == nil {
			continue
		}
		switch e.Kind {
		case "offer_shown":
			d.shown[e.EventID] = true
		case "offer_accepted":
			d.accepted[e.EventID] = true
		}
	}
	for _, o := range f.orders {
		if d := all[subject(o.decision, o.offer, o.at)]; d != nil && o.offer != "" {
			d.orders++
			d.revenue = d.revenue.Add(o.net)
			d.cost = d.cost.Add(o.discount)
		}
	}
	return all
}

func (f *facts) offers() []string {
	type sum struct {
		served, orders int
		revenue, cost  decimal.Decimal
	}
	sums := map[[2]string]sum{}
	for _, d := range f.deals() {
		if d.arm != "holdout" {
			s := sums[[2]string{d.offer, d.rule}]
			sums[[2]string{d.offer, d.rule}] = sum{s.served + d.served, s.orders + d.orders, s.revenue.Add(d.revenue), s.cost.Add(d.cost)}
		}
	}
	lines := []string{line("offer", "rule", "served", "orders", "revenue", "cost", "cost_percent")}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		s := sums[k]
		lines = append(lines, line(k[0], k[1], s.served, s.orders, s.revenue, s.cost, percent(s.cost.InexactFloat64(), s.revenue.Add(s.cost).InexactFloat64())))
	}
	return lines
}

func (f *facts) steps() []string {
	weeks := map[string][4]int{}
	for _, d := range f.deals() {
		if d.offer == "welcome-back" && d.arm == "treatment" {
			w := week(d.day)
			s := weeks[w]
			weeks[w] = [4]int{s[0] + d.served, s[1] + min(len(d.shown), 1), s[2] + min(len(d.accepted), 1), s[3] + d.orders}
		}
	}
	lines := []string{line("week", "served", "shown", "accepted", "orders", "shown_percent", "accepted_percent", "ordered_percent")}
	for _, w := range slices.Sorted(maps.Keys(weeks)) {
		s := weeks[w]
		lines = append(lines, line(w, s[0], s[1], s[2], s[3], percent(s[1], s[0]), percent(s[2], s[1]), percent(s[3], s[2])))
	}
	return lines
}

func (f *facts) basket() []string {
	type sum struct {
		orders int
		value  decimal.Decimal
	}
	sums := map[string]sum{}
	for _, o := range f.orders {
		if o.known && localDay(o.at).Month() == time.November {
			s := sums[cmp.Or(o.offer, "no offer")]
			sums[cmp.Or(o.offer, "no offer")] = sum{orders: s.orders + 1, value: s.value.Add(o.value)}
		}
	}
	lines := []string{line("used", "orders", "average_value")}
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		lines = append(lines, line(k, sums[k].orders, rounded(sums[k].value.InexactFloat64()/float64(sums[k].orders), 2)))
	}
	return lines
}

func (f *facts) channels() []string {
	byDecision := map[string][]*bought{}
	for _, o := range f.orders {
		byDecision[o.decision] = append(byDecision[o.decision], o)
	}
	type sum struct {
		served, orders int
		revenue        decimal.Decimal
	}
	sums := map[string]sum{}
	for _, a := range f.answers {
		if a.FirstServe == 1 && a.Arm == "treatment" && a.Offer == "welcome-back" {
			channel := f.sessions[a.Session].channel
			s := sums[channel]
			s.served++
			for _, o := range byDecision[hexOf(a.DecisionID)] {
				s.orders++
				s.revenue = s.revenue.Add(o.net)
			}
			sums[channel] = s
		}
	}
	lines := []string{line("channel", "served", "orders", "revenue", "ordered_percent")}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b string) int { return cmp.Or(sums[b].served-sums[a].served, cmp.Compare(a, b)) }) {
		lines = append(lines, line(k, sums[k].served, sums[k].orders, sums[k].revenue, percent(sums[k].orders, sums[k].served)))
	}
	return lines
}

func (f *facts) returning() []string {
	first := map[string]time.Time{}
	for _, s := range f.sessions {
		if t, ok := first[s.visitor]; !ok || s.start.Before(t) {
			first[s.visitor] = s.start
		}
	}
	seen, back := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, s := range f.sessions {
		w := week(localDay(s.start))
		put(seen, w, s.visitor)
		if s.start.After(first[s.visitor]) {
			put(back, w, s.visitor)
		}
	}
	lines := []string{line("week", "visitors", "returned", "returned_percent")}
	for _, w := range slices.Sorted(maps.Keys(seen)) {
		lines = append(lines, line(w, len(seen[w]), len(back[w]), percent(len(back[w]), len(seen[w]))))
	}
	return lines
}

func (f *facts) secondOrder() []string {
	times := map[string][]time.Time{}
	for _, o := range f.orders {
		times[o.visitor] = append(times[o.visitor], o.at)
	}
	var gaps []float64
	for _, ts := range times {
		if slices.SortFunc(ts, time.Time.Compare); len(ts) > 1 {
			gaps = append(gaps, math.Trunc(ts[1].Truncate(time.Second).Sub(ts[0].Truncate(time.Second)).Seconds()))
		}
	}
	slices.Sort(gaps)
	return []string{
		line("buyers", "bought_again", "again_percent", "median_days"),
		line(len(times), len(gaps), percent(len(gaps), len(times)), rounded(gaps[len(gaps)/2]/86400, 1)),
	}
}

func (f *facts) abandoned() []string {
	type cell struct {
		channel, device                      string
		sessions, people, carts, began, paid int
	}
	var today []*stay
	for _, s := range f.sessions {
		if localDay(s.start).Equal(time.Date(2026, 11, bigDay, 0, 0, 0, 0, time.UTC)) {
			today = append(today, s)
		}
	}
	slices.SortFunc(today, func(a, b *stay) int { return a.start.Compare(b.start) })
	cells, counted := map[[2]string]*cell{}, map[string]bool{}
	for _, s := range today {
		k := [2]string{s.channel, s.device}
		if cells[k] == nil {
			cells[k] = &cell{channel: s.channel, device: s.device}
		}
		c := cells[k]
		c.sessions++
		c.people += bit(!counted[s.visitor])
		counted[s.visitor] = true
		c.carts, c.began, c.paid = c.carts+bit(s.carted), c.began+bit(s.began), c.paid+bit(s.ordered)
	}
	var shown []*cell
	other := &cell{channel: "other", device: "other"}
	for _, c := range slices.SortedFunc(maps.Values(cells), func(a, b *cell) int {
		return cmp.Or(a.people-b.people, cmp.Compare(a.channel, b.channel), cmp.Compare(a.device, b.device))
	}) {
		if c.people >= 20 && (other.people == 0 || other.people >= 20) {
			shown = append(shown, c)
			continue
		}
		other.sessions, other.people, other.carts, other.began, other.paid = other.sessions+c.sessions, other.people+c.people, other.carts+c.carts, other.began+c.began, other.paid+c.paid
	}
	if other.sessions > 0 {
		shown = append(shown, other)
	}
	slices.SortFunc(shown, func(a, b *cell) int {
		return cmp.Or(b.sessions-a.sessions, cmp.Compare(a.channel, b.channel), cmp.Compare(a.device, b.device))
	})
	lines := []string{line("channel", "device", "sessions", "carts", "checkouts", "purchases", "abandoned_percent")}
	for _, c := range shown {
		lines = append(lines, line(c.channel, c.device, c.sessions, c.carts, c.began, c.paid, percent(c.carts-c.paid, c.carts)))
	}
	return lines
}

func (f *facts) products() []string {
	views, orders := map[string]int{}, map[string]map[string]bool{}
	for _, e := range f.events {
		switch {
		case e.OccurredAt.UTC().Month() != time.November:
		case e.Kind == "product_view":
			views[e.Product]++
		case e.Kind == "purchase" && e.OrderKey != zeroID:
			for _, p := range e.ItemProduct {
				put(orders, p, e.OrderKey)
			}
		}
	}
	lines := []string{line("product", "views", "orders", "ordered_percent")}
	for _, p := range slices.SortedFunc(maps.Keys(views), func(a, b string) int {
		return cmp.Or(cmp.Compare(float64(len(orders[b]))/float64(views[b]), float64(len(orders[a]))/float64(views[a])), cmp.Compare(a, b))
	}) {
		lines = append(lines, line(p, views[p], len(orders[p]), percent(len(orders[p]), views[p])))
	}
	return lines
}

func (f *facts) refunds() []string {
	type sum struct {
		orders, refunded int
		value, back      decimal.Decimal
	}
	sums := map[string]sum{}
	for _, o := range f.orders {
		if localDay(o.at).Month() != time.November {
			continue
		}
		k := cmp.Or(o.offer, "no offer")
		s := sums[k]
		s.orders, s.refunded, s.back = s.orders+1, s.refunded+bit(o.refunds > 0), s.back.Add(o.refunded)
		if o.known {
			s.value = s.value.Add(o.value)
		}
		sums[k] = s
	}
	lines := []string{line("used", "orders", "refunded_orders", "refunded", "refunded_percent")}
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		s := sums[k]
		lines = append(lines, line(k, s.orders, s.refunded, s.back, percent(s.back.InexactFloat64(), s.value.InexactFloat64())))
	}
	return lines
}

func (f *facts) lanes() []string {
	events, views, people := map[string]int{}, map[string]int{}, map[string]map[string]bool{}
	for _, e := range f.events {
		if e.OccurredAt.UTC().Month() == time.November {
			events[e.Lane]++
			views[e.Lane] += bit(e.Kind == "page_view")
			if e.Visitor != zeroID {
				put(people, e.Lane, e.Visitor)
			}
		}
	}
	total := 0
	for _, n := range views {
		total += n
	}
	lines := []string{line("lane", "pageviews", "pageviews_percent", "ids")}
	for _, l := range slices.Sorted(maps.Keys(events)) {
		lines = append(lines, line(l, views[l], percent(views[l], total), len(people[l])))
	}
	return lines
}

func (f *facts) ledger() []string {
	n := 0 // repeats are in a segment of another day
	for _, e := range f.invented.events {
		if e.Site == "demo" && e.Segment == uint64(time.Date(2026, 11, lostOn, 0, 0, 0, 0, time.UTC).YearDay()) {
			n++
		}
	}
	return []string{
		line("day", "accepted", "stored", "duplicates", "dropped", "still_there", "gone", "unexplained"),
		line(fmt.Sprintf("2026-11-%d", lostOn), n+lostEvents+3, n+lostEvents, 2, 1, n, lostEvents, 0),
	}
}

func (f *facts) lift() []string {
	type assigned struct {
		arm string
		at  time.Time
	}
	people := map[string]assigned{}
	for _, a := range f.answers {
		if had, ok := people[a.Visitor]; a.FirstServe == 1 && a.Offer == "welcome-back" && (!ok || a.DecidedAt.Before(had.at)) {
			people[a.Visitor] = assigned{a.Arm, a.DecidedAt}
		}
	}
	visitors, buyers, revenue := map[string]int{}, map[string]map[string]bool{}, map[string]decimal.Decimal{}
	for _, p := range people {
		visitors[p.arm]++
	}
	for _, o := range f.orders {
		if p, ok := people[o.visitor]; ok && !o.at.Before(p.at) {
			put(buyers, p.arm, o.visitor)
			revenue[p.arm] = revenue[p.arm].Add(o.net)
		}
	}
	lines := []string{line("arm", "visitors", "buyers", "buyers_percent", "revenue", "revenue_per_visitor")}
	for _, arm := range []string{"treatment", "holdout"} {
		lines = append(lines, line(arm, visitors[arm], len(buyers[arm]), percent(len(buyers[arm]), visitors[arm]), revenue[arm],
			rounded(revenue[arm].InexactFloat64()/float64(visitors[arm]), 2)))
	}
	return lines
}

// line is one line of an answer, as a table of Markdown.
func line(fields ...any) string {
	text := make([]string, len(fields))
	for i, f := range fields {
		text[i] = fmt.Sprint(f)
	}
	return "| " + strings.Join(text, " | ") + " |"
}

func rounded(x float64, places int) string {
	scale := math.Pow10(places)
	return strconv.FormatFloat(math.RoundToEven(x*scale)/scale, 'f', -1, 64)
}

func percent[N int | float64](part, whole N) string {
	if whole == 0 {
		return "nan"
	}
	return rounded(100*float64(part)/float64(whole), 1)
}

func week(day time.Time) string {
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7).Format(time.DateOnly)
}

func put(sets map[string]map[string]bool, key, value string) {
	if sets[key] == nil {
		sets[key] = map[string]bool{}
	}
	sets[key][value] = true
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
