package decision

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// said is what the server answers to text on a fresh connection: each status, then whether it hung up. One
// that it keeps open gets a last request, which asks for the end.
func (r *replica) said(text string) string {
	r.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		r.Fatal(err)
	}
	var heard []string
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
			return strings.Join(append(heard, "cut"), ", ") // without the word that says so
		case err != nil:
			r.Fatalf("after %q: %v", heard, err)
		}
		io.Copy(io.Discard, resp.Body)
		heard = append(heard, strconv.Itoa(resp.StatusCode))
		if resp.Close {
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				heard = append(heard, strconv.Quote(string(rest)))
			}
			return strings.Join(append(heard, "close"), ", ")
		}
		if in.Buffered() == 0 {
			if _, err := io.WriteString(conn, "GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				return strings.Join(append(heard, "cut"), ", ")
			}
		}
	}
}

// Behind a request that a proxy in front of us may have read in another way, nothing is read as one more.
func TestWhatCanBeReadInTwoWaysEndsTheConnection(t *testing.T) {
	r := startReplica(t, newSetup(t))
	const (
		get      = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
		smuggled = get + "\r\n" // 46 bytes
		bad      = "400, close"
	)
	f := func(name, text, want string) {
		t.Helper()
		if got := r.said(text); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("plain, one after the other", smuggled+smuggled, "200, 200, 404, close")
	f("plain body", get+"Content-Length: 3\r\n\r\nabc"+smuggled, "200, 200, 404, close")
	f("chunked", get+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+smuggled, "200, close")
	f("chunked and empty", get+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "200, close")
	f("chunked and length", get+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, "200, close")
	f("identity", get+"Transfer-Encoding: identity\r\n\r\n"+smuggled, bad)
	f("identity and length", get+"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"+smuggled, bad)
	f("folded length", get+"Content-Length:\r\n 3\r\n\r\nabc"+smuggled, bad)
	f("folded line", get+"A: b\r\n\tc\r\n\r\n"+smuggled, bad)
	f("one bare lf", get+"A: b\n\r\n"+smuggled, bad)
	f("bare lf at the end", get+"\n"+smuggled, bad)
	f("http/1.2", "GET /openapi.json HTTP/1.2\r\nHost: x\r\n\r\n"+smuggled, bad)
}
