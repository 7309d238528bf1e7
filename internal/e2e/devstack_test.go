package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	readyLimit = 60 * time.Second // a start; the machine may be building something else meanwhile
	stopLimit  = 30 * time.Second
	factLimit  = 20 * time.Second // until something that was caused can be seen
	pollEvery  = 20 * time.Millisecond
)

// devStack is what `make run` starts, with ports and a state folder of its own. It can be stopped and
// started again, and keeps both.
type devStack struct {
	state string
	addr  map[string]string // by the flag that sets it, "--shop" and so on
	more  []string          // flags of one test, after those of the ports and the folder
	cmd   *exec.Cmd
	said  *transcript
	ended chan struct{} // closed when cmd has been waited for
}

// newDevStack chooses the ports and starts nothing.
func newDevStack(t *testing.T) *devStack {
	t.Helper()
	flags := []string{
		"--collector", "--aggregator", "--shop", "--collector-admin", "--aggregator-admin", "--clickhouse-http", "--clickhouse-native",
	}
	s := &devStack{state: t.TempDir(), addr: make(map[string]string)}
	for i, addr := range freeAddresses(t, len(flags)) {
		s.addr[flags[i]] = addr
	}
	return s
}

// startDevStack returns a running stack, which ends with the test.
func startDevStack(t *testing.T) *devStack {
	t.Helper()
	s := newDevStack(t)
	s.start(t)
	return s
}

// args are the flags that choose the ports and the folder, and what a test adds.
func (s *devStack) args() []string {
	args := []string{"--state", s.state}
	for flag, addr := range s.addr {
		args = append(args, flag, addr)
	}
	return append(args, s.more...)
}

// start returns when the line "ready" was printed, and how long that took.
func (s *devStack) start(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	s.said, s.ended = newTranscript(), make(chan struct{})
	s.cmd = exec.Command(filepath.Join(binDir, "beckon-dev"), s.args()...)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start beckon-dev: %v", err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // ProcessState says it
		close(ended)
	}(s.cmd, s.ended)
	t.Cleanup(func() {
		s.stop(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("beckon-dev said:\n%s\n%s", s.said, s.logs())
		}
	})
	select {
	case <-s.said.ready:
	case <-s.ended:
		t.Fatalf("beckon-dev ended before it was ready (%s):\n%s", s.cmd.ProcessState, s.said)
	case <-time.After(readyLimit):
		t.Fatalf("beckon-dev is not ready after %s:\n%s", readyLimit, s.said)
	}
	return time.Since(began)
}

// stop ends the stack by a signal and returns its exit code. It does nothing to one that has ended.
func (s *devStack) stop(t *testing.T, signal os.Signal) int {
	t.Helper()
	_ = s.cmd.Process.Signal(signal) // an error means that it has ended
	select {
	case <-s.ended:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		t.Fatalf("beckon-dev still runs %s after %s:\n%s", stopLimit, signal, s.said)
	}
	return s.cmd.ProcessState.ExitCode()
}

// url is an address of the shop, for example url("/cart").
func (s *devStack) url(path string) string { return "http://" + s.addr["--shop"] + path }

// logs is the end of each log file.
func (s *devStack) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.state, "log", "*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		fmt.Fprintf(&all, "== %s\n%s\n", filepath.Base(file), text[max(0, len(text)-4000):])
	}
	return all.String()
}

// query asks ClickHouse over HTTP, as an analyst does, and returns the answer as it comes.
func (s *devStack) query(t *testing.T, sql string) []byte {
	t.Helper()
	body, err := s.tryQuery(sql)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (s *devStack) tryQuery(sql string) ([]byte, error) {
	client := http.Client{Timeout: factLimit}
	reply, err := client.Post("http://"+s.addr["--clickhouse-http"]+"/?database=beckon&output_format_json_quote_64bit_integers=0", "text/plain", strings.NewReader(sql))
	if err != nil {
		return nil, fmt.Errorf("ask ClickHouse: %w", err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, fmt.Errorf("ask ClickHouse: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s\nClickHouse answers %d: %s", sql, reply.StatusCode, body)
	}
	return body, nil
}

// rows returns the answer to sql as values of T, whose fields are named by the columns.
func rows[T any](t *testing.T, s *devStack, sql string) []T {
	t.Helper()
	var all []T
	in := json.NewDecoder(bytes.NewReader(s.query(t, sql+" FORMAT JSONEachRow")))
	in.DisallowUnknownFields()
	for in.More() {
		var row T
		if err := in.Decode(&row); err != nil {
			t.Fatalf("%s\n%v", sql, err)
		}
		all = append(all, row)
	}
	return all
}

// eventually polls until fact returns nil, or fails with what it said last.
func eventually(t *testing.T, fact func() error) {
	t.Helper()
	deadline := time.Now().Add(factLimit)
	for {
		err := fact()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not so after %s: %v", factLimit, err)
		}
		time.Sleep(pollEvery)
	}
}

// descendants are the processes that come from pid, with it: parents by their children in /proc.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	children := make(map[int][]int)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("list processes: nothing in /proc (%v)", err)
	}
	for _, file := range stats {
		if child, parent, _, ok := readStat(file); ok {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// running says whether a process is there and not merely waiting to be buried.
func running(pid int) bool {
	_, _, state, ok := readStat(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return ok && state != "Z" && state != "X"
}

// readStat reads "pid (name) state parent ...", where the name may hold spaces and brackets.
func readStat(file string) (pid, parent int, state string, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, "", false // it has just ended
	}
	end := bytes.LastIndexByte(text, ')')
	n, err := fmt.Sscanf(string(text[end+1:]), " %s %d", &state, &parent)
	pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(file)))
	return pid, parent, state, n == 2 && err == nil
}

// transcript keeps what a process prints and notices the line "ready".
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan struct{}
	seen  bool
}

func newTranscript() *transcript { return &transcript{ready: make(chan struct{})} }

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.seen && hasLine(w.text.Bytes(), "ready") {
		w.seen = true
		close(w.ready)
	}
	return len(p), nil
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func hasLine(text []byte, want string) bool {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if lines.Text() == want {
			return true
		}
	}
	return false
}
