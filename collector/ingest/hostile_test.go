package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"beckon/internal/event"
	"beckon/internal/framing"
	"beckon/internal/hostile"
)

// What a sender with a raw socket may try, and all that it gets for it. Where a reply ends the connection,
// nothing that stands behind the request is ever read as another one; where it does not, each request gets
// its one reply, in order.
func TestHostileRequestsAreAnsweredOnceAndCutOff(t *testing.T) {
	s := openShop(t, quick)
	const (
		get      = "GET /b.js HTTP/1.1\r\nHost: x\r\n"
		smuggled = get + "\r\n" // 31 bytes
		post     = "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
		good     = `{"s":"demo","e":[]}` // 19 bytes
		chunks   = "13\r\n" + good + "\r\n0\r\n\r\n"
		probe    = ", 404 not-found, close" // the request that every connection gets that is still open
		bad      = "400 malformed, close"
		gone     = "404 not-found"
	)
	f := func(name, text, want string) {
		t.Helper()
		if got := hostile.Said(t, s.addr, text); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("plain", post+"Content-Length: 19\r\n\r\n"+good, "204"+probe)
	f("plain, http/1.0", "GET /b.js HTTP/1.0\r\nHost: x\r\n\r\n"+smuggled, "200, close")
	f("plain, http/1.0 keep-alive", "GET /b.js HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", "200"+probe)

	// Where does the body end?
	f("length and chunked", post+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, "204, close")
	f("chunked and length", post+"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"+chunks+smuggled, "204, close")
	f("chunked", post+"Transfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, "204, close")
	f("chunked in capitals", post+"transfer-encoding: CHUNKED\r\n\r\n"+chunks+smuggled, "204, close")
	f("chunked, refused", "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, "404 not-found, close")
	f("chunked twice", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, bad)
	f("chunked, then more", post+"Transfer-Encoding: chunked, identity\r\n\r\n"+chunks+smuggled, bad)
	f("gzip, chunked", post+"Transfer-Encoding: gzip, chunked\r\n\r\n"+chunks+smuggled, bad)
	f("xchunked", post+"Transfer-Encoding: xchunked\r\n\r\n"+chunks+smuggled, bad)
	f("vertical tab before chunked", post+"Transfer-Encoding: \vchunked\r\n\r\n"+chunks+smuggled, bad)
	f("identity", post+"Transfer-Encoding: identity\r\nContent-Length: 19\r\n\r\n"+good+smuggled, bad)
	f("chunked in http/1.0", "POST /e HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, bad)
	f("chunk with an extension", post+"Transfer-Encoding: chunked\r\n\r\n13;a=b\r\n"+good+"\r\n0\r\n\r\n"+smuggled, "204, close")
	f("chunk size ends in lf", post+"Transfer-Encoding: chunked\r\n\r\n13\n"+good+"\r\n0\r\n\r\n"+smuggled, bad)
	f("chunk size 0x13", post+"Transfer-Encoding: chunked\r\n\r\n0x13\r\n"+good+"\r\n0\r\n\r\n"+smuggled, bad)
	f("chunk size -1", post+"Transfer-Encoding: chunked\r\n\r\n-1\r\n"+good+"\r\n0\r\n\r\n"+smuggled, bad)
	f("chunk size overflows", post+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"+good+smuggled, bad)
	f("chunk over the limit", post+"Transfer-Encoding: chunked\r\n\r\nfffff\r\n"+good, "413 too-large, close")
	f("trailer that is a header", post+"Transfer-Encoding: chunked\r\n\r\n13\r\n"+good+"\r\n0\r\nContent-Length: 5\r\n\r\n"+smuggled, bad)
	f("two lengths", post+"Content-Length: 19\r\nContent-Length: 2\r\n\r\n"+good+smuggled, bad)
	f("one length twice", post+"Content-Length: 19\r\nContent-Length: 19\r\n\r\n"+good+smuggled, bad)
	f("list of lengths", post+"Content-Length: 19, 19\r\n\r\n"+good+smuggled, bad)
	f("signed length", post+"Content-Length: +19\r\n\r\n"+good+smuggled, bad)
	f("negative length", post+"Content-Length: -1\r\n\r\n"+good+smuggled, bad)
	f("length in hex", post+"Content-Length: 0x13\r\n\r\n"+good+smuggled, bad)
	f("length with a gap", post+"Content-Length: 1 9\r\n\r\n"+good+smuggled, bad)
	f("empty length", post+"Content-Length:\r\n\r\n"+good+smuggled, bad)
	f("length overflows", post+"Content-Length: 18446744073709551635\r\n\r\n"+good+smuggled, bad)
	f("length with zeros", post+"Content-Length: 000019\r\n\r\n"+good, "204"+probe)
	f("no length", post+"\r\n"+smuggled, "400 malformed, 200"+probe) // an empty body, and the next request
	f("get with a body", get+"Content-Length: 31\r\n\r\n"+smuggled, "200"+probe)
	f("get in chunks", get+"Transfer-Encoding: chunked\r\n\r\n1f\r\n"+smuggled+"\r\n0\r\n\r\n"+smuggled, "200, close")
	f("chunked and empty", "POST /optin HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "204, close")
	f("chunked and empty in a get", get+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "200, close")

	// Where does a line end, and what is its name?
	f("folded line", get+"A: b\r\n c\r\n\r\n"+smuggled, bad)
	f("line folded with a tab", get+"A: b\r\n\tc\r\n\r\n"+smuggled, bad)
	f("folded host", "GET /b.js HTTP/1.1\r\n Host: x\r\n\r\n"+smuggled, bad)
	f("folded coding", post+"Content-Length: 19\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"+good+smuggled, bad)
	f("bare lf everywhere", "GET /b.js HTTP/1.1\nHost: x\n\n"+smuggled, bad)
	f("one bare lf", "GET /b.js HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"+smuggled, bad)
	f("bare lf at the end", get+"\n"+smuggled, bad)
	f("bare lf behind the request line", "GET /b.js HTTP/1.1\nHost: x\r\n\r\n"+smuggled, "200, 200"+probe) // not seen, see package framing
	f("bare cr in a value", get+"Cookie: a\rb\r\n\r\n"+smuggled, bad)
	f("bare cr for a line's end", "GET /b.js HTTP/1.1\r\nHost: x\rA: b\r\n\r\n"+smuggled, bad)
	f("bare cr at the end", get+"\r"+smuggled, bad)
	f("bare cr in the request line", "GET /b.js\rHTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("nul in a value", get+"Cookie: a\x00b\r\n\r\n"+smuggled, bad)
	f("nul in a name", get+"A\x00: b\r\n\r\n"+smuggled, bad)
	f("nul in the path", "GET /b\x00.js HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("nul in the method", "G\x00T /b.js HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("space before colon", "GET /b.js HTTP/1.1\r\nHost : x\r\n\r\n"+smuggled, bad)
	f("no colon", get+"nonsense\r\n\r\n"+smuggled, bad)
	f("no name", get+": b\r\n\r\n"+smuggled, bad)
	f("name with an umlaut", get+"Ä: b\r\n\r\n"+smuggled, bad)

	// Who is asked, for what, in which language?
	f("two hosts", "GET /b.js HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"+smuggled, bad)
	f("one host twice", "GET /b.js HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("no host", "GET /b.js HTTP/1.1\r\n\r\n"+smuggled, bad)
	f("host of two words", "GET /b.js HTTP/1.1\r\nHost: x y\r\n\r\n"+smuggled, bad)
	f("absolute address", "GET http://evil.example/b.js HTTP/1.1\r\nHost: x\r\n\r\n", "200"+probe)
	f("absolute address without a host", "GET http://evil.example/b.js HTTP/1.1\r\n\r\n"+smuggled, bad)
	f("host of the address is no host", "POST http://evil.example/optout HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n", "403 origin-not-listed"+probe)
	f("host of the header is", "POST http://evil.example/optout HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 0\r\n\r\n", "204"+probe)
	f("two slashes", "GET //evil.example/b.js HTTP/1.1\r\nHost: x\r\n\r\n", gone+probe)
	f("asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", gone+probe)
	f("trace", "TRACE /b.js HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n", "405 method-not-allowed"+probe)
	f("trace with a body", "TRACE /b.js HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\n"+smuggled, "405 method-not-allowed"+probe)
	f("connect", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", gone+probe)
	f("method in small letters", "get /b.js HTTP/1.1\r\nHost: x\r\n\r\n", "405 method-not-allowed"+probe)
	f("http/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bad)
	f("http/2 in a get", "GET /b.js HTTP/2.0\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("upgrade to http/2", get+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "200"+probe)
	f("http/1.2", "GET /b.js HTTP/1.2\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("http/0.9", "GET /b.js\r\n\r\n"+smuggled, bad)
	f("another protocol", "GET /b.js ICY/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", bad)
	f("two spaces", "GET  /b.js HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("a tab", "GET\t/b.js HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("expect", post+"Expect: 100-continue\r\nContent-Length: 19\r\n\r\n", "417 expectation-refused, close")
	f("expect, and the body at once", post+"Expect: 100-continue\r\nContent-Length: 19\r\n\r\n"+good+smuggled, "417 expectation-refused, close")

	// How much, and for how long?
	f("header too large", get+"Cookie: "+strings.Repeat("a", framing.MaxHeaderBytes)+"\r\n\r\n"+smuggled, "431 header-too-large, close")
	f("too many header lines", get+strings.Repeat("A: b\r\n", framing.MaxHeaderBytes/6)+"\r\n"+smuggled, "431 header-too-large, close")
	f("address too large", "GET /"+strings.Repeat("a", framing.MaxHeaderBytes)+" HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, "431 header-too-large, close")
	f("body a little too large", post+fmt.Sprintf("Content-Length: %d\r\n\r\n", event.MaxBodyBytes+1)+strings.Repeat(" ", event.MaxBodyBytes+1), "413 too-large"+probe)
	f("body far too large", post+"Content-Length: 10000000\r\n\r\n"+smuggled, "413 too-large, close")
	f("nothing", "", "408 timed-out, close")
	f("no end of the header", get+"Cook", "408 timed-out, close")
	f("no end of the body", post+"Content-Length: 10\r\n\r\n{", "408 timed-out, close")
	f("no end of a chunk", post+"Transfer-Encoding: chunked\r\n\r\n13\r\n{", "408 timed-out, close")

	f("one after the other", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"+post+"Content-Length: 19\r\n\r\n"+good+"GET /e HTTP/1.1\r\nHost: x\r\n\r\n"+post+"Content-Length: 1\r\n\r\n{"+smuggled,
		"404 not-found, 204, 405 method-not-allowed, 400 malformed, 200"+probe)
	f("one after the other, the second one chunked", smuggled+post+"Transfer-Encoding: chunked\r\n\r\n"+chunks+smuggled+smuggled, "200, 204, close")
	f("one after the other, the second one broken", smuggled+"GET /b.js HTTP/1.1\r\nHost : x\r\n\r\n"+smuggled, "200, "+bad)
	f("empty lines before", "\r\n\r\n"+smuggled, "200"+probe)
	if all := s.stored(); len(all) != 0 {
		t.Errorf("stored %+v", all)
	}
}

// Who sends a byte now and then does not hold a connection for ever: the time is that of the whole request.
func TestDrippingRequestsAreCutOff(t *testing.T) {
	s := openShop(t, quick)
	for name, text := range map[string]string{
		"header": "GET /b.js HTTP/1.1\r\nHost: x\r\nCookie: ",
		"body":   "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n",
		"chunk":  "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n",
		"second": "GET /x HTTP/1.1\r\nHost: x\r\n\r\nGET /b.js HTTP/1.1\r\nHost: x\r\nCookie: ",
	} {
		if said := hostile.Drip(t, s.addr, text); !strings.Contains(said, "Beckon-Reason: timed-out\r\n") {
			t.Errorf("%s: got %q", name, said)
		}
	}
}

// Whoever sends far too much hears so, also while still sending, and however slow the last bytes are.
func TestWhoSendsFarTooMuchHearsWhy(t *testing.T) {
	s := openShop(t)
	body := bytes.Repeat([]byte(" "), 1<<20)
	for range 30 {
		said := hostile.Pour(t, s.addr, "POST /e HTTP/1.1\r\nHost: shop\r\nContent-Type: text/plain\r\n", body)
		if !strings.HasPrefix(said, "HTTP/1.1 413 ") {
			t.Fatalf("heard %.40q, want 413", said)
		}
	}
}
