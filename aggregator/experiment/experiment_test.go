package experiment

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// sums are those of an arm whose visitors have this mean and this sample variance.
func sums(visitors, converted uint64, mean, variance float64) Sums {
	n := float64(visitors)
	return Sums{
		Visitors: visitors, Served: visitors, Shown: visitors, Orders: converted, Converted: converted,
		Revenue: mean * n, RevenueSquared: variance*(n-1) + n*mean*mean,
	}
}

func heldOut(s Sums) Sums {
	s.Served, s.Shown = 0, 0
	return s
}

func TestMeansAreThoseOfTheVisitors(t *testing.T) {
	s := Sums{Visitors: 4, Converted: 2, Orders: 3, Revenue: 10 + 30, RevenueSquared: 100 + 900}
	m := s.RevenuePerVisitor()
	near(t, "mean", m.Mean, 10, 1e-12)
	near(t, "variance", m.Variance, 200, 1e-9) // of 0, 0, 10, 30
	m = s.Conversion()
	near(t, "conversion", m.Mean, 0.5, 1e-12)
	near(t, "its variance", m.Variance, 1.0/3, 1e-12)
	if m := (Sums{}).RevenuePerVisitor(); m != (Mean{}) {
		t.Errorf("nobody has %+v", m)
	}
	if m := (Sums{Visitors: 3, Revenue: 3 * 49.95, RevenueSquared: 3 * 49.95 * 49.95}).RevenuePerVisitor(); m.Variance != 0 {
		t.Errorf("three equal orders have a variance of %g", m.Variance)
	}
}

// The numbers are those of the formulas in the comments, computed elsewhere.
func TestIntervalsAreThoseOfTheirFormulas(t *testing.T) {
	r := Evaluate([]Stratum{{Share: 0.1, Treatment: sums(9000, 300, 2.5, 180), Holdout: heldOut(sums(1000, 30, 1.4, 200))}})
	d := r.Revenue
	if d == nil {
		t.Fatalf("withheld: %s", r.Withheld)
	}
	near(t, "difference", d.Value, 1.1, 1e-9)
	near(t, "always-valid half", d.Always.High-d.Value, 1.5778032, 1e-6)
	near(t, "always-valid p", d.PAlways, 0.2976630, 1e-6)
	near(t, "fixed half", d.Fixed.High-d.Value, 1.961933*math.Sqrt(0.22), 1e-5) // Student's quantile at 1207.45 degrees of freedom
	near(t, "relative", d.Relative.orZero().Value, 0, 0)                        // its mean is 3.1 standard errors from zero
	near(t, "conversion", r.Conversion.Value, 300.0/9000-0.03, 1e-12)

	near(t, "width at N*", alwaysHalf(1.0/tightest, tightest)/(1.959964*math.Sqrt(1.0/tightest)), 1.5486, 1e-4)
	for n := 1000.0; n < 1e7; n *= 3 { // N* is where it is tightest in comparison
		if alwaysHalf(1/n, n)*math.Sqrt(n) < alwaysHalf(1.0/tightest, tightest)*math.Sqrt(tightest)-1e-9 {
			t.Errorf("the interval is relatively tighter at %.0f visitors than at N*", n)
		}
	}
}

func (r *Relative) orZero() Relative {
	if r == nil {
		return Relative{}
	}
	return *r
}

func TestPValueAndIntervalAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		x, v, n := r.NormFloat64(), math.Exp(r.NormFloat64()*3-3), math.Exp(r.Float64()*16)
		if (alwaysP(x, v, n) < alpha) != (math.Abs(x) > alwaysHalf(v, n)) {
			t.Fatalf("difference %g, variance %g, %g visitors: p %g, half %g", x, v, n, alwaysP(x, v, n), alwaysHalf(v, n))
		}
	}
	for freedom := 900.0; freedom < 1e7; freedom *= 1.7 {
		near(t, "Student's quantile", studentQuantile(0.975, freedom), studentQuantile(0.975, freedom+1e-3), 1e-6)
	}
	near(t, "Student's quantile at 1000", studentQuantile(0.975, 1000), 1.962339, 1e-6)
	near(t, "Student's quantile below", studentQuantile(0.975, 999.999), 1.962339, 1e-6)
}

// A holdout that missed every large order has a small variance of its own as well as a small mean.
func TestSmallArmBorrowsTheVarianceOfTheLargeOne(t *testing.T) {
	half := func(varianceOfHoldout float64) float64 {
		r := Evaluate([]Stratum{{Share: 0.1, Treatment: sums(9000, 300, 2.5, 500), Holdout: heldOut(sums(1000, 30, 1.4, varianceOfHoldout))}})
		return r.Revenue.Always.High - r.Revenue.Value
	}
	if lucky, honest := half(20), half(500); lucky < 0.9*honest {
		t.Errorf("half a width of %g with the holdout's own small variance, %g with that of all visitors", lucky, honest)
	}
	if unlucky, honest := half(5000), half(500); unlucky < 2*honest {
		t.Errorf("half a width of %g with a large variance of the holdout, %g without", unlucky, honest)
	}
}

