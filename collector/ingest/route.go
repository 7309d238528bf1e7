package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// route is one path of ours: what may be asked of it and who answers.
type route struct {
	name    string // of the metrics
	backend bool   // for shops' servers: no CORS, and refusals are problem documents
	allow   string // the Allow header
	get     handler
	post    handler
	options handler
	gauge   *gauge
}

type handler func(*Server, *fasthttp.RequestCtx) Reason

// makeRoutes lists every route, by path without the prefix.
func (s *Server) makeRoutes() map[string]*route {
	routes := map[string]*route{
		"/p.gif":        {name: "pixel", get: (*Server).servePixel},
		"/e":            {name: "batch", post: (*Server).serveBatch, options: (*Server).servePreflight},
		"/link":         {name: "link", get: (*Server).serveLink},
		"/v1/events":    {name: "server", backend: true, post: (*Server).serveBackend},
		"/optout":       {name: "optout", post: (*Server).serveOptOut},
		"/optin":        {name: "optin", post: (*Server).serveOptIn},
		"/openapi.json": {name: "openapi", get: (*Server).serveOpenAPI},
		gpcPath:         {name: "gpc", get: (*Server).serveGPC},
	}
	addScripts(routes)
	if s.config.DevSwitches {
		routes["/dev/tomorrow"] = &route{name: "dev", post: (*Server).serveTomorrow}
	}
	if planted != nil {
		routes["/planted"] = &route{name: "planted", get: (*Server).servePlanted}
	}
	for _, rt := range routes {
		rt.gauge = s.metrics.gauge(rt.name)
		switch {
		case rt.get != nil:
			rt.allow = "GET, HEAD"
		case rt.options != nil:
			rt.allow = "POST, OPTIONS"
		default:
			rt.allow = "POST"
		}
	}
	return routes
}

// planted is set in one build only, that of the privacy proof: see planted.go.
var planted func(*fasthttp.RequestCtx)

func (s *Server) servePlanted(ctx *fasthttp.RequestCtx) Reason {
	planted(ctx)
	return Taken
}

// find returns the route of a request. fasthttp has resolved dots and escapes in the path.
func (s *Server) find(ctx *fasthttp.RequestCtx) (*route, Reason) {
	path, prefixed := bytes.CutPrefix(ctx.Path(), []byte(s.config.PathPrefix))
	if !prefixed && string(path) != gpcPath { // which belongs to the root of a host
		return nil, NotFound
	}
	rt := s.routes[string(path)]
	if rt == nil {
		return nil, NotFound
	}
	if rt.handler(ctx) == nil {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, rt.allow)
		return rt, MethodNotAllowed
	}
	return rt, Taken
}

func (rt *route) handler(ctx *fasthttp.RequestCtx) handler {
	switch {
	case ctx.IsGet() || ctx.IsHead():
		return rt.get
	case ctx.IsPost():
		return rt.post
	case ctx.IsOptions():
		return rt.options
	}
	return nil
}

func (rt *route) serve(ctx *fasthttp.RequestCtx, s *Server) Reason { return rt.handler(ctx)(s, ctx) }
