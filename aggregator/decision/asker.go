package decision

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
	"beckon/internal/site"
)

// asker is who a request asks for. Only two things make a visitor: a visitor cookie that our own
// MAC holds for, or the same value sent by a back end that has the site's server key. Nothing in a
// body or query ever does.
type asker struct {
	site    *site.Site
	byKey   bool // asked by the shop's own back end
	visit   privacy.Visit
	known   bool // visit is valid and may be used
	visitor privacy.ID
	session privacy.ID
	lane    privacy.Lane
	cause   privacy.Cause
	bot     bool
}

// refusal says why a request gets no decision at all.
type refusal struct {
	status int
	reason string
}

var (
	unknownSite     = &refusal{fasthttp.StatusNotFound, "unknown-site"}
	originNotListed = &refusal{fasthttp.StatusForbidden, "origin-not-listed"}
	badServerKey    = &refusal{fasthttp.StatusUnauthorized, "bad-server-key"}
	wrongMethod     = &refusal{fasthttp.StatusMethodNotAllowed, "method-not-allowed"}
	notFound        = &refusal{fasthttp.StatusNotFound, "not-found"}
)

// identify finds out who asks.
func (s *Server) identify(ctx *fasthttp.RequestCtx, st *site.Site) (asker, *refusal) {
	a := asker{site: st}
	value := visitorCookie(&ctx.Request.Header, st.ID)
	// Another scheme than Bearer is the shop's own, such as the password of a staging shop, which
	// browsers send to everything on its host.
	if key, isBearer := bytes.CutPrefix(ctx.Request.Header.Peek("Authorization"), []byte("Bearer ")); isBearer {
		if !st.HasServerKey(key) {
			return a, badServerKey
		}
		a.byKey = true
		value = ctx.Request.Header.Peek("Beckon-Visitor")
	}
	keys, err := s.Keys.Site(st.ID)
	if err != nil {
		s.Log.Error("site has no keys", "site", st.ID, "error", err)
		return a, unknownSite
	}
	if len(value) > 0 {
		a.visit, a.known = privacy.OpenVisit(keys, value, s.Now())
	}
	signals := privacy.Signals{
		GPC:    exactly(ctx, "Sec-GPC", "1"),
		DNT:    exactly(ctx, "DNT", "1"),
		OptOut: string(ctx.Request.Header.Cookie(privacy.OptOutCookie)) == "1",
	}
	policy := st.Consent
	if a.known {
		signals.Recorded = a.visit.Recorded()
		policy.Default = grantedByDefault(policy, a.visit.Lane)
	}
	a.lane, a.cause = privacy.Choose(policy, signals)
	a.known = a.known && a.lane == privacy.LaneDecide // in any other lane a cookie makes nobody known
	if a.known {
		a.visitor, a.session = a.visit.ID(keys), a.visit.Session(keys)
	}
	if !a.byKey { // a back end's user agent says nothing about the shopper
		a.bot = s.Agents.Parse(privacy.HintsOf(ctx.Request.Header.Peek)).Bot != privacy.Bucket{}
	}
	return a, nil
}

// grantedByDefault is the lane of a cookie that was made without a choice: the collector, which knew
// the country, granted it, and it stands as far as the site still grants that to anybody.
func grantedByDefault(p privacy.Policy, granted privacy.Lane) privacy.Lane {
	highest := p.Default
	for _, lane := range p.Countries {
		highest = max(highest, lane)
	}
	return min(highest, granted)
}

// visitorCookie returns the value of the site's visitor cookie under either of its names. Where
// both are sent the host-only one wins: no other host can have set it.
func visitorCookie(h *fasthttp.RequestHeader, siteID string) []byte {
	if v := h.Cookie(privacy.CookieName(siteID, true)); len(v) > 0 {
		return v
	}
	return h.Cookie(privacy.CookieName(siteID, false))
}

// exactly reports whether any line of the header has exactly that value; a second line with
// another value does not undo it.
func exactly(ctx *fasthttp.RequestCtx, header, value string) bool {
	for _, line := range ctx.Request.Header.PeekAll(header) {
		if string(line) == value {
			return true
		}
	}
	return false
}
