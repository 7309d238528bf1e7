package main

import (
	"context"
	"errors"
	"os"
	"time"

	rigs "beckon/bench/rig"
)

const (
	costRate     = 1000 // events per second: what a large shop has on a busy day
	costDuration = 30 * time.Second
)

// cost measures what both services together cost a ClickHouse that others use too, at a modest rate.
func cost(ctx context.Context, c *Config, r *report) (err error) {
	g, err := newRig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	collector, err := g.Start(ctx, c.Collector, "--trusted-proxy", "127.0.0.0/8", "--sync", c.Sync)
	if err != nil {
		return err
	}
	if _, err := g.Start(ctx, c.Aggregator); err != nil {
		return err
	}
	t, err := rigs.NewTraffic(collector.Public, g.Keys, costRate, c.Events, 0)
	if err != nil {
		return err
	}
	counters := []struct{ label, event string }{
		{"queries", "Query"},
		{"inserts (of them)", "InsertQuery"},
		{"selects (of them)", "SelectQuery"},
		{"parts written, views included", "MergeTreeDataWriterBlocks"},
		{"merges", "Merge"},
	}
	read := func() (values []float64, merging float64, cpu time.Duration, err error) {
		for _, counter := range counters {
			n, err := g.Number(ctx, "SELECT sum(value) FROM system.events WHERE event = '"+counter.event+"'")
			if err != nil {
				return nil, 0, 0, err
			}
			values = append(values, n)
		}
		merging, err = g.Number(ctx, "SELECT sum(value) FROM system.events WHERE event = 'MergeExecuteMilliseconds'")
		_, all := rigs.Processes(os.Getpid())
		_, own := rigs.Ourselves()
		for _, child := range g.Children {
			_, used := rigs.Processes(child.Cmd.Process.Pid)
			own += used
		}
		return values, merging, all - own, err
	}
	before, mergedBefore, cpuBefore, err := read()
	if err != nil {
		return err
	}
	if err := t.Send(ctx, c.Connections, costDuration); err != nil {
		return err
	}
	after, mergedAfter, cpuAfter, err := read()
	if err != nil {
		return err
	}
	seconds := costDuration.Seconds()
	r.line("\n## Cost to a shared ClickHouse: %d events/s for %v, collector and aggregator\n\n| per second | |\n|---|---|", costRate, costDuration)
	for i, counter := range counters {
		n := after[i] - before[i]
		if counter.event == "Query" || counter.event == "SelectQuery" {
			n -= float64(len(counters) + 1) // our own questions
		}
		r.line("| %s | %.2f |", counter.label, n/seconds)
	}
	r.line("| seconds spent merging | %.3f |", (mergedAfter-mergedBefore)/1000/seconds)
	r.line("| CPU seconds, all of it | %.3f |", (cpuAfter-cpuBefore).Seconds()/seconds)
	return nil
}
