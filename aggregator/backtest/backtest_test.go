package backtest

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
)

const offers = `
      - {id: welcome-back, title: 10% off, enabled: false, starts: 2999-01-01, when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0, discount: {percent: 10}, cooldown: 7d, valid_for: 30m, priority: 10}
      - {id: large-cart, when: visitor.cart_value >= 100, discount: {amount: 15}, min_cart_value: 100, priority: 20}
      - {id: off, enabled: false, when: "true", discount: {percent: 1}, priority: 99}
      - {id: ratio, when: visitor.pageviews_1d / (visitor.pageviews_7d - 1) >= 0 && visitor.sessions_7d == 2, discount: {percent: 1}, priority: 1}
`

// A history small enough to say by hand what must come out.
func TestHistoryOfKnownAnswers(t *testing.T) {
	s := newShop(t)
	st := sites(t, offers)
	now := time.Now()
	at := func(ago, hour, minute int) time.Time {
		return midnight(st, now, ago).Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	view := func(visitor, session string, at time.Time) *event.Event {
		return s.event(event.PageView, visitor, session, at)
	}
	buy := func(visitor, session string, at time.Time, value float64) *event.Event {
		e := s.event(event.Purchase, visitor, session, at)
		e.Order, e.Value, e.Shipping = hash("order of %s", visitor), euros(value), euros(4.9)
		return e
	}
	cart := func(visitor, session string, at time.Time, value float64) *event.Event {
		e := s.event(event.CartAdd, visitor, session, at)
		e.CartValue = euros(value)
		return e
	}
	bot := view("bot", "bot2", at(3, 10, 0))
	bot.Bot = privacy.NewBucket("crawler")
	counted := view("counted", "counted2", at(3, 10, 0))
	counted.Lane, counted.Session = privacy.LaneCount, privacy.ID{}
	fromServer := view("ann", "ann3", at(2, 12, 0)) // the shop's server knows of a third session: nobody was there to be asked
	fromServer.Source = event.SourceServer
	refund := s.event(event.Refund, "ben", "ben3", at(0, 0, 0))
	refund.Source, refund.Order, refund.Value = event.SourceServer, hash("order of ben"), euros(20)
	s.bring(
		// Ann comes back, is eligible from her second session on until she orders, under the grant.
		view("ann", "ann1", at(3, 10, 0)), view("ann", "ann2", at(3, 15, 0)), buy("ann", "ann2", at(3, 15, 10), 80), fromServer,
		// Ben comes back twice, within the cooldown the second time, and orders later, less a refund.
		view("ben", "ben1", at(5, 10, 0)), view("ben", "ben2", at(3, 0, 5)), view("ben", "ben3", at(2, 23, 55)), buy("ben", "ben3", at(1, 9, 0), 50), refund,
		// Cid ordered 60 days ago.
		buy("cid", "cid0", at(60, 9, 0), 500), view("cid", "cid1", at(3, 9, 0)), view("cid", "cid2", at(3, 19, 0)),
		// Dee comes back and has a large cart: the other offer wins, until it is in its own cooldown.
		view("dee", "dee1", at(2, 9, 0)), cart("dee", "dee2", at(2, 19, 0), 150), view("dee", "dee2", at(2, 19, 45)),
		// Nobody is asked about these.
		view("bot", "bot1", at(3, 9, 0)), bot, view("counted", "counted1", at(3, 9, 0)), counted,
	)
	r, err := Run(t.Context(), s.options(st, "welcome-back", 6, now))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]Day{
		5: {Visitors: 1},
		4: {},
		3: {Visitors: 5, Eligible: 2, Exposures: 2, Orders: 1, Revenue: 80, Cost: 8},
		2: {Visitors: 2, Eligible: 2, Exposures: 1},
		1: {Visitors: 1},
		0: {Partial: true},
	}
	if len(r.Days) != 6 {
		t.Fatalf("%d days: %+v", len(r.Days), r.Days)
	}
	for ago, w := range want {
		w.Day = at(ago, 0, 0).Format(time.DateOnly)
		w.Partial = w.Partial || ago == 5 // history begins within it, for all that is known
		got := r.Days[5-ago]
		if got.Partial = got.Partial || ago == 5; got != w {
			t.Errorf("%d days ago:\ngot  %+v\nwant %+v", ago, got, w)
		}
	}
	if r.VisitorsEligible != 3 || r.VisitorsServed != 3 || r.VisitorsHeldOut != 0 || r.Failed != 0 {
		t.Errorf("%d eligible, %d served, %d held out, %d failed, want 3, 3, 0, 0", r.VisitorsEligible, r.VisitorsServed, r.VisitorsHeldOut, r.Failed)
	}
	if sums := r.Baseline.Sums; sums.Visitors != 3 || sums.Orders != 2 || sums.Converted != 2 || math.Abs(sums.Revenue-110) > 1e-9 || math.Abs(sums.RevenueSquared-(80*80+30*30)) > 1e-9 {
		t.Errorf("baseline %+v, want 3 visitors who ordered for 80 and 30", sums)
	}
	// large-cart: Dee at 19:00, won. ratio: at Ann's second session (2 / 1) and Ben's, behind in rank. Dee has none: 1/0 at her first look.
	wantOverlap := map[string]Overlap{"large-cart": {Visitors: 1, Won: 1}, "ratio": {Visitors: 3}}
	for _, o := range r.Overlap {
		w := wantOverlap[o.Offer]
		if w.Offer = o.Offer; o != w {
			t.Errorf("overlap %+v, want %+v", o, w)
		}
		delete(wantOverlap, o.Offer)
	}
	if len(wantOverlap) > 0 {
		t.Errorf("no overlap with %v", wantOverlap)
	}
	if r, err := Run(t.Context(), s.options(st, "ratio", 6, now)); err != nil || r.Failed == 0 || !strings.Contains(strings.Join(r.Warnings, "\n"), "the rule failed at") {
		t.Errorf("a rule that divides by zero: %v, %d looks failed, %q", err, r.Failed, r.Warnings)
	}
}

