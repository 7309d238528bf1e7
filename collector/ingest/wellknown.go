package ingest

import (
	_ "embed"

	"github.com/valyala/fasthttp"
)

// gpcSupport tells browsers and auditors that Global Privacy Control is honoured here
// (w3c/gpc, "GPC Support Resource"). It belongs to the shop's root: copy it there.
const (
	gpcPath    = "/.well-known/gpc.json"
	gpcSupport = `{"gpc":true,"lastUpdate":"2026-11-22"}` + "\n"
)

// The description of every route of this server, OpenAPI 3.1. Tests hold each reply against it.
//
//go:embed openapi.json
var openAPI []byte

const documentCache = "public, max-age=3600"

func (s *Server) serveGPC(ctx *fasthttp.RequestCtx) Reason {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, documentCache)
	ctx.SetContentType("application/json")
	ctx.SetBodyString(gpcSupport)
	return Taken
}

func (s *Server) serveOpenAPI(ctx *fasthttp.RequestCtx) Reason {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, documentCache)
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(openAPI)
	return Taken
}
