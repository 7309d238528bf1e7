package ingest

import (
	"bufio"
	"encoding/json"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/framing"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// kept is a spool in memory that keeps what it got until the next reset.
type kept struct{ payloads [][]byte }

func (k *kept) Append(entries []spool.Entry, _ []spool.Count) error {
	for _, e := range entries {
		k.payloads = append(k.payloads, append([]byte(nil), e.Payload...))
	}
	return nil
}

// sink is a spool that keeps nothing.
type sink struct{}

func (sink) Append([]spool.Entry, []spool.Count) error { return nil }

// unplugged is a server without a network, for what is called very often; change may adjust its settings first.
func unplugged(t testing.TB, appender Appender, change ...func(*Config)) *Server {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	if _, err := keyring.Init(dir, siteIDs); err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	sites := &fixedSites{}
	sites.file.Store(parseSites(t, sitesText))
	days, err := daykey.Open(daykey.Config{Dir: filepath.Join(t.TempDir(), "volatile")})
	if err != nil {
		t.Fatal(err)
	}
	suppressed, err := suppress.Open(suppress.Dir(dir), suppress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { suppressed.Close() })
	c := Config{Spool: appender, Sites: sites, Keys: keys, DayKeys: days, Suppressed: suppressed, Agents: privacy.NewAgents(100), Registerer: prometheus.NewRegistry()}
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call sends one request to the handler, without a connection.
func call(s *Server, ctx *fasthttp.RequestCtx, method, uri, body string) {
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.SetRequestURI(uri)
	req.Header.SetContentType("text/plain")
	req.Header.SetUserAgent(firefox)
	req.SetBodyString(body)
	ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 77)}, nil)
	s.Handler(ctx)
}

// fuzzed checks what holds for every input: no panic, a reply that agrees with what was stored, records
// that can be read back, and no address in them.
func fuzzed(t *testing.T, s *Server, k *kept, method, uri, body string) *fasthttp.RequestCtx {
	k.payloads = k.payloads[:0]
	ctx := new(fasthttp.RequestCtx)
	call(s, ctx, method, uri, body)
	status := ctx.Response.StatusCode()
	if status == fasthttp.StatusInternalServerError {
		t.Fatalf("panic on %q %q", uri, body)
	}
	if status/100 != 2 && (len(k.payloads) > 0 || len(ctx.Response.Header.Peek(reasonHeader)) == 0) {
		t.Fatalf("status %d with %d records and reason %q", status, len(k.payloads), ctx.Response.Header.Peek(reasonHeader))
	}
	for _, p := range k.payloads {
		var e event.Stored
		if err := e.Decode(p); err != nil {
			t.Fatalf("record does not decode: %v", err)
		}
		if strings.Contains(string(p), "203.0.113.77") && !strings.Contains(uri+body, "203.0.113.77") {
			t.Fatal("the address is in the record")
		}
	}
	return ctx
}

// bodies are where the fuzzers of a body begin.
var bodies = []string{
	"", "{}", "[]", "null", `{"v":1,"s":"demo"}`, batch("demo", pageView, pageView), choose("demo", yes), choose("asks", no),
	`{"v":1,"s":"demo","z":1777888800000,"e":[{"n":"purchase","i":"019df26e-2d00-75af-89e3-8d27c16b05af","t":1777888800000,"u":"https://a/b?utm_source=x","r":"https://c/","p":{"order":"A","value":1.5,"currency":"EUR","items":[{"product":"a","quantity":1,"price":"2"}]}}]}`,
	`{"s":"demo","s":"demo"}`, `{"s":"demo","e":[{"n":"page_view","t":-1}]}`, `{"s":"demo","e":[{"n":1,"i":2,"t":"x","u":[],"r":{},"p":3}]}`,
	"{\"s\":\"\\ud800\"}", `{"s":"\uD83D\uDE00\uD83D\u0041\uDE00\ud83d"}`, strings.Repeat("[", 100),
	`{"\u0073":"demo","k":"x","x":[1e5,-0,1.50,"\ud83d\ude00\u0000\/"],"e":[{"n":"search","p":{"a":{"b":[null,true]}}}]}`,
	`{"s":"demo","c":{"decide":true,"measure":true,"at":1777888800000,"u":"https://a/b?utm_source=x&utm_campaign=\ud83d","r":"https://c/"}}`, `{"s":"asks","c":{"decide":false,"measure":true,"u":1,"r":null}}`,
	`{"s":"\\","w":true,"z":"5","c":{"decide":true,"measure":false,"src":"x","at":1}}`, `{"s":"demo","e":[{"u":"\u00e9","r":"\"","t":"12"}]} `,
}

