package backtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// TestReplaySaysWhatTheLivePathSaidThen lets history happen in rounds. After each round the live path (read the
// profile, features at that moment, gates) is asked about everybody who was there; the backtest, at the end, must
// find the same features at the same looks, and the same visitors eligible on each day.
func TestReplaySaysWhatTheLivePathSaidThen(t *testing.T) {
	s := newShop(t)
	var reads []string // every feature that the replay computes in ClickHouse
	for i := range feature.All {
		if f := &feature.All[i]; f.From != feature.Serves {
			reads = append(reads, fmt.Sprintf("visitor.%s != %s", f.Name, map[feature.Type]string{feature.Int: "-7", feature.Double: "-7.5", feature.String: `"never"`, feature.Bool: "true"}[f.Type]))
		}
	}
	st := sites(t, `
      - {id: everything, when: '`+strings.Join(reads, " || ")+`', discount: {percent: 1}}
      - {id: welcome-back, when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0, discount: {percent: 10}}
      - {id: cart, when: visitor.cart_adds_7d > 0 && visitor.minutes_since_cart < 200, min_cart_value: 60, too_new: 2d, discount: {amount: 5}}
      - {id: phones, when: 'visitor.device == "mobile" && visitor.country in ["DE", ""] && visitor.product_views_7d > visitor.distinct_products_7d', discount: {percent: 5}}
      - {id: big, when: 'visitor.revenue_90d > 100 || visitor.is_returning && 10 / visitor.checkout_starts_7d < 5', discount: {percent: 5}}
`)
	now := time.Now()
	h := &rounds{shop: s, r: rand.New(rand.NewPCG(5, 6)), st: st, eligible: map[string]map[string]map[privacy.ID]bool{}, seen: map[lookKey]feature.Features{}}
	h.program = mustCompile(t, st)
	h.reader = feature.NewReader(db, s.connect)
	defer h.reader.Close()
	at := now.Add(-20 * 24 * time.Hour).Truncate(time.Minute)
	for _, gap := range []time.Duration{
		0, 2 * time.Minute, 20 * time.Minute, 61 * time.Minute, 22 * time.Hour, 3 * time.Minute,
		6*24*time.Hour + 5*time.Hour, 2 * time.Minute, 26 * time.Hour, 7*24*time.Hour - 40*time.Minute, 10 * time.Minute, 30 * time.Minute,
	} {
		at = at.Add(gap)
		h.round(at)
	}
	h.compareLooks(now)
	for _, o := range st.Offers {
		result, err := Run(t.Context(), s.options(st, o.ID, 21, now))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, d := range result.Days {
			if got, want := d.Eligible, uint64(len(h.eligible[o.ID][d.Day])); got != want {
				t.Errorf("%s on %s: %d visitors eligible, the live path found %d", o.ID, d.Day, got, want)
			}
			sum += len(h.eligible[o.ID][d.Day])
		}
		if sum == 0 || o.ID != "everything" && sum == len(h.seen) {
			t.Errorf("%s: %d of %d visitor-days eligible, which shows nothing", o.ID, sum, len(h.seen))
		}
		t.Logf("%s: %d visitor-days eligible in %d looks", o.ID, sum, len(h.seen))
	}
}

