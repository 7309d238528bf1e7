//go:build !race

package ingest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// pageViews is a batch of n events as the tag sends them.
func pageViews(n int) string {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"n":"product_view","i":"019df26e-2d00-75af-89e3-8d27c16b%04x","u":"https://shop.example/mugs/blue","p":{"product":"mug-blue","price":12.5}}`, i)
	}
	return batch("demo", events...)
}

// repeated calls the handler with the same request again and again, as one connection would: with a
// cookie, so that nothing has to be set.
func repeated(t testing.TB, s *Server, method, uri, body string) func() {
	t.Helper()
	var first fasthttp.RequestCtx
	call(s, &first, method, uri, body)
	var cookie fasthttp.Cookie
	cookie.SetKey("_bk_demo")
	if !first.Response.Header.Cookie(&cookie) {
		t.Fatalf("no cookie: %s", first.Response.Header.String())
	}
	var req fasthttp.Request
	first.Request.CopyTo(&req)
	req.Header.SetCookieBytesKV(cookie.Key(), cookie.Value())
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 77)}, nil)
	return func() {
		ctx.Response.Reset()
		s.Handler(&ctx)
		if status := ctx.Response.StatusCode(); status/100 != 2 || len(ctx.Response.Header.PeekCookie("_bk_demo")) > 0 {
			t.Fatalf("got %d: %s", status, ctx.Response.Header.String())
		}
	}
}

// The race detector makes pools forget, so this file is not for it. The limits are what is there now, so that a new allocation in the hot path is seen: the texts that an event
// keeps are strings of their own (here a path and a label), and three are in the making of the record.
func TestHotPathAllocatesLittle(t *testing.T) {
	s := unplugged(t, sink{})
	f := func(limit float64, method, uri, body string) {
		t.Helper()
		if got := testing.AllocsPerRun(200, repeated(t, s, method, uri, body)); got > limit {
			t.Errorf("%s %.20s...: %v allocations, at most %v", method, uri, got, limit)
		} else {
			t.Logf("%s %.20s...: %v allocations", method, uri, got)
		}
	}
	f(4, "GET", "/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2F", "")
	f(6, "POST", "/e", pageViews(1))
	f(101, "POST", "/e", pageViews(20))
}

func BenchmarkPixel(b *testing.B) {
	run := repeated(b, unplugged(b, sink{}), "GET", "/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2Fmugs%2Fblue", "")
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 20, 100} {
		body := pageViews(n)
		if strings.Count(body, `"n":`) != n {
			b.Fatal("BUG: the batch has another size")
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			run := repeated(b, unplugged(b, sink{}), "POST", "/e", body)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
