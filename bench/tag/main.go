// Command tag measures what the tag loses and what it costs a page, in a real browser against the real collector and
// ClickHouse. `make bench-tag` runs it; bench/README.md says how to read it, package visits what is counted.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"beckon/bench/contest"
	"beckon/bench/rig"
	"beckon/internal/chlocal"
	"beckon/internal/storefront"
)

// Config is what one can choose.
type Config struct {
	Collector  string   `default:"bin/beckon-collector" help:"The binary."`
	Aggregator string   `default:"bin/beckon-aggregator" help:"The binary."`
	Out        string   `default:"bench/results" help:"Folder for the result."`
	Only       []string `enum:"loss,cost" default:"loss,cost" help:"What to measure."`
	Visits     int      `default:"10000" help:"Visits, for loss."`
	AtOnce     int      `default:"12" help:"Tabs that are open at the same time, for loss."`
	Seed       uint64   `help:"Makes the visits of an earlier run again; 0 = draw one."`
	Loads      int      `default:"30" help:"Loads of each page, for cost."`
	Throttle   float64  `default:"4" help:"How many times slower the processor is made, for cost."`
}

// sites has an offer for everyone, to fill a slot with.
const sites = `sites:
  - id: demo
    origins: ["https://shop.example"]
    currency: EUR
    consent: {default: decide, allow: decide}
    holdout: 0%
    offers:
      - {id: hello, title: 5% off, audience: everyone, discount: {percent: 5}, valid_for: 30m}
`

func main() {
	chlocal.Main()
	var c Config
	kong.Parse(&c, kong.Name("tag"), kong.UsageOnError(), kong.Description("Measures what the tag loses and what it costs a page."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintln(os.Stderr, "tag:", err)
		os.Exit(1)
	}
}

// bench gathers the text, the figures and the verdicts.
type bench struct {
	c         *Config
	rig       *rig.Rig
	collector *rig.Child
	front     *storefront.Front
	text      strings.Builder
	bars      contest.Bars
	figures   figures
}

type figures struct {
	Config Config
	Loss   []lossFigures
	Cost   []costFigures
}

func (b *bench) printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Print(text)
	b.text.WriteString(text)
}

func run(ctx context.Context, c *Config) (err error) {
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	machine := contest.ThisMachine()
	b := &bench{c: c}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	began := time.Now()
	b.printf("# The tag in a browser\n\nCommand: `go run ./bench/tag %s`, seed %d. Commit %s. Machine: %s. Browser, services and ClickHouse share it.\n",
		strings.Join(os.Args[1:], " "), c.Seed, machine.Commit, machine)
	for _, what := range c.Only {
		measure := map[string]func(context.Context) error{"loss": b.loss, "cost": b.cost}[what]
		if err := measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	b.figures.Config = *c
	b.printf("\n## Bars\n\n%s\n\nTook %s.\n", b.bars.String(), time.Since(began).Round(time.Second))
	return machine.Keep(c.Out, "tag-", []byte(b.text.String()), b.figures)
}

func (b *bench) start(ctx context.Context) (err error) {
	if b.rig, err = rig.New(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(b.rig.Path("sites.yaml"), []byte(sites), 0o640); err != nil {
		return err
	}
	if b.collector, err = b.rig.Start(ctx, b.c.Collector, "--trusted-proxy", "127.0.0.0/8", "--volatile-dir", b.rig.Path("volatile"), "--limit-client", "0", "--limit-network", "0"); err != nil {
		return err
	}
	aggregator, err := b.rig.Start(ctx, b.c.Aggregator, "--trusted-proxy", "127.0.0.0/8")
	if err != nil {
		return err
	}
	if b.front, err = storefront.Listen(); err != nil {
		return err
	}
	b.front.SaysOrigin(rig.Shop)
	b.front.Serve(b.collector.Public, aggregator.Public)
	return nil
}

func (b *bench) close() error {
	var faults []error
	if b.front != nil {
		faults = append(faults, b.front.Close())
	}
	if b.rig != nil {
		faults = append(faults, b.rig.Close())
	}
	return errors.Join(faults...)
}
