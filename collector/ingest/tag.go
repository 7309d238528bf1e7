package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"

	pixeljs "beckon/pixel-js"
)

// The tag's core is asked for again every hour under the name /b.js. A name with a hash in it never changes, may be
// pinned by a page's integrity attribute, and is served for as long as such a page may live.
const (
	tagFresh     = "public, max-age=3600"
	tagImmutable = "public, max-age=31536000, immutable"
)

func addScripts(routes map[string]*route) {
	routes["/b.js"] = &route{name: "tag", get: serveScript(pixeljs.Core(), tagFresh)}
	for name, file := range pixeljs.Immutable() {
		routes["/"+name] = &route{name: "tag-hashed", get: serveScript(file, tagImmutable)}
	}
}

func serveScript(file pixeljs.File, cache string) handler {
	etag := []byte(`W/"` + file.Hash() + `"`) // weak, because gzip and brotli of one script share it
	return func(_ *Server, ctx *fasthttp.RequestCtx) Reason {
		h := &ctx.Response.Header
		h.Set(fasthttp.HeaderCacheControl, cache)
		h.SetBytesV(fasthttp.HeaderETag, etag)
		h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
		// A part is a module, and a page that pins a script by hash has to load it with CORS too; they are no secret.
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
		if matches(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), etag) {
			ctx.SetStatusCode(fasthttp.StatusNotModified)
			return Taken
		}
		h.SetContentType("text/javascript; charset=utf-8")
		accepted := ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)
		switch {
		case accepts(accepted, "br"):
			h.SetContentEncoding("br")
			ctx.Response.SetBodyRaw(file.Brotli)
		case accepts(accepted, "gzip"):
			h.SetContentEncoding("gzip")
			ctx.Response.SetBodyRaw(file.Gzip)
		default:
			ctx.Response.SetBodyRaw(file.Script)
		}
		return Taken
	}
}

// accepts reports whether an Accept-Encoding header names coding without forbidding it by q=0.
func accepts(header []byte, coding string) bool {
	for item := range bytes.SplitSeq(header, []byte{','}) {
		name, params, _ := bytes.Cut(item, []byte{';'})
		if !bytes.EqualFold(bytes.TrimSpace(name), []byte(coding)) {
			continue
		}
		_, q, weighted := bytes.Cut(params, []byte{'='})
		return !weighted || len(bytes.Trim(q, " 0.")) > 0
	}
	return false
}

// matches compares weakly (RFC 9110, 13.1.2): W/ before either tag does not count.
func matches(ifNoneMatch, etag []byte) bool {
	opaque := bytes.TrimPrefix(etag, []byte("W/"))
	for item := range bytes.SplitSeq(ifNoneMatch, []byte{','}) {
		item = bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))
		if bytes.Equal(item, opaque) || string(item) == "*" {
			return true
		}
	}
	return false
}
