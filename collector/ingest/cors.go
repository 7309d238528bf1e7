package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"beckon/internal/cors"
)

// What a page's script may ask for in advance.
const (
	preflightMethods = "POST"
	preflightHeaders = "Content-Type"
)

// letRead lets a page that any site lists read a refusal, also where no site was found yet: without that its
// script sees no status and no Retry-After, and could only guess when to come again.
func (s *Server) letRead(ctx *fasthttp.RequestCtx) {
	if from, ok := cors.Origin(&ctx.Request.Header); ok && len(from) > 0 && s.config.Sites.File().Lists(from) {
		cors.Allow(&ctx.Response.Header, from)
	}
}

// servePreflight answers OPTIONS. The site is not known yet, so any site that lists the origin will
// do; the request that follows is checked against its own.
func (s *Server) servePreflight(ctx *fasthttp.RequestCtx) Reason {
	from, ok := cors.Origin(&ctx.Request.Header)
	if !ok || !s.config.Sites.File().Lists(from) {
		return OriginNotListed
	}
	cors.Allow(&ctx.Response.Header, from)
	cors.Preflight(ctx, preflightMethods, preflightHeaders)
	return Taken
}

// fromOurPages guards routes that change what a visitor has: it reports whether the request comes
// from the host itself or from a listed origin. A request of no browser has neither header.
func (s *Server) fromOurPages(ctx *fasthttp.RequestCtx) bool {
	from, ok := cors.Origin(&ctx.Request.Header)
	if !ok {
		return false
	}
	if len(from) > 0 && s.config.Sites.File().Lists(from) {
		cors.Allow(&ctx.Response.Header, from)
		return true
	}
	site := string(ctx.Request.Header.Peek("Sec-Fetch-Site"))
	if string(from) == cors.Null { // of our own: a form on a page that sends no referrer
		return site == "same-origin"
	}
	if _, host, _ := bytes.Cut(from, []byte("://")); len(from) > 0 && !bytes.Equal(host, ctx.Request.Header.Host()) {
		return false // whatever the other header says
	}
	return site == "" || site == "same-origin" || site == "none"
}
