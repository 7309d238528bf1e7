// Command decision measures how fast the aggregator answers a storefront, on one core, beside servers that do
// less (bare fasthttp with a constant JSON of the same size) and two that shops use for the same end: a policy
// engine (OPA) and answers made beforehand (webdis in front of Redis). What the figures mean is in bench/README.md.
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
	Serve    serveCmd    `cmd:"" hidden:"" help:"The aggregator's endpoint with visitors in memory."`
	Fasthttp fasthttpCmd `cmd:"" hidden:"" help:"Bare fasthttp."`
}

// runCmd is what one can choose.
type runCmd struct {
	Rounds      int           `default:"5" help:"How often each server has its turn."`
	Duration    time.Duration `default:"6s" help:"Of one turn."`
	Connections int           `default:"128" help:"Of wrk."`
	Visitors    int           `default:"1000" help:"Who ask, each with a cookie and a grant."`
	Cached      int           `default:"1000000" help:"Visitors in memory when their size is measured."`
	Server      int           `default:"0" help:"Core of the server under test." placeholder:"CPU"`
	Load        int           `default:"1" help:"Core of the load." placeholder:"CPU"`
	Opa         string        `default:"" help:"OPA's binary; without one it is built from its module, once." placeholder:"FILE"`
	Dir         string        `help:"Where spools and logs go; a new folder in the system's place for temporary files." placeholder:"DIR"`
	Out         string        `default:"bench/results" help:"Folder of the results." placeholder:"DIR"`
	Only        string        `default:"" enum:",peers,memory,evaluation" help:"One part only, and nothing written."`
	Profile     string        `help:"Write a CPU profile of the endpoint to this file, of one more turn, which is not counted." placeholder:"FILE"`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("bench-decision"), kong.UsageOnError(), kong.Description("Measures the decision endpoint beside its peers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-decision:", err)
		stop()
		os.Exit(1)
	}
}
