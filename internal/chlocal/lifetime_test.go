//go:build linux

package chlocal

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parentEnv makes this test binary a parent that starts a server, tells of it and then does nothing.
const parentEnv = "BECKON_CHLOCAL_TEST_PARENT"

func parent() {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.run.cmd.Process.Pid, s.native, s.http, s.dir)
	select {}
}

func TestServerDiesWithItsParent(t *testing.T) {
	f := func(name string, binary, busy bool) {
		t.Run(name, func(t *testing.T) {
			if binary {
				putFakeOnPath(t)
			}
			victim, s, group := startParent(t)
			if busy {
				runSlowQuery(t, s)
			}
			if err := victim.Kill(); err != nil { // kill -9: it runs no code of ours any more
				t.Fatal(err)
			}
			waitFor(t, "the server to end", func() bool { return len(inGroup(t, group)) == 0 })
			if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
				t.Errorf("temporary folder: %v", err)
			}
		})
	}
	f("library, idle", false, false)
	f("library, busy", false, true)
	f("binary, idle", true, false)
}

func TestBinaryDiesWithItsGuard(t *testing.T) {
	putFakeOnPath(t)
	s := start(t, Options{})
	group := s.run.cmd.Process.Pid
	if n := len(inGroup(t, group)); n != 2 {
		t.Fatalf("%d processes in the group, want the guard and the server", n)
	}
	if err := s.run.cmd.Process.Kill(); err != nil { // the guard alone
		t.Fatal(err)
	}
	<-s.Exited()
	waitFor(t, "the server to end", func() bool { return len(inGroup(t, group)) == 0 })
}

func TestBinaryOnPathIsPreferred(t *testing.T) {
	arguments := putFakeOnPath(t)
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	_, native, _ := net.SplitHostPort(s.NativeAddr())
	_, http, _ := net.SplitHostPort(s.HTTPAddr())
	want := []string{
		"server", "--config-file=" + dir + "/chlocal.xml", "--",
		"--path=" + dir + "/", "--tmp_path=" + dir + "/tmp/",
		"--user_files_path=" + dir + "/user_files/", "--format_schema_path=" + dir + "/format_schemas/",
		"--listen_host=127.0.0.1", "--tcp_port=" + native, "--http_port=" + http, "--shutdown_wait_unfinished=1",
	}
	text, err := os.ReadFile(arguments)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(string(text), "\n"); !slices.Equal(got, want) {
		t.Fatalf("started with\n%q, want\n%q", got, want)
	}
	config, err := os.ReadFile(filepath.Join(dir, "chlocal.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<ip>127.0.0.1</ip>", "<profiles>", "<quotas>", "<console>true</console>"} {
		if !strings.Contains(string(config), part) {
			t.Errorf("configuration lacks %s:\n%s", part, config)
		}
	}
}

func TestBinaryTakesTheCallersConfiguration(t *testing.T) {
	arguments := putFakeOnPath(t)
	config := filepath.Join(t.TempDir(), "mine.xml")
	writeFile(t, config, "<clickhouse/>")
	start(t, Options{ConfigFile: config})
	text, err := os.ReadFile(arguments)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "--config-file="+config+"\n") {
		t.Fatalf("started with\n%s", text)
	}
}

func TestBinarySurvivesKillAndRestart(t *testing.T) {
	putFakeOnPath(t)
	s := start(t, Options{})
	execute(t, s, "CREATE TABLE default.t ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1 AS SELECT 7 AS n")
	group := s.run.cmd.Process.Pid
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server to end with its guard", func() bool { return len(inGroup(t, group)) == 0 })
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := overHTTP(t, s, "SELECT n FROM default.t"); got != "7" {
		t.Fatalf("n is %q after kill and restart, want 7", got)
	}
}

func TestBinaryThatFailsIsQuoted(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no disk today >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "no disk today") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("got %v", err)
	}
}

// startParent runs this test binary as a parent and returns it with the server that it started.
func startParent(t *testing.T) (victim *os.Process, s *Server, group int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s = new(Server)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &group, &s.native, &s.http, &s.dir)
	}
	if err != nil {
		t.Fatalf("the parent said %q: %v", line, err)
	}
	return cmd.Process, s, group
}

// inGroup lists the processes of a group, without those that ended and only wait to be reaped.
func inGroup(t *testing.T, group int) (alive []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("read /proc: %v", err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (name) state parent group ...; the name may hold anything
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[0] != "Z" && fields[2] == strconv.Itoa(group) {
			alive = append(alive, string(text))
		}
	}
	return alive
}

// putFakeOnPath makes `clickhouse` on PATH this test binary, which then is fakeClickhouse, and returns the
// file that will hold its arguments, one a line.
func putFakeOnPath(t *testing.T) (arguments string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	library, err := findSource(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "clickhouse")); err != nil {
		t.Fatal(err)
	}
	arguments = filepath.Join(dir, "arguments")
	t.Setenv("FAKE_CLICKHOUSE_LIBRARY", library.Library)
	t.Setenv("FAKE_CLICKHOUSE_ARGUMENTS", arguments)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return arguments
}

// fakeClickhouse understands the arguments of `clickhouse server` and serves with the library. Like the
// server it knows nothing of its parent, and ends in order on SIGTERM.
func fakeClickhouse() {
	err := os.WriteFile(os.Getenv("FAKE_CLICKHOUSE_ARGUMENTS"), []byte(strings.Join(os.Args[1:], "\n")), 0o600)
	if err != nil {
		panic(err)
	}
	value := make(map[string]string)
	for _, arg := range os.Args[1:] {
		name, v, _ := strings.Cut(arg, "=")
		value[name] = v
	}
	host := value["--listen_host"]
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	s := spec{
		Dir:    strings.TrimSuffix(value["--path"], "/"),
		Native: net.JoinHostPort(host, value["--tcp_port"]),
		HTTP:   net.JoinHostPort(host, value["--http_port"]),
	}
	go func() {
		<-term
		_ = w.Close()
		for ; ; time.Sleep(20 * time.Millisecond) {
			hangUp(s)
		}
	}()
	err = runEngine(os.Getenv("FAKE_CLICKHOUSE_LIBRARY"), libraryArgs(s, fmt.Sprintf("/dev/fd/%d", r.Fd())))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