func mustCompile(t *testing.T, st *site.Site) *eligibility.Program {
	t.Helper()
	p, faults := eligibility.Compile(&site.File{Sites: []*site.Site{st}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

type lookKey struct {
	visitor privacy.ID
	at      int64
}

// rounds is a history in the making, and what the live path said in it.
type rounds struct {
	*shop
	r        *rand.Rand
	st       *site.Site
	program  *eligibility.Program
	reader   *feature.Reader
	sold     []*event.Event
	eligible map[string]map[string]map[privacy.ID]bool // by offer and day
	seen     map[lookKey]feature.Features
}

func (h *rounds) round(at time.Time) {
	h.t.Helper()
	var before, events []*event.Event
	looks := map[string]time.Time{}
	for v := range 24 {
		name := fmt.Sprintf("visitor %d", v)
		if h.r.IntN(3) == 0 {
			continue
		}
		for range 1 + h.r.IntN(3) {
			last := at.Add(time.Duration(h.r.IntN(60_000)) * time.Millisecond)
			if last.After(looks[name]) {
				looks[name] = last
			}
			events = append(events, h.shopping(name, v, last))
		}
	}
	for _, sale := range h.sold { // what the shop's server says of the sales of the round before, before this one
		when := at.Add(-time.Duration(1+h.r.IntN(1000)) * time.Millisecond)
		if h.r.IntN(2) == 0 {
			twin := *sale
			twin.ID, twin.Source, twin.OccurredAt = h.event(sale.Kind, "", "", when).ID, event.SourceServer, when.UnixMilli()
			twin.Value = euros(float64(h.r.IntN(200)))
			before = append(before, &twin)
		}
		if h.r.IntN(3) == 0 {
			refund := h.event(event.Refund, "", "", when)
			refund.Visitor, refund.Session = privacy.ID{}, privacy.ID{}
			refund.Source, refund.Order, refund.Value = event.SourceServer, sale.Order, event.Amount{Units: int64(h.r.IntN(800_000)), Set: h.r.IntN(4) > 0}
			before = append(before, refund)
		}
	}
	h.sold = h.sold[:0]
	for _, e := range events {
		if e.Kind == event.Purchase && !e.IsBot() {
			h.sold = append(h.sold, e)
		}
	}
	h.bring(append(before, events...)...)
	h.ask(looks)
}

// shopping is one thing that a visitor does.
func (h *rounds) shopping(name string, v int, at time.Time) *event.Event {
	r := h.r
	kinds := []event.Kind{event.PageView, event.ProductView, event.ProductView, event.CartAdd, event.CheckoutStart, event.Purchase, event.Search}
	e := h.event(kinds[r.IntN(len(kinds))], name, fmt.Sprintf("%s session %d", name, at.Unix()/(3*3600)), at)
	if v%3 > 0 {
		e.VisitorSince = at.Add(-time.Duration(v) * 9 * time.Hour).Truncate(24 * time.Hour).UnixMilli()
	}
	word := func(of ...string) privacy.Bucket { return privacy.NewBucket(of[r.IntN(len(of))]) }
	e.Device, e.Country, e.Region, e.Browser, e.OS = word("mobile", "mobile", "desktop", ""), word("DE", "FR", ""), word("DE-BE", ""), word("firefox", "chrome"), word("linux", "")
	e.UTMSource, e.UTMMedium = privacy.NewLabel([]byte([]string{"news", "", "ads"}[r.IntN(3)])), privacy.NewLabel([]byte([]string{"mail", ""}[r.IntN(2)]))
	switch e.Kind {
	case event.ProductView:
		e.Product = privacy.NewLabel(fmt.Appendf(nil, "product-%d", r.IntN(3)))
	case event.CartAdd, event.CheckoutStart:
		e.CartValue = event.Amount{Units: int64(r.IntN(2_000_000)), Set: r.IntN(4) > 0}
	case event.Purchase:
		e.Order, e.Value = hash("order %d", h.n), euros(float64(r.IntN(200)))
	}
	return e
}

// ask is the live path, right after the events of the round are in.
func (h *rounds) ask(looks map[string]time.Time) {
	h.t.Helper()
	var names []string
	var keys []feature.Key
	for name := range looks {
		names, keys = append(names, name), append(keys, feature.Key{Site: "demo", Visitor: hash("%s", name).Bytes()})
	}
	profiles, err := h.reader.Read(h.t.Context(), "demo", keys)
	if err != nil {
		h.t.Fatal(err)
	}
	for i, name := range names {
		visitor, at := hash("%s", name), looks[name]
		values := profiles[i].At(at)
		h.seen[lookKey{visitor, at.UnixMilli()}] = values
		for _, o := range h.st.Offers {
			reason := h.program.Ask(eligibility.Input{
				Site: h.st, Features: &values, Visitor: visitor, Session: hash("any"), Since: profiles[i].Since(), Lane: privacy.LaneDecide, DrawKey: &drawKey,
			}, o.ID, at)
			if reason != eligibility.ReasonNone {
				continue
			}
			day := at.In(h.st.Timezone).Format(time.DateOnly)
			if h.eligible[o.ID] == nil {
				h.eligible[o.ID] = map[string]map[privacy.ID]bool{}
			}
			if h.eligible[o.ID][day] == nil {
				h.eligible[o.ID][day] = map[privacy.ID]bool{}
			}
			h.eligible[o.ID][day][visitor] = true
		}
	}
}

// compareLooks holds each look's features against those of the live path.
func (h *rounds) compareLooks(now time.Time) {
	h.t.Helper()
	in := &replay{Options: h.options(h.st, "everything", 21, now), from: midnight(h.st, now, 20), to: now, memory: queryMemory}
	if err := in.switchOn(); err != nil {
		h.t.Fatal(err)
	}
	if err := in.prepare(in.rules); err != nil {
		h.t.Fatal(err)
	}
	found := 0
	for _, part := range slicesOf(3) {
		looks, err := in.readLooks(h.t.Context(), part)
		if err != nil {
			h.t.Fatal(err)
		}
		for i := range looks {
			l := &looks[i]
			want, ok := h.seen[lookKey{l.visitor, l.at.UnixMilli()}]
			want.OffersShown30d, want.LastOfferMinutes = 0, 0
			if found++; !ok || !alike(l.values, want) {
				h.t.Errorf("look at %s (known %t):\nreplay %+v\nlive   %+v", l.at, ok, l.values, want)
			}
		}
	}
	if found != len(h.seen) {
		h.t.Errorf("%d looks replayed, %d happened", found, len(h.seen))
	}
}

// alike compares features; money may differ in the last bit of a float.
func alike(a, b feature.Features) bool {
	if math.Abs(a.Revenue90d-b.Revenue90d) > 1e-6 || math.Abs(a.CartValue-b.CartValue) > 1e-9 {
		return false
	}
	a.Revenue90d, a.CartValue = b.Revenue90d, b.CartValue
	return a == b
}
