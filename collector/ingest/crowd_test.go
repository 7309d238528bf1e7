package ingest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"syscall"
	"testing"

	"beckon/internal/hostile"
)

// idleConnections is how many visitors keep a connection open that they do not use.
const idleConnections = 10_000

// idleBytes is what one of them may cost: its buffers, and the stack of the goroutine that waits for it.
const idleBytes = 32 << 10

// The other ends of the connections are a process of their own, because both ends are more files than one
// process may often have open.
const idleTarget = "BECKON_TEST_IDLE_TARGET"

// TestIdleVisitors is that process: it opens the connections, asks once on each, says so, and waits until
// its standard input ends. Without its variable it does nothing.
func TestIdleVisitors(t *testing.T) {
	target := os.Getenv(idleTarget)
	if target == "" {
		return
	}
	for n := range idleConnections {
		conn, err := net.Dial("tcp", target)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		if resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil); err != nil || resp.StatusCode != 404 {
			t.Fatalf("connection %d: %v", n, err)
		}
	}
	fmt.Println("idle")
	io.Copy(io.Discard, os.Stdin)
}

func TestTenThousandIdleConnectionsKeepNobodyOut(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur = files.Max; files.Cur < idleConnections+500 {
		t.Fatalf("a process may have %d files open here, the test needs %d: raise the hard limit (ulimit -Hn)", files.Cur, idleConnections+500)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	s := openShop(t)
	before := inUse()
	visitors := exec.Command(os.Args[0], "-test.run=^TestIdleVisitors$")
	visitors.Env = append(os.Environ(), idleTarget+"="+s.addr)
	home, err := visitors.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := visitors.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := visitors.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "idle\n" {
		home.Close()
		t.Fatalf("the visitors said %q, %v, %v", line, err, visitors.Wait())
	}
	if n := s.server.http.GetOpenConnectionsCount(); n < idleConnections {
		t.Errorf("%d connections are open, want %d", n, idleConnections)
	}
	if got := s.post(batch("demo", pageView)); got.StatusCode != 204 {
		t.Errorf("an ordinary request got %d", got.StatusCode)
	}
	each := (inUse() - before) / idleConnections
	if each > idleBytes {
		t.Errorf("an idle connection costs %d bytes, at most %d", each, idleBytes)
	}
	t.Logf("%d bytes for each idle connection", each)
	home.Close()
	visitors.Wait() // it may die of a broken pipe, having nothing more to say
	eventually(t, func() bool { return s.server.http.GetOpenConnectionsCount() <= 2 })
}

// inUse is heap and stacks, after a collection.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Every field of fasthttp.Server is set, or stands here with the reason why its zero is meant. A field that
// an upgrade brings makes this fail, so that somebody thinks about it.
func TestEveryLimitOfTheHTTPServerIsSet(t *testing.T) {
	zero := map[string]string{
		"HeaderReceived":                "limits are the same for every request",
		"ContinueHandler":               "ExpectHandler stands before it",
		"ConnState":                     "nobody listens",
		"TLSConfig":                     "a proxy speaks TLS",
		"FormValueFunc":                 "no forms",
		"Name":                          "the server has no name: NoDefaultServerHeader",
		"MaxConnsPerIP":                 "a mobile carrier or our own proxy is one address for thousands; internal/limit counts requests",
		"MaxKeepaliveDuration":          "does nothing any more in fasthttp; IdleTimeout and MaxRequestsPerConn end connections",
		"DisableKeepalive":              "visitors keep connections",
		"ReduceMemoryUsage":             "costs a system call for each request",
		"GetOnly":                       "batches are POST",
		"LogAllErrors":                  "its messages are about clients",
		"DisableHeaderNamesNormalizing": "names are compared in one spelling",
		"NoDefaultDate":                 "caches want a Date",
		"KeepHijackedConns":             "nothing is hijacked",
		"StreamRequestBody":             "a body is read whole, within its limit",
	}
	server := reflect.ValueOf(openShop(t).server.http).Elem()
	for i := range server.NumField() {
		field := server.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		_, meant := zero[field.Name]
		if isZero := server.Field(i).IsZero(); isZero != meant {
			t.Errorf("%s: zero is %v, and meant so %v", field.Name, isZero, meant)
		}
		delete(zero, field.Name)
	}
	for name := range zero {
		t.Errorf("fasthttp.Server has no field %s any more", name)
	}
}

// A panic in the middle of a request: the connection is closed, because nobody knows what of it was read,
// the other one goes on, and what the request had begun with is given to nobody else.
func TestPanicLeavesConnectionsAndPoolsSane(t *testing.T) {
	s := openShop(t)
	bomb := true
	was := requestChecks
	requestChecks = append([]check{}, was...)
	requestChecks[len(was)-1] = func(srv *Server, r *request) Reason {
		if bomb {
			r.dropped = append(r.dropped, drop{0, BadValue}) // and more of a state that nobody expects
			r.raws = append(r.raws, r.raws...)
			panic("203.0.113.77")
		}
		return was[len(was)-1](srv, r)
	}
	defer func() { requestChecks = was }()

	one := "POST /e HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
	body := batch("demo", pageView)
	other, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	in := bufio.NewReader(other)
	ask := func() int {
		t.Helper()
		fmt.Fprintf(other, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	ask()
	for range 3 {
		if got := hostile.Said(t, s.addr, fmt.Sprintf(one, len(body), body)+"GET /b.js HTTP/1.1\r\nHost: x\r\n\r\n"); got != "500 internal, close" {
			t.Fatalf("got %q", got)
		}
	}
	if status := ask(); status != 404 {
		t.Errorf("the other connection got %d", status)
	}
	bomb = false
	for range 10 {
		if got := s.post(body); got.StatusCode != 204 || got.reason() != "" {
			t.Fatalf("afterwards a request got %d %q", got.StatusCode, got.reason())
		}
	}
	if all := s.stored(); len(all) != 10 {
		t.Errorf("stored %d events, want 10", len(all))
	}
	if n := s.metric("beckon_http_panics_total"); n != 3 {
		t.Errorf("counted %v panics", n)
	}
}
