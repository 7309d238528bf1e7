package eligibility

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	drawKey = [32]byte{1, 2, 3}
)

// visitorID gives the n-th of many visitors.
func visitorID(n int) privacy.ID {
	return privacy.StoredID([16]byte{byte(n), byte(n >> 8), byte(n >> 16), 0xff})
}

// parse reads a file with one site, "demo", and these offers, each a YAML mapping in one line.
func parse(t testing.TB, offers ...string) *site.File {
	t.Helper()
	text := "sites:\n  - id: demo\n    origins: [http://shop.example]\n    currency: EUR\n"
	if len(offers) > 0 {
		text += "    offers:\n"
	}
	for _, o := range offers {
		text += "      - " + o + "\n"
	}
	f, err := site.Parse("sites.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compile(t testing.TB, f *site.File) *Program {
	t.Helper()
	p, faults := Compile(f)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

// shopper is somebody whom nothing speaks against.
func shopper(f *site.File) Input {
	return Input{
		Site: f.Sites[0], Visitor: visitorID(1), Session: visitorID(1001), Since: noon.Add(-240 * time.Hour),
		Lane: privacy.LaneDecide, DrawKey: &drawKey,
		Features: &feature.Features{Sessions7d: 2, DaysSinceFirstSeen: 10, CartValue: 80, Country: "DE"},
	}
}

const (
	welcome = `{id: welcome, when: visitor.sessions_7d >= 2, discount: {percent: 10}, priority: 10, valid_for: 30m, cooldown: 7d`
	plain   = welcome + `}`
)

func serve(offer string, ago, validFor time.Duration, arm feature.Arm) feature.Serve {
	at := noon.Add(-ago)
	return feature.Serve{Offer: offer, Rule: offer + "@00000000", At: at, ValidUntil: at.Add(validFor), Arm: arm, DecisionID: visitorID(77)}
}

func amount(euros int64) event.Amount {
	return event.Amount{Units: euros * event.AmountScale, Set: true}
}

// Each case differs from an eligible shopper in one thing.
func TestEveryReasonIsReachedByItsOwnCause(t *testing.T) {
	reached := map[Reason]bool{}
	f := func(want Reason, offer string, change func(*Input)) {
		t.Helper()
		file := parse(t, offer)
		in := shopper(file)
		if got := compile(t, file).Evaluate(in, noon); change != nil && got.Reason != Match {
			t.Fatalf("%s: before the change: %s, want %s", want, got.Reason, Match)
		}
		if change != nil {
			change(&in)
		}
		got := compile(t, file).Evaluate(in, noon)
		if got.Reason != want || got.Eligible != (want == Match) {
			t.Fatalf("got %s (eligible %t, error %v), want %s", got.Reason, got.Eligible, got.Err, want)
		}
		reached[want] = true
	}
	day := 24 * time.Hour
	f(Match, plain, nil)
	f(Default, plain, func(in *Input) { in.Features.Sessions7d = 1 })
	f(Holdout, welcome+`, holdout: 100%}`, nil)
	f(Cooldown, plain, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 6*day, time.Minute, feature.Treatment)} })
	f(Cooldown, plain, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 6*day, time.Minute, feature.HeldOut)} })
	f(Capped, welcome+`, cap: 1}`, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 29*day, time.Minute, feature.Treatment)} })
	f(MinCart, welcome+`, min_cart_value: 80}`, func(in *Input) { in.Features.CartValue = 79.99 })
	f(MinCart, welcome+`, min_cart_value: 80}`, func(in *Input) { in.CartValue = amount(79) })
	f(TooNew, welcome+`, too_new: 20d}`, nil)
	f(TooNew, welcome+`, too_new: 10m}`, func(in *Input) { in.Since, in.Features.DaysSinceFirstSeen = noon.Add(-599*time.Second), 0 })
	f(Abandoner, welcome+`, abandoner: 1}`, func(in *Input) { in.Serves = []feature.Serve{serve("other", 29*day, time.Minute, feature.Treatment)} })
	f(NotStarted, welcome+`, starts: 2026-11-22T12:00:01Z}`, nil)
	f(Ended, welcome+`, ends: 2026-11-22T12:00:00Z}`, nil)
	f(NoConsent, plain, func(in *Input) { in.Lane = privacy.LaneMeasure })
	f(NoConsent, plain, func(in *Input) { in.Lane = privacy.LaneNone })
	f(OptedOut, plain, func(in *Input) { in.OptedOut = true })
	f(Bot, plain, func(in *Input) { in.Bot = true })
	f(NoVisitor, plain, func(in *Input) { in.Visitor = privacy.ID{} })
	f(NoVisitor, plain, func(in *Input) { in.Features = nil })
	f(Stale, plain, func(in *Input) { in.Stale = true })
	f(Disabled, welcome+`, enabled: false}`, nil)
	f(Disabled, plain, func(in *Input) { in.Site.Disabled = true })
	f(EvaluationFailed, `{id: x, when: 10 / visitor.sessions_7d == 5, discount: {percent: 1}}`, func(in *Input) { in.Features.Sessions7d = 0 })
	f(EvaluationFailed, plain, func(in *Input) { in.DrawKey = nil })
	f(EvaluationFailed, plain, func(in *Input) { in.Site = &site.Site{ID: "another"} })

	for r := Match; r <= EvaluationFailed; r++ {
		if !reached[r] && r != Outranked {
			t.Errorf("no case reaches %s", r)
		}
	}
}

