//go:build linux

package chlocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "clickhouse" {
		fakeClickhouse()
	}
	Main()
	if os.Getenv(parentEnv) != "" {
		parent()
	}
	os.Exit(m.Run())
}

func TestServerAnswersOverNativeAndHTTP(t *testing.T) {
	s := ForTest(t)
	var version string
	if err := connect(t, s).QueryRow(t.Context(), "SELECT version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if got := overHTTP(t, s, "SELECT version()"); got != version {
		t.Fatalf("HTTP says version %q, native says %q", got, version)
	}
}

func TestServersOfTwoTestsShareNothing(t *testing.T) {
	a, b := ForTest(t), ForTest(t)
	execute(t, a, "CREATE DATABASE only_a")
	if got := overHTTP(t, b, "SELECT count() FROM system.databases WHERE name = 'only_a'"); got != "0" {
		t.Fatalf("the second server has %s databases of the first", got)
	}
}

func TestDataOutlivesKillAndRestart(t *testing.T) {
	s := ForTest(t)
	execute(t, s, "CREATE DATABASE beckon")
	execute(t, s, "CREATE TABLE beckon.t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1")
	execute(t, s, "INSERT INTO beckon.t SELECT number FROM numbers(1000)")
	native, http := s.NativeAddr(), s.HTTPAddr()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", native); err == nil {
		t.Fatal("a killed server still listens")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.NativeAddr() != native || s.HTTPAddr() != http {
		t.Fatalf("restarted on %s and %s, was on %s and %s", s.NativeAddr(), s.HTTPAddr(), native, http)
	}
	if got := overHTTP(t, s, "SELECT count() FROM beckon.t"); got != "1000" {
		t.Fatalf("%s rows after kill and restart, want 1000", got)
	}
}

func TestRestartRefusesARunningServer(t *testing.T) {
	s := ForTest(t)
	if err := s.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "still running") {
		t.Fatalf("got %v", err)
	}
}

func TestDataStaysInAGivenFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "start")
	for _, query := range []string{"CREATE TABLE default.t ENGINE = MergeTree ORDER BY n AS SELECT 7 AS n", "SELECT n FROM default.t"} {
		s := start(t, Options{Dir: dir})
		got := overHTTP(t, s, query)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(query, "SELECT") && got != "7" {
			t.Fatalf("second life of the folder says %q, want 7", got)
		}
	}
}

func TestStopCancelsQueriesAndLeavesNothing(t *testing.T) {
	s := start(t, Options{})
	group := s.run.cmd.Process.Pid
	if err := connect(t, s).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow := runSlowQuery(t, s)
	begin := time.Now()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 4*time.Second { // left alone, the engine waits five for a connection
		t.Errorf("stopping took %s", took)
	}
	if err := <-slow; err == nil {
		t.Error("the slow query succeeded")
	}
	if alive := inGroup(t, group); len(alive) > 0 {
		t.Errorf("still there: %v", alive)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("temporary folder: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestExitedTellsOfAServerThatDied(t *testing.T) {
	s := ForTest(t)
	select {
	case <-s.Exited():
		t.Fatal("told while the server runs")
	default:
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("not told within 5 s")
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(o Options, what string) {
		t.Helper()
		_, err := Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), what) {
			t.Fatalf("got %v, want an error that names %s and %s", err, taken.Addr(), what)
		}
	}
	f(Options{Native: taken.Addr().String()}, "native protocol")
	f(Options{HTTP: taken.Addr().String()}, "HTTP interface")
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	f := func(native, http, want string) {
		t.Helper()
		_, err := Start(t.Context(), Options{Native: native, HTTP: http})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %q in it", err, want)
		}
	}
	f("0.0.0.0:0", "0.0.0.0:0", "no loopback address")
	f("127.0.0.1:0", "127.0.0.2:0", "one host")
}

// A port can be lost between our look and the server's bind; then the one that has it may be a ClickHouse.
func TestAnotherServersAnswerIsNotOurs(t *testing.T) {
	other := ForTest(t)
	impostor := &Server{dir: t.TempDir(), native: other.native, http: other.http}
	err := (&process{ended: make(chan struct{}), said: new(tail)}).waitReady(t.Context(), impostor)
	if err == nil || !strings.Contains(err.Error(), other.Dir()) {
		t.Fatalf("got %v, want an error that names %s", err, other.Dir())
	}
}

