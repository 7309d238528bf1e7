package eligibility

import (
	"testing"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/privacy"
)

// What a visitor was given stays while it is valid.
func TestActiveGrantIsKept(t *testing.T) {
	f := func(what string, change func(*Input), offers ...string) {
		t.Helper()
		file := parse(t, offers...)
		in := shopper(file)
		given := serve("welcome", 29*time.Minute, 30*time.Minute, feature.Treatment)
		in.Serves = []feature.Serve{serve("welcome", 400*time.Hour, time.Minute, feature.Treatment), given}
		change(&in)
		got := compile(t, file).Evaluate(in, noon)
		if !got.Eligible || got.Offer.ID != "welcome" || got.NewServe || got.DecisionID != given.DecisionID || !got.ValidUntil.Equal(given.ValidUntil) {
			t.Fatalf("%s: got %+v", what, got)
		}
	}
	same := func(*Input) {}
	f("own cooldown", same, plain)
	f("own cap", same, welcome+`, cap: 1}`)
	f("rule no longer true", func(in *Input) { in.Features.Sessions7d = 0 }, plain)
	f("features unknown", func(in *Input) { in.Features = nil }, plain)
	f("features stale", func(in *Input) { in.Stale = true }, plain)
	f("another session", func(in *Input) { in.Session = visitorID(5) }, plain)
	f("terms edited", same, welcome+`, title: Now with a title}`)
	f("full holdout since", same, welcome+`, holdout: 100%}`)
	f("a better offer since", same, plain, `{id: better, when: "true", discount: {percent: 50}, priority: 99}`)
	f("a better offer for everyone since", same, plain, `{id: better, audience: everyone, discount: {percent: 50}, priority: 99}`)
}

func TestActiveGrantEndsWhenItMay(t *testing.T) {
	f := func(want Reason, change func(*Input), offer string) {
		t.Helper()
		file := parse(t, offer)
		in := shopper(file)
		in.Serves = []feature.Serve{serve("welcome", time.Minute, 30*time.Minute, feature.Treatment)}
		change(&in)
		if got := compile(t, file).Evaluate(in, noon); got.Reason != want || got.Eligible {
			t.Fatalf("got %+v, want %s", got, want)
		}
	}
	same := func(*Input) {}
	f(Disabled, same, welcome+`, enabled: false}`)
	f(Disabled, func(in *Input) { in.Site.Disabled = true }, plain)
	f(Ended, same, welcome+`, ends: 2026-11-22T11:59:59Z}`)
	f(NoConsent, func(in *Input) { in.Lane = privacy.LaneCount }, plain)
	f(OptedOut, func(in *Input) { in.OptedOut = true }, plain)
	f(Bot, func(in *Input) { in.Bot = true }, plain)
	f(Cooldown, func(in *Input) { in.Serves[0].ValidUntil = noon }, plain) // valid until, not including
	f(Cooldown, func(in *Input) { in.Serves[0].Used = true }, plain)
	f(Cooldown, func(in *Input) { in.Serves[0].Used, in.Serves[0].Session = true, in.Session }, `{id: welcome, when: "true", discount: {percent: 10}, valid_for: 30m}`)
	f(MinCart, func(in *Input) { in.CartValue = amount(9) }, welcome+`, min_cart_value: 10}`)
}

func TestGrantOfASmallCartKeepsItsPlace(t *testing.T) {
	file := parse(t, welcome+`, min_cart_value: 100}`, `{id: other, when: "true", discount: {percent: 1}}`)
	in := shopper(file)
	in.Serves = []feature.Serve{serve("welcome", time.Minute, 30*time.Minute, feature.Treatment)}
	p := compile(t, file)
	in.CartValue = amount(99)
	if got := p.Evaluate(in, noon); got.Reason != MinCart || got.Offer != nil {
		t.Fatalf("the offer flipped: %+v", got)
	}
	in.CartValue = amount(100)
	if got := p.Evaluate(in, noon); !got.Eligible || got.NewServe || got.Offer.ID != "welcome" {
		t.Fatalf("the grant is lost: %+v", got)
	}
}

func TestGrantOfAnOfferThatIsGoneIsForgotten(t *testing.T) {
	file := parse(t, plain)
	in := shopper(file)
	in.Serves = []feature.Serve{serve("gone", time.Minute, time.Hour, feature.Treatment)}
	if got := compile(t, file).Evaluate(in, noon); !got.NewServe || got.Offer.ID != "welcome" {
		t.Fatalf("got %+v", got)
	}
}

