//go:build !race

package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/spool"
)

// pageViews is a batch of n events as the tag sends them.
func pageViews(n int) string {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"n":"product_view","i":"019df26e-2d00-75af-89e3-8d27c16b%04x","u":"https://shop.example/mugs/blue","p":{"product":"mug-blue","price":12.5}}`, i)
	}
	return batch("demo", events...)
}

// wire is a connection on which a browser repeats one request, each time after the reply to the one before.
type wire struct {
	net.Conn // nil: what is not below is not called
	request  []byte
	unread   int // of the request in hand
	left     int // requests to come
	replies  int // of status 2xx without a new cookie
	reply    []byte
}

func (w *wire) Read(b []byte) (int, error) {
	if w.unread == 0 {
		if w.left == 0 {
			return 0, io.EOF
		}
		w.left--
		w.unread = len(w.request)
	}
	n := copy(b, w.request[len(w.request)-w.unread:])
	w.unread -= n
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	w.reply = append(w.reply[:0], b...)
	if bytes.HasPrefix(b, []byte("HTTP/1.1 20")) && !bytes.Contains(b, []byte("Set-Cookie")) {
		w.replies++
	}
	return len(b), nil
}

func (w *wire) Close() error                     { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) LocalAddr() net.Addr              { return somewhere }
func (w *wire) RemoteAddr() net.Addr             { return somewhere }

var somewhere = &net.TCPAddr{IP: net.IPv4(203, 0, 113, 77), Port: 4711}

// browser is a returning visitor's browser: what it sends with each request, cookie and all, and the header lines
// that a proxy adds.
func browser(t testing.TB, s *Server, method, uri, body string, lines ...string) *wire {
	t.Helper()
	var first fasthttp.RequestCtx
	call(s, &first, method, uri, body)
	var cookie fasthttp.Cookie
	cookie.SetKey("_bk_demo")
	if known := first.Response.Header.Cookie(&cookie); !known && strings.Contains(uri+body, "demo") {
		t.Fatalf("no cookie: %s", first.Response.Header.String())
	}
	head := method + " " + uri + " HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: " + firefox +
		"\r\nAccept: */*\r\nAccept-Language: de,en-US;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd" +
		"\r\nReferer: https://shop.example/\r\nCookie: theme=dark; _bk_demo=" + string(cookie.Value()) +
		"\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nDNT: 0\r\n"
	if method == "POST" {
		head += fmt.Sprintf("Origin: https://shop.example\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	for _, line := range lines {
		head += line + "\r\n"
	}
	return &wire{request: []byte(head + "\r\n" + body)}
}

// serve sends the request n times, on as many connections as the limit of requests on each wants.
func (w *wire) serve(t testing.TB, s *Server, n int) {
	for n > 0 {
		w.replies, w.left = 0, min(n, s.http.MaxRequestsPerConn)
		want := w.left
		n -= want
		if err := s.http.ServeConn(w); err != nil || w.replies != want {
			t.Fatalf("%d good replies to %d requests (%v), the last: %s", w.replies, want, err, w.reply)
		}
	}
}

const (
	pixelURI  = "/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2Fmugs%2Fblue%3Futm_source%3Dnews%26utm_medium%3Dmail%26utm_campaign%3Dspring%2Bsale&r=https%3A%2F%2Fnews.example%2F"
	pixelUUID = pixelURI + "&i=019df26e-2d00-75af-89e3-8d27c16b05af"
)

// The race detector makes pools forget, so this file is not for it. What a connection costs once is left
// out: it is the difference between a long one and a short one that counts.
func TestHotPathAllocatesNothing(t *testing.T) {
	disk, err := spool.Open(t.TempDir(), spool.Options{Sync: spool.SyncOS})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	disk.Sealing(0) // what a segment costs is for all of its events
	// Without an id each is a new event, and a commit of its own, because nobody else is there.
	allocatesNothing(t, unplugged(t, disk), "GET", pixelURI, "")

	s := unplugged(t, sink{})
	allocatesNothing(t, s, "GET", pixelURI, "")
	allocatesNothing(t, s, "GET", pixelUUID, "")
	allocatesNothing(t, s, "POST", "/e", pageViews(1))
	allocatesNothing(t, s, "POST", "/e", pageViews(20))

	// Lane measure: nobody has a cookie, and the id is made anew each time.
	allocatesNothing(t, s, "GET", strings.Replace(pixelUUID, "demo", "reports", 1), "")
	allocatesNothing(t, s, "POST", "/e", strings.Replace(pageViews(20), "demo", "reports", 1))

	// Limits that nobody reaches, behind two proxies.
	s = unplugged(t, sink{}, func(c *Config) {
		trusting("203.0.113.0/24")(c)
		c.Limits = Limits{Client: 1_000_000, Network: 1_000_000, Site: 1_000_000}
	})
	for _, forwarded := range []string{"198.51.100.7", "2001:db8:1:2::7"} {
		lines := []string{"X-Forwarded-For: 192.0.2.1, " + forwarded + ", 203.0.113.9", "X-Forwarded-Proto: http"}
		allocatesNothing(t, s, "GET", pixelUUID, "", lines...)
		allocatesNothing(t, s, "POST", "/e", pageViews(20), lines...)
	}
}

func allocatesNothing(t *testing.T, s *Server, method, uri, body string, lines ...string) {
	t.Helper()
	const many = 900
	w := browser(t, s, method, uri, body, lines...)
	w.serve(t, s, 2*many)
	one := testing.AllocsPerRun(5, func() { w.serve(t, s, 1) })
	all := testing.AllocsPerRun(5, func() { w.serve(t, s, many) })
	if each := (all - one) / (many - 1); each >= 0.01 { // the collector of garbage empties pools now and then
		t.Errorf("%s %.20s...: %v allocations per request", method, uri, each)
	}
}

func BenchmarkPixel(b *testing.B) {
	s := unplugged(b, sink{})
	w := browser(b, s, "GET", pixelUUID, "")
	b.ReportAllocs()
	for b.Loop() {
		w.serve(b, s, 100)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/request")
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 20, 100} {
		body := pageViews(n)
		if strings.Count(body, `"n":`) != n {
			b.Fatal("BUG: the batch has another size")
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := unplugged(b, sink{})
			w := browser(b, s, "POST", "/e", body)
			b.ReportAllocs()
			for b.Loop() {
				w.serve(b, s, 100)
			}
			b.ReportMetric(100*float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
