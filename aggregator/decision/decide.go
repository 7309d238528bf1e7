package decision

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/token"
)

// answer is a verdict with all that the reply, the grant cookie and the decision row are made of.
type answer struct {
	asker
	in      eligibility.Input // what the verdict depends on
	profile *feature.Profile  // nil when nothing is known in time
	values  feature.Features
	verdict eligibility.Verdict
	freshAt time.Time
	token   string
	failed  bool // by a fault of ours: no offer
}

// answers are those that nobody looks at any more.
var answers = sync.Pool{New: func() any { return new(answer) }}

// forget gives an answer back.
func (ans *answer) forget() {
	*ans = answer{}
	answers.Put(ans)
}

// decide reaches the verdict for a and records it. It does no I/O for a visitor in memory, except
// for the first serve of a grant, which is durable before decide returns. Who asks for only one offer
// hears nothing of another one, so nothing else is served: see about.
func (s *Server) decide(ctx *fasthttp.RequestCtx, a asker, only *site.Offer) (*answer, error) {
	ans := s.prepare(a)
	ans.verdict = ans.program.Evaluate(ans.in, ans.now)
	s.tellRules(ans)
	ans.about(only)
	if ans.verdict.NewServe {
		served, err := s.serveFirst(ctx, ans)
		if served || err != nil {
			return ans, err
		}
		ans.about(only)
	}
	what := ans.verdict.Rule
	if what == "" && ans.verdict.Offer != nil {
		what = ans.verdict.Offer.ID
	}
	visitor, _ := ans.named()
	s.Recorder.Repeat(a.site.ID, visitor.Bytes(), a.lane.String(), what, ans.verdict.Reason.String(), ans.now, func() *Row { return s.row(ans) })
	var err error
	ans.token, err = s.tokenFor(ans, ans.in.Serves)
	return ans, err
}

// tellRules counts a rule that fails, and logs where that begins and ends at a site.
func (s *Server) tellRules(ans *answer) {
	if err := ans.verdict.Err; err != nil {
		s.m.ruleFailures.Inc()
		if ans.shop.rules.failed(ans.now) {
			s.Log.Error("a rule fails; its offer is not given meanwhile", "site", ans.site.ID, "error", err)
		}
	} else if n, over := ans.shop.rules.worked(ans.now); over {
		s.Log.Info("rules no longer fail", "site", ans.site.ID, "failed", n)
	}
}

// about makes the verdict that of one offer, when another one or none has won: not eligible, with the
// reason why not. Without an offer the verdict stays that of the site.
func (ans *answer) about(only *site.Offer) {
	if only != nil && !ans.won(only) {
		explained := ans.explained()
		ans.verdict = eligibility.Verdict{Offer: only, Reason: explained.ReasonFor(only.ID)}
	}
}

// won reports whether o is the one offer that the visitor is given, or was drawn to be held back.
func (ans *answer) won(o *site.Offer) bool {
	v := &ans.verdict
	return v.Offer != nil && v.Offer.ID == o.ID && v.Arm != feature.NoArm
}

// explained reaches the verdict once more, step by step: explaining is rare, and the fast path stays free
// of it.
func (ans *answer) explained() eligibility.Verdict {
	in := ans.in
	in.Explain = true
	return ans.program.Evaluate(in, ans.now)
}

// prepare gathers what the verdict for a depends on.
func (s *Server) prepare(a asker) *answer {
	ans := answers.Get().(*answer)
	ans.asker = a
	keys, in := a.shop.keys, &ans.in
	*in = eligibility.Input{
		Site: a.site, Visitor: a.visitor, Session: a.session, Lane: a.lane, OptedOut: a.cause == privacy.CauseOptOut,
		Bot: a.bot, DrawKey: (*[32]byte)(&keys.Decision),
	}
	if !a.known {
		return ans
	}
	in.Since = time.Unix(a.visit.Created, 0)
	if ans.profile = s.profile(a); ans.profile != nil {
		ans.values = ans.profile.At(ans.now)
		ans.freshAt = later(ans.profile.ReadAt, s.CompleteAt())
		in.Features, in.Serves = &ans.values, ans.profile.Serves
	}
	in.Stale = ans.now.Sub(ans.freshAt) > s.StaleAfter
	for _, value := range a.jar.Grants {
		if serve, ok := openGrant(keys, a.visitor, value); ok {
			serve.Used = ans.profile != nil && ans.profile.HasUsed(serve.DecisionID)
			in.Serves = withServe(in.Serves, serve)
		}
	}
	return ans
}

// profile finds the visitor in memory, or asks ClickHouse within the deadline.
func (s *Server) profile(a asker) *feature.Profile {
	if p := s.Store.Find(a.name); p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.ColdDeadline)
	defer cancel()
	return s.Cold.Load(ctx, feature.Key{Site: a.site.ID, Visitor: a.visitor.Bytes()})
}

