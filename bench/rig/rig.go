// Package rig is about a whole Beckon for a measurement: a ClickHouse of its own with our schema, a sites file, keys,
// and our binaries beside it, all in one folder that goes at the end.
package rig

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
	Site     = "demo"
	Database = "beckon"
	Shop     = "https://shop.example"
)

// Sites is the sites file. The shop asks in a banner, and counts who has not answered.
const Sites = `sites:
  - id: demo
    origins: ["https://shop.example"]
    currency: EUR
    rates: {USD: 0.92, GBP: 1.15, CHF: 1.05}
    consent: {default: count, allow: decide}
    retention: {events: 395d, profiles: 90d}
`

// Rig is a ClickHouse with our schema, and what a service needs beside it.
type Rig struct {
	dir        string
	ClickHouse *chlocal.Server
	Conn       driver.Conn
	Keys       *keyring.Site
	Children   []*Child
}

// New starts ClickHouse and applies the schema. Close it.
func New(ctx context.Context) (_ *Rig, err error) {
	g := &Rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if g.dir, err = os.MkdirTemp("", "beckon-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if g.ClickHouse, err = chlocal.Start(ctx, chlocal.Options{Dir: g.Path("clickhouse"), Progress: os.Stderr}); err != nil {
		return nil, err
	}
	if g.Conn, err = chconn.Open(ctx, g.ClickHouse.DSN()); err != nil {
		return nil, err
	}
	if err = schema.Apply(ctx, g.Conn, Database); err != nil {
		return nil, err
	}
	if err = os.WriteFile(g.Path("sites.yaml"), []byte(Sites), 0o640); err != nil {
		return nil, err
	}
	if _, err = keyring.Init(g.Path("keyring"), []string{Site}); err != nil {
		return nil, err
	}
	ring, err := keyring.Open(g.Path("keyring"))
	if err != nil {
		return nil, err
	}
	g.Keys, err = ring.Site(Site)
	return g, err
}

// Path is a file of the rig.
func (g *Rig) Path(name string) string { return filepath.Join(g.dir, name) }

// Close ends everything and removes the folder.
func (g *Rig) Close() error {
	var faults []error
	for _, c := range g.Children {
		faults = append(faults, c.Stop())
	}
	if g.Conn != nil {
		faults = append(faults, g.Conn.Close())
	}
	if g.ClickHouse != nil {
		faults = append(faults, g.ClickHouse.Stop())
	}
	return errors.Join(append(faults, os.RemoveAll(g.dir))...)
}

// Child is one of our binaries.
type Child struct {
	Cmd           *exec.Cmd
	Public, Admin string
}

// Start starts a binary and waits until it is ready.
func (g *Rig) Start(ctx context.Context, binary string, flags ...string) (*Child, error) {
	c := &Child{Public: FreeAddress(), Admin: FreeAddress()}
	name := filepath.Base(binary)
	log, err := os.Create(g.Path(name + ".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Cmd = exec.Command(binary, append([]string{
		"serve", "--listen", c.Public, "--admin", c.Admin, "--sites", g.Path("sites.yaml"), "--keyring-dir", g.Path("keyring"),
		"--spool-dir", g.Path("spool-" + name), "--clickhouse-dsn", g.ClickHouse.DSN(),
	}, flags...)...)
	c.Cmd.Stdout, c.Cmd.Stderr = log, log
	if err := c.Cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w (build it with: make build)", binary, err)
	}
	g.Children = append(g.Children, c)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c.Get(ctx, "/readyz") == nil {
			return c, nil
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s is not ready after 20 s; it said:\n%s", name, said)
		}
	}
}

// Stop ends the binary in peace.
func (c *Child) Stop() error {
	if c.Cmd.ProcessState != nil {
		return nil
	}
	if err := c.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return c.Cmd.Wait()
}

// Get asks for an admin page and wants a 200.
func (c *Child) Get(ctx context.Context, page string) error {
	_, err := c.Read(ctx, page)
	return err
}

// Read returns an admin page.
func (c *Child) Read(ctx context.Context, page string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin+page, nil)
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

// Metric is the sum of a metric's series.
func (c *Child) Metric(ctx context.Context, name string) (sum float64) {
	page, err := c.Read(ctx, "/metrics")
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

// Processes returns the memory and the CPU time of a process and all below it.
func Processes(pid int) (residentBytes int64, cpu time.Duration) {
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

// FreeAddress is one of the loopback that nobody listens at.
func FreeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("BUG: no free port on loopback: " + err.Error())
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Number asks a query for its one number.
func (g *Rig) Number(ctx context.Context, query string) (n float64, err error) {
	if err := g.Conn.QueryRow(ctx, "SELECT toFloat64(("+query+"))").Scan(&n); err != nil {
		return 0, fmt.Errorf("ask ClickHouse: %w", err)
	}
	return n, nil
}

// Ourselves returns the memory and the CPU time of this process alone.
func Ourselves() (residentBytes int64, cpu time.Duration) {
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
