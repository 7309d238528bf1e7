package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// restartLimit is what a newcomer is promised for every start but the first.
const restartLimit = 5 * time.Second

func TestMakeRunStopsCleanlyAndContinuesWithItsData(t *testing.T) {
	dev := startDevStack(t)
	view(t, dev, "/before")
	family := descendants(t, dev.cmd.Process.Pid)
	if len(family) < 4 {
		t.Fatalf("processes %v, want beckon-dev, ClickHouse, collector and aggregator", family)
	}

	dev.ctrlC(t)
	if code := dev.stop(t, os.Interrupt); code != 0 {
		t.Errorf("Ctrl-C ends it with code %d, want 0:\n%s", code, dev.said)
	}
	for _, pid := range family {
		if running(pid) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			t.Errorf("process %d is left running: %q", pid, name)
		}
	}

	// The fastest of three: a machine that builds something else meanwhile is not what is measured.
	fastest := dev.start(t)
	for i := 0; i < 2 && fastest > restartLimit; i++ {
		dev.ctrlC(t)
		dev.stop(t, os.Interrupt)
		fastest = min(fastest, dev.start(t))
	}
	t.Logf("a later start takes %s", fastest.Round(time.Millisecond))
	if fastest > restartLimit {
		t.Errorf("a later start takes %s, want at most %s", fastest, restartLimit)
	}
	view(t, dev, "/after")
	eventually(t, func() error {
		got := strings.Fields(string(dev.query(t, `SELECT path FROM events WHERE kind = 'page_view' ORDER BY received_at FORMAT TSV`)))
		if fmt.Sprint(got) != "[/before /after]" {
			return fmt.Errorf("events %q, want one from before the stop and one from after it", got)
		}
		return nil
	})
}

func TestMakeRunSendsLocalhostToTheShop(t *testing.T) {
	dev := startDevStack(t)
	_, port, _ := net.SplitHostPort(dev.addr["--shop"])
	client := http.Client{Timeout: factLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// By address, with the name as the Host header: what "localhost" resolves to is the machine's business.
	req, err := http.NewRequest(http.MethodGet, dev.url("/shop/coffee?a=b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "localhost:" + port
	reply, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if to := reply.Header.Get("Location"); reply.StatusCode != http.StatusTemporaryRedirect || to != dev.url("/shop/coffee?a=b") {
		t.Errorf("localhost is answered with %d to %q, want 307 to %q", reply.StatusCode, to, dev.url("/shop/coffee?a=b"))
	}
}

func TestMakeRunNamesTakenPortsAndTheFlagToSet(t *testing.T) {
	dev := newDevStack(t)
	for _, flag := range []string{"--shop", "--clickhouse-native"} {
		l, err := net.Listen("tcp", dev.addr[flag])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	said, err := exec.Command(filepath.Join(binDir, "beckon-dev"), dev.args()...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Errorf("ends with %v, want code 1", err)
	}
	for _, flag := range []string{"--shop", "--clickhouse-native"} {
		if !strings.Contains(string(said), dev.addr[flag]) || !strings.Contains(string(said), flag) {
			t.Errorf("a taken port is not named with %s:\n%s", flag, said)
		}
	}
	if strings.Contains(string(said), "--collector ") {
		t.Errorf("a free port is named as well:\n%s", said)
	}
}

// ctrlC interrupts every process of the stack's terminal group, as a terminal does.
func (s *devStack) ctrlC(t *testing.T) {
	t.Helper()
	group, err := syscall.Getpgid(s.cmd.Process.Pid)
	if err != nil {
		t.Fatalf("find the process group: %v", err)
	}
	for _, pid := range descendants(t, s.cmd.Process.Pid) {
		if its, err := syscall.Getpgid(pid); err == nil && its == group {
			_ = syscall.Kill(pid, syscall.SIGINT) // an error means that it has ended
		}
	}
}

// view tells of one page view through the shop's pixel and returns when it was acknowledged.
func view(t *testing.T, dev *devStack, path string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, dev.url("/px/p.gif?s=demo&n=page_view&u="+dev.url(path)), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", userAgent)
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("page view of %s is answered with %d %s", path, reply.StatusCode, reply.Header.Get("Beckon-Reason"))
	}
}
