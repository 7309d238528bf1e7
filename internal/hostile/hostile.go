// Package hostile is about what a sender with a raw socket gets for it: the tests of both services send with it
// what no client would. It is for tests only.
package hostile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within is how long a server may take to come to the end of a connection.
const within = 20 * time.Second

const probe = "GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// Said is what the server at addr answers to text on a fresh connection: status and Beckon-Reason of each reply,
// then whether it hung up ("close"), or did so without the word that says it ("cut"). A connection that is still
// open gets one more request, for a path that is not there, which must be answered next and alone: nothing of text
// is left that anybody could take for a request.
func Said(t testing.TB, addr, text string) string {
	t.Helper()
	conn := dial(t, addr, text)
	defer conn.Close()
	var heard []string
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
			return strings.Join(append(heard, "cut"), ", ")
		case err != nil:
			t.Fatalf("after %q: %v", heard, err)
		}
		io.Copy(io.Discard, resp.Body)
		heard = append(heard, strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Beckon-Reason"))))
		if resp.Close {
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				heard = append(heard, fmt.Sprintf("%q %v", rest, err))
			}
			return strings.Join(append(heard, "close"), ", ")
		}
		if in.Buffered() == 0 {
			if _, err := io.WriteString(conn, probe); err != nil {
				return strings.Join(append(heard, "cut"), ", ")
			}
		}
	}
}

// Raw sends text as it is and returns everything until the server closes the connection.
func Raw(t testing.TB, addr, text string) string {
	t.Helper()
	conn := dial(t, addr, text)
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // which follows the reply when something was left unread
		t.Fatalf("after %q: %v", b, err)
	}
	return string(b)
}

// Drip sends text and then a byte now and then, never an end, and returns what the server says until it hangs up.
func Drip(t testing.TB, addr, text string) string {
	t.Helper()
	conn := dial(t, addr, text)
	defer conn.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				io.WriteString(conn, "a") // its failure is the point
			}
		}
	}()
	said, err := io.ReadAll(conn)
	close(stop)
	<-stopped
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %q: %v", said, err)
	}
	return string(said)
}

// Pour sends head and as much of a body as it says, whether anybody wants it or not, and returns the reply.
func Pour(t testing.TB, addr, head string, body []byte) string {
	t.Helper()
	conn := dial(t, addr, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(body)))
	defer conn.Close()
	for sent := 0; sent < len(body); {
		n, err := conn.Write(body[sent:min(sent+64<<10, len(body))])
		if err != nil {
			t.Fatalf("cut off after %d of %d bytes: %v", sent, len(body), err)
		}
		sent += n
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %.40q: %v", said, err)
	}
	return string(said)
}

func dial(t testing.TB, addr, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}
