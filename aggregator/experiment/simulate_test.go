package experiment_test

import (
	"math"
	"testing"

	"beckon/aggregator/experiment"
	"beckon/aggregator/experiment/simulate"
)

// shop has few buyers, baskets of very different sizes, buyers who come back, and refunds: what makes
// intervals fail.
func shop() simulate.Shop {
	return simulate.Shop{
		Days: 40, VisitorsPerDay: 1500, Holdout: 0.1, Conversion: 0.025, Again: 0.1, Delay: 0.4, Refunded: 0.05,
		Basket: simulate.Basket{Median: 45, Sigma: 1.1, Bulk: 0.005, BulkTimes: 15},
	}
}

// most is the number of n experiments that a share of 5 % reaches by chance in one of a thousand runs.
func most(n int) int { return int(float64(n)*0.05 + 3.1*math.Sqrt(float64(n)*0.05*0.95)) }

const experiments = 400

func TestNothingIsFoundWhereThereIsNothingHoweverOftenOneLooks(t *testing.T) {
	for _, holdout := range []float64{0.05, 0.1, 0.5} {
		s := shop()
		s.Holdout = holdout
		got := s.Run(experiments, 1)
		t.Logf("holdout %g: %d false alarms in %d experiments, %d by the fixed interval; %d looks", holdout, got.AlarmAlways, experiments, got.AlarmFixed, got.Looks)
		if got.AlarmAlways > most(experiments) || got.MissConversion > most(experiments) {
			t.Errorf("holdout %g: %d false alarms of revenue, %d of conversion in %d experiments, at most %d are chance", holdout, got.AlarmAlways, got.MissConversion, experiments, most(experiments))
		}
		if got.Looks < 15*experiments {
			t.Errorf("holdout %g: a comparison at %d looks only", holdout, got.Looks)
		}
	}
}

// This is what the always-valid interval is for, and it shows that the simulation can tell: an interval for one
// look, read every day, is wrong far more often than it says.
func TestTheFixedIntervalDoesNotBearBeingReadEveryDay(t *testing.T) {
	s := shop()
	s.Holdout = 0.5
	got := s.Run(experiments, 1)
	if got.AlarmFixed < 3*most(experiments) {
		t.Errorf("%d false alarms in %d experiments", got.AlarmFixed, experiments)
	}
	if got.MissFixedLast > most(experiments) { // at the one look that it is for it holds
		t.Errorf("misses the truth in %d of %d experiments at the last look", got.MissFixedLast, experiments)
	}
}

func TestTrueLiftIsRecovered(t *testing.T) {
	s := shop()
	s.Holdout, s.VisitorsPerDay, s.Lift, s.Discount = 0.3, 8000, 0.4, 0.1
	got := s.Run(experiments, 1)
	t.Logf("%d misses, found %d, value %.4f, truth %.4f", got.MissAlways, got.Found, got.Value/float64(got.Results), got.Truth/float64(got.Results))
	if got.MissAlways > most(experiments) || got.MissConversion > most(experiments) {
		t.Errorf("the true difference is outside in %d experiments for revenue, %d for conversion", got.MissAlways, got.MissConversion)
	}
	if got.Results < experiments*98/100 || got.Found < experiments*8/10 {
		t.Errorf("found in %d of %d experiments, of which %d had a result", got.Found, experiments, got.Results)
	}
	if value, truth := got.Value/float64(got.Results), got.Truth/float64(got.Results); math.Abs(value-truth) > 0.05*truth {
		t.Errorf("a difference of %.4f on average, %.4f is true", value, truth)
	}
}

func TestAssignmentThatLosesVisitorsIsCaught(t *testing.T) {
	s := shop()
	if got := s.Run(experiments, 1); got.BrokenLast > 4 { // one in a thousand looks, all looks of an experiment but the last aside
		t.Errorf("%d of %d sound experiments are called broken", got.BrokenLast, experiments)
	}
	s.VisitorsPerDay, s.LostHoldout = 6000, 0.05
	if got := s.Run(experiments, 1); got.BrokenLast < experiments*98/100 {
		t.Errorf("caught in %d of %d experiments that lost 5 %% of the holdout", got.BrokenLast, experiments)
	}
}

// A plan is kept when four of five experiments find the effect in its time.
func TestPlannedDaysAreEnough(t *testing.T) {
	s := simulate.Shop{VisitorsPerDay: 4000, Holdout: 0.2, Conversion: 0.04, Delay: 1, Lift: 0.25, Basket: simulate.Basket{Median: 45, Sigma: 0.5}}
	mean := s.Conversion * s.Basket.Mean()
	b := experiment.Baseline{VisitorsPerDay: float64(s.VisitorsPerDay), Mean: mean, Variance: s.Conversion*s.Basket.Square() - mean*mean}
	plan := experiment.PlanFor(b, s.Lift, s.Holdout)
	s.Days = plan.Watched.Days
	got := s.Run(experiments, 1)
	t.Logf("%+v: found in %d of %d", plan, got.Found, experiments)
	if got.Found < experiments*76/100 || got.Found > experiments*95/100 {
		t.Errorf("found in %d of %d experiments after the %d days of %+v", got.Found, experiments, s.Days, plan)
	}
}
