package decision

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/internal/framing"
	"beckon/internal/hostile"
)

// quick makes slow senders run into their limit within the test's time.
func quick(c *Config) { c.ReadTimeout = 300 * time.Millisecond }

func (r *replica) addr() string { return strings.TrimPrefix(r.url, "http://") }

// What a sender with a raw socket may try, and all that it gets for it. Behind a request that a proxy in front of
// us may have read in another way, nothing is read as one more.
func TestHostileRequestsAreAnsweredOnceAndCutOff(t *testing.T) {
	r := startReplica(t, newSetup(t), quick)
	const (
		get      = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
		smuggled = get + "\r\n"
		chunks   = "3\r\nabc\r\n0\r\n\r\n"
		probe    = ", 404 not-found, close" // the request that every connection gets that is still open
		bad      = "400 malformed, close"
	)
	f := func(name, text, want string) {
		t.Helper()
		if got := hostile.Said(t, r.addr(), text); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("plain, one after the other", smuggled+smuggled, "200, 200"+probe)
	f("plain, http/1.0", "GET /openapi.json HTTP/1.0\r\nHost: x\r\n\r\n"+smuggled, "200, close")

	// Where does the body end?
	f("plain body", get+"Content-Length: 3\r\n\r\nabc"+smuggled, "200, 200"+probe)
	f("chunked", get+"Transfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, "200, close")
	f("chunked and empty", get+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "200, close")
	f("chunked and length", get+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "200, close")
	f("chunked twice", get+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, bad)
	f("gzip, chunked", get+"Transfer-Encoding: gzip, chunked\r\n\r\n"+chunks+smuggled, bad)
	f("identity", get+"Transfer-Encoding: identity\r\n\r\n"+smuggled, bad)
	f("identity and length", get+"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"+smuggled, bad)
	f("two lengths", get+"Content-Length: 3\r\nContent-Length: 2\r\n\r\nabc"+smuggled, bad)
	f("negative length", get+"Content-Length: -1\r\n\r\nabc"+smuggled, bad)
	f("folded length", get+"Content-Length:\r\n 3\r\n\r\nabc"+smuggled, bad)

	// Where does a line end, and what is its name?
	f("folded line", get+"A: b\r\n\tc\r\n\r\n"+smuggled, bad)
	f("one bare lf", get+"A: b\n\r\n"+smuggled, bad)
	f("bare lf at the end", get+"\n"+smuggled, bad)
	f("bare cr in a value", get+"Cookie: a\rb\r\n\r\n"+smuggled, bad)
	f("nul in a value", get+"Cookie: a\x00b\r\n\r\n"+smuggled, bad)
	f("space before colon", "GET /openapi.json HTTP/1.1\r\nHost : x\r\n\r\n"+smuggled, bad)

	// Who is asked, for what, in which language?
	f("two hosts", "GET /openapi.json HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"+smuggled, bad)
	f("no host", "GET /openapi.json HTTP/1.1\r\n\r\n"+smuggled, bad)
	f("absolute address", "GET http://evil.example/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", "200"+probe)
	f("trace", "TRACE /v1/decision?site=demo HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n", "405 method-not-allowed"+probe)
	f("http/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bad)
	f("http/1.2", "GET /openapi.json HTTP/1.2\r\nHost: x\r\n\r\n"+smuggled, bad)
	f("http/0.9", "GET /openapi.json\r\n\r\n"+smuggled, bad)
	f("tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", bad)
	f("expect", get+"Expect: 100-continue\r\nContent-Length: 19\r\n\r\n", "417 expectation-refused, close")

	// How much, and for how long?
	f("header too large", get+"Cookie: "+strings.Repeat("a", framing.MaxHeaderBytes)+"\r\n\r\n"+smuggled, "431 header-too-large, close")
	f("address too large", "GET /"+strings.Repeat("a", framing.MaxHeaderBytes)+" HTTP/1.1\r\nHost: x\r\n\r\n"+smuggled, "431 header-too-large, close")
	f("body too large", get+fmt.Sprintf("Content-Length: %d\r\n\r\n", maxReadBytes+1)+smuggled, "413 too-large, close")
	f("chunk too large", get+"Transfer-Encoding: chunked\r\n\r\nfffff\r\nabc", "413 too-large, close")
	f("nothing", "", "408 timed-out, close")
	f("no end of the header", get+"Cook", "408 timed-out, close")
	f("no end of the body", get+"Content-Length: 10\r\n\r\n{", "408 timed-out, close")
}

// A client that cannot be heard out still gets the word it looks for, in the shape of every other refusal.
func TestWhatIsNoRequestIsRefusedLikeAnyOther(t *testing.T) {
	r := startReplica(t, newSetup(t), quick)
	f := func(reason string, status int, said string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://x/v1/decision?site=demo", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(said)), req)
		if err != nil {
			t.Fatalf("%s: %v in %q", reason, err, said)
		}
		if resp.StatusCode != status || resp.Header.Get("Beckon-Reason") != reason || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %q", reason, said)
		}
		conforms(t, req, resp)
	}
	const get = "GET /v1/decision?site=demo HTTP/1.1\r\nHost: x\r\n"
	f("malformed", 400, hostile.Raw(t, r.addr(), get+"nonsense\r\n\r\n"))
	f("header-too-large", 431, hostile.Raw(t, r.addr(), get+"Cookie: "+strings.Repeat("a", framing.MaxHeaderBytes)+"\r\n\r\n"))
	f("expectation-refused", 417, hostile.Raw(t, r.addr(), get+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"))
	f("too-large", 413, hostile.Pour(t, r.addr(), get, bytes.Repeat([]byte(" "), 1<<20))) // and goes on sending
	f("timed-out", 408, hostile.Drip(t, r.addr(), get+"Cookie: "))
	f("timed-out", 408, hostile.Drip(t, r.addr(), get+"Content-Length: 1000\r\n\r\n"))
}
