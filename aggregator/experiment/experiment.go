// Package experiment is about the question whether an offer earned anything: it compares the visitors
// who were given it with those whom the draw held out.
//
// It works on sums that merge by addition (how many visitors, how much revenue, how much revenue squared),
// so that ClickHouse adds up and Go does the statistics, in one place that a simulation can try.
// What each number means is told once, in docs/experiments.md.
//
// Promises. The interval called Always holds at every look: whoever reads the report every day and stops
// when it leaves out zero is wrong in at most one of twenty experiments, which Fixed does not promise. A
// comparison whose arms are not of the size that the draw should give them is withheld, with the reason; so is
// one with too few visitors or orders. No number is ever NaN or infinite.
//
// Place in the path: the view report_lift in, Result out to the command `report`. Plan, which the
// backtest asks before an offer is switched on, is the same arithmetic the other way round.
package experiment

import "fmt"

const (
	alpha = 0.05 // every interval holds with 95 %

	// Below these the intervals are not shown. Revenue is mostly zeros and a few large orders: with ten
	// orders in an arm neither its mean nor its variance is known. bench/stats measures coverage with them.
	minVisitors  = 100
	minConverted = 20
)

// Sums is what is known of one arm, or of a part of it, such as the visitors of one day.
type Sums struct {
	Visitors       uint64  `json:"visitors"`  // assigned to the arm, each once
	Served         uint64  `json:"served"`    // of them, who were given the offer in an answer
	Shown          uint64  `json:"shown"`     // of them, whose browser reported that it showed the offer
	Orders         uint64  `json:"orders"`    // placed after the assignment
	Converted      uint64  `json:"converted"` // visitors with such an order
	Unconverted    uint64  `json:"unconverted"`
	Revenue        float64 `json:"revenue"` // of these orders, less refunds
	RevenueSquared float64 `json:"revenue_squared"`
}

// Add returns the sums of both parts, which have no visitor in common.
func (s Sums) Add(o Sums) Sums {
	return Sums{
		s.Visitors + o.Visitors, s.Served + o.Served, s.Shown + o.Shown, s.Orders + o.Orders, s.Converted + o.Converted,
		s.Unconverted + o.Unconverted, s.Revenue + o.Revenue, s.RevenueSquared + o.RevenueSquared,
	}
}

// Mean is a mean over visitors, with the variance among them.
type Mean struct {
	N        float64
	Mean     float64
	Variance float64 // of one visitor; 0 when it cannot be told from 0
}

// RevenuePerVisitor is the revenue of an assigned visitor, whether they ordered or not.
func (s Sums) RevenuePerVisitor() Mean {
	return meanOf(float64(s.Visitors), s.Revenue, s.RevenueSquared)
}

// Conversion is the share of the assigned visitors who ordered.
func (s Sums) Conversion() Mean {
	return meanOf(float64(s.Visitors), float64(s.Converted), float64(s.Converted))
}

// rounding is what may be left of a variance of 0, in parts of the squares that it is computed from.
const rounding = 1e-9

func meanOf(n, sum, squares float64) Mean {
	if n == 0 {
		return Mean{}
	}
	m := Mean{N: n, Mean: sum / n}
	if spread := squares - sum*m.Mean; n > 1 && spread > rounding*squares {
		m.Variance = spread / (n - 1)
	}
	return m
}

// Stratum is the visitors who were assigned while the holdout had one share. An experiment has one
// stratum, unless somebody changed the share in the middle of it.
type Stratum struct {
	Share              float64 // of the holdout, as configured when they were assigned
	Treatment, Holdout Sums
}

// Result is what can be said of an experiment.
type Result struct {
	Treatment Sums       `json:"treatment"`
	Holdout   Sums       `json:"holdout"`
	Ratio     RatioCheck `json:"sample_ratio"`
	// Withheld says why there is no comparison, in words of its own; Reason is the word for programs. Both
	// are empty when there is one.
	Reason     Reason      `json:"reason,omitempty"`
	Withheld   string      `json:"withheld,omitempty"`
	Revenue    *Difference `json:"revenue_per_visitor,omitempty"`
	Conversion *Difference `json:"conversion,omitempty"`
	Warnings   []string    `json:"warnings,omitempty"`
}

// Reason names why a comparison is withheld. The list is closed.
type Reason string

