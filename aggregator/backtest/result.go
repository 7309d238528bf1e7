package backtest

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"beckon/aggregator/experiment"
	"beckon/internal/site"
)

// Result is what a backtest found. Its JSON is documented in docs/decisions.md; fields are only added.
type Result struct {
	Site     string    `json:"site"`
	Offer    string    `json:"offer"`
	Title    string    `json:"title"`
	Rule     string    `json:"rule"` // "welcome-back@3f2a9c1d"
	When     string    `json:"when"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Timezone string    `json:"timezone"`
	Currency string    `json:"currency"`
	Holdout  float64   `json:"holdout"`
	Events   uint64    `json:"events"` // that were replayed

	Days  []Day `json:"days"`
	Total Day   `json:"total"` // sums of the days: a visitor of two days is in it twice

	VisitorsEligible uint64    `json:"visitors_eligible"` // different visitors of the whole period
	VisitorsServed   uint64    `json:"visitors_served"`
	VisitorsHeldOut  uint64    `json:"visitors_held_out"`
	Overlap          []Overlap `json:"overlap"`
	Failed           uint64    `json:"looks_failed"` // looks at which the rule failed, as in a division by zero

	Baseline Baseline `json:"baseline"`
	Plans    Plans    `json:"plans"`
	Warnings []string `json:"warnings"`
	Limits   []string `json:"limits"` // what a replay cannot know
}

// Day is one calendar day of the shop.
type Day struct {
	Day       string  `json:"day,omitempty"`
	Partial   bool    `json:"partial,omitempty"` // history begins or ends within it
	Visitors  uint64  `json:"visitors"`          // in lane decide
	Eligible  uint64  `json:"eligible"`          // of them, who met the rule and the terms, whatever they were served before
	Exposures uint64  `json:"exposures"`         // first serves, after rank, cap, cooldown and holdout
	HeldOut   uint64  `json:"held_out"`          // assignments to the holdout
	Orders    uint64  `json:"orders"`            // placed while such a serve was valid
	Revenue   float64 `json:"revenue"`           // of these orders, less refunds, before the discount
	Cost      float64 `json:"cost"`              // the discount on them
}

// Overlap is another offer that was open to visitors at a moment at which this one was.
type Overlap struct {
	Offer    string `json:"offer"`
	Visitors uint64 `json:"visitors"`
	Won      uint64 `json:"won"` // of them, to whom the other one went at such a moment
}

// Baseline is what those who would have been in the experiment did without it, from their first assignment to
// the end of the period.
type Baseline struct {
	VisitorsPerDay    float64         `json:"visitors_per_day"`
	RevenuePerVisitor float64         `json:"revenue_per_visitor"`
	Conversion        float64         `json:"conversion"`
	Sums              experiment.Sums `json:"sums"`
}

// Plans says how long it would take to detect a lift, for each share of the holdout.
type Plans struct {
	Lift       float64           `json:"lift"`
	Revenue    []experiment.Plan `json:"revenue_per_visitor"`
	Conversion []experiment.Plan `json:"conversion"`
}

// begin lays out the days.
func (in *replay) begin() {
	in.result = &Result{
		Site: in.Site.ID, Offer: in.offer.ID, Title: in.offer.Title, When: in.offer.When, From: in.from, To: in.to,
		Timezone: in.Site.Timezone.String(), Currency: in.Site.Currency, Warnings: []string{}, Limits: []string{},
	}
	in.tally = tally{days: map[string]*Day{}, overlap: map[string]*Overlap{}}
	for day := in.from; day.Before(in.to); day = day.AddDate(0, 0, 1) {
		text := day.Format(time.DateOnly)
		in.tally.days[text] = &Day{Day: text, Partial: day.AddDate(0, 0, 1).After(in.to)}
	}
	for _, r := range in.rules {
		if r.Offer.ID != in.offer.ID {
			in.tally.overlap[r.Offer.ID] = &Overlap{Offer: r.Offer.ID}
		} else {
			in.result.Rule = r.Version
		}
	}
}

// finish adds up and says what there is to say.
func (in *replay) finish() {
	r := in.result
	firstDay := in.tally.first.In(in.Site.Timezone).Format(time.DateOnly)
	for _, d := range in.tally.days {
		d.Partial = d.Partial || d.Day == firstDay && d.Day != in.from.Format(time.DateOnly)
		r.Days = append(r.Days, *d)
	}
	slices.SortFunc(r.Days, byDay)
	for _, d := range r.Days {
		r.Total.add(d)
	}
	for _, rule := range in.rules {
		if o := in.tally.overlap[rule.Offer.ID]; o != nil && rule.Offer.Enabled {
			r.Overlap = append(r.Overlap, *o)
		}
	}
	in.warn(firstDay)
	began := in.from
	if in.tally.first.After(began) {
		began = in.tally.first
	}
	in.plans(max(in.to.Sub(began).Hours()/24, 1))
	in.limits()
}

func (d *Day) add(o Day) {
	d.Visitors += o.Visitors
	d.Eligible += o.Eligible
	d.Exposures += o.Exposures
	d.HeldOut += o.HeldOut
	d.Orders += o.Orders
	d.Revenue += o.Revenue
	d.Cost += o.Cost
}

func (in *replay) warn(firstDay string) {
	r := in.result
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if firstDay > in.from.Format(time.DateOnly) {
		warn("history begins on %s: days before it are empty, and windows that reach behind it are short", firstDay)
	}
	if keeps := in.from.Add(-30 * 24 * time.Hour); keeps.Before(in.to.Add(-in.Site.Profiles)) {
		warn("what is known of visitors is kept for %.0f days (retention.profiles): in the first days of the period windows of 30 days reach behind that", in.Site.Profiles.Hours()/24)
	}
	if r.Failed > 0 {
		warn("the rule failed at %d looks (such as a division by zero): nobody gets the offer there, and the reason is ERROR", r.Failed)
	}
	if r.VisitorsEligible == 0 {
		warn("nobody would have been eligible")
	}
	if in.offer.Kind == site.FreeShipping {
		warn("the cost is the shipping that orders report, which many shops leave out")
	}
}

// limits tells what the figures leave out.
func (in *replay) limits() {
	r := in.result
	r.Limits = append(r.Limits,
		"visitors did what they did without the offer: nobody is taken to buy more because of it, and every order placed while it was valid is taken to use it",
		"a look is right after the last event of a minute, by the time at which events happened; a storefront asks at a moment of its own",
		"the replay begins with nobody served, and with the sites file of today: what was really served in that time has no part in it",
	)
	for _, rule := range in.rules {
		if rule.Offer.ID == in.offer.ID && slices.Contains(rule.Reads, "minutes_since_last_seen") {
			r.Limits = append(r.Limits, "minutes_since_last_seen is 0 at every look, because a look follows an event; a rule that waits for a pause finds nobody here")
		}
	}
	if in.offer.AppliesTo != nil {
		r.Limits = append(r.Limits, "the discount is taken on the whole order, not only on "+fmt.Sprintf("%q", in.offer.AppliesTo))
	}
}

// WriteJSON writes r for programs.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
