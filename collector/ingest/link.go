package ingest

import (
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
)

// A request for a link token passes these.
var linkChecks = []check{withinRate, wellFormed, knownSite, listedOrigin, fromPageOfSite}

// serveLink gives the visitor of ?s=SITE a token that speaks in their name where no cookie is: in a
// sandboxed pixel, a cart attribute, a call of the shop's server. It is for visitors in lane decide, whose
// cookie came along; it makes no visitor, and everybody else is told no-visitor, with the lane that they are in.
func (s *Server) serveLink(ctx *fasthttp.RequestCtx) Reason {
	r := s.acquire(ctx)
	r.checks, r.parse = linkChecks, parseLink
	reason := s.makeLink(r)
	s.release(r)
	return reason
}

func (s *Server) makeLink(r *request) Reason {
	if reason := s.check(r); reason != Taken {
		return reason
	}
	s.meet(r)
	v, now := &r.visitor, time.UnixMilli(r.received)
	if !v.known || v.lane != privacy.LaneDecide || v.agent.Bot != (privacy.Bucket{}) {
		v.send = false
		if len(r.withdrawn) > 0 {
			if reason := s.store(r); reason != Taken {
				return reason
			}
		}
		r.tell(now)
		return NoVisitor
	}
	r.sent = 1 // who asks for a link is here: the session goes on
	r.tell(now)
	link := v.visit.Link(r.tenant.keys, now)
	b := append(r.reply[:0], `{"k":"`...)
	b = r.tenant.links.AppendTo(b, link)
	b = append(b, `","expires_at":"`...)
	b = link.Expires().UTC().AppendFormat(b, time.RFC3339)
	r.reply = append(b, "\"}\n"...)
	r.ctx.SetContentType("application/json")
	r.ctx.SetBody(r.reply)
	return Taken
}

// parseLink reads the query of GET /link. A name that comes twice is refused, as in a pixel.
func parseLink(r *request) Reason {
	seen := false
	for key, value := range r.ctx.QueryArgs().All() {
		if string(key) != "s" {
			continue
		}
		if seen || !utf8.Valid(value) {
			return Malformed
		}
		r.siteID, seen = value, true
	}
	return Taken
}

// fromPageOfSite refuses a token to a page that does not say that it is the site's: a request without Origin
// is taken from the host's own pages and from programs, which say nothing of where they come from.
func fromPageOfSite(_ *Server, r *request) Reason {
	if len(r.ctx.Request.Header.Peek(fasthttp.HeaderOrigin)) > 0 {
		return Taken // listed, or it would not be here
	}
	switch string(r.ctx.Request.Header.Peek("Sec-Fetch-Site")) {
	case "", "same-origin", "none":
		return Taken
	}
	return OriginNotListed
}

// readLink opens the batch's link token. One that is forged, expired, cut or of another site is as good as
// none.
func (r *request) readLink() bool {
	v := &r.visitor
	if !v.linked && len(r.linkText) > 0 {
		v.link, v.linked = r.tenant.links.Open(r.linkText, time.UnixMilli(r.received))
	}
	return v.linked
}