// The reasons.
const (
	NobodyYet   Reason = "nobody-yet"   // no visitor was eligible
	NoHoldout   Reason = "no-holdout"   // every visitor is given the offer
	NoTreatment Reason = "no-treatment" // no visitor is
	SampleRatio Reason = "sample-ratio" // the arms are not of the sizes that the draw gives them
	TooFew      Reason = "too-few"      // visitors or orders
	NoVariance  Reason = "no-variance"  // every visitor of an arm brought the same
)

// Evaluate compares the arms.
func Evaluate(strata []Stratum) Result {
	var r Result
	for _, s := range strata {
		r.Treatment, r.Holdout = r.Treatment.Add(s.Treatment), r.Holdout.Add(s.Holdout)
	}
	r.Ratio = checkRatio(strata)
	r.Warnings = warnings(strata, r.Treatment, r.Holdout)
	if r.Reason, r.Withheld = withhold(strata, &r); r.Reason != "" {
		return r
	}
	var ok [2]bool
	r.Revenue, ok[0] = compare(strata, Sums.RevenuePerVisitor)
	r.Conversion, ok[1] = compare(strata, Sums.Conversion)
	if !ok[0] || !ok[1] {
		r.Revenue, r.Conversion = nil, nil
		r.Reason, r.Withheld = NoVariance, "every visitor of an arm brought the same, which no interval can be made of"
	}
	return r
}

// withhold says why there can be no comparison, "" when there can.
func withhold(strata []Stratum, r *Result) (Reason, string) {
	t, h := r.Treatment, r.Holdout
	shares := func(is float64) bool {
		for _, s := range strata {
			if s.Share != is {
				return false
			}
		}
		return true
	}
	switch {
	case t.Visitors+h.Visitors == 0:
		return NobodyYet, "no visitor was eligible for this offer yet"
	case h.Visitors == 0 && shares(0):
		return NoHoldout, "the offer has no holdout: everybody eligible was given it, and nobody is left to compare with"
	case t.Visitors == 0 && shares(1):
		return NoTreatment, "the holdout is everybody: nobody was given the offer"
	case r.Ratio.Failed():
		return SampleRatio, fmt.Sprintf(
			"the holdout has %s visitors where the draw should give about %s; chance does that once in %s times. Visitors are lost in one arm (decisions that are not recorded, an erasure of one arm, bots "+
				"that one arm keeps out), so the arms are not alike and what differs between them need not be the offer", thousands(float64(h.Visitors), 0), thousands(r.Ratio.Expected, 0), oneIn(r.Ratio.P))
	}
	for _, arm := range []struct {
		name string
		is   Sums
	}{{"holdout", h}, {"treatment", t}} {
		if arm.is.Visitors < minVisitors || arm.is.Converted < minConverted {
			return TooFew, fmt.Sprintf("too early: the %s has %d visitors of whom %d ordered, at least %d and %d are needed in each arm",
				arm.name, arm.is.Visitors, arm.is.Converted, minVisitors, minConverted)
		}
	}
	return "", ""
}

func warnings(strata []Stratum, t, h Sums) (w []string) {
	if len(strata) > 1 {
		w = append(w, fmt.Sprintf("the share of the holdout was changed within this experiment (%d shares): visitors are compared with those of the same share, and some changed arms, "+
			"which hides a part of the effect. Count `experiment` up in the sites file when you change `holdout`", len(strata)))
	}
	if h.Served > 0 {
		w = append(w, fmt.Sprintf("%d visitors of the holdout were given the offer later, which hides a part of the effect: the share of the holdout was lowered within the experiment, "+
			"or a replica has another sites file", h.Served))
	}
	if h.Shown > 0 {
		w = append(w, fmt.Sprintf("%d visitors of the holdout were shown the offer all the same (offer_shown): the page shows it without asking, or from a cache", h.Shown))
	}
	if t.Visitors >= minVisitors && float64(t.Shown) < float64(t.Served)/2 {
		w = append(w, fmt.Sprintf("only %s of the %s visitors who were given the offer reported that it was shown: most never saw it, or the page does not send offer_shown", thousands(float64(t.Shown), 0), thousands(float64(t.Served), 0)))
	}
	if n := t.Unconverted + h.Unconverted; n > 0 {
		w = append(w, fmt.Sprintf("%d amounts in a currency without a known rate are missing from the revenue", n))
	}
	return w
}

func oneIn(p float64) string {
	if p < 1e-9 {
		return "over a billion"
	}
	return thousands(1/p, 0)
}