// serveFirst records a new grant or holdout draw, durably, and remembers it for the next request. It
// does so for one request of a visitor at a time, and asks once more when it is its turn: of two
// that come at once, in two sessions even, only the first may be given something.
func (s *Server) serveFirst(ctx *fasthttp.RequestCtx, ans *answer) (served bool, err error) {
	key := feature.Key{Site: ans.site.ID, Visitor: ans.visitor.Bytes()}
	turn := &s.turns[int(key.Visitor[0])%turns]
	turn.Lock()
	defer turn.Unlock()
	if p := s.Store.Find(ans.name); p != nil {
		for _, serve := range p.Serves {
			ans.in.Serves = withServe(ans.in.Serves, serve)
		}
	}
	ans.verdict = ans.program.Evaluate(ans.in, ans.now)
	v := &ans.verdict
	if !v.NewServe {
		return false, nil
	}
	serve := feature.Serve{
		Offer: v.Offer.ID, Rule: v.Rule, Arm: v.Arm, DecisionID: v.DecisionID, Session: ans.session, At: ans.now, ValidUntil: v.ValidUntil,
	}
	if err := s.Recorder.FirstServe(s.row(ans)); err != nil {
		return false, fmt.Errorf("record first serve: %w", err)
	}
	s.m.firstServes.WithLabelValues(ans.site.ID, string(v.Arm)).Inc()
	if n, over := s.failing.worked(ans.now); over {
		s.Log.Info("decisions no longer fail", "failed", n)
	}
	s.Store.AddServe(key, ans.profile, serve)
	if ans.token, err = s.tokenFor(ans, []feature.Serve{serve}); err != nil {
		return true, err
	}
	ans.jar.SetGrant(&ctx.Response.Header, sealGrant(ans.shop.keys, ans.visitor, serve), v.ValidUntil.Sub(ans.now))
	return true, nil
}

// tokenFor returns the offer token of the verdict, "" without an offer. The token of a grant counts
// from its first serve, so every replica with the same sites file signs the same claims, and EdDSA
// gives the same token for the same claims; edited terms are in the next token, under the same jti.
// An offer for everyone belongs to no visitor: each answer gets a token of its own, or the first
// shopper to redeem it would use it up for all.
func (s *Server) tokenFor(ans *answer, serves []feature.Serve) (string, error) {
	v := &ans.verdict
	if !v.Eligible {
		return "", nil
	}
	key := s.Tokens.Key()
	claims := token.Claims{Issuer: s.Issuer, Site: ans.site.ID, Offer: v.Offer, IssuedAt: ans.now, ExpiresAt: v.ValidUntil}
	if v.DecisionID.IsZero() {
		claims.Subject, claims.ID = rand.Text(), rand.Text()
		return s.sign(key, claims)
	}
	k := tokenKey{v.DecisionID.Bytes(), v.ValidUntil.Unix(), v.Rule, key.ID}
	if t, ok := s.tokens.Get(k); ok {
		return t, nil
	}
	claims.Subject = v.DecisionID.Hex()
	claims.ID = claims.Subject
	for i := range serves {
		if serves[i].DecisionID == v.DecisionID {
			claims.IssuedAt = serves[i].At
		}
	}
	t, err := s.sign(key, claims)
	if err == nil {
		s.tokens.Put(k, t)
	}
	return t, err
}

func (s *Server) sign(key keyring.IssuerKey, c token.Claims) (string, error) {
	t, err := token.Sign(key, c)
	if err != nil {
		return "", fmt.Errorf("sign offer token: %w", err)
	}
	return t, nil
}

// forEveryone reports whether the verdict is that of an offer which nothing may tie to a visitor.
func (ans *answer) forEveryone() bool {
	return ans.verdict.Offer != nil && ans.verdict.Offer.Audience == site.Everyone
}

// named are the visitor and the session that the record of ans names, zero for an offer for everyone.
func (ans *answer) named() (visitor, session privacy.ID) {
	if ans.forEveryone() {
		return visitor, session
	}
	return ans.visitor, ans.session
}

// row is the record of ans, with the gates and the values that its rule read. That of an offer for everyone has
// the gates of this offer only: those of the others say what was known of the visitor.
func (s *Server) row(ans *answer) *Row {
	v, explained := &ans.verdict, ans.explained()
	visitor, session := ans.named()
	r := &Row{
		Site: ans.site.ID, Environment: ans.site.Environment, DecidedAt: ans.now.UnixMilli(),
		DecisionID: v.DecisionID.Bytes(), Visitor: visitor.Bytes(), Session: session.Bytes(), Lane: ans.lane.String(),
		Rule: v.Rule, Arm: string(v.Arm), Reason: v.Reason.String(), Eligible: v.Eligible, Personalised: v.Personalised,
		Gates: gatesOf(&explained), Features: map[string]string{},
		ExpiresDay: uint16(ans.now.Add(ans.site.Profiles).Unix() / (24 * 60 * 60)),
	}
	if v.Offer != nil {
		r.Offer, r.Experiment, r.Holdout = v.Offer.ID, v.Offer.Experiment, ans.site.HoldoutShare(v.Offer)
	}
	if !v.ValidUntil.IsZero() {
		r.ValidUntil = v.ValidUntil.UnixMilli()
	}
	if ans.forEveryone() {
		r.Gates = slices.DeleteFunc(r.Gates, func(g Gate) bool { return g.Offer != v.Offer.ID })
		return r
	}
	if !ans.freshAt.IsZero() {
		r.FreshAt = ans.freshAt.UnixMilli()
	}
	if ans.profile != nil {
		reads := ans.program.Reads(ans.site.ID)
		for i := range feature.All {
			if f := &feature.All[i]; slices.Contains(reads, f.Name) {
				r.Features[f.Name] = feature.Text(f, &ans.values)
			}
		}
	}
	return r
}

// gatesOf are the steps of an explained verdict.
func gatesOf(v *eligibility.Verdict) []Gate {
	gates := make([]Gate, len(v.Gates))
	for i, g := range v.Gates {
		gates[i] = Gate{Gate: g.Gate, Offer: g.Offer, Pass: g.Pass, Detail: g.Detail}
	}
	return gates
}

func withServe(serves []feature.Serve, s feature.Serve) []feature.Serve {
	for i := range serves {
		if serves[i].DecisionID == s.DecisionID {
			return serves
		}
	}
	return append(serves[:len(serves):len(serves)], s)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
