package eligibility

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/privacy"
)

func TestExplanationListsEveryGateInOrder(t *testing.T) {
	file := parse(t,
		plain,
		`{id: beaten, when: "true", discount: {percent: 1}, priority: 1}`,
		`{id: refused, when: visitor.country == "FR", discount: {percent: 1}, priority: 99}`,
	)
	p, in := compile(t, file), shopper(file)
	in.Explain = true
	v := p.Evaluate(in, noon)
	var lines []string
	for _, g := range v.Gates {
		lines = append(lines, fmt.Sprintf("%s %s %t %s %s", g.Offer, g.Gate, g.Pass, g.Reason, g.Detail))
	}
	want := `refused enabled true
refused consent true  lane decide
refused bot true
refused schedule true
refused visitor true
refused too-new true
refused abandoner true
refused rule false DEFAULT visitor.country=DE
welcome enabled true
welcome consent true  lane decide
welcome bot true
welcome schedule true
welcome visitor true
welcome too-new true
welcome abandoner true
welcome rule true  visitor.sessions_7d=2
welcome min-cart true
welcome cap true
welcome cooldown true  served 0 times in 168h0m0s, 0 needed
welcome rank true
welcome holdout true  holdout 0%
beaten enabled true
beaten consent true  lane decide
beaten bot true
beaten schedule true
beaten visitor true
beaten too-new true
beaten abandoner true
beaten rule true
beaten min-cart true
beaten cap true
beaten cooldown true  served 0 times in 168h0m0s, 0 needed
beaten rank false OUTRANKED behind welcome`
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	for offer, reason := range map[string]Reason{"welcome": Match, "beaten": Outranked, "refused": Default, "nonsense": Default} {
		if got := v.ReasonFor(offer); got != reason {
			t.Errorf("%s: got %s, want %s", offer, got, reason)
		}
	}
}

func TestExplanationOfAHoldoutNamesTheDraw(t *testing.T) {
	file := parse(t, welcome+`, holdout: 100%}`, `{id: other, when: "true", discount: {percent: 1}}`)
	p, in := compile(t, file), shopper(file)
	in.Explain = true
	v := p.Evaluate(in, noon)
	if v.ReasonFor("welcome") != Holdout || v.ReasonFor("other") != Outranked {
		t.Fatalf("got %s and %s", v.ReasonFor("welcome"), v.ReasonFor("other"))
	}
	i := slices.IndexFunc(v.Gates, func(g GateResult) bool { return g.Gate == gateHoldout })
	if i < 0 || v.Gates[i].Pass || v.Gates[i].Reason != Holdout || v.Gates[i].Detail != "holdout 100%" {
		t.Fatalf("got %+v", v.Gates)
	}
}

// shoppers makes random offers and random visitors, most of them near the edge of some gate.
type shoppers struct{ *rand.Rand }

func (r shoppers) offer(id string, priority int) string {
	rule := []string{`"true"`, `"false"`, "visitor.sessions_7d >= 2", "visitor.cart_value > 50", "100 / visitor.purchases_90d > 60", `visitor.country == "DE"`}[r.IntN(6)]
	o := fmt.Sprintf("{id: %s, priority: %d, discount: {percent: 5}, when: %s", id, priority, rule)
	for _, term := range []string{"min_cart_value: 60", "cap: 1", "cooldown: 1h", "holdout: 50%", "too_new: 1d", "abandoner: 1", "enabled: false", "starts: 2026-11-23", "ends: 2026-11-24"} {
		if r.IntN(7) == 0 {
			o += ", " + term
		}
	}
	return o + "}"
}

func (r shoppers) input(in Input, offers int) Input {
	in.Visitor, in.Session = visitorID(r.IntN(1000)+1), visitorID(r.IntN(1000))
	in.Features = &feature.Features{Sessions7d: r.Int64N(4), CartValue: float64(r.IntN(100)), Purchases90d: r.Int64N(3), Country: []string{"", "DE"}[r.IntN(2)]}
	in.Since = noon.Add(-time.Duration(r.IntN(72)) * time.Hour)
	in.Bot, in.OptedOut, in.Stale = r.IntN(20) == 0, r.IntN(20) == 0, r.IntN(20) == 0
	if r.IntN(20) == 0 {
		in.Lane = privacy.LaneCount
	}
	for range r.IntN(3) {
		arm := []feature.Arm{feature.Treatment, feature.HeldOut}[r.IntN(2)]
		in.Serves = append(in.Serves, serve(fmt.Sprintf("o%d", r.IntN(offers)), time.Duration(r.IntN(120))*time.Minute, time.Hour, arm))
	}
	return in
}

func TestAddingAnOfferOfLowerRankNeverChangesTheWinner(t *testing.T) {
	r := shoppers{rand.New(rand.NewPCG(1, 2))}
	winners := 0
	for range 1000 {
		var offers []string
		for i := range 1 + r.IntN(3) {
			offers = append(offers, r.offer(fmt.Sprintf("o%d", i), 1+r.IntN(3)))
		}
		before := parse(t, offers...)
		after := parse(t, append(offers, r.offer("zz", -1))...)
		in := r.input(shopper(before), len(offers))
		v := compile(t, before).Evaluate(in, noon)
		in.Site = after.Sites[0]
		w := compile(t, after).Evaluate(in, noon)
		if v.Offer == nil {
			continue
		}
		winners++
		if w.Offer == nil || w.Offer.ID != v.Offer.ID || w.Eligible != v.Eligible || w.Arm != v.Arm || w.DecisionID != v.DecisionID || w.NewServe != v.NewServe {
			t.Fatalf("%v\nwithout: %+v\nwith: %+v", offers, v, w)
		}
	}
	if winners < 200 {
		t.Fatalf("only %d of 1000 random visitors won anything: the test shows little", winners)
	}
}

func TestExplainingChangesNoVerdict(t *testing.T) {
	r := shoppers{rand.New(rand.NewPCG(3, 4))}
	for range 1000 {
		var offers []string
		for i := range 1 + r.IntN(4) {
			offers = append(offers, r.offer(fmt.Sprintf("o%d", i), r.IntN(3)))
		}
		file := parse(t, append(offers, `{id: all, audience: everyone, discount: {percent: 1}, min_cart_value: 90, priority: -1}`)...)
		p, in := compile(t, file), r.input(shopper(file), len(offers))
		plain := p.Evaluate(in, noon)
		if again := p.Evaluate(in, noon); fmt.Sprint(again) != fmt.Sprint(plain) {
			t.Fatalf("the same question twice: %+v and %+v", plain, again)
		}
		in.Explain = true
		explained := p.Evaluate(in, noon)
		for _, o := range file.Sites[0].Offers {
			if !slices.ContainsFunc(explained.Gates, func(g GateResult) bool { return g.Offer == o.ID }) {
				t.Fatalf("%s is not explained", o.ID)
			}
		}
		explained.Gates, explained.Err, plain.Err = nil, nil, nil // an explanation may find more failed rules
		if fmt.Sprint(explained) != fmt.Sprint(plain) {
			t.Fatalf("plain %+v\nexplained %+v", plain, explained)
		}
	}
}
