package ingest

import (
	"bytes"

	"github.com/valyala/fasthttp"

	pixeljs "beckon/pixel-js"
)

// The tag is the same bytes under two names: /b.js is asked for again every hour, the name with the
// hash in it never changes and may be pinned by a page's integrity attribute.
const (
	tagFresh     = "public, max-age=3600"
	tagImmutable = "public, max-age=31536000, immutable"
)

// tagETag is weak, because gzip and brotli of one script share it.
var tagETag = []byte(`W/"` + pixeljs.Hash() + `"`)

func tagPath() string { return "/b." + pixeljs.Hash() + ".js" }

func (s *Server) serveTag(ctx *fasthttp.RequestCtx) Reason {
	return serveScript(ctx, tagFresh)
}

func (s *Server) serveHashedTag(ctx *fasthttp.RequestCtx) Reason {
	return serveScript(ctx, tagImmutable)
}

func serveScript(ctx *fasthttp.RequestCtx, cache string) Reason {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, cache)
	h.SetBytesV(fasthttp.HeaderETag, tagETag)
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	// A page that pins the script by hash has to load it with CORS; the script is no secret.
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	if matches(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), tagETag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return Taken
	}
	h.SetContentType("text/javascript; charset=utf-8")
	accepted := ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)
	switch {
	case accepts(accepted, "br"):
		h.SetContentEncoding("br")
		ctx.Response.SetBodyRaw(pixeljs.ScriptBrotli)
	case accepts(accepted, "gzip"):
		h.SetContentEncoding("gzip")
		ctx.Response.SetBodyRaw(pixeljs.ScriptGzip)
	default:
		ctx.Response.SetBodyRaw(pixeljs.Script)
	}
	return Taken
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
