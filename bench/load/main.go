// Command load sends invented shoppers to a running collector and says how that went: what was accepted,
// what was refused and why, and how long it took. What the shoppers do is in package shoppers; how to
// read the numbers is in bench/README.md. It exits with 0 when every event was acknowledged, once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"beckon/bench/shoppers"
)

// Config is what one can choose.
type Config struct {
	Target      string        `default:"http://127.0.0.1:8080" help:"The collector, with its path prefix. It believes X-Forwarded-For only with --trusted-proxy for our address." placeholder:"URL"`
	Site        string        `default:"demo" help:"Site id." placeholder:"ID"`
	Origin      string        `help:"The shop's pages, sent as Origin header; one that the site lists." placeholder:"ORIGIN"`
	Seed        uint64        `default:"1" help:"The same seed sends the same shoppers."`
	Events      int           `default:"10000" help:"How many events; 0 = as many as fit into --duration."`
	Duration    time.Duration `help:"No request is begun later; 0 = until all events are settled."`
	Rate        float64       `help:"Events per second; 0 = as fast as it goes."`
	Concurrency int           `default:"8" help:"Requests under way at once."`
	Patience    time.Duration `default:"1m" help:"How long a silent collector is tried again."`
	JSON        bool          `help:"Print the result as JSON."`
}

func main() {
	var c Config
	kong.Parse(&c, kong.Name("load"), kong.UsageOnError(), kong.Description("Sends invented shoppers to a collector."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	result, err := shoppers.Run(ctx, shoppers.Config{
		Target: c.Target, Site: c.Site, Origin: c.Origin, Seed: c.Seed, Events: c.Events, Duration: c.Duration,
		Rate: c.Rate, Concurrency: c.Concurrency, Patience: c.Patience,
	})
	print := printText
	if c.JSON {
		print = printJSON
	}
	if result.Requests > 0 {
		if fault := print(os.Stdout, newReport(&result)); fault != nil {
			fmt.Fprintln(os.Stderr, "load:", fault)
		}
	}
	if err == nil && (len(result.Acknowledged) < result.Events || result.TakenTwice > 0) {
		err = errors.New("not every event was acknowledged, once")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
