package eligibility

import (
	"fmt"
	"strings"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// capWindow is the time in which an offer's cap counts first serves, and abandoner unused grants.
const capWindow = 30 * 24 * time.Hour

// gate is one condition of an offer. check answers ReasonNone when the offer passes; detail says
// what was compared, and is asked only for an explanation.
type gate struct {
	name     string
	everyone bool // asked for offers for everyone too: needs nothing of the visitor
	held     bool // asked under a valid grant too
	check    func(*evaluation, *offer) Reason
	detail   func(*evaluation, *offer) string
}

// gates, in order (docs/design.md). What needs nothing but the request comes first. Rank and holdout follow
// in Evaluate, for the one offer that passed these.
var gates = [...]gate{
	{"enabled", true, true, checkEnabled, noDetail},
	{"consent", false, true, checkConsent, laneDetail},
	{"bot", false, true, checkBot, noDetail},
	{"schedule", true, true, checkSchedule, scheduleDetail},
	{"visitor", false, false, checkVisitor, noDetail},
	{"too-new", false, false, checkTooNew, tooNewDetail},
	{"abandoner", false, false, checkAbandoner, abandonerDetail},
	{"rule", false, false, checkRule, ruleDetail},
	{"min-cart", true, true, checkMinCart, minCartDetail},
	{"cap", false, false, checkCap, capDetail},
	{"cooldown", false, false, checkCooldown, cooldownDetail},
}

// The names of the gates that stand in Evaluate.
const (
	gateRank    = "rank"
	gateHoldout = "holdout"
)

func noDetail(*evaluation, *offer) string { return "" }

func checkEnabled(e *evaluation, o *offer) Reason {
	if e.site.Disabled || !o.Enabled {
		return Disabled
	}
	return ReasonNone
}

func checkConsent(e *evaluation, _ *offer) Reason {
	switch {
	case e.in.OptedOut:
		return OptedOut
	case e.in.Lane != privacy.LaneDecide:
		return NoConsent
	}
	return ReasonNone
}

func laneDetail(e *evaluation, _ *offer) string { return "lane " + e.in.Lane.String() }

func checkBot(e *evaluation, _ *offer) Reason {
	if e.in.Bot {
		return Bot
	}
	return ReasonNone
}

func checkSchedule(e *evaluation, o *offer) Reason {
	switch {
	case e.now.Before(o.Starts):
		return NotStarted
	case !o.Ends.IsZero() && !e.now.Before(o.Ends):
		return Ended
	}
	return ReasonNone
}

func scheduleDetail(_ *evaluation, o *offer) string {
	var parts []string
	if !o.Starts.IsZero() {
		parts = append(parts, "starts "+o.Starts.Format(time.RFC3339))
	}
	if !o.Ends.IsZero() {
		parts = append(parts, "ends "+o.Ends.Format(time.RFC3339))
	}
	return strings.Join(parts, ", ")
}

func checkVisitor(e *evaluation, _ *offer) Reason {
	switch {
	case e.in.Visitor.IsZero():
		return NoVisitor
	case e.in.Stale:
		return Stale
	case e.in.Features == nil:
		return NoVisitor
	}
	return ReasonNone
}

func checkTooNew(e *evaluation, o *offer) Reason {
	if o.TooNew > 0 && e.age() < o.TooNew {
		return TooNew
	}
	return ReasonNone
}

// age is how long the visitor's cookie has been known to exist, at least.
func (e *evaluation) age() time.Duration {
	age := time.Duration(e.in.Features.DaysSinceFirstSeen) * 24 * time.Hour
	if e.in.Since.IsZero() {
		return age
	}
	return max(age, e.now.Sub(e.in.Since))
}

func tooNewDetail(e *evaluation, o *offer) string {
	if o.TooNew == 0 {
		return ""
	}
	return fmt.Sprintf("known for %s, %s needed", e.age().Truncate(time.Second), o.TooNew)
}

func checkAbandoner(e *evaluation, o *offer) Reason {
	if o.Abandoner > 0 && e.unused() >= int64(o.Abandoner) {
		return Abandoner
	}
	return ReasonNone
}

// unused is the number of grants of the last 30 days, of any offer of the site, that ran out without
// an order: each order of the last 90 days makes up for one. Holdout assignments count as grants, so
// that the gate treats both arms alike.
func (e *evaluation) unused() int64 {
	n := -e.in.Features.Purchases90d
	for i := range e.in.Serves {
		s := &e.in.Serves[i]
		if !s.ValidUntil.After(e.now) && e.now.Sub(s.At) < capWindow {
			n++
		}
	}
	return max(n, 0)
}

func abandonerDetail(e *evaluation, o *offer) string {
	if o.Abandoner == 0 {
		return ""
	}
	return fmt.Sprintf("%d unused, below %d needed", e.unused(), o.Abandoner)
}

func checkRule(e *evaluation, o *offer) Reason {
	match, err := o.matches(e.in.Features)
	switch {
	case err != nil:
		if e.verdict.Err == nil {
			e.verdict.Err = fmt.Errorf("rule %s: %w", o.version, err)
		}
		return EvaluationFailed
	case !match:
		return Default
	}
	return ReasonNone
}

func ruleDetail(e *evaluation, o *offer) string { return o.values(e.in.Features) }

// checkMinCart compares the cart that the request names. Without one a targeted offer takes the last
// reported cart; an offer for everyone passes, because it may not look, and its answer and token
// carry the minimum for whoever takes the money.
func checkMinCart(e *evaluation, o *offer) Reason {
	cart, known := e.cart(o)
	if o.MinCartValue.Set && known && cart < float64(o.MinCartValue.Units) {
		return MinCart
	}
	return ReasonNone
}

// cart returns the value of the cart in units of event.Amount.
func (e *evaluation) cart(o *offer) (units float64, known bool) {
	switch {
	case e.in.CartValue.Set:
		return float64(e.in.CartValue.Units), true
	case o.Audience == site.Everyone:
		return 0, false
	case e.in.Features == nil: // under a valid grant the features are not needed, so they may be missing
		return 0, false
	}
	return e.in.Features.CartValue*event.AmountScale + 0.5, true // half a unit for what floats lose
}

func minCartDetail(e *evaluation, o *offer) string {
	if !o.MinCartValue.Set {
		return ""
	}
	minimum := float64(o.MinCartValue.Units) / event.AmountScale
	cart, known := e.cart(o)
	if !known {
		return fmt.Sprintf("cart not known, %.2f needed", minimum)
	}
	return fmt.Sprintf("cart %.2f, %.2f needed", cart/event.AmountScale, minimum)
}

func checkCap(e *evaluation, o *offer) Reason {
	if o.Cap > 0 && e.served(o, capWindow) >= o.Cap {
		return Capped
	}
	return ReasonNone
}

// served counts the first serves of o in the time before now. One in the future, by a replica whose
// clock is ahead, counts too.
func (e *evaluation) served(o *offer, within time.Duration) int {
	n := 0
	for i := range e.in.Serves {
		if s := &e.in.Serves[i]; s.Offer == o.ID && e.now.Sub(s.At) < within {
			n++
		}
	}
	return n
}

func capDetail(e *evaluation, o *offer) string {
	if o.Cap == 0 {
		return ""
	}
	return fmt.Sprintf("served %d times in 30 days, below %d needed", e.served(o, capWindow), o.Cap)
}

// checkCooldown also refuses a second grant, or draw, in the session of the first: it would be the same
// decision, whose token the shop may have taken already.
func checkCooldown(e *evaluation, o *offer) Reason {
	if o.Cooldown > 0 && e.served(o, o.Cooldown) > 0 {
		return Cooldown
	}
	for i := range e.in.Serves {
		if s := &e.in.Serves[i]; s.Offer == o.ID && s.Session == e.in.Session {
			return Cooldown
		}
	}
	return ReasonNone
}

func cooldownDetail(e *evaluation, o *offer) string {
	if o.Cooldown == 0 {
		return ""
	}
	return fmt.Sprintf("served %d times in %s, 0 needed", e.served(o, o.Cooldown), o.Cooldown)
}
