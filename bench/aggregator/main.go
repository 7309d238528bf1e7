// Command aggregator measures how soon and how surely decisions follow events: what one refresh of changed visitors
// and one look-up of a cold one take over histories of 1, 10 and 100 million events, how long an acknowledged event
// takes to change a decision while 5,000 events/s flow, and how long answers take meanwhile. `make bench-aggregator`
// runs it; bench/README.md says how to read it.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"beckon/bench/contest"
	"beckon/internal/chlocal"
)

// config is what one can choose.
type config struct {
	Collector  string        `default:"bin/beckon-collector" help:"The binary."`
	Aggregator string        `default:"bin/beckon-aggregator" help:"The binary."`
	Out        string        `default:"bench/results" help:"Folder of the results." placeholder:"DIR"`
	Only       string        `default:"" enum:",scale,fresh" help:"One part only, and nothing written."`
	Events     []int         `default:"1000000,10000000,100000000" help:"Sizes of the history, rising."`
	PerVisitor int           `default:"10" help:"Events of one visitor of the history."`
	Rate       int           `default:"5000" help:"Events a second that flow."`
	Duration   time.Duration `default:"40s" help:"How long they flow."`
	Decisions  int           `default:"0" help:"Decisions a second while they flow; 0: half of what the endpoint gave in a closed loop beside them."`
	Cold       float64       `default:"0.01" help:"Share of them for visitors who are not in memory."`
}

// result is all that was measured.
type result struct {
	Machine contest.Machine
	Command string
	Took    time.Duration
	Scale   []scale
	Fresh   *fresh
}

func main() {
	chlocal.Main()
	var c config
	kong.Parse(&c, kong.Name("bench-aggregator"), kong.UsageOnError(), kong.Description("Measures how decisions follow events."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-aggregator:", err)
		os.Exit(1)
	}
}

func (c *config) run(ctx context.Context) (err error) {
	began := time.Now()
	for _, binary := range []*string{&c.Collector, &c.Aggregator} {
		if *binary, err = filepath.Abs(*binary); err != nil {
			return err
		}
	}
	r := result{Machine: contest.ThisMachine(), Command: "make bench-aggregator ARGS='" + strings.Join(os.Args[1:], " ") + "'"}
	if c.Only != "scale" {
		if r.Fresh, err = c.fresh(ctx); err != nil {
			return fmt.Errorf("fresh: %w", err)
		}
	}
	if c.Only != "fresh" {
		if r.Scale, err = c.scale(ctx); err != nil {
			return fmt.Errorf("scale: %w", err)
		}
	}
	r.Took = time.Since(began).Round(time.Second)
	report := r.markdown(c)
	if _, err := os.Stdout.Write(report); err != nil || c.Only != "" {
		return err
	}
	return r.Machine.Keep(c.Out, "aggregator-", report, &r)
}

func (r *result) bars() contest.Bars {
	var bars contest.Bars
	if f := r.Fresh; f != nil {
		bars.Under(fmt.Sprintf("ms from acknowledgement to the changed decision, p99, at %.0f events/s", f.EventsASecond), f.Changed.P99, 1000)
		bars.Under("ms of a warm answer, p99, from its planned moment", f.Warm.P99, 1)
		bars.Under("ms of a cold answer, p99, from its planned moment", f.ColdOnes.P99, 25)
	}
	if n := len(r.Scale); n > 1 {
		first, last := r.Scale[0], r.Scale[n-1]
		bars.Under(fmt.Sprintf("refresh of 1,000 visitors, %d to %d events, times", first.Events, last.Events), last.Refresh.P50/first.Refresh.P50, 2)
		bars.Under(fmt.Sprintf("look-up of a cold visitor, %d to %d events, times", first.Events, last.Events), last.LookUp.P50/first.LookUp.P50, 2)
	}
	return bars
}

func (r *result) markdown(c *config) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Aggregator, %s, commit %s\n", time.Now().UTC().Format(time.DateOnly), r.Machine.Commit)
	line("`%s`\n", r.Command)
	line("%s; took %s. ClickHouse, both services and the load share the cores.\n", r.Machine, r.Took)
	line("%s", r.bars())
	if f := r.Fresh; f != nil {
		line("\n## While %.0f events/s flow, for %s\n", f.EventsASecond, c.Duration)
		line("In a closed loop of %d connections beside the events the endpoint gave %.0f answers/s; then %.0f/s were asked for, each at its planned moment,", closedLoop, f.ClosedLoop, f.DecisionsASecond)
		line("%.1f %% of them for visitors who were not in memory. The server's own times are read from its histogram (upper bounds of buckets).\n", 100*c.Cold)
		line("| what | n | p50 ms | p90 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|")
		for _, x := range []struct {
			what string
			l    latency
		}{{"acknowledgement to changed decision", f.Changed}, {"warm answer", f.Warm}, {"cold answer", f.ColdOnes}} {
			line("| %s | %d | %.2f | %.2f | %.2f | %.2f |", x.what, x.l.N, x.l.P50, x.l.P90, x.l.P99, x.l.Max)
		}
		line("| all answers, by the server | %d | %.2f | %.2f | %.2f | |", f.Server.N, f.Server.P50, f.Server.P90, f.Server.P99)
		for _, step := range steps {
			line("| a change, by the server: %s | %d | %.2f | %.2f | %.2f | |", step, f.Steps[step].N, f.Steps[step].P50, f.Steps[step].P90, f.Steps[step].P99)
		}
		line("\nA change gathers in the spool from the first event of its batch to the last, is loaded, noticed by the aggregator, and its visitors are read. Cores: ClickHouse %.2f, collector %.2f, aggregator %.2f, load %.2f.",
			f.Cores["ClickHouse"], f.Cores["collector"], f.Cores["aggregator"], f.Cores["load"])
		line("Cold answers by reason: %s. Events acknowledged: %d. The client sent its requests late by %.2f ms at p99.", f.reasons(), f.Acknowledged, f.SentLate.P99)
	}
	if len(r.Scale) > 0 {
		line("\n## Histories, %d events a visitor over 30 days\n", c.PerVisitor)
		line("| events | visitors | refresh of 1,000: p50, p99 ms | cold look-up of one: p50, p99 ms | rows read by a refresh | ClickHouse resident MiB | on disk MiB | filled in |\n|---|---|---|---|---|---|---|---|")
		for _, s := range r.Scale {
			line("| %d | %d | %.1f, %.1f | %.1f, %.1f | %.0f | %.0f | %.0f | %s |", s.Events, s.Visitors, s.Refresh.P50, s.Refresh.P99, s.LookUp.P50, s.LookUp.P99, s.RowsRead, s.ResidentMiB, s.DiskMiB, s.Filled)
		}
	}
	return b.Bytes()
}
