package eligibility

import (
	"math"
	"strings"
	"testing"

	"beckon/aggregator/feature"
)

// heldOut returns which of the first n visitors an offer's draw holds out.
func heldOut(t *testing.T, offer string, n int) []bool {
	t.Helper()
	file := parse(t, offer)
	p, in := compile(t, file), shopper(file)
	out := make([]bool, n)
	for i := range out {
		in.Visitor = visitorID(i)
		v := p.Evaluate(in, noon)
		if v.Arm != feature.HeldOut && v.Arm != feature.Treatment {
			t.Fatalf("visitor %d: %+v", i, v)
		}
		out[i] = v.Arm == feature.HeldOut
	}
	return out
}

func share(of []bool) float64 {
	n := 0
	for _, held := range of {
		if held {
			n++
		}
	}
	return float64(n) / float64(len(of))
}

func TestHoldoutShareIsTheConfiguredOne(t *testing.T) {
	f := func(configured string, n int, p float64) {
		t.Helper()
		got := share(heldOut(t, welcome+`, holdout: `+configured+`}`, n))
		if limit := 4 * math.Sqrt(p*(1-p)/float64(n)); math.Abs(got-p) > limit { // one in 16,000 honest draws is further off
			t.Fatalf("holdout %s: %.4f of %d visitors", configured, got, n)
		}
	}
	f("0%", 1_000, 0)
	f("1%", 20_000, 0.01)
	f("10%", 100_000, 0.1)
	f("50%", 20_000, 0.5)
	f("100%", 1_000, 1)
}

func TestHoldoutOfTheSiteIsUsedUnlessTheOfferHasItsOwn(t *testing.T) {
	file := parse(t, plain)
	file.Sites[0].Holdout = 1
	if got := compile(t, file).Evaluate(shopper(file), noon); got.Reason != Holdout {
		t.Fatalf("got %s", got.Reason)
	}
	file = parse(t, welcome+`, holdout: 0%}`)
	file.Sites[0].Holdout = 1
	if got := compile(t, file).Evaluate(shopper(file), noon); got.Reason != Match {
		t.Fatalf("got %s", got.Reason)
	}
}

func TestArmNeverFlipsForOneExperiment(t *testing.T) {
	const n = 2_000
	before := heldOut(t, welcome+`, holdout: 30%}`, n)
	same := func(what, offer string) {
		t.Helper()
		for i, held := range heldOut(t, offer, n) {
			if held != before[i] {
				t.Fatalf("%s flips visitor %d", what, i)
			}
		}
	}
	same("another replica", welcome+`, holdout: 30%}`)
	same("another title", welcome+`, holdout: 30%, title: New}`)
	same("another depth", strings.Replace(welcome, "10}", "15}", 1)+`, holdout: 30%}`)
	for i, held := range heldOut(t, welcome+`, holdout: 40%}`, n) {
		if before[i] && !held {
			t.Fatalf("a larger holdout lets visitor %d go", i)
		}
	}
}

func TestDrawsOfExperimentsOffersAndSitesAreIndependent(t *testing.T) {
	const n = 20_000
	a := heldOut(t, welcome+`, holdout: 50%}`, n)
	independent := func(what string, b []bool) {
		t.Helper()
		both := make([]bool, n)
		for i := range both {
			both[i] = a[i] && b[i]
		}
		if got := share(both); math.Abs(got-0.25) > 0.015 {
			t.Errorf("another %s: %.3f are held out by both, want 0.25", what, got)
		}
	}
	independent("experiment", heldOut(t, welcome+`, holdout: 50%, experiment: 2}`, n))
	independent("offer", heldOut(t, strings.Replace(welcome, "welcome", "other", 1)+`, holdout: 50%}`, n))
	defer func(key [32]byte) { drawKey = key }(drawKey)
	drawKey = [32]byte{7}
	independent("site", heldOut(t, welcome+`, holdout: 50%}`, n))
}

func TestHoldoutIsDrawnOnlyAmongTheEligible(t *testing.T) {
	file := parse(t, welcome+`, holdout: 100%, min_cart_value: 500}`)
	got := compile(t, file).Evaluate(shopper(file), noon)
	if got.Reason != MinCart || got.Arm != feature.NoArm || got.NewServe {
		t.Fatalf("got %+v", got)
	}
}

func TestTermsHaveOneVersionEach(t *testing.T) {
	version := func(offer string, siteHoldout float64) string {
		file := parse(t, offer)
		file.Sites[0].Holdout = siteHoldout
		return compile(t, file).sites["demo"].offers[0].version
	}
	base := version(plain, 0)
	for _, same := range []string{welcome + `, enabled: false}`, welcome + `, holdout: 0%}`, welcome + `, experiment: 1}`} {
		if version(same, 0) != base {
			t.Errorf("%s has another version, though its terms are the same", same)
		}
	}
	seen := map[string]string{base: "the base"}
	for _, more := range []string{
		"title: x", "min_cart_value: 5", "cap: 1", "holdout: 5%", "experiment: 2", "starts: 2026-01-01", "ends: 2027-01-01",
		"too_new: 1d", "abandoner: 1", "disclosure: x", "code: x", "applies_to: [x]", "combinable: true",
	} {
		v := version(welcome+", "+more+"}", 0)
		if other := seen[v]; other != "" {
			t.Errorf("%s has the version of %s", more, other)
		}
		seen[v] = more
	}
	for _, edit := range [][2]string{{">= 2", ">= 3"}, {"percent: 10", "percent: 11"}, {"percent", "amount"}, {"priority: 10", "priority: 9"}, {"30m", "31m"}, {"cooldown: 7d", "cooldown: 8d"}, {"id: welcome", "id: bienvenu"}} {
		v := version(strings.Replace(plain, edit[0], edit[1], 1), 0)
		if other := seen[v]; other != "" {
			t.Errorf("%s has the version of %s", edit[1], other)
		}
		seen[v] = edit[1]
	}
	if version(plain, 0.1) == base {
		t.Error("the site's holdout is no part of the terms")
	}
}
