// Command backtest measures what a backtest takes over a large history: it fills a ClickHouse of its own with
// generated shoppers, replays an offer over 30 days, and prints time and memory. `make bench-backtest` runs it.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/alecthomas/kong"

	"beckon/aggregator/backtest"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/site"
	"beckon/schema"
)

//go:embed history.sql
var historySQL string

// Config is what one can choose.
type Config struct {
	Visitors int    `default:"900000" help:"Visitors; each makes about eleven events."`
	Days     int    `default:"30" help:"Days to replay."`
	Dir      string `help:"Keep ClickHouse's files here, and use what is there."`
}

const (
	database = "beckon"
	chunk    = 10_000 // visitors in one insert
	sites    = `
sites:
  - id: demo
    origins: [http://shop.example]
    currency: EUR
    timezone: Europe/Berlin
    holdout: 10%
    offers:
      - {id: welcome-back, when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0, discount: {percent: 10}, priority: 10}
      - {id: large-cart, when: visitor.cart_value >= 120 && visitor.device != "tablet", discount: {amount: 15}, min_cart_value: 100, priority: 20, too_new: 10m, abandoner: 3}
`
)

func main() {
	chlocal.Main()
	var c Config
	kong.Parse(&c, kong.Name("backtest"), kong.UsageOnError(), kong.Description("Measures a backtest over a large history."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintln(os.Stderr, "backtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *Config) error {
	dir := c.Dir
	if dir == "" {
		temporary, err := os.MkdirTemp("", "bench-backtest")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	server, err := chlocal.Start(ctx, chlocal.Options{Dir: filepath.Join(dir, "clickhouse")})
	if err != nil {
		return err
	}
	defer server.Stop()
	conn, err := chconn.Open(ctx, server.DSN())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := fill(ctx, c, conn); err != nil {
		return err
	}
	f, err := site.Parse("sites.yaml", []byte(sites))
	if err != nil {
		return err
	}
	for _, offer := range []string{"welcome-back", "large-cart"} {
		began := time.Now()
		r, err := backtest.Run(ctx, backtest.Options{
			Site: f.Sites[0], Offer: offer, Days: c.Days, Now: time.Now(), Conn: conn, Database: database, DrawKey: &[32]byte{1},
		})
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d events of %d visitor-days in %.0f s; %d eligible, %d served, %d orders with it; this process %s resident at most\n",
			offer, r.Events, r.Total.Visitors, time.Since(began).Seconds(), r.VisitorsEligible, r.VisitorsServed, r.Total.Orders, peak("self"))
	}
	fmt.Printf("ClickHouse: %s resident at most; one query may take 2 GiB; %s\n", peakOfChildren(), runtime.Version())
	return nil
}

func fill(ctx context.Context, c *Config, conn driver.Conn) error {
	if err := schema.Apply(ctx, conn, database); err != nil {
		return err
	}
	var events uint64
	count := func() error { return conn.QueryRow(ctx, "SELECT count() FROM "+database+".events").Scan(&events) }
	if err := count(); err != nil || events > 0 {
		fmt.Printf("%d events are there\n", events)
		return err
	}
	// What a backtest does not read is not filled: that takes half of the time.
	for _, feed := range []string{"sessions", "visitor_changes", "traffic_touched", "consents", "suppressed"} {
		if err := conn.Exec(ctx, "DROP VIEW "+database+".feed_"+feed); err != nil {
			return err
		}
	}
	began := time.Now()
	for first := 0; first < c.Visitors; first += chunk {
		parameters := clickhouse.Parameters{"first": strconv.Itoa(first), "count": strconv.Itoa(min(chunk, c.Visitors-first))}
		if err := conn.Exec(clickhouse.Context(ctx, clickhouse.WithParameters(parameters)), strings.ReplaceAll(historySQL, "{database}", database)); err != nil {
			return err
		}
	}
	if err := count(); err != nil {
		return err
	}
	fmt.Printf("%d events of %d visitors generated in %.0f s\n", events, c.Visitors, time.Since(began).Seconds())
	return nil
}

// peak is the largest resident size of a process so far.
func peak(process string) string {
	size := field(process, "VmHWM:")
	if size == "" {
		return "unknown"
	}
	return size
}

// peakOfChildren is that of the processes that this one has started, and theirs.
func peakOfChildren() string {
	parents := map[string]bool{strconv.Itoa(os.Getpid()): true}
	sizes := "unknown"
	most := 0
	for range 3 { // generations
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, p := range processes {
			pid := filepath.Base(p)
			if !parents[field(pid, "PPid:")] || parents[pid] {
				continue
			}
			parents[pid] = true
			if kilobytes, _ := strconv.Atoi(strings.TrimSuffix(field(pid, "VmHWM:"), " kB")); kilobytes > most {
				most, sizes = kilobytes, field(pid, "VmHWM:")
			}
		}
	}
	return sizes
}

func field(process, name string) string {
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(status), name)
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}
