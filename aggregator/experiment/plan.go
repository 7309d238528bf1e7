package experiment

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// power is how often a planned experiment should find an effect that is there.
const power = 0.8

// Holdouts are the shares that a plan is made for.
var Holdouts = []float64{0.05, 0.1, 0.2, 0.5}

// Baseline is what is known before an offer is switched on, of those who would be eligible for it.
type Baseline struct {
	VisitorsPerDay float64 // who are eligible for the first time
	Mean, Variance float64 // of one visitor without the offer: of the revenue, or p and p(1-p) of conversion
	// Longest is the number of days after which assignments are deleted (retention.profiles of the site), and the
	// experiment with them; 0 = no bound.
	Longest int
}

// Plan says how long an experiment with one share of the holdout takes.
type Plan struct {
	Holdout float64 `json:"holdout"`
	Watched Need    `json:"watched"` // read every day with the always-valid interval, as `report` does
	Once    Need    `json:"once"`    // read once, on the day that was fixed before
}

// Need is a number of visitors, of both arms together, and the days in which they come. Never says in words
// why that will not happen; it is empty when it will.
type Need struct {
	Visitors uint64 `json:"visitors,omitempty"`
	Days     int    `json:"days,omitempty"`
	Never    string `json:"never,omitempty"`
}

// PlanFor says how long it takes to detect that the offer multiplies the metric by 1+lift, in four of five
// experiments, with that share of the holdout.
//
// For one look it is the usual sample size for arms of different sizes, N = (z(1-a/2) + z(power))^2 (sH/h + sT/(1-h)) / effect^2. The
// watched one lasts until the always-valid interval leaves out zero with the same power. The lift is taken to come from
// more orders of the same sizes, so the variance of the treatment is a little larger.
func PlanFor(b Baseline, lift, holdout float64) Plan {
	p := Plan{Holdout: holdout}
	if never := impossible(b, lift, holdout); never != "" {
		p.Watched.Never, p.Once.Never = never, never
		return p
	}
	effect := math.Abs(lift * b.Mean)
	treated := (1 + lift) * b.Mean
	varT := max(0, (1+lift)*(b.Variance+b.Mean*b.Mean)-treated*treated)
	perVisitor := b.Variance/holdout + varT/(1-holdout) // variance of the difference, times the visitors
	z := distuv.UnitNormal.Quantile(power)
	once := math.Pow((distuv.UnitNormal.Quantile(1-alpha/2)+z)/effect, 2) * perVisitor
	// The report takes the pooled variance where it is larger, as it is with a small holdout.
	asReported := max(perVisitor, (holdout*b.Variance+(1-holdout)*varT)/(holdout*(1-holdout)))
	watched, ok := firstN(func(n float64) bool {
		return alwaysHalf(asReported/n, n)+z*math.Sqrt(perVisitor/n) <= effect
	})
	if !ok {
		watched = math.Inf(1)
	}
	p.Once, p.Watched = b.need(once), b.need(watched)
	return p
}

// Plans are those for all Holdouts.
func Plans(b Baseline, lift float64) []Plan {
	plans := make([]Plan, len(Holdouts))
	for i, h := range Holdouts {
		plans[i] = PlanFor(b, lift, h)
	}
	return plans
}

func impossible(b Baseline, lift, holdout float64) string {
	bad := func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
	switch {
	case holdout <= 0 || bad(holdout):
		return "never: without a holdout there is nobody to compare with"
	case holdout >= 1:
		return "never: with everybody held out there is nobody to compare"
	case !(b.VisitorsPerDay > 0) || bad(b.VisitorsPerDay):
		return "never: no visitor would have been eligible"
	case !(b.Mean > 0) || bad(b.Mean):
		return "never: those eligible ordered nothing, so nothing can be said of a part more"
	case !(b.Variance > 0) || bad(b.Variance):
		return "never: every visitor brought the same, so their variance is not known"
	case lift == 0 || lift <= -1 || bad(lift):
		return "never: there is no such lift to detect"
	}
	return ""
}

// longestDays is as long as any plan makes sense: ten years.
const longestDays = 3650

// need turns visitors into days of this shop's traffic.
func (b Baseline) need(visitors float64) Need {
	days := math.Ceil(visitors / b.VisitorsPerDay)
	longest, why := float64(longestDays), "ten years are too long"
	if b.Longest > 0 && b.Longest < longestDays {
		longest, why = float64(b.Longest), fmt.Sprintf("assignments are kept for %d days (retention.profiles)", b.Longest)
	}
	switch {
	case visitors > farthest:
		return Need{Never: "never: the effect is too small to be seen at all"}
	case days > longest:
		return Need{Visitors: uint64(math.Ceil(visitors)), Never: fmt.Sprintf("never: it would take %.0f days, and %s", days, why)}
	}
	return Need{Visitors: uint64(math.Ceil(visitors)), Days: int(days)}
}
