package ingest

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// A batch of a shop's own server passes these. The key comes first: nothing of a request is read whose key is
// no shop's, and until it fits nothing tells whether there is such a site.
var backendChecks = []check{bearsKey, wellFormed, keyOfSite, notTooMany, withinSiteRate}

// serveBackend takes a batch from a shop's server. Its word counts for money, its times are not clamped, and
// its own address and agent say nothing about the shopper. Who that is stands in Beckon-Visitor (the value of
// the visitor cookie) or in k; cookies name nobody here, and no reply sets one.
func (s *Server) serveBackend(ctx *fasthttp.RequestCtx) Reason {
	r := s.acquire(ctx)
	r.checks, r.parse, r.source, r.cookieless = backendChecks, parseBatch, event.SourceServer, true
	reason := s.take(r)
	if reason == Taken {
		r.answerBatch()
	}
	s.release(r)
	return reason
}

// maxKeyBytes bounds what is hashed for somebody unknown.
const maxKeyBytes = 512

// serverKey is the key of an Authorization header; false without one, with several, or with another scheme.
func serverKey(ctx *fasthttp.RequestCtx) ([]byte, bool) {
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderAuthorization)
	if len(lines) != 1 {
		return nil, false
	}
	scheme, key, _ := bytes.Cut(lines[0], []byte{' '})
	key = bytes.TrimSpace(key)
	return key, bytes.EqualFold(scheme, []byte("Bearer")) && len(key) > 0 && len(key) <= maxKeyBytes
}

// bearsKey wants a key of some site. Which one it has to be of stands in the body.
func bearsKey(s *Server, r *request) Reason {
	if key, ok := serverKey(r.ctx); !ok || !s.config.Sites.File().HasServerKey(key) {
		return s.badKey(r)
	}
	return Taken
}

// noSite stands in for a site that is not there, so that looking for it takes as long.
var noSite = &site.Site{ServerKeys: make([][sha256.Size]byte, 1)}

// keyOfSite answers a key that is wrong and a site that is not there alike.
func keyOfSite(s *Server, r *request) Reason {
	st := s.config.Sites.File().Site(string(r.siteID))
	if st == nil {
		st = noSite
	}
	if key, _ := serverKey(r.ctx); !st.HasServerKey(key) {
		return s.badKey(r)
	}
	return knownSite(s, r)
}

// badKey refuses, and counts the try for whoever made it: with a good key it is the site that is limited.
func (s *Server) badKey(r *request) Reason {
	if reason := s.enter(r.ctx, r.addr, r.since); reason != Taken {
		return reason
	}
	r.ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	return BadServerKey
}

// readVisitor reads Beckon-Visitor, which the shop's server took from the shopper's cookie. It cannot hand a
// changed cookie back, so all that it gets is what a link token of that visit would say.
func (r *request) readVisitor(now time.Time) {
	keys := r.tenant.keys
	if visit, ok := privacy.OpenVisit(keys, r.ctx.Request.Header.Peek("Beckon-Visitor"), now); ok {
		r.visitor.link, r.visitor.linked = visit.Link(keys, now), true
	}
}

// explain gives a refusal the body that programs look for (RFC 9457).
func explain(ctx *fasthttp.RequestCtx, reason Reason) {
	b := append([]byte(nil), `{"type":"about:blank","title":"`...)
	b = append(b, http.StatusText(reason.Status())...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(reason.Status()), 10)
	b = append(b, `,"reason":"`...)
	b = append(b, reason.String()...)
	ctx.SetContentType("application/problem+json")
	ctx.SetBody(append(b, "\"}\n"...))
}
