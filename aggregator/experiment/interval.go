package experiment

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// tightest is N*, the number of visitors at which the always-valid interval is least wide in comparison
// with a fixed one (1.55 times; 1.97 times at a tenth of it, 1.66 times at ten times as many). It must not be
// chosen after looking. GrowthBook's default is 5,000; a holdout of a tenth needs hundreds of
// thousands of visitors, so ours is where those experiments are decided.
const tightest = 50_000

// Interval is where the true value is, with 95 % confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Has reports whether x is inside.
func (i Interval) Has(x float64) bool { return i.Low <= x && x <= i.High }

func around(x, half float64) Interval { return Interval{x - half, x + half} }

// Difference is the mean of the treatment less that of the holdout.
type Difference struct {
	Treatment float64  `json:"treatment"` // means
	Holdout   float64  `json:"holdout"`
	Value     float64  `json:"difference"`
	Always    Interval `json:"always_valid"`  // holds at every look
	Fixed     Interval `json:"fixed_horizon"` // holds at one look, planned before the first visitor came
	PAlways   float64  `json:"p_always_valid"`
	PFixed    float64  `json:"p_fixed_horizon"`
	// Relative is the difference in parts of the holdout's mean; nil while that mean is itself too uncertain.
	Relative *Relative `json:"relative,omitempty"`
	// More is how many more visitors, of both arms together, Always needs to leave out zero if the difference
	// stays as it is: 0 when it does already, nil when no number is enough.
	More *uint64 `json:"more_visitors"`
}

// Relative is a difference in parts of the holdout's mean: 0.1 is 10 % more.
type Relative struct {
	Value  float64  `json:"value"`
	Always Interval `json:"always_valid"`
	Fixed  Interval `json:"fixed_horizon"`
}

// certainEnough is how many standard errors a holdout's mean must be away from 0 to divide by it.
const certainEnough = 4

// compare takes the difference within each stratum and weighs it with the stratum's visitors. A stratum
// without two visitors in each arm has nothing to say. ok is false when there is no variance.
func compare(strata []Stratum, metric func(Sums) Mean) (d *Difference, ok bool) {
	d = &Difference{}
	var n float64
	for _, s := range strata {
		if t, h := metric(s.Treatment), metric(s.Holdout); t.N > 1 && h.N > 1 {
			n += t.N + h.N
		}
	}
	var varT, varH, pooled, squares float64 // of the means; the last for the degrees of freedom
	for _, s := range strata {
		t, h := metric(s.Treatment), metric(s.Holdout)
		if t.N <= 1 || h.N <= 1 {
			continue
		}
		w := (t.N + h.N) / n
		d.Treatment += w * t.Mean
		d.Holdout += w * h.Mean
		vt, vh := w*w*t.Variance/t.N, w*w*h.Variance/h.N
		varT, varH = varT+vt, varH+vh
		pooled += w * w * ((t.N-1)*t.Variance + (h.N-1)*h.Variance) / (t.N + h.N - 2) * (1/t.N + 1/h.N)
		squares += vt*vt/(t.N-1) + vh*vh/(h.N-1)
	}
	if !(varT > 0) || !(varH > 0) {
		return nil, false
	}
	freedom := (varT + varH) * (varT + varH) / squares
	variance := max(varT+varH, pooled)
	d.Value = d.Treatment - d.Holdout
	d.Always, d.Fixed = around(d.Value, alwaysHalf(variance, n)), around(d.Value, fixedHalf(variance, freedom))
	d.PAlways, d.PFixed = alwaysP(d.Value, variance, n), fixedP(d.Value, variance, freedom)
	d.More = moreVisitors(d.Value, variance, n)
	if d.Holdout > certainEnough*math.Sqrt(varH) {
		// The delta method: d.Value / d.Holdout has this variance.
		m := d.Holdout
		v := (varT + varH*d.Treatment*d.Treatment/(m*m)) / (m * m) * variance / (varT + varH)
		x := d.Value / m
		d.Relative = &Relative{x, around(x, alwaysHalf(v, n)), around(x, fixedHalf(v, freedom))}
	}
	return d, true
}

// rhoSquared is the parameter of the confidence sequence that makes it tightest at N*:
//
//	rho = sqrt((-2 ln a + ln(-2 ln a + 1)) / N*)
var rhoSquared = (-2*math.Log(alpha) + math.Log(-2*math.Log(alpha)+1)) / tightest

// alwaysHalf is half the width of the asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
// "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 2024; the form that
// GrowthBook uses for sequential tests), for a difference with that variance after n visitors:
//
//	sqrt(s2) * sqrt(2 (n rho^2 + 1) ln(sqrt(n rho^2 + 1) / a) / (n rho)^2),  s2 = variance * n
func alwaysHalf(variance, n float64) float64 {
	m := n*rhoSquared + 1
	return math.Sqrt(variance * n * 2 * m * math.Log(math.Sqrt(m)/alpha) / (n * n * rhoSquared))
}

// alwaysP is the p-value that belongs to alwaysHalf: below alpha exactly when the interval leaves out 0.
//
//	min(1, sqrt(n rho^2 + 1) exp(-rho^2 t2 / (2 (n rho^2 + 1)))),  t2 = n x^2 / variance
func alwaysP(x, variance, n float64) float64 {
	m := n*rhoSquared + 1
	return min(1, math.Sqrt(m)*math.Exp(-rhoSquared*n*x*x/variance/(2*m)))
}

// fixedHalf is half the width of Welch's interval.
func fixedHalf(variance, freedom float64) float64 {
	return math.Sqrt(variance) * studentQuantile(1-alpha/2, freedom)
}

func fixedP(x, variance, freedom float64) float64 {
	return 2 * distuv.StudentsT{Sigma: 1, Nu: freedom}.Survival(math.Abs(x)/math.Sqrt(variance))
}

// manyFreedoms is from where on the first terms of its expansion give Student's quantile to six digits, in a
// hundredth of the time.
const manyFreedoms = 1000

func studentQuantile(p, freedom float64) float64 {
	if freedom < manyFreedoms {
		return distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(p)
	}
	z := distuv.UnitNormal.Quantile(p)
	return z + (z*z*z+z)/(4*freedom) + (5*math.Pow(z, 5)+16*z*z*z+3*z)/(96*freedom*freedom)
}

// farthest bounds every search for a number of visitors: more than there are people.
const farthest = 1e11

// moreVisitors finds where alwaysHalf falls to x, if the variance of a visitor stays what it is.
func moreVisitors(x, variance, n float64) *uint64 {
	needed, ok := firstN(func(k float64) bool { return alwaysHalf(variance*n/k, k) < math.Abs(x) })
	if !ok {
		return nil
	}
	more := uint64(max(0, math.Ceil(needed-n)))
	return &more
}

// firstN returns the smallest number of visitors that is enough, when more are enough too.
func firstN(enough func(n float64) bool) (float64, bool) {
	if !enough(farthest) {
		return 0, false
	}
	low, high := 1.0, farthest
	for high-low > 0.5 {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return math.Ceil(high), true
}
