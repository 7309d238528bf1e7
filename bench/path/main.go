// Command path measures the way from a request to a row in ClickHouse, on this machine: how many events
// a second all parts together bear, how the loader compares with a bare insert, how many bytes an event
// takes, and what we cost a ClickHouse that others use too. `make bench-path` runs it; bench/README.md
// says how to read it.
//
// It starts a ClickHouse and the binaries of its own, sends shoppers of package shoppers to them,
// writes what it found to bench/results, and takes everything away again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	rigs "beckon/bench/rig"
	"beckon/internal/chlocal"
)

// Config is what one can choose.
type Config struct {
	Collector   string        `default:"bin/beckon-collector" help:"The binary."`
	Aggregator  string        `default:"bin/beckon-aggregator" help:"The binary."`
	Results     string        `default:"bench/results" help:"Folder for the result."`
	Only        []string      `enum:"sustained,cost,loader,stored" default:"sustained,cost,loader,stored" help:"What to measure."`
	Rate        float64       `default:"60000" help:"Events per second, for sustained."`
	Duration    time.Duration `default:"60s" help:"How long, for sustained."`
	Sync        string        `default:"always" enum:"always,os" help:"The collector's --sync."`
	PerRequest  int           `default:"20" help:"Join a shopper's messages up to so many events a request, for sustained; 0 = as the tag sends them."`
	Connections int           `default:"64" help:"Connections of the load."`
	Events      int           `default:"400000" help:"Events of the script, and of stored and loader."`
	Rounds      int           `default:"5" help:"Pairs of runs, for loader."`
	Profile     bool          `help:"Leave CPU profiles of the collector and of the load in the results folder."`
}

// measurements in the order in which they run.
var measurements = []struct {
	name string
	run  func(context.Context, *Config, *report) error
}{{"sustained", sustained}, {"cost", cost}, {"loader", compareLoader}, {"stored", stored}}

func main() {
	chlocal.Main()
	var c Config
	kong.Parse(&c, kong.Name("path"), kong.UsageOnError(), kong.Description("Measures the way from a request to a row in ClickHouse."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintln(os.Stderr, "path:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *Config) error {
	r := newReport()
	var faults []error
	for _, m := range measurements {
		for _, name := range c.Only {
			if name != m.name || ctx.Err() != nil {
				continue
			}
			if err := m.run(ctx, c, r); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", m.name, err))
			}
		}
	}
	if err := os.MkdirAll(c.Results, 0o755); err != nil {
		return fmt.Errorf("make the results folder: %w", err)
	}
	name := filepath.Join(c.Results, "path-"+time.Now().UTC().Format("2006-01-02T1504")+".md")
	if err := os.WriteFile(name, r.text(), 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	fmt.Println("written to", name)
	return errors.Join(faults...)
}

// rig is the Beckon that is measured.
type rig struct{ *rigs.Rig }

func newRig(ctx context.Context) (*rig, error) {
	g, err := rigs.New(ctx)
	return &rig{g}, err
}
