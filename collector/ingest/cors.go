package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"beckon/internal/site"
)

// The headers of ours that a page's script may read, and what it may ask for in advance.
const (
	exposedHeaders      = "Beckon-Reason, Beckon-Lane, Beckon-Visitor, ETag, Retry-After"
	preflightMethods    = "POST"
	preflightHeaders    = "Content-Type"
	preflightMaxSeconds = "7200" // Chrome remembers no longer
)

// allowOrigin lets the page at origin read the reply and send its cookies. Callers checked that a
// site lists origin: a wildcard must never stand here, nor "null", which anybody can be.
func allowOrigin(ctx *fasthttp.RequestCtx, origin []byte) {
	h := &ctx.Response.Header
	h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	h.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
}

// nullOrigin is what a page says that has no origin: one in a sandbox, in a file, after some redirects.
const nullOrigin = "null"

// allowNull lets a page without an origin read a reply that was made without its cookies.
func allowNull(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlAllowOrigin, nullOrigin)
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
}

// origin returns the request's Origin, empty when there is none. Two of them are no origin at all.
func origin(ctx *fasthttp.RequestCtx) (value []byte, ok bool) {
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderOrigin)
	switch len(lines) {
	case 0:
		return nil, true
	case 1:
		return lines[0], true
	}
	return nil, false
}

// letRead lets a page that any site lists read a refusal, also where no site was found yet: without that its
// script sees no status and no Retry-After, and could only guess when to come again.
func (s *Server) letRead(ctx *fasthttp.RequestCtx) {
	if from, ok := origin(ctx); ok && len(from) > 0 && listedByAny(s.config.Sites.File(), from) {
		allowOrigin(ctx, from)
	}
}

// servePreflight answers OPTIONS. The site is not known yet, so any site that lists the origin will
// do; the request that follows is checked against its own.
func (s *Server) servePreflight(ctx *fasthttp.RequestCtx) Reason {
	from, ok := origin(ctx)
	if !ok || !listedByAny(s.config.Sites.File(), from) {
		return OriginNotListed
	}
	allowOrigin(ctx, from)
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, preflightMethods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, preflightHeaders)
	h.Set(fasthttp.HeaderAccessControlMaxAge, preflightMaxSeconds)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return Taken
}

// fromOurPages guards routes that change what a visitor has: it reports whether the request comes
// from the host itself or from a listed origin. A request of no browser has neither header.
func (s *Server) fromOurPages(ctx *fasthttp.RequestCtx) bool {
	from, ok := origin(ctx)
	if !ok {
		return false
	}
	if len(from) > 0 && listedByAny(s.config.Sites.File(), from) {
		allowOrigin(ctx, from)
		return true
	}
	site := string(ctx.Request.Header.Peek("Sec-Fetch-Site"))
	if string(from) == nullOrigin { // of our own: a form on a page that sends no referrer
		return site == "same-origin"
	}
	if _, host, _ := bytes.Cut(from, []byte("://")); len(from) > 0 && !bytes.Equal(host, ctx.Request.Header.Host()) {
		return false // whatever the other header says
	}
	return site == "" || site == "same-origin" || site == "none"
}

func listedByAny(f *site.File, origin []byte) bool {
	for _, s := range f.Sites {
		if s.Lists(origin) {
			return true
		}
	}
	return false
}
