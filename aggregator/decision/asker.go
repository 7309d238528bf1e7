package decision

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/internal/cookie"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/suppress"
)

// asker is who a request asks for. Only two things make a visitor: a visitor cookie that our own
// MAC holds for, or the same value sent by a back end that has the site's server key. Nothing in a
// body or query ever does.
type asker struct {
	program *eligibility.Program // one for the whole request, and site is of its file
	site    *site.Site
	shop    *shop // of site
	byKey   bool  // asked by the shop's own back end
	jar     cookie.Jar
	visit   privacy.Visit
	known   bool // visit is valid and may be used
	visitor privacy.ID
	name    privacy.ID // the visitor's in the list of who said no, and in the store
	session privacy.ID
	lane    privacy.Lane
	cause   privacy.Cause
	bot     bool
	now     time.Time // of the whole answer
}

// refusal says why a request gets no decision at all.
type refusal struct {
	status int
	reason string
}

// The refusals. The first five are of what was no request (package framing).
var (
	malformed          = &refusal{fasthttp.StatusBadRequest, "malformed"} // or can be read in two ways
	headerTooLarge     = &refusal{fasthttp.StatusRequestHeaderFieldsTooLarge, "header-too-large"}
	tooLarge           = &refusal{fasthttp.StatusRequestEntityTooLarge, "too-large"}
	timedOut           = &refusal{fasthttp.StatusRequestTimeout, "timed-out"}
	expectationRefused = &refusal{fasthttp.StatusExpectationFailed, "expectation-refused"}

	unknownSite     = &refusal{fasthttp.StatusNotFound, "unknown-site"}
	originNotListed = &refusal{fasthttp.StatusForbidden, "origin-not-listed"}
	badServerKey    = &refusal{fasthttp.StatusUnauthorized, "bad-server-key"}
	wrongMethod     = &refusal{fasthttp.StatusMethodNotAllowed, "method-not-allowed"}
	notFound        = &refusal{fasthttp.StatusNotFound, "not-found"}
	badContext      = &refusal{fasthttp.StatusBadRequest, "bad-context"} // of OFREP: no site to be found in it
	unknownOffer    = &refusal{fasthttp.StatusNotFound, "unknown-offer"} // of OFREP
	rateLimited     = &refusal{fasthttp.StatusTooManyRequests, "rate-limited"}
	internal        = &refusal{fasthttp.StatusInternalServerError, "internal"}
)

// Names as fasthttp spells them, which it need not do for each request.
var (
	authorization  = []byte("Authorization")
	forwardedProto = []byte("X-Forwarded-Proto")
)

// bearer is the server key that a request shows, nil when it shows none. Another scheme than Bearer is the
// shop's own, such as the password of a staging shop, which browsers send to everything on its host.
func bearer(h *fasthttp.RequestHeader) []byte {
	if key, ok := bytes.CutPrefix(h.PeekCanonical(authorization), []byte("Bearer ")); ok {
		return key
	}
	return nil
}

// admit finds out who asks, and refuses whoever may not ask or comes when the site is asked too often.
func (s *Server) admit(ctx *fasthttp.RequestCtx, p *eligibility.Program, st *site.Site, key []byte) (asker, *refusal) {
	a, refused := s.identify(ctx, p, st, key)
	if refused == nil {
		refused = s.withinSiteRate(ctx, st)
	}
	return a, refused
}

// identify finds out who asks. key is a server key, nil for a browser.
func (s *Server) identify(ctx *fasthttp.RequestCtx, p *eligibility.Program, st *site.Site, key []byte) (asker, *refusal) {
	a := asker{program: p, site: st}
	if key != nil {
		if !st.HasServerKey(key) {
			return a, badServerKey
		}
		a.byKey = true
	}
	return s.who(ctx, a)
}

// who finds out for whom a asks.
func (s *Server) who(ctx *fasthttp.RequestCtx, a asker) (asker, *refusal) {
	p, st := a.program, a.site
	if a.shop = s.shopOf(p, st); a.shop == nil {
		return a, unknownSite
	}
	a.now = s.Now()
	h, keys := &ctx.Request.Header, a.shop.keys
	a.jar = a.shop.names.On(overHTTPS(ctx))
	a.visit, a.known = a.jar.Read(h, keys, a.now)
	if a.byKey {
		a.visit, a.known = privacy.OpenVisit(keys, h.Peek("Beckon-Visitor"), a.now)
	}
	signals := privacy.Signals{GPC: cookie.Says(h, "Sec-GPC", "1"), DNT: cookie.Says(h, "DNT", "1"), OptOut: a.jar.OptedOut}
	policy := st.Consent
	if a.known {
		signals.Recorded = a.visit.Recorded()
		a.visitor = a.visit.ID(keys)
		a.name = suppress.KeyOf(keys, a.visitor)
		signals.Revoked, _ = s.Suppressed.Find(a.name)
		policy.Default = policy.Granted(a.visit.Lane)
	}
	a.lane, a.cause = privacy.Choose(policy, signals)
	a.known = a.known && a.lane == privacy.LaneDecide // in any other lane a cookie makes nobody known
	if a.known {
		a.session = a.visit.SessionOf(keys, a.visitor)
	} else {
		a.visitor, a.name = privacy.ID{}, privacy.ID{}
	}
	if !a.byKey { // a back end's user agent says nothing about the shopper
		agent := s.Agents.Parse(privacy.HintsOf(h.PeekCanonical))
		// The tag's word for navigator.webdriver; its first version said 1.
		if w := string(ctx.QueryArgs().Peek("w")); w == "true" || w == "1" {
			agent.Drive()
		}
		a.bot = agent.Bot != privacy.Bucket{}
	}
	return a, nil
}

// overHTTPS reports whether the shopper speaks https; the proxy in front says so. Whoever sends the
// header himself only changes which of his own cookies count.
func overHTTPS(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsTLS() || string(ctx.Request.Header.PeekCanonical(forwardedProto)) == "https"
}

var laneHeader = []byte("Beckon-Lane")

// tellLane says which lane the answer is of, and why.
func (a *asker) tellLane(ctx *fasthttp.RequestCtx) {
	var stack [64]byte
	ctx.Response.Header.SetCanonical(laneHeader, append(append(append(stack[:0], a.lane.String()...), "; "...), a.cause.String()...))
}
