//go:build planted

package ingest

import "github.com/valyala/fasthttp"

// The build for `make privacy-proof` has a route that panics with what a request holds, which is the worst
// that a bug of ours could do. No other build has it.
func init() {
	planted = func(ctx *fasthttp.RequestCtx) {
		panic(ctx.Request.String() + ctx.RemoteAddr().String())
	}
}
