package experiment

import (
	"math"
	"strings"
	"testing"
)

func shop(conversion float64) Baseline {
	return Baseline{VisitorsPerDay: 1000, Mean: conversion, Variance: conversion * (1 - conversion)}
}

// Tables of sample sizes for two-sided 5 % and 80 % power agree.
func TestPlansAreThoseOfTheSampleSizeTables(t *testing.T) {
	f := func(conversion, lift float64, want ...float64) { // at holdouts of 50, 20, 10 and 5 %
		t.Helper()
		for i, h := range []float64{0.5, 0.2, 0.1, 0.05} {
			p := PlanFor(shop(conversion), lift, h)
			near(t, "visitors for one look", float64(p.Once.Visitors), want[i], want[i]/1000)
			near(t, "days", float64(p.Once.Days), math.Ceil(float64(p.Once.Visitors)/1000), 0)
			if ratio := float64(p.Watched.Visitors) / float64(p.Once.Visitors); ratio < 1.5 || ratio > 2.7 {
				t.Errorf("a watched experiment takes %.2f times as many visitors", ratio)
			}
		}
	}
	f(0.025, 0.10, 128_400, 195_000, 343_400, 647_600)
	f(0.025, 0.05, 501_700, 772_700, 1_367_000, 2_584_000)
	f(0.03, 0.10, 106_400, 161_700, 284_700, 536_900)
	f(0.02, 0.20, 42_200, 62_400, 108_900, 204_400)
}

func TestPlansNeverEndSayWhy(t *testing.T) {
	f := func(says string, b Baseline, lift, holdout float64) {
		t.Helper()
		p := PlanFor(b, lift, holdout)
		if !strings.HasPrefix(p.Watched.Never, "never: ") || !strings.Contains(p.Watched.Never, says) || p.Watched.Days != 0 {
			t.Errorf("got %+v, want never, %s", p.Watched, says)
		}
	}
	good := shop(0.025)
	with := func(change func(*Baseline)) Baseline {
		b := good
		change(&b)
		return b
	}
	f("without a holdout", good, 0.1, 0)
	f("everybody held out", good, 0.1, 1)
	f("no such lift", good, 0, 0.1)
	f("would have been eligible", with(func(b *Baseline) { b.VisitorsPerDay = 0 }), 0.1, 0.1)
	f("ordered nothing", with(func(b *Baseline) { b.Mean = 0 }), 0.1, 0.1)
	f("brought the same", with(func(b *Baseline) { b.Variance = 0 }), 0.1, 0.1)
	f("ordered nothing", with(func(b *Baseline) { b.Mean = math.NaN() }), 0.1, 0.1)
	f("brought the same", with(func(b *Baseline) { b.Variance = math.Inf(1) }), 0.1, 0.1)
	f("kept for 90 days", with(func(b *Baseline) { b.Longest = 90 }), 0.1, 0.05)
	f("ten years", with(func(b *Baseline) { b.VisitorsPerDay = 3 }), 0.1, 0.05)
	f("too small", with(func(b *Baseline) { b.Variance = 1e12 }), 0.1, 0.1)

	p := PlanFor(with(func(b *Baseline) { b.Longest = 300 }), 0.1, 0.5)
	if p.Once.Never != "" || p.Once.Days != 129 {
		t.Errorf("%+v, though 129 days are enough", p)
	}
	if plans := Plans(good, 0.1); len(plans) != 4 || plans[1] != PlanFor(good, 0.1, 0.1) {
		t.Errorf("%+v", plans)
	}
}
