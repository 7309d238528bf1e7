package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"

	"beckon/bench/contest"
)

func (r *result) find(name string) *contest.Turns {
	for i := range r.Contests {
		if r.Contests[i].Name == name {
			return &r.Contests[i]
		}
	}
	return &contest.Turns{}
}

func (r *result) bars() contest.Bars {
	var bars contest.Bars
	if len(r.Contests) > 0 {
		bare, nginx := r.find("bare fasthttp").PerSec, r.find("nginx, unbuffered log").PerSec
		here, always := r.find("collector, sync=os"), r.find("collector, sync=always")
		bars.AtLeast("pixel, sync=os, to bare fasthttp", contest.Ratio(here.PerSec, bare), .70)
		bars.AtLeast("pixel, sync=always, to bare fasthttp", contest.Ratio(always.PerSec, bare), .55)
		bars.AtLeast("pixel, sync=os, to nginx with an unbuffered log", contest.Ratio(here.PerSec, nginx), .90)
		bars.Under("resident MiB after the pixels, sync=os", here.HighestMiB, 150)
		bars.Under("resident MiB after the pixels, sync=always", always.HighestMiB, 150)
	}
	if len(r.Batches.PerSec) > 0 {
		bars.AtLeast("events/s in batches of 20, sync=os", contest.Median(r.Batches.PerSec), 400_000)
		bars.Under("resident MiB after the batches", r.Batches.HighestMiB, 150)
	}
	if r.Paced.Requests > 0 {
		bars.Under(fmt.Sprintf("p99 in ms at %d pixels/s, sync=always", r.Paced.PlannedASecond), r.Paced.P99, 10)
	}
	return bars
}

// write prints the report, and keeps it when all of it was measured.
func (r *result) write(c *runCmd) error {
	var b bytes.Buffer
	r.markdown(&b, c)
	if _, err := os.Stdout.Write(b.Bytes()); err != nil || c.Only != "" {
		return err
	}
	return r.Machine.Keep(c.Out, "", b.Bytes(), r)
}

func (r *result) markdown(b *bytes.Buffer, c *runCmd) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("# Collector, %s, commit %s\n", time.Now().UTC().Format(time.DateOnly), r.Machine.Commit)
	line("`%s`\n", r.Command)
	line("%s; took %s. The server had core %d, the load core %d.", r.Machine, r.Took, c.Server, c.Load)
	line("fsync of 8 KiB on this disk: median %.2f ms, p99 %.2f ms, longest %.2f ms.\n", r.Fsync.P50, r.Fsync.P99, r.Fsync.Max)
	line("%s", r.bars())
	if len(r.Contests) > 0 {
		line("\n## Pixels, %d connections, %d rounds of %s, each server in turn\n", c.Connections, c.Rounds, c.Duration)
		line("The same request to all: a browser's headers, a cookie, a page address with three campaign values. The collector does what it does")
		line("in production with it, its duplicate window holding 4 million ids and its rate limits on, wide enough not to be met; batches are read back and")
		line("marked as done instead of going to ClickHouse. Ratios are medians of the rounds' ratios. GOMAXPROCS of the collector on its one core: %s.\n", r.Threads)
		line("| server | requests/s, median | lowest to highest | of bare fasthttp | of nginx, unbuffered | CPU us/request | errors | resident MiB, highest |\n|---|---|---|---|---|---|---|---|")
		for _, k := range r.Contests {
			line("| %s | %.0f | %.0f to %.0f | %.2f | %.2f | %.1f | %d | %.0f, %.0f |", k.Name, contest.Median(k.PerSec), slices.Min(k.PerSec), slices.Max(k.PerSec),
				contest.Ratio(k.PerSec, r.Contests[0].PerSec), contest.Ratio(k.PerSec, r.Contests[1].PerSec), contest.Median(k.CPU), k.Errors, k.ResidentMiB, k.HighestMiB)
		}
	}
	if n := r.Batches.PerSec; len(n) > 0 {
		line("\n## Batches of %d events, sync=os, %d connections, window full\n", batchEvents, batchClients)
		line("%.0f events/s (%.0f to %.0f), %.2f us of processor time an event; resident %.0f MiB, highest %.0f.", contest.Median(n), slices.Min(n), slices.Max(n),
			contest.Median(r.Batches.CPU), r.Batches.ResidentMiB, r.Batches.HighestMiB)
	}
	if p := r.Paced; p.Requests > 0 {
		line("\n## %d pixels a second, each at its planned moment, sync=always\n", p.PlannedASecond)
		line("| requests | served/s | p50 | p90 | p99 | p99.9 | max | sent late, p99 | fsync at that time: median, p99, longest |\n|---|---|---|---|---|---|---|---|---|")
		line("| %d | %.0f | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f, %.2f, %.2f ms |", p.Requests, p.RequestsASecond, p.P50, p.P90, p.P99,
			p.P999, p.Max, p.SentLateP99, r.PacedBy.P50, r.PacedBy.P99, r.PacedBy.Max)
	}
}
