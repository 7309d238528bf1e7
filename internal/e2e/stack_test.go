package e2e_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/event"
	"beckon/schema"
)

// sitesText has a shop where everybody eligible gets the offer, and one where half of them do. Both
// let pages of any visitor be used, as a shop does where the law allows it: consent has its own tests.
const sitesText = `sites:
  - id: demo
    origins: ["https://shop.example"]
    currency: EUR
    rates: {USD: 0.92, GBP: 1.15, CHF: 1.05}
    consent: {default: decide, allow: decide}
    holdout: 0%
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0
        discount: {percent: 10}
        valid_for: 30m
        cooldown: 7d
  - id: half
    origins: ["https://half.example"]
    currency: EUR
    consent: {default: decide, allow: decide}
    holdout: 50%
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2
        discount: {percent: 10}
        valid_for: 30m
        cooldown: 7d
`

const shopOrigin = "https://shop.example"

// stack is ClickHouse and the two real binaries, each with a life of its own: it can be stopped, killed
// and started again, and keeps its addresses and its data.
type stack struct {
	t          *testing.T
	dir        string
	clickhouse *chlocal.Server
	collector  *service
	aggregator *service
}

// newStack starts ClickHouse and makes what the binaries need; it does not start them.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir(), clickhouse: chlocal.ForTest(t)}
	conn, err := chconn.Open(t.Context(), s.clickhouse.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, "beckon"); err != nil {
		t.Fatal(err)
	}
	s.writeSites(sitesText)
	s.initKeys()
	s.collector = s.newCollector("spool")
	s.aggregator = s.newAggregator("spool-decisions")
	return s
}

// startStack returns a stack in which everything runs.
func startStack(t *testing.T) *stack {
	t.Helper()
	s := newStack(t)
	s.start()
	return s
}

// start starts both services and returns when they are ready.
func (s *stack) start() {
	s.t.Helper()
	for _, p := range []*service{s.collector, s.aggregator} {
		p.start()
		eventually(s.t, p.ready)
	}
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

// writeSites replaces the sites file, whole, as an editor or a deployment does.
func (s *stack) writeSites(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path("sites.new"), []byte(text), 0o640); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.path("sites.new"), s.path("sites.yaml")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) initKeys() {
	s.t.Helper()
	said, err := exec.Command(filepath.Join(binDir, "beckon-collector"), "keyring", "init",
		"--sites", s.path("sites.yaml"), "--keyring-dir", s.path("keyring")).CombinedOutput()
	if err != nil {
		s.t.Fatalf("keyring init: %v\n%s", err, said)
	}
}

// newCollector describes a collector with a spool folder below that of the stack, or elsewhere when the
// path is absolute. Later flags win over earlier ones.
func (s *stack) newCollector(spool string, flags ...string) *service {
	return s.newService("beckon-collector", spool, append([]string{"--trusted-proxy", "127.0.0.0/8", "--volatile-dir", s.path("volatile")}, flags...))
}

func (s *stack) newAggregator(spool string, flags ...string) *service {
	return s.newService("beckon-aggregator", spool, flags)
}

func (s *stack) newService(name, spool string, flags []string) *service {
	s.t.Helper()
	if !filepath.IsAbs(spool) {
		spool = s.path(spool)
	}
	addrs := freeAddresses(s.t, 2)
	p := &service{t: s.t, name: name, public: addrs[0], admin: addrs[1], said: newTranscript()}
	p.flags = append([]string{
		"serve", "--listen", p.public, "--admin", p.admin, "--sites", s.path("sites.yaml"), "--keyring-dir", s.path("keyring"),
		"--spool-dir", spool, "--clickhouse-dsn", s.clickhouse.DSN(), "--dev-switches",
	}, flags...)
	s.t.Cleanup(func() {
		if p.cmd != nil && !p.hasEnded() {
			if code := p.stop(); code != 0 {
				s.t.Errorf("%s ended with %d", name, code)
			}
		}
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", name, p.said)
		}
	})
	return p
}

// freeAddresses returns n loopback addresses on which nobody listens.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		defer l.Close() // all of them are held until each is another one
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// service is one of the two binaries as a child process, or not running.
type service struct {
	t             *testing.T
	name          string
	binary        string // another build than the one of that name
	openAPI       string // where it is, "" = /openapi.json
	public, admin string
	flags         []string
	said          *transcript // of all its runs
	cmd           *exec.Cmd
	ended         chan struct{} // closed when cmd has been waited for
}

// hasSaid returns nil when the service has said all of it by now.
func (p *service) hasSaid(words ...string) error {
	said := p.said.String()
	for _, word := range words {
		if !strings.Contains(said, word) {
			return fmt.Errorf("%s did not say %q, but\n%s", p.name, word, said)
		}
	}
	return nil
}

