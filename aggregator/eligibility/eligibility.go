// Package eligibility is about the question of the whole project: does this visitor get this
// discount now, and why?
//
// Compile turns the offers of a sites file into a Program, once per version of the file. Evaluate
// is a pure function of that program, what is known of a visitor, and a time: no I/O, no clock, no
// randomness, so that every replica gives the same answer and a recorded answer can be recomputed.
//
// Promises. An offer that is not for everyone is given only in lane decide, never to an opted-out
// visitor, a bot or a stranger. When something is missing or fails, the answer is no. The holdout is
// drawn among eligible visitors only, and both arms run through the same gates and clocks. Evaluate
// is safe for concurrent use and takes well under 2 microseconds.
//
// Place in the path: feature.Features in, Verdict out to aggregator/decision.
package eligibility

import (
	"errors"
	"slices"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// Input is everything a verdict depends on, besides the program and the time.
type Input struct {
	Site     *site.Site
	Features *feature.Features // at the time of the evaluation; nil = nothing is known of the visitor
	Visitor  privacy.ID        // zero without a valid visitor cookie
	Session  privacy.ID
	Since    time.Time // creation of the visitor cookie; zero = not known
	Lane     privacy.Lane
	OptedOut bool
	Bot      bool
	Stale    bool // Features could not be read, or are older than the configured limit

	// Serves are this visitor's first serves of the last 30 days or longer, in any order, those of
	// holdout assignments included.
	Serves []feature.Serve

	CartValue event.Amount // in the site's currency, when the request names one
	DrawKey   *[32]byte    // the site's decision key
	Explain   bool         // fill Verdict.Gates
}

// Verdict is the answer for one visitor.
type Verdict struct {
	Eligible bool
	// Offer is the winner; nil when there is none. It is set for a holdout assignment too, so that
	// both arms are recorded alike: a reply must show it only when Eligible.
	Offer *site.Offer
	Arm   feature.Arm
	// Reason is Match when Eligible. Otherwise it is that of the targeted offer that got furthest
	// through the gates; among equals, of the one with the highest rank. Offers for everyone give the
	// reason only at a site that has no targeted ones.
	Reason Reason
	Rule   string // "welcome-back@3f2a9c1d": the offer and the version of its terms; "" without an offer
	// DecisionID names the grant or assignment. It is zero for an offer for everyone, which nothing may
	// tie to a visitor.
	DecisionID privacy.ID
	ValidUntil time.Time // end of the grant or assignment
	// NewServe asks the caller to record this verdict durably, as a feature.Serve at the time of the
	// evaluation, before it replies.
	NewServe     bool
	Personalised bool // the answer used visitor data
	// Err is the first rule that failed, also when another offer won.
	Err   error
	Gates []GateResult // with Input.Explain: each gate that was asked, offers by rank
}

// GateResult is one gate's answer for one offer.
type GateResult struct {
	Gate   string // as in the list of gates
	Offer  string // id
	Pass   bool
	Reason Reason // ReasonNone when passed
	Detail string // what was compared; never an id of the visitor
}

// ReasonFor says what became of one offer, in a verdict made with Input.Explain: Match or Holdout for
// the winner, Outranked for those it beat, else the reason of the gate that refused it. An offer that
// the site does not have is Default.
func (v *Verdict) ReasonFor(offer string) Reason {
	if v.Offer != nil && v.Offer.ID == offer {
		return v.Reason
	}
	for i := range v.Gates {
		if g := &v.Gates[i]; g.Offer == offer && !g.Pass {
			return g.Reason
		}
	}
	return Default
}

var (
	errUnknownSite = errors.New("the site is not in the compiled sites file")
	errNoDrawKey   = errors.New("no decision key to draw the holdout with")
)

// Evaluate answers for one visitor at one instant.
//
// Offers are asked by rank (priority, then id) and the first that passes every gate wins. A grant
// or holdout assignment that is still valid is kept: its offer is asked first and only for what
// may change under a grant (see gates), under the terms that the file has now. When the winner's
// draw is the holdout, nothing else is offered.
func (p *Program) Evaluate(in Input, now time.Time) Verdict {
	s := p.sites[in.Site.ID]
	if s == nil {
		return Verdict{Reason: EvaluationFailed, Err: errUnknownSite}
	}
	e := evaluation{in: in, now: now, site: s, reached: -1}
	e.verdict.Reason = Default
	if s.Disabled {
		e.verdict.Reason = Disabled
	}
	held, serve := s.activeServe(in.Serves, now)
	if held != nil {
		reason := e.ask(held, true)
		if reason == ReasonNone {
			e.keep(held, serve)
		}
		if reason == ReasonNone || reason == MinCart { // a cart that grows again finds its grant again
			e.outrank(held)
			return e.verdict
		}
	}
	for _, o := range s.offers {
		if o == held || e.ask(o, false) != ReasonNone {
			continue
		}
		e.win(o)
		e.outrank(o)
		return e.verdict
	}
	return e.verdict
}

// evaluation is the state of one Evaluate call.
type evaluation struct {
	in      Input
	now     time.Time
	site    *compiledSite
	verdict Verdict
	reached int // the furthest gate that refused an offer so far, of those that give the reason
}

// ask leads an offer through the gates and returns why it was refused, ReasonNone if it was not.
func (e *evaluation) ask(o *offer, held bool) Reason {
	for i := range gates {
		g := &gates[i]
		if o.Audience == site.Everyone && !g.everyone || held && !g.held {
			continue
		}
		reason := g.check(e, o)
		if e.in.Explain {
			e.explain(GateResult{Gate: g.name, Offer: o.ID, Pass: reason == ReasonNone, Reason: reason, Detail: g.detail(e, o)})
		}
		if reason == ReasonNone {
			continue
		}
		if i > e.reached && (o.Audience == site.Targeted || !e.site.targeted) {
			e.reached, e.verdict.Reason = i, reason
		}
		return reason
	}
	return ReasonNone
}

// keep answers with the grant or assignment that the visitor already has.
func (e *evaluation) keep(o *offer, serve *feature.Serve) {
	v := &e.verdict
	v.Offer, v.Rule, v.Personalised = o.Offer, o.version, true
	v.Arm, v.DecisionID, v.ValidUntil = serve.Arm, serve.DecisionID, serve.ValidUntil
	e.settle()
}

// win gives a new grant, or draws a new holdout assignment.
func (e *evaluation) win(o *offer) {
	v := &e.verdict
	until := e.now.Add(o.ValidFor)
	if !o.Ends.IsZero() && o.Ends.Before(until) {
		until = o.Ends
	}
	if o.Audience == site.Targeted {
		if e.in.DrawKey == nil {
			v.Reason, v.Err = EvaluationFailed, errNoDrawKey
			return
		}
		v.Arm = o.draw(e.in.DrawKey, e.in.Visitor)
		v.DecisionID = o.decisionID(e.in.DrawKey, e.in.Visitor, e.in.Session)
		v.NewServe, v.Personalised = true, true
	} else {
		v.Arm = feature.Treatment
	}
	v.Offer, v.Rule, v.ValidUntil = o.Offer, o.version, until
	e.settle()
}

// settle turns the arm into the answer.
func (e *evaluation) settle() {
	v := &e.verdict
	v.Eligible, v.Reason = v.Arm == feature.Treatment, Match
	if !v.Eligible {
		v.Reason = Holdout
	}
}

// outrank completes an explanation: the last gates of the winner, and what became of the others.
func (e *evaluation) outrank(winner *offer) {
	if !e.in.Explain {
		return
	}
	answer := e.verdict // the others are listed beside it and must not change it
	if answer.Offer != nil {
		e.explain(GateResult{Gate: gateRank, Offer: winner.ID, Pass: true})
	}
	if answer.Offer != nil && winner.Audience == site.Targeted {
		g := GateResult{Gate: gateHoldout, Offer: winner.ID, Pass: answer.Eligible, Detail: winner.holdoutDetail()}
		if !g.Pass {
			g.Reason = Holdout
		}
		e.explain(g)
	}
	for _, o := range e.site.offers {
		if !e.asked(o) && e.ask(o, false) == ReasonNone {
			e.explain(GateResult{Gate: gateRank, Offer: o.ID, Reason: Outranked, Detail: "behind " + winner.ID})
		}
	}
	answer.Gates, answer.Err = e.verdict.Gates, e.verdict.Err
	e.verdict = answer
}

func (e *evaluation) explain(g GateResult) { e.verdict.Gates = append(e.verdict.Gates, g) }

// asked reports whether the explanation has a gate of o already.
func (e *evaluation) asked(o *offer) bool {
	return slices.ContainsFunc(e.verdict.Gates, func(g GateResult) bool { return g.Offer == o.ID })
}