func TestComparisonIsWithheldWithItsReason(t *testing.T) {
	t9, h1 := sums(9000, 300, 2.5, 180), heldOut(sums(1000, 30, 1.4, 200))
	f := func(want Reason, says string, strata ...Stratum) {
		t.Helper()
		r := Evaluate(strata)
		if r.Reason != want || !strings.Contains(r.Withheld, says) || (r.Revenue == nil) != (want != "") || (r.Conversion == nil) != (want != "") {
			t.Errorf("got %q (%s), want %q (%s); revenue %v", r.Reason, r.Withheld, want, says, r.Revenue)
		}
	}
	f("", "", Stratum{0.1, t9, h1})
	f(NobodyYet, "no visitor")
	f(NobodyYet, "no visitor", Stratum{0.1, Sums{}, Sums{}})
	f(NoHoldout, "no holdout", Stratum{0, t9, Sums{}})
	f(NoTreatment, "everybody", Stratum{1, Sums{}, h1})
	f(SampleRatio, "about 2,000", Stratum{0.2, t9, h1})
	f(SampleRatio, "lost in one arm", Stratum{0.1, t9, heldOut(sums(880, 30, 1.4, 200))})
	f(SampleRatio, "", Stratum{0, t9, h1}) // a holdout that nobody asked for
	f("", "", Stratum{0.1, t9, heldOut(sums(950, 30, 1.4, 200))})
	f(TooFew, "19 ordered", Stratum{0.1, t9, heldOut(sums(1000, 19, 1.4, 200))})
	f(TooFew, "the treatment has 90 visitors", Stratum{0.5, sums(90, 30, 1, 1), heldOut(sums(120, 30, 1, 1))})
	f(TooFew, "holdout has 0 visitors", Stratum{0.1, sums(20, 20, 1, 1), Sums{}})
	everybodyPays := Sums{Visitors: 200, Converted: 200, Orders: 200, Revenue: 200 * 50, RevenueSquared: 200 * 2500}
	f(NoVariance, "the same", Stratum{0.5, everybodyPays, heldOut(everybodyPays)})
}

func TestWarningsNameWhatHidesAnEffect(t *testing.T) {
	base := Stratum{0.1, sums(9000, 300, 2.5, 180), heldOut(sums(1000, 30, 1.4, 200))}
	f := func(says string, change func(*Stratum)) {
		t.Helper()
		s := base
		change(&s)
		w := strings.Join(Evaluate([]Stratum{s}).Warnings, "\n")
		if says == "" && w != "" || !strings.Contains(w, says) {
			t.Errorf("got %q, want %q", w, says)
		}
	}
	f("", func(*Stratum) {})
	f("given the offer later", func(s *Stratum) { s.Holdout.Served = 3 })
	f("shows it without asking", func(s *Stratum) { s.Holdout.Shown = 3 })
	f("most never saw it", func(s *Stratum) { s.Treatment.Shown = 12 })
	f("7 amounts", func(s *Stratum) { s.Treatment.Unconverted, s.Holdout.Unconverted = 5, 2 })
}

// Two shares in one experiment: an early stratum with few buyers and a late one with many must not be
// mistaken for an effect, as they would be when simply added up.
func TestStrataAreComparedWithinThemselves(t *testing.T) {
	r := Evaluate([]Stratum{
		{0.05, sums(19000, 190, 1, 100), heldOut(sums(1000, 30, 1, 100))},
		{0.5, sums(10000, 900, 9, 100), heldOut(sums(10000, 900, 9, 100))},
	})
	if r.Revenue == nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "2 shares") {
		t.Fatalf("%+v", r)
	}
	near(t, "difference", r.Revenue.Value, 0, 1e-9)
	near(t, "relative", r.Revenue.Relative.Value, 0, 1e-9)
	if raw := r.Treatment.RevenuePerVisitor().Mean - r.Holdout.RevenuePerVisitor().Mean; raw > -4 {
		t.Errorf("the strata are too alike for this test: %g", raw)
	}
}

func TestMoreVisitorsAreThoseThatMakeTheIntervalLeaveOutZero(t *testing.T) {
	const variance, n = 0.22, 10_000
	more := moreVisitors(1.1, variance, n)
	at := n + float64(*more)
	if alwaysHalf(variance*n/at, at) >= 1.1 || alwaysHalf(variance*n/(at-2), at-2) < 1.1 {
		t.Errorf("with %d more visitors the interval is %g wide", *more, alwaysHalf(variance*n/at, at))
	}
	if more := moreVisitors(5, variance, n); *more != 0 {
		t.Errorf("%d more for a difference that is clear already", *more)
	}
	if more := moreVisitors(0, variance, n); more != nil {
		t.Errorf("%d visitors show that nothing is something", *more)
	}
}

// Whatever the sums are, what is printed and written as JSON is made of numbers.
func FuzzResultHasNumbersOnly(f *testing.F) {
	f.Add(uint64(9000), uint64(1000), uint64(300), uint64(30), 0.1, 1e5, 1e3, 1e9, 1e6)
	f.Add(uint64(1), uint64(0), uint64(1), uint64(0), 1.0, 1.0, 0.0, 1.0, 0.0)
	f.Add(uint64(1<<40), uint64(1<<40), uint64(100), uint64(100), 0.5, 1e34, 1e-300, 1e60, 1e-300)
	f.Fuzz(func(t *testing.T, nT, nH, cT, cH uint64, share, rT, rH, sT, sH float64) {
		s := Stratum{Share: share, Treatment: Sums{Visitors: nT, Converted: cT, Revenue: rT, RevenueSquared: sT}, Holdout: Sums{Visitors: nH, Converted: cH, Revenue: rH, RevenueSquared: sH}}
		if !(math.Abs(rT)+math.Abs(rH)+math.Abs(sT)+math.Abs(sH) < 1e80) || share < 0 || share > 1 || math.IsNaN(share) {
			return // ClickHouse adds up decimals
		}
		r := Evaluate([]Stratum{s, s})
		if _, err := json.Marshal(r); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
	})
}