func TestGrantOfAnOfferThatIsForEveryoneNowIsForgotten(t *testing.T) {
	file := parse(t, `{id: welcome, audience: everyone, discount: {percent: 10}}`)
	in := shopper(file)
	in.Serves = []feature.Serve{serve("welcome", time.Minute, time.Hour, feature.HeldOut)}
	if got := compile(t, file).Evaluate(in, noon); !got.Eligible || got.Personalised || !got.DecisionID.IsZero() {
		t.Fatalf("got %+v", got)
	}
}

func TestLatestOfTwoActiveGrantsCounts(t *testing.T) {
	file := parse(t, plain, `{id: other, when: "true", discount: {percent: 1}}`)
	in := shopper(file)
	in.Serves = []feature.Serve{serve("other", time.Minute, time.Hour, feature.Treatment), serve("welcome", 2*time.Minute, time.Hour, feature.Treatment)}
	if got := compile(t, file).Evaluate(in, noon); got.Offer.ID != "other" {
		t.Fatalf("got %+v", got)
	}
}

func TestHoldoutAssignmentStartsTheSameClocksAsAGrant(t *testing.T) {
	file := parse(t, welcome+`, holdout: 100%}`, `{id: other, when: "true", discount: {percent: 1}, priority: 1}`, `{id: all, audience: everyone, discount: {percent: 1}}`)
	p, in := compile(t, file), shopper(file)
	drawn := p.Evaluate(in, noon)
	if drawn.Reason != Holdout || drawn.Eligible || drawn.Arm != feature.HeldOut || !drawn.NewServe || drawn.Offer.ID != "welcome" || drawn.DecisionID.IsZero() {
		t.Fatalf("got %+v", drawn)
	}
	in.Serves = []feature.Serve{{Offer: "welcome", Rule: drawn.Rule, At: noon, ValidUntil: drawn.ValidUntil, Arm: drawn.Arm, DecisionID: drawn.DecisionID}}
	if got := p.Evaluate(in, noon.Add(29*time.Minute)); got.Reason != Holdout || got.NewServe || got.DecisionID != drawn.DecisionID {
		t.Fatalf("within the assignment: %+v", got)
	}
	got := p.Evaluate(in, noon.Add(31*time.Minute))
	if !got.Eligible || got.Offer.ID != "other" {
		t.Fatalf("after the assignment: %+v", got)
	}
	in.Explain = true
	if got = p.Evaluate(in, noon.Add(31*time.Minute)); got.ReasonFor("welcome") != Cooldown {
		t.Fatalf("after the assignment: %s", got.ReasonFor("welcome"))
	}
}

func TestOfferForEveryoneUsesNoVisitorData(t *testing.T) {
	file := parse(t, `{id: all, audience: everyone, discount: {free_shipping: true}, min_cart_value: 50, valid_for: 1d}`, plain)
	file.Sites[0].Holdout = 1 // stays outside experiments
	p := compile(t, file)
	f := func(change func(*Input)) {
		t.Helper()
		in := shopper(file)
		in.Features.CartValue = 0 // must not be looked at
		change(&in)
		got := p.Evaluate(in, noon)
		if !got.Eligible || got.Offer.ID != "all" || got.Personalised || got.NewServe || !got.DecisionID.IsZero() || got.Arm != feature.Treatment || got.Reason != Match {
			t.Fatalf("got %+v", got)
		}
	}
	f(func(in *Input) { in.Lane = privacy.LaneCount })
	f(func(in *Input) { in.Lane = privacy.LaneMeasure })
	f(func(in *Input) { in.OptedOut = true })
	f(func(in *Input) { in.Bot = true })
	f(func(in *Input) { in.Visitor, in.Features, in.DrawKey = privacy.ID{}, nil, nil })
	f(func(in *Input) { in.Stale = true })
	f(func(in *Input) { in.Features.Sessions7d, in.CartValue = 0, amount(50) })

	in := shopper(file)
	in.Lane, in.CartValue = privacy.LaneCount, amount(49)
	if got := p.Evaluate(in, noon); got.Eligible {
		t.Fatalf("too small a cart: %+v", got)
	}
}

func TestPersonalOfferOfHigherPriorityWinsOverTheOneForEveryone(t *testing.T) {
	file := parse(t, `{id: all, audience: everyone, discount: {percent: 5}, priority: 5}`, plain)
	p, in := compile(t, file), shopper(file)
	if got := p.Evaluate(in, noon); got.Offer.ID != "welcome" || !got.Personalised {
		t.Fatalf("got %+v", got)
	}
	in.Features.Sessions7d = 0
	if got := p.Evaluate(in, noon); got.Offer.ID != "all" || got.Personalised {
		t.Fatalf("got %+v", got)
	}
}
