// Package cors is about pages whose scripts call us from another host: how they are told that they may send
// their visitors' cookies and read what we answer.
//
// It decides nothing. Callers find out whether a site lists the page's origin, and only then call Allow:
// a wildcard must never stand there, nor "null", which anybody can be. Both services answer here, so that a
// page may read the same headers of both.
package cors

import "github.com/valyala/fasthttp"

// Exposed are the headers of ours that a page's script may read.
const Exposed = "Beckon-Reason, Beckon-Lane, Beckon-Visitor, ETag, Retry-After"

// Null is what a page says that has no origin: one in a sandbox, in a file, after some redirects.
const Null = "null"

const preflightSeconds = "7200" // Chrome remembers no longer

// Origin returns the request's Origin, empty when there is none. Two of them are no origin at all.
func Origin(h *fasthttp.RequestHeader) (value []byte, ok bool) {
	lines := h.PeekAll(fasthttp.HeaderOrigin)
	switch len(lines) {
	case 0:
		return nil, true
	case 1:
		return lines[0], true
	}
	return nil, false
}

// Allow lets the page at origin read the reply, and lets it send its cookies.
func Allow(h *fasthttp.ResponseHeader, origin []byte) {
	h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	h.Set(fasthttp.HeaderAccessControlExposeHeaders, Exposed)
}

// AllowNull lets a page without an origin read a reply that was made without its cookies.
func AllowNull(h *fasthttp.ResponseHeader) {
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, Null)
	h.Set(fasthttp.HeaderAccessControlExposeHeaders, Exposed)
}

// Preflight answers OPTIONS for a page that was let in by Allow.
func Preflight(ctx *fasthttp.RequestCtx, methods, headers string) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, methods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, headers)
	h.Set(fasthttp.HeaderAccessControlMaxAge, preflightSeconds)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}