func TestWhatCannotBeReplayedIsSaidInPlainWords(t *testing.T) {
	s := newShop(t)
	st := sites(t, offers+"      - {id: winter, audience: everyone, discount: {free_shipping: true}}\n")
	f := func(offer string, is error, want string) {
		t.Helper()
		_, err := Run(t.Context(), s.options(st, offer, 30, time.Now()))
		if !errors.Is(err, is) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", offer, err, want)
		}
	}
	f("welcome-bak", ErrNoOffer, `site demo has no offer "welcome-bak"; did you mean "welcome-back"?`)
	f("zzz", ErrNoOffer, `it has ["welcome-back" "large-cart" "off" "ratio" "winter"]`)
	f("winter", ErrNoOffer, "winter is for everyone: it looks at no visitor")
	if err := s.conn.Exec(t.Context(), "CREATE DATABASE empty"); err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"nowhere", "empty"} {
		o := s.options(st, "welcome-back", 30, time.Now())
		o.Database = database
		if _, err := Run(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "ClickHouse has no tables of Beckon in the database "+database) {
			t.Errorf("%s: %v", database, err)
		}
	}
	f("welcome-back", ErrNoHistory, "site demo has no events of people in lane decide between")
}

// TestWhatWasServedCountsInWhatFollows is about the part of a replay that depends on itself: clocks, counts, the draw.
func TestWhatWasServedCountsInWhatFollows(t *testing.T) {
	s := newShop(t)
	st := sites(t, `
      - {id: capped, when: "true", discount: {percent: 1}, cooldown: 0s, valid_for: 1m, cap: 2}
      - {id: daily, when: visitor.last_offer_minutes >= 1440, discount: {percent: 1}, cooldown: 0s, valid_for: 1m}
      - {id: thrice, when: visitor.offers_shown_30d < 3, discount: {percent: 1}, cooldown: 0s, valid_for: 1m}
      - {id: gamed, when: "true", discount: {percent: 1}, cooldown: 0s, valid_for: 1m, abandoner: 1}
      - {id: drawn, when: "true", discount: {percent: 1}, holdout: 50%, experiment: 3}
      - {id: hostile, when: 'visitor.country != "{visits} {first} ?'' $1"', discount: {percent: 1}}
`)
	for _, o := range st.Offers {
		o.Enabled = false
	}
	now := time.Now()
	noon := midnight(st, now, 3).Add(12 * time.Hour)
	var events []*event.Event
	for i := range 6 { // every eight hours, each time in a new session, with two pages
		at := noon.Add(time.Duration(i) * 8 * time.Hour)
		session := "session " + at.String()
		events = append(events, s.event(event.PageView, "regular", session, at), s.event(event.PageView, "regular", session, at.Add(5*time.Minute)))
	}
	const many = 60
	for i := range many {
		events = append(events, s.event(event.PageView, "other "+string(rune('A'+i)), "any", noon))
	}
	s.bring(events...)
	f := func(offer string, wantExposures, wantHeldOut uint64) {
		t.Helper()
		r, err := Run(t.Context(), s.options(st, offer, 4, now))
		if err != nil {
			t.Fatal(err)
		}
		if r.Total.Exposures != wantExposures || r.Total.HeldOut != wantHeldOut || r.VisitorsEligible != many+1 {
			t.Errorf("%s: %d exposures, %d held out, %d eligible, want %d, %d, %d", offer, r.Total.Exposures, r.Total.HeldOut, r.VisitorsEligible, wantExposures, wantHeldOut, many+1)
		}
	}
	f("capped", many+2, 0)
	f("daily", many+2, 0) // at once, and a day later
	f("thrice", many+3, 0)
	f("gamed", many+1, 0)
	f("hostile", many+1, 0)
	st.Offer("drawn").Enabled = true
	program, held := mustCompile(t, st), uint64(0)
	for i := range many + 1 {
		name := "regular"
		if i < many {
			name = "other " + string(rune('A'+i))
		}
		v := program.Evaluate(eligibility.Input{
			Site: st, Features: &feature.Features{}, Visitor: hash("%s", name), Session: hash("any"), Lane: privacy.LaneDecide, DrawKey: &drawKey,
		}, now)
		if v.Arm == feature.HeldOut {
			held++
		}
	}
	if held < many/4 || held > many*3/4 {
		t.Fatalf("%d of %d held out: the draw is not fair, or the test is not", held, many+1)
	}
	f("drawn", many+1-held, held)
}
