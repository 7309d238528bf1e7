package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is where it was measured.
type machine struct {
	CPU, Kernel, Commit, Go string
	Cores                   int
	Load                    string // the machine's load averages at the start: a busy machine makes other figures
}

func describeMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: "unknown", CPU: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				m.CPU = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	m.Kernel = output("uname", "-sr")
	if commit := output("git", "rev-parse", "--short", "HEAD"); commit != "" {
		m.Commit = commit
		if output("git", "status", "--porcelain", "--untracked-files=no") != "" {
			m.Commit += "-changed"
		}
	}
	return m
}

func output(name string, args ...string) string {
	out, _ := exec.Command(name, args...).Output()
	return strings.TrimSpace(string(out))
}

// metric returns one line's value of a collector's metrics page.
func (s *server) metric(name string) string {
	resp, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return "unknown"
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for l := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(l, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// ratio is the median over the rounds of a to b: both had their turn in the same seconds.
func ratio(a, b []float64) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

func (r *result) find(name string) *contest {
	for i := range r.Contests {
		if r.Contests[i].Name == name {
			return &r.Contests[i]
		}
	}
	return &contest{}
}

// bar is a number to reach.
type bar struct {
	what    string
	value   float64
	reached bool
	want    string
}

func (r *result) bars() []bar {
	var bars []bar
	atLeast := func(what string, value, want float64) {
		bars = append(bars, bar{what, value, value >= want, fmt.Sprintf("at least %.4g", want)})
	}
	under := func(what string, value, want float64) {
		bars = append(bars, bar{what, value, value < want, fmt.Sprintf("under %.4g", want)})
	}
	if len(r.Contests) > 0 {
		bare, nginx := r.find("bare fasthttp").PerSec, r.find("nginx, unbuffered log").PerSec
		here, always := r.find("collector, sync=os"), r.find("collector, sync=always")
		atLeast("pixel, sync=os, to bare fasthttp", ratio(here.PerSec, bare), .70)
		atLeast("pixel, sync=always, to bare fasthttp", ratio(always.PerSec, bare), .55)
		atLeast("pixel, sync=os, to nginx with an unbuffered log", ratio(here.PerSec, nginx), .90)
		under("resident MiB after the pixels, sync=os", here.HighestMiB, 150)
		under("resident MiB after the pixels, sync=always", always.HighestMiB, 150)
	}
	if len(r.Batches.PerSec) > 0 {
		atLeast("events/s in batches of 20, sync=os", median(r.Batches.PerSec), 400_000)
		under("resident MiB after the batches", r.Batches.HighestMiB, 150)
	}
	if r.Paced.Requests > 0 {
		under(fmt.Sprintf("p99 in ms at %d pixels/s, sync=always", r.Paced.PlannedASecond), r.Paced.P99, 10)
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
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	name := filepath.Join(c.Out, time.Now().UTC().Format(time.DateOnly)+"-"+r.Machine.Commit)
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.WriteFile(name+".json", append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(name+".md", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	fmt.Fprintln(os.Stderr, "written:", name+".md")
	return nil
}

func (r *result) markdown(b *bytes.Buffer, c *runCmd) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("# Collector, %s, commit %s\n", time.Now().UTC().Format(time.DateOnly), r.Machine.Commit)
	line("`%s`\n", r.Command)
	line("%d x %s, %s, %s; load averages at the start %s; took %s. The server had core %d, the load core %d.", r.Machine.Cores, r.Machine.CPU,
		r.Machine.Kernel, r.Machine.Go, r.Machine.Load, r.Took, c.Server, c.Load)
	line("fsync of 8 KiB on this disk: median %.2f ms, p99 %.2f ms, longest %.2f ms.\n", r.Fsync.P50, r.Fsync.P99, r.Fsync.Max)
	line("| bar | measured | | asked |\n|---|---|---|---|")
	for _, x := range r.bars() {
		verdict := "reached"
		if !x.reached {
			verdict = "**missed**"
		}
		line("| %s | %.4g | %s | %s |", x.what, x.value, verdict, x.want)
	}
	if len(r.Contests) > 0 {
		line("\n## Pixels, %d connections, %d rounds of %s, each server in turn\n", c.Connections, c.Rounds, c.Duration)
		line("The same request to all: a browser's headers, a cookie, a page address with three campaign values. The collector does what it does")
		line("in production with it, its duplicate window holding 4 million ids and its rate limits on, wide enough not to be met; batches are read back and")
		line("marked as done instead of going to ClickHouse. Ratios are medians of the rounds' ratios. GOMAXPROCS of the collector on its one core: %s.\n", r.Threads)
		line("| server | requests/s, median | lowest to highest | of bare fasthttp | of nginx, unbuffered | CPU us/request | errors | resident MiB, highest |\n|---|---|---|---|---|---|---|---|")
		for _, k := range r.Contests {
			line("| %s | %.0f | %.0f to %.0f | %.2f | %.2f | %.1f | %d | %.0f, %.0f |", k.Name, median(k.PerSec), slices.Min(k.PerSec), slices.Max(k.PerSec),
				ratio(k.PerSec, r.Contests[0].PerSec), ratio(k.PerSec, r.Contests[1].PerSec), median(k.CPU), k.Errors, k.ResidentMiB, k.HighestMiB)
		}
	}
	if n := r.Batches.PerSec; len(n) > 0 {
		line("\n## Batches of %d events, sync=os, %d connections, window full\n", batchEvents, batchClients)
		line("%.0f events/s (%.0f to %.0f), %.2f us of processor time an event; resident %.0f MiB, highest %.0f.", median(n), slices.Min(n), slices.Max(n),
			median(r.Batches.CPU), r.Batches.ResidentMiB, r.Batches.HighestMiB)
	}
	if p := r.Paced; p.Requests > 0 {
		line("\n## %d pixels a second, each at its planned moment, sync=always\n", p.PlannedASecond)
		line("| requests | served/s | p50 | p90 | p99 | p99.9 | max | sent late, p99 | fsync at that time: median, p99, longest |\n|---|---|---|---|---|---|---|---|---|")
		line("| %d | %.0f | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f ms | %.2f, %.2f, %.2f ms |", p.Requests, p.RequestsASecond, p.P50, p.P90, p.P99,
			p.P999, p.Max, p.SentLateP99, r.PacedBy.P50, r.PacedBy.P99, r.PacedBy.Max)
	}
}