func TestLockedFolderIsRefusedAfterTheWait(t *testing.T) {
	shortenLockWait(t, 300*time.Millisecond)
	s := ForTest(t)
	_, err := Start(t.Context(), Options{Dir: s.Dir()})
	if err == nil || !strings.Contains(err.Error(), s.Dir()+" is in use by another ClickHouse (PID: ") {
		t.Fatalf("got %v", err)
	}
	if got := overHTTP(t, s, "SELECT 1"); got != "1" {
		t.Fatalf("the holder answers %q", got)
	}
}

func TestStartWaitsForTheFoldersPreviousServer(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Options{Dir: dir})
	second := make(chan error, 1)
	var s *Server
	go func() {
		var err error
		s, err = Start(context.Background(), Options{Dir: dir})
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("the second did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestErrorOfAFailedStartHoldsTheServersWords(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.xml")
	writeFile(t, config, "<clickhouse><unclosed></clickhouse>")
	_, err := Start(t.Context(), Options{ConfigFile: config})
	if err == nil || !strings.Contains(err.Error(), "config.xml") || !strings.Contains(err.Error(), "the server said") {
		t.Fatalf("got %v", err)
	}
	_, err = Start(t.Context(), Options{ConfigFile: filepath.Join(t.TempDir(), "absent.xml")})
	if err == nil || !strings.Contains(err.Error(), "absent.xml") {
		t.Fatalf("got %v", err)
	}
}

func TestUnusableFolderIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a-file")
	writeFile(t, file, "")
	_, err := Start(t.Context(), Options{Dir: file})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("got %v", err)
	}
}

func TestConfigurationFileIsHonoured(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.xml")
	writeFile(t, config, "<clickhouse><macros><shop>demo</shop></macros></clickhouse>")
	s := start(t, Options{ConfigFile: config})
	if got := overHTTP(t, s, "SELECT getMacro('shop')"); got != "demo" {
		t.Fatalf("macro is %q, want demo", got)
	}
}

func TestErrorsOfTheServerReachTheLog(t *testing.T) {
	var log tail
	s := start(t, Options{Log: &log})
	resp, err := http.Post("http://"+s.HTTPAddr()+"/", "", strings.NewReader("SELECT no_such_column_here"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	waitFor(t, "the error in both logs", func() bool {
		return strings.Contains(log.String(), "no_such_column_here") && strings.Contains(s.Log(), "no_such_column_here")
	})
}

func TestStartWithoutMainIsRefused(t *testing.T) {
	mainCalled.Store(false)
	defer mainCalled.Store(true)
	if _, err := Start(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "chlocal.Main()") {
		t.Fatalf("got %v", err)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{}); err == nil {
		t.Fatal("started under a cancelled context")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v %v", left, err)
	}
}

func TestTailKeepsTheLastBytes(t *testing.T) {
	var log tail
	for i := range 3000 {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	if got := log.String(); len(got) != tailBytes || !strings.HasSuffix(got, "line 2998\nline 2999\n") {
		t.Fatalf("%d bytes ending in %q", len(got), got[len(got)-20:])
	}
}

const (
	// An INSERT over HTTP goes on when its client has gone, so only a KILL QUERY ends it early.
	slowQuery          = "INSERT INTO FUNCTION null('n UInt64') SELECT number FROM system.numbers SETTINGS max_execution_time = 60"
	runningSlowQueries = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO FUNCTION null%'"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, s *Server) driver.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func execute(t *testing.T, s *Server, query string) {
	t.Helper()
	if err := connect(t, s).Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func overHTTP(t *testing.T, s *Server, query string) string {
	t.Helper()
	resp, err := http.Post("http://"+s.HTTPAddr()+"/", "text/plain", strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", query, resp.Status, body, err)
	}
	return strings.TrimSpace(string(body))
}

// runSlowQuery returns when a query of a minute is running. What it comes to is sent on the channel.
func runSlowQuery(t *testing.T, s *Server) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		resp, err := http.Post("http://"+s.HTTPAddr()+"/", "text/plain", strings.NewReader(slowQuery))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		ended <- err
	}()
	waitFor(t, "the slow query to run", func() bool { return overHTTP(t, s, runningSlowQueries) == "1" })
	return ended
}

func shortenLockWait(t *testing.T, d time.Duration) {
	t.Helper()
	before := lockWait
	lockWait = d
	t.Cleanup(func() { lockWait = before })
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !isSo(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