func TestGatesPassAtTheirLimits(t *testing.T) {
	f := func(offer string, change func(*Input)) {
		t.Helper()
		file := parse(t, offer)
		in := shopper(file)
		change(&in)
		if got := compile(t, file).Evaluate(in, noon); got.Reason != Match {
			t.Fatalf("%s: got %s", offer, got.Reason)
		}
	}
	day := 24 * time.Hour
	f(plain, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 7*day, time.Minute, feature.Treatment)} })
	f(plain, func(in *Input) {
		in.Serves = []feature.Serve{serve("other", time.Hour, time.Minute, feature.Treatment)}
	})
	f(welcome+`, cap: 1}`, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 30*day, time.Minute, feature.Treatment)} })
	f(welcome+`, cap: 2}`, func(in *Input) { in.Serves = []feature.Serve{serve("welcome", 8*day, time.Minute, feature.Treatment)} })
	f(welcome+`, min_cart_value: 80}`, func(in *Input) {})
	f(welcome+`, min_cart_value: 100}`, func(in *Input) { in.CartValue = amount(100) })
	f(welcome+`, too_new: 10m}`, func(in *Input) { in.Since, in.Features.DaysSinceFirstSeen = noon.Add(-10*time.Minute), 0 })
	f(welcome+`, too_new: 10d}`, func(in *Input) { in.Since = time.Time{} })
	f(welcome+`, starts: 2026-11-22T12:00:00Z, ends: 2026-11-22T12:00:01Z}`, func(in *Input) {})
	unused := []feature.Serve{serve("a", 20*day, time.Minute, feature.Treatment), serve("b", 10*day, time.Minute, feature.HeldOut)}
	f(welcome+`, abandoner: 3}`, func(in *Input) { in.Serves = unused })
	f(welcome+`, abandoner: 2}`, func(in *Input) { in.Serves, in.Features.Purchases90d = unused, 1 })
	f(welcome+`, abandoner: 1}`, func(in *Input) { in.Serves = []feature.Serve{serve("a", 30*day, time.Minute, feature.Treatment)} })
}

