package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/keyring"
	"beckon/schema"
)

const (
	siteID   = "demo"
	database = "beckon"
	shop     = "https://shop.example"
)

// The shop asks in a banner, and counts who has not answered.
const sitesText = `sites:
  - id: demo
    origins: ["https://shop.example"]
    currency: EUR
    rates: {USD: 0.92, GBP: 1.15, CHF: 1.05}
    consent: {default: count, allow: decide}
    retention: {events: 395d, profiles: 90d}
`

// rig is a ClickHouse with our schema, and what a service needs beside it.
type rig struct {
	dir        string
	clickhouse *chlocal.Server
	conn       driver.Conn
	keys       *keyring.Site
	children   []*child
}

func newRig(ctx context.Context) (_ *rig, err error) {
	g := &rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if g.dir, err = os.MkdirTemp("", "beckon-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if g.clickhouse, err = chlocal.Start(ctx, chlocal.Options{Dir: g.path("clickhouse"), Progress: os.Stderr}); err != nil {
		return nil, err
	}
	if g.conn, err = chconn.Open(ctx, g.clickhouse.DSN()); err != nil {
		return nil, err
	}
	if err = schema.Apply(ctx, g.conn, database); err != nil {
		return nil, err
	}
	if err = os.WriteFile(g.path("sites.yaml"), []byte(sitesText), 0o640); err != nil {
		return nil, err
	}
	if _, err = keyring.Init(g.path("keyring"), []string{siteID}); err != nil {
		return nil, err
	}
	ring, err := keyring.Open(g.path("keyring"))
	if err != nil {
		return nil, err
	}
	g.keys, err = ring.Site(siteID)
	return g, err
}

func (g *rig) path(name string) string { return filepath.Join(g.dir, name) }

func (g *rig) close() error {
	var faults []error
	for _, c := range g.children {
		faults = append(faults, c.stop())
	}
	if g.conn != nil {
		faults = append(faults, g.conn.Close())
	}
	if g.clickhouse != nil {
		faults = append(faults, g.clickhouse.Stop())
	}
	return errors.Join(append(faults, os.RemoveAll(g.dir))...)
}

// child is one of our binaries.
type child struct {
	cmd           *exec.Cmd
	public, admin string
}

// start starts a binary and waits until it is ready.
func (g *rig) start(ctx context.Context, binary string, flags ...string) (*child, error) {
	c := &child{public: freeAddress(), admin: freeAddress()}
	name := filepath.Base(binary)
	log, err := os.Create(g.path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(binary, append([]string{
		"serve", "--listen", c.public, "--admin", c.admin, "--sites", g.path("sites.yaml"), "--keyring-dir", g.path("keyring"),
		"--spool-dir", g.path("spool-" + name), "--clickhouse-dsn", g.clickhouse.DSN(),
	}, flags...)...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w (build it with: make build)", binary, err)
	}
	g.children = append(g.children, c)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c.get(ctx, "/readyz") == nil {
			return c, nil
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s is not ready after 20 s; it said:\n%s", name, said)
		}
	}
}

func (c *child) stop() error {
	if c.cmd.ProcessState != nil {
		return nil
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return c.cmd.Wait()
}

func (c *child) get(ctx context.Context, page string) error {
	_, err := c.read(ctx, page)
	return err
}

func (c *child) read(ctx context.Context, page string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", page, resp.StatusCode)
	}
	return b, err
}

// metric is the sum of a metric's series.
func (c *child) metric(ctx context.Context, name string) (sum float64) {
	page, err := c.read(ctx, "/metrics")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(page)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if series, _, _ = strings.Cut(series, "{"); ok && series == name {
			v, _ := strconv.ParseFloat(value, 64)
			sum += v
		}
	}
	return sum
}

// processes returns the memory and the CPU time of a process and all below it.
func processes(pid int) (residentBytes int64, cpu time.Duration) {
	parents, stats := make(map[int]int), make(map[int][]string)
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // from field 3, state
		parents[id], _ = strconv.Atoi(fields[1])
		stats[id] = fields
	}
	for id, fields := range stats {
		for p := id; p > 1; p = parents[p] {
			if p != pid {
				continue
			}
			user, _ := strconv.ParseInt(fields[11], 10, 64)
			system, _ := strconv.ParseInt(fields[12], 10, 64)
			pages, _ := strconv.ParseInt(fields[21], 10, 64)
			cpu += time.Duration(user+system) * 10 * time.Millisecond
			residentBytes += pages * int64(os.Getpagesize())
			break
		}
	}
	return residentBytes, cpu
}

func freeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("BUG: no free port on loopback: " + err.Error())
	}
	defer ln.Close()
	return ln.Addr().String()
}

// number asks a query for its one number.
func (g *rig) number(ctx context.Context, query string) (n float64, err error) {
	if err := g.conn.QueryRow(ctx, "SELECT toFloat64(("+query+"))").Scan(&n); err != nil {
		return 0, fmt.Errorf("ask ClickHouse: %w", err)
	}
	return n, nil
}

// ourselves returns the memory and the CPU time of this process alone.
func ourselves() (residentBytes int64, cpu time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0
	}
	b, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(b)); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		residentBytes = pages * int64(os.Getpagesize())
	}
	return residentBytes, time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