// launch returns when the process is there.
func (p *service) launch() {
	p.t.Helper()
	binary := p.binary
	if binary == "" {
		binary = filepath.Join(binDir, p.name)
	}
	p.cmd, p.ended = exec.Command(binary, p.flags...), make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // ProcessState says it
		close(ended)
	}(p.cmd, p.ended)
}

// start returns when the service answers on both ports. It may not be ready.
func (p *service) start() {
	p.t.Helper()
	p.launch()
	eventually(p.t, func() error {
		if p.hasEnded() {
			p.t.Fatalf("%s ended instead of serving: %s", p.name, p.cmd.ProcessState)
		}
		return errors.Join(p.answers(p.admin, "/healthz"), p.answers(p.public, cmp.Or(p.openAPI, "/openapi.json")))
	})
}

// refusesToStart starts the service and returns what it says when it ends by itself with an error.
func (p *service) refusesToStart() string {
	p.t.Helper()
	p.launch()
	p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code == 0 {
		p.t.Fatalf("%s ended without an error", p.name)
	}
	return p.said.String()
}

// ready returns what the service says when it is not.
func (p *service) ready() error { return p.answers(p.admin, "/readyz") }

func (p *service) answers(addr, path string) error {
	reply, err := http.Get("http://" + addr + path)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if body, err := io.ReadAll(reply.Body); err != nil || reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: %d %s (%v)", p.name, path, reply.StatusCode, body, err)
	}
	return nil
}

// stop asks the service to end and returns its exit code.
func (p *service) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("stop %s: %v", p.name, err)
	}
	p.wait()
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the service as kill -9 does.
func (p *service) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatalf("kill %s: %v", p.name, err)
	}
	<-p.ended
}

func (p *service) wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		p.t.Fatalf("%s still runs after %s", p.name, stopLimit)
	}
}

func (p *service) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// spooled is how many records wait on the collector's disk.
func (s *stack) spooled(t *testing.T) int {
	t.Helper()
	return int(s.collector.metric(t, "beckon_spool_records"))
}

// metric returns the value of a metric without labels.
func (p *service) metric(t *testing.T, name string) float64 {
	t.Helper()
	reply, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		var value float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatalf("metric %q: %v", line, err)
			}
			return value
		}
	}
	t.Fatalf("%s has no metric %s:\n%s", p.name, name, body)
	return 0
}

// killClickHouse is an outage that nobody announced; restartClickHouse ends it, with all data.
func (s *stack) killClickHouse() {
	s.t.Helper()
	if err := s.clickhouse.Kill(); err != nil {
		s.t.Fatalf("kill ClickHouse: %v", err)
	}
}

func (s *stack) restartClickHouse() {
	s.t.Helper()
	if err := s.clickhouse.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// query returns the answer to sql, tab-separated lines of fields.
func (s *stack) query(sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), factLimit)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.clickhouse.HTTPAddr()+"/?database=beckon", strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(ask)
	if err != nil {
		return nil, fmt.Errorf("ask ClickHouse: %w", err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s\nClickHouse answers %d: %s (%v)", sql, reply.StatusCode, body, err)
	}
	var lines [][]string
	for line := range strings.Lines(string(body)) {
		lines = append(lines, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return lines, nil
}

// number returns the one value of the answer to sql.
func (s *stack) number(sql string) int {
	s.t.Helper()
	lines, err := s.query(sql)
	if err != nil {
		s.t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(lines[0][0], &n); err != nil {
		s.t.Fatalf("%s\nis %q: %v", sql, lines, err)
	}
	return n
}

// idSet is event ids as 32 hexadecimal digits.
type idSet map[string]bool

func (ids idSet) add(id event.UUID) { ids[hex.EncodeToString(id[:])] = true }

// hasOnce returns nil when each of the ids is in `events` and nothing is there twice.
func (s *stack) hasOnce(ids idSet) error {
	lines, err := s.query("SELECT lower(hex(event_id)), count() FROM events GROUP BY 1")
	if err != nil {
		return err
	}
	found, twice := 0, 0
	for _, line := range lines {
		if ids[line[0]] {
			found++
		}
		if line[1] != "1" {
			twice++
		}
	}
	if found != len(ids) || twice > 0 {
		return fmt.Errorf("%d of %d acknowledged events are stored, and %d ids are there more than once", found, len(ids), twice)
	}
	return nil
}

// lacks returns nil when none of the ids is in `events`.
func (s *stack) lacks(ids idSet) error {
	lines, err := s.query("SELECT lower(hex(event_id)) FROM events")
	if err != nil {
		return err
	}
	for _, line := range lines {
		if ids[line[0]] {
			return fmt.Errorf("event %s was refused and is stored", line[0])
		}
	}
	return nil
}