func TestReasonIsThatOfTheTargetedOfferThatGotFurthest(t *testing.T) {
	f := func(want Reason, offers ...string) {
		t.Helper()
		file := parse(t, offers...)
		in := shopper(file)
		in.CartValue = amount(1)
		if got := compile(t, file).Evaluate(in, noon); got.Reason != want {
			t.Fatalf("got %s, want %s", got.Reason, want)
		}
	}
	const (
		noMatch = `{id: a, when: "false", discount: {percent: 1}, priority: 9}`
		minCart = `{id: b, when: "true", min_cart_value: 50, discount: {percent: 1}, priority: 1}`
		off     = `{id: c, when: "true", enabled: false, discount: {percent: 1}, priority: 99}`
		broken  = `{id: d, when: 1 / visitor.purchases_90d == 1, discount: {percent: 1}, priority: 8}`
		ended   = `{id: e, audience: everyone, ends: 2026-01-01, discount: {percent: 1}, priority: 100}`
		dear    = `{id: f, audience: everyone, min_cart_value: 50, discount: {percent: 1}}`
	)
	f(Default, noMatch)
	f(MinCart, noMatch, minCart)              // further, though of a lower rank
	f(Default, off, noMatch)                  // further, though of a lower rank
	f(Default, noMatch, broken)               // equally far: the higher rank
	f(Default, ended, dear, noMatch)          // offers for everyone do not hide why there is no personal one
	f(MinCart, ended, dear)                   // unless there are no others
	f(Disabled, off)                          //
	f(Default)                                // a site without offers
	f(EvaluationFailed, broken, off)          //
	f(MinCart, off, broken, minCart, noMatch) // whatever their order in the file
}

func TestHighestPriorityWinsAndTiesGoToTheLowerID(t *testing.T) {
	f := func(want string, offers ...string) {
		t.Helper()
		file := parse(t, offers...)
		got := compile(t, file).Evaluate(shopper(file), noon)
		if !got.Eligible || got.Offer.ID != want {
			t.Fatalf("got %+v, want %s", got, want)
		}
	}
	a := `{id: a, when: "true", discount: {percent: 1}, priority: 1}`
	b := `{id: b, when: "true", discount: {percent: 1}, priority: 1}`
	c := `{id: c, when: "true", discount: {percent: 1}, priority: 2}`
	never := `{id: d, when: "false", discount: {percent: 1}, priority: 3}`
	f("a", b, a)
	f("c", a, b, c)
	f("c", never, a, c)
}

func TestFirstServeIsANewServeWithItsTerms(t *testing.T) {
	file := parse(t, plain)
	in := shopper(file)
	got := compile(t, file).Evaluate(in, noon)
	if !got.NewServe || !got.Personalised || got.Arm != feature.Treatment || got.DecisionID.IsZero() || got.Offer != file.Sites[0].Offers[0] {
		t.Fatalf("got %+v", got)
	}
	if !got.ValidUntil.Equal(noon.Add(30 * time.Minute)) {
		t.Fatalf("valid until %s", got.ValidUntil)
	}
	if !strings.HasPrefix(got.Rule, "welcome@") || len(got.Rule) != len("welcome@")+8 {
		t.Fatalf("rule %q", got.Rule)
	}
	if len(got.Gates) != 0 {
		t.Fatal("gates were built without being asked for")
	}
}

func TestGrantNeverOutlivesItsOffer(t *testing.T) {
	file := parse(t, welcome+`, ends: 2026-11-22T12:10:00Z}`)
	got := compile(t, file).Evaluate(shopper(file), noon)
	if !got.ValidUntil.Equal(noon.Add(10 * time.Minute)) {
		t.Fatalf("valid until %s", got.ValidUntil)
	}
}

func TestDecisionIDNamesVisitorOfferTermsAndSession(t *testing.T) {
	id := func(offer string, change func(*Input)) privacy.ID {
		file := parse(t, offer)
		in := shopper(file)
		change(&in)
		return compile(t, file).Evaluate(in, noon).DecisionID
	}
	same := func(*Input) {}
	first := id(plain, same)
	if again := id(plain, same); again != first {
		t.Fatal("another replica gives another decision id")
	}
	if later := id(plain, func(in *Input) { in.Features.CartValue = 3 }); later != first {
		t.Fatal("the decision id depends on the features")
	}
	for name, other := range map[string]privacy.ID{
		"visitor": id(plain, func(in *Input) { in.Visitor = visitorID(2) }),
		"session": id(plain, func(in *Input) { in.Session = visitorID(1002) }),
		"terms":   id(welcome+`, title: New}`, same),
		"offer":   id(strings.Replace(plain, "welcome", "other", 1), same),
		"key":     id(plain, func(in *Input) { in.DrawKey = &[32]byte{9} }),
	} {
		if other == first || other.IsZero() {
			t.Errorf("another %s has the same decision id", name)
		}
	}
}

