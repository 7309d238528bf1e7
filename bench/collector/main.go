// Command collector measures how fast the collector takes events, on one core, beside servers that do less:
// bare fasthttp and nginx, each of which answers the same request with the same picture. It starts each of
// them on one core and the load on another, gives each its turn, round after round, and writes medians and
// ratios to bench/results. What the figures mean is in bench/README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// cli has a command for the one who measures, and one for each process that it starts.
type cli struct {
	Run      runCmd      `cmd:"" default:"withargs" help:"Measure (the default)."`
	Serve    serveCmd    `cmd:"" hidden:"" help:"The collector, its loader ending in nothing."`
	Fasthttp fasthttpCmd `cmd:"" hidden:"" help:"Bare fasthttp."`
	Batches  batchesCmd  `cmd:"" hidden:"" help:"Post batches as fast as it goes."`
	Pixels   pixelsCmd   `cmd:"" hidden:"" help:"Ask for pixels at a steady rate."`
}

// runCmd is what one can choose.
type runCmd struct {
	Rounds      int           `default:"5" help:"How often each server has its turn."`
	Duration    time.Duration `default:"6s" help:"Of one turn."`
	Connections int           `default:"256" help:"Of wrk."`
	Server      int           `default:"0" help:"Core of the server under test." placeholder:"CPU"`
	Load        int           `default:"1" help:"Core of the load." placeholder:"CPU"`
	Rate        int           `default:"10000" help:"Pixels a second of the run at a steady rate."`
	Dir         string        `help:"Where spools and logs go; a new folder in the system's place for temporary files." placeholder:"DIR"`
	Geo         string        `help:"MaxMind DB file; without one the package that make run uses is fetched." placeholder:"FILE"`
	Out         string        `default:"bench/results" help:"Folder of the results." placeholder:"DIR"`
	Profile     string        `help:"Write a CPU profile of the collector to this file, of one more turn, which is not counted. Of a run of all parts there are three: the part's name comes before the ending." placeholder:"FILE"`
	Only        string        `default:"" enum:",pixels,batches,rate" help:"One part only, and nothing written."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("bench-collector"), kong.UsageOnError(), kong.Description("Measures the collector beside its peers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-collector:", err)
		os.Exit(1)
	}
}
