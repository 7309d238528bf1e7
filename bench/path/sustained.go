package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	rigs "beckon/bench/rig"
)

// sustained sends at a rate for a while and looks on: does everything arrive, does the backlog grow, do
// parts pile up.
func sustained(ctx context.Context, c *Config, r *report) (err error) {
	g, err := newRig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	collector, err := g.Start(ctx, c.Collector, "--trusted-proxy", "127.0.0.0/8", "--sync", c.Sync)
	if err != nil {
		return err
	}
	t, err := rigs.NewTraffic(collector.Public, g.Keys, c.Rate, c.Events, c.PerRequest)
	if err != nil {
		return err
	}
	r.line("\n## Sustained: %.0f events/s for %v, sync=%s, %d connections, %.2f events a request", c.Rate, c.Duration, c.Sync, c.Connections, float64(c.Events)/float64(t.Requests()))
	r.line("\n| second | acknowledged/s | rows/s | in spool | spool MiB | active parts | collector MiB, cores | ClickHouse MiB, cores | load cores |\n|---|---|---|---|---|---|---|---|---|")
	ended := make(chan error, 1)
	go func() { ended <- t.Send(ctx, c.Connections, c.Duration) }()
	if c.Profile {
		go saveProfile(ctx, collector, filepath.Join(c.Results, "collector.pprof"), c.Duration/2)
	}
	w := watch{g: g, collector: collector, t: t, began: time.Now()}
	backlog := make(map[int]float64)
	partsAt := make(map[int]float64)
	peak := 0.0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; ; second++ {
		select {
		case err = <-ended:
		case <-tick.C:
			s, err := w.look(ctx)
			if err != nil {
				return err
			}
			backlog[second], partsAt[second], peak = s.spooled, s.parts, max(peak, s.collectorMiB)
			if second%5 == 0 || second == 1 {
				r.line("| %d | %.0f | %.0f | %.0f | %.1f | %.0f | %.0f, %.2f | %.0f, %.2f | %.2f |", second, s.acked, s.rows, s.spooled, s.spoolMiB, s.parts,
					s.collectorMiB, s.collectorCores, s.serverMiB, s.serverCores, s.loadCores)
			}
			continue
		}
		break
	}
	if err != nil {
		return err
	}
	drained := time.Now()
	for collector.Metric(ctx, "beckon_spool_records") > 0 {
		if time.Since(drained) > time.Minute {
			return errors.New("the backlog is not drained after a minute")
		}
		time.Sleep(20 * time.Millisecond)
	}
	rows, err := g.Number(ctx, "SELECT count() FROM "+rigs.Database+".events WHERE kind != 'consent'")
	if err != nil {
		return err
	}
	unique, err := g.Number(ctx, "SELECT uniqExact(event_id) FROM "+rigs.Database+".events WHERE kind != 'consent'")
	if err != nil {
		return err
	}
	last := int(c.Duration / time.Second)
	r.line("\nAcknowledged %d events (%.0f/s), rows %.0f, different ids %.0f; the latest was sent %v after its moment; the spool was empty %.1f s after the last reply.",
		t.Acked.Load(), float64(t.Acked.Load())/c.Duration.Seconds(), rows, unique, time.Duration(t.Late.Load()).Round(time.Millisecond), time.Since(drained).Seconds())
	r.line("Events in the spool, mean of five seconds: %.0f around second %d, %.0f at the end. Active parts: %.0f at second 20, %.0f at the end.",
		mean(backlog, 18, 22), 20, mean(backlog, last-5, last-1), partsAt[20], partsAt[last-1])
	took := drained.Sub(w.began).Seconds()
	sent := float64(t.Acked.Load()) / took
	r.bar("sustained events/s, from the first request to the last reply", sent, fmt.Sprintf("at least %.0f for %v", c.Rate, c.Duration), sent >= 0.99*c.Rate)
	r.bar("events acknowledged that are not in ClickHouse once", float64(t.Acked.Load())-unique+rows-unique, "0", rows == unique && int64(rows) == t.Acked.Load())
	early, late := mean(backlog, 15, 24), mean(backlog, last-10, last-1)
	r.bar("backlog at the end, of that around second 20", late/max(early, 1), "not growing: at most 1.2", late <= 1.2*early)
	r.bar("active parts at the end, of those at second 20", partsAt[last-1]/max(partsAt[20], 1), "at most 1", partsAt[last-1] <= partsAt[20])
	r.bar("resident MiB of the collector, highest", peak, "under 150", peak < 150)
	if rows != unique || int64(rows) != t.Acked.Load() {
		return fmt.Errorf("acknowledged %d events, found %.0f rows of %.0f events", t.Acked.Load(), rows, unique)
	}
	return nil
}

func mean(m map[int]float64, from, to int) (sum float64) {
	n := 0.0
	for i := from; i <= to; i++ {
		if v, ok := m[i]; ok {
			sum += v
			n++
		}
	}
	return sum / max(n, 1)
}

// watch looks at all parts once a second.
type watch struct {
	g         *rig
	collector *rigs.Child
	t         *rigs.Traffic
	began     time.Time

	at                      time.Time
	acked                   int64
	rows                    float64
	serverCPU, collectorCPU time.Duration
	ownCPU                  time.Duration
}

type seen struct {
	acked, rows, spooled, spoolMiB, parts                           float64
	collectorMiB, collectorCores, serverMiB, serverCores, loadCores float64
}

func (w *watch) look(ctx context.Context) (s seen, err error) {
	rows, err := w.g.Number(ctx, "SELECT sum(rows) FROM system.parts WHERE active AND database = '"+rigs.Database+"' AND table = 'events'")
	if err != nil {
		return s, err
	}
	if s.parts, err = w.g.Number(ctx, "SELECT count() FROM system.parts WHERE active AND database = '"+rigs.Database+"'"); err != nil {
		return s, err
	}
	s.spooled = w.collector.Metric(ctx, "beckon_spool_records")
	s.spoolMiB = w.collector.Metric(ctx, "beckon_spool_bytes") / (1 << 20)
	resident, collectorCPU := rigs.Processes(w.collector.Cmd.Process.Pid)
	all, allCPU := rigs.Processes(os.Getpid())
	own, ownCPU := rigs.Ourselves()
	now, acked := time.Now(), w.t.Acked.Load()
	serverCPU := allCPU - ownCPU - collectorCPU
	if !w.at.IsZero() {
		d := now.Sub(w.at).Seconds()
		s.acked, s.rows = float64(acked-w.acked)/d, (rows-w.rows)/d
		s.collectorCores, s.serverCores = (collectorCPU-w.collectorCPU).Seconds()/d, (serverCPU-w.serverCPU).Seconds()/d
		s.loadCores = (ownCPU - w.ownCPU).Seconds() / d
	}
	s.collectorMiB, s.serverMiB = float64(resident)/(1<<20), float64(all-own-resident)/(1<<20)
	w.at, w.acked, w.rows, w.collectorCPU, w.serverCPU, w.ownCPU = now, acked, rows, collectorCPU, serverCPU, ownCPU
	return s, nil
}

func saveProfile(ctx context.Context, c *rigs.Child, name string, d time.Duration) {
	b, err := c.Read(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(d.Seconds())))
	if err == nil {
		err = os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "path: profile:", err)
	}
}