func TestEvaluateFailsClosedButLetsAnotherOfferWin(t *testing.T) {
	file := parse(t, plain, `{id: broken, when: 1 / visitor.purchases_90d == 1, discount: {percent: 1}, priority: 99}`)
	got := compile(t, file).Evaluate(shopper(file), noon)
	if !got.Eligible || got.Offer.ID != "welcome" {
		t.Fatalf("got %+v", got)
	}
	if got.Err == nil || !strings.Contains(got.Err.Error(), "broken@") {
		t.Fatalf("the failed rule is not named: %v", got.Err)
	}
}

func TestEvaluateAllocatesLittle(t *testing.T) {
	file := parse(t, `{id: a, when: 'visitor.sessions_7d >= 2 && visitor.purchases_90d == 0 && visitor.cart_value > 12 && visitor.country == "DE" && !visitor.is_returning', discount: {percent: 1}}`)
	p, in := compile(t, file), shopper(file)
	if n := testing.AllocsPerRun(200, func() { p.Evaluate(in, noon) }); n > 8 {
		t.Errorf("a first serve allocates %.0f times", n)
	}
	in.Serves = []feature.Serve{serve("a", time.Minute, time.Hour, feature.Treatment)}
	if n := testing.AllocsPerRun(200, func() { p.Evaluate(in, noon) }); n > 1 {
		t.Errorf("a repeat allocates %.0f times", n)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	file := parse(b, `{id: a, when: 'visitor.sessions_7d >= 2 && visitor.purchases_90d == 0 && visitor.cart_value > 12 && visitor.minutes_since_cart > 30 && visitor.country == "DE"', discount: {percent: 1}}`)
	file.Sites[0].Holdout = 0.1
	p, in := compile(b, file), shopper(file)
	in.Features.MinutesSinceCart = 4000
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	o := p.sites["demo"].offers[0]
	run("rule of five terms", func() { _, _ = o.matches(in.Features) })
	run("first serve", func() { p.Evaluate(in, noon) })
	refused := in
	refused.Serves = []feature.Serve{serve("a", time.Hour, time.Minute, feature.Treatment)}
	run("cooldown", func() { p.Evaluate(refused, noon) })
	held := in
	held.Serves = []feature.Serve{serve("a", time.Minute, time.Hour, feature.Treatment)}
	run("held grant", func() { p.Evaluate(held, noon) })
}

func ExampleProgram_Evaluate() {
	file, err := site.Parse("sites.yaml", []byte(`
sites:
  - id: demo
    origins: ["http://127.0.0.1:8082"]
    currency: EUR
    consent: {default: decide, allow: decide}
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0
        discount: {percent: 10}
        valid_for: 30m
        cooldown: 7d
        priority: 10
`))
	if err != nil {
		panic(err)
	}
	program, _ := Compile(file)
	in := Input{Site: file.Site("demo"), Visitor: visitorID(1), Session: visitorID(2), Lane: privacy.LaneDecide, DrawKey: &drawKey}
	for _, sessions := range []int64{1, 2} {
		in.Features = &feature.Features{Sessions7d: sessions}
		v := program.Evaluate(in, noon)
		fmt.Printf("%d sessions: %t %s %q\n", sessions, v.Eligible, v.Reason, v.Rule)
	}
	// Output:
	// 1 sessions: false DEFAULT ""
	// 2 sessions: true TARGETING_MATCH "welcome-back@f5beabc5"
}