func FuzzBody(f *testing.F) {
	for _, seed := range bodies {
		f.Add(seed)
	}
	k := &kept{}
	s := unplugged(f, k)
	f.Fuzz(func(t *testing.T, body string) {
		ctx := fuzzed(t, s, k, "POST", "/e", body)
		if ctx.Response.StatusCode()/100 == 2 && !json.Valid([]byte(body)) {
			t.Fatalf("accepted what encoding/json refuses: %q", body)
		}
		if ctx.Response.StatusCode() == 200 && !json.Valid(ctx.Response.Body()) {
			t.Fatalf("reply is no JSON: %q", ctx.Response.Body())
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "s=demo&n=page_view", "s=demo&n=search&t=1777888800000&u=https%3A%2F%2Fa%2Fb&r=x&c=decide&i=019df26e-2d00-75af-89e3-8d27c16b05af",
		"s=demo&s=demo", "s=demo&n=%ff", "s=asks&n=page_view&c=decide", "s=demo&n=page_view&t=99999999999999999999", "&&==&s",
	} {
		f.Add(seed)
	}
	k := &kept{}
	s := unplugged(f, k)
	f.Fuzz(func(t *testing.T, query string) {
		if _, err := url.Parse("/p.gif?" + query); err != nil {
			return // no request could carry it
		}
		fuzzed(t, s, k, "GET", "/p.gif?"+query, "")
	})
}

// lines sends a request whose header has further lines, as they would stand on a connection.
func lines(s *Server, text string) (ctx *fasthttp.RequestCtx, read bool) {
	var req fasthttp.Request
	head := "GET /p.gif?s=demo&n=page_view HTTP/1.1\r\nHost: shop.example\r\n" + text + "\r\n\r\n"
	if err := req.Header.Read(bufio.NewReaderSize(strings.NewReader(head), framing.MaxHeaderBytes)); err != nil {
		return nil, false // as serveError answers
	}
	ctx = new(fasthttp.RequestCtx)
	ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 77)}, nil)
	s.Handler(ctx)
	return ctx, true
}

// A cookie that nobody signed makes nobody known, whatever else stands in the header; it is never an error for
// the shopper.
func FuzzCookie(f *testing.F) {
	k := &kept{}
	s := unplugged(f, k)
	first := new(fasthttp.RequestCtx)
	call(s, first, "GET", "/p.gif?s=demo&n=page_view", "")
	var cookie fasthttp.Cookie
	cookie.SetKey("_bk_demo")
	if !first.Response.Header.Cookie(&cookie) {
		f.Fatal("no cookie")
	}
	value := string(cookie.Value())
	var known event.Stored
	if err := known.Decode(k.payloads[0]); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "_bk_demo=", "_bk_demo=" + value[1:], "_bk_demo=" + value[:len(value)-1], "_bk_demo=AAAA; _bk_demo=BBBB", "_bk_out=1", "_bk_out=0; _bk_demo=x",
		"__Host-_bk_demo=" + value, "_bk_asks=" + value, `_bk_demo="` + value[2:] + `"`, "a=b; ;; =; _bk_demo", "_bk_demo=%5f\r\nCookie: _bk_out=1", "_bk_d_demo=eyJ.e30.x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k.payloads = k.payloads[:0]
		ctx, read := lines(s, "Cookie: "+text)
		if !read {
			return
		}
		if status := ctx.Response.StatusCode(); status != fasthttp.StatusOK && status != fasthttp.StatusBadRequest {
			t.Fatalf("got %d", status)
		}
		for _, p := range k.payloads {
			var e event.Stored
			if err := e.Decode(p); err != nil {
				t.Fatal(err)
			}
			if e.Visitor == known.Visitor && !strings.Contains(text, value) {
				t.Fatalf("%q makes a visitor known who did not send it", text)
			}
		}
	})
}

// What a browser says of itself is reduced to words of closed lists, or of ours.
func FuzzClientHints(f *testing.F) {
	for _, seed := range [][3]string{
		{`"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"`, "?0", `"Windows"`},
		{`"Opera";v="120"`, "?1", `"Android"`},
		{`"a\"b\\;v=`, "?", `"`},
		{`"canary-7f3a";v="1", "canary-7f3a"`, "canary-7f3a", `"canary-7f3a"`},
		{strings.Repeat(`"x";v="1",`, 200), "?0", strings.Repeat("y", 600)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	k := &kept{}
	s := unplugged(f, k)
	f.Fuzz(func(t *testing.T, brands, mobile, platform string) {
		k.payloads = k.payloads[:0]
		ctx, read := lines(s, "User-Agent: "+firefox+"\r\nSec-CH-UA: "+brands+"\r\nSec-CH-UA-Mobile: "+mobile+"\r\nSec-CH-UA-Platform: "+platform)
		if !read {
			return
		}
		if status := ctx.Response.StatusCode(); status != fasthttp.StatusOK && status != fasthttp.StatusBadRequest {
			t.Fatalf("got %d", status)
		}
		for _, p := range k.payloads {
			if strings.Contains(string(p), "canary-7f3a") {
				t.Fatal("the record repeats what a browser said")
			}
		}
	})
}
