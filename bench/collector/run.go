package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/bench/contest"
	"beckon/internal/fetch"
)

const (
	windowIDs    = 4_000_000
	batchEvents  = 20
	batchClients = 64
)

// result is all that was measured.
type result struct {
	Machine  contest.Machine
	Command  string
	Took     time.Duration
	Fsync    latency
	Contests []contest.Turns
	Batches  batches
	Paced    paced
	PacedBy  latency // fsync beside it
	Threads  string  // what the collector's runtime says of itself
}

type batches struct {
	PerSec                  []float64
	CPU                     []float64 // microseconds for an event
	ResidentMiB, HighestMiB float64
}

// Run measures everything and writes it down.
func (c *runCmd) Run(ctx context.Context) error {
	began := time.Now()
	for _, tool := range []string{"taskset", "wrk", "nginx"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: apt-get install -y util-linux wrk nginx-light (%w)", tool, err)
		}
	}
	if c.Geo == "" {
		var err error
		if c.Geo, err = fetch.GeoCountry(ctx, os.Stderr); err != nil {
			return fmt.Errorf("--geo: %w", err)
		}
	}
	dir, err := os.MkdirTemp(c.Dir, "bench-collector-")
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer os.RemoveAll(dir)
	c.Dir = dir

	r := result{Machine: contest.ThisMachine(), Command: "make bench-collector ARGS='" + strings.Join(os.Args[1:], " ") + "'"}
	if r.Fsync, err = fsyncLatency(dir); err != nil {
		return err
	}
	parts := []struct {
		name    string
		measure func(context.Context, *result) error
	}{{"pixels", c.pixels}, {"batches", c.batches}, {"rate", c.rate}}
	for _, part := range parts {
		if c.Only == "" || c.Only == part.name {
			if err := part.measure(ctx, &r); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	r.Took = time.Since(began).Round(time.Second)
	return r.write(c)
}

// pixels gives each server its turn in each round.
func (c *runCmd) pixels(ctx context.Context, r *result) error {
	starts := []func() (*server, error){
		func() (*server, error) { return startBare(ctx, c) },
		func() (*server, error) { return startNginx(ctx, "nginx, unbuffered log", c, "") },
		func() (*server, error) { return startNginx(ctx, "nginx, buffered log", c, " buffer=64k flush=1s") },
		func() (*server, error) { return startCollector(ctx, "collector, sync=os", c, "os", windowIDs) },
		func() (*server, error) { return startCollector(ctx, "collector, sync=always", c, "always", windowIDs) },
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.Stop()
		}
	}()
	for _, start := range starts {
		s, err := start()
		if err != nil {
			return err
		}
		servers = append(servers, s)
		r.Contests = append(r.Contests, contest.Turns{Name: s.Name})
	}
	cookie := servers[len(servers)-1].cookie // as long as any other
	for round := range c.Rounds {
		for i, s := range servers {
			own := cookie
			if s.cookie != "" {
				own = s.cookie
			}
			turn := func() (contest.Counted, error) { return c.wrk(ctx, s, own) }
			if err := r.Contests[i].Take(s.Server, round, c.Rounds, turn); err != nil {
				return err
			}
		}
	}
	observed := servers[3]
	r.Threads = observed.Metric("go_sched_gomaxprocs_threads")
	return c.profile(observed, "pixels", func() error {
		_, err := c.wrk(ctx, observed, observed.cookie)
		return err
	})
}

// profile gives a collector one more turn while its own profiler looks on. The turn counts for nothing, since being
// looked at costs time.
func (c *runCmd) profile(s *server, part string, turn func() error) error {
	if c.Profile == "" {
		return nil
	}
	written := make(chan error, 1)
	go func() { written <- contest.CPUProfile(s.Server, c.Duration, c.profileOf(part)) }()
	return errors.Join(turn(), <-written)
}

func (c *runCmd) profileOf(part string) string {
	if c.Only != "" {
		return c.Profile
	}
	ending := filepath.Ext(c.Profile)
	return strings.TrimSuffix(c.Profile, ending) + "-" + part + ending
}

// wrk is one turn.
func (c *runCmd) wrk(ctx context.Context, s *server, cookie string) (contest.Counted, error) {
	args := []string{"-H", "Cookie: theme=dark; " + cookie}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	return contest.Wrk(ctx, c.Load, c.Connections, c.Duration, append(args, "http://"+s.Addr+pixelURI)...)
}

// batches posts batches of 20 events while the duplicate window is full.
func (c *runCmd) batches(ctx context.Context, r *result) error {
	s, err := startCollector(ctx, "collector, sync=os, batches", c, "os", windowIDs)
	if err != nil {
		return err
	}
	defer s.Stop()
	post := func(round int) (perSec float64, err error) {
		cmd, err := contest.Own(ctx, c.Load, "batches", "--target", s.Addr, "--cookie", s.cookie, "--events", strconv.Itoa(batchEvents),
			"--connections", strconv.Itoa(batchClients), "--duration", c.Duration.String(), "--first", strconv.Itoa(round<<30))
		if err != nil {
			return 0, err
		}
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("post batches: %w", err)
		}
		if perSec, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err != nil {
			return 0, fmt.Errorf("post batches: %q is no rate: %w", out, err)
		}
		return perSec, nil
	}
	for round := range c.Rounds {
		used := s.Busy()
		perSec, err := post(round)
		if err != nil {
			return err
		}
		r.Batches.PerSec = append(r.Batches.PerSec, perSec)
		r.Batches.CPU = append(r.Batches.CPU, float64((s.Busy()-used).Microseconds())/(perSec*c.Duration.Seconds()))
		fmt.Fprintf(os.Stderr, "round %d of %d: %-24s %9.0f events/s\n", round+1, c.Rounds, "batches of 20", perSec)
	}
	if r.Batches.ResidentMiB, r.Batches.HighestMiB, err = s.Memory(); err != nil {
		return err
	}
	return c.profile(s, "batches", func() error { _, err := post(c.Rounds); return err })
}

// rate sends pixels at a steady rate, each acknowledged after an fsync.
func (c *runCmd) rate(ctx context.Context, r *result) error {
	s, err := startCollector(ctx, "collector, sync=always, paced", c, "always", windowIDs)
	if err != nil {
		return err
	}
	defer s.Stop()
	if r.PacedBy, err = fsyncLatency(c.Dir); err != nil {
		return err
	}
	send := func(d time.Duration) (p paced, err error) {
		cmd, err := contest.Own(ctx, c.Load, "pixels", "--target", s.Addr, "--cookie", s.cookie, "--rate", strconv.Itoa(c.Rate),
			"--connections", strconv.Itoa(c.Connections), "--duration", d.String())
		if err != nil {
			return p, err
		}
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &p)
		}
		if err != nil {
			return p, fmt.Errorf("pixels at a steady rate: %w", err)
		}
		return p, nil
	}
	if r.Paced, err = send(time.Duration(c.Rounds) * c.Duration); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d pixels/s: p99 %.1f ms\n", c.Rate, r.Paced.P99)
	return c.profile(s, "rate", func() error { _, err := send(c.Duration); return err })
}

// latency is what a thing that was done often took, in milliseconds.
type latency struct{ P50, P99, Max float64 }

// fsyncLatency is this disk's: 8 KiB appended and synced, 200 times.
func fsyncLatency(dir string) (latency, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return latency{}, fmt.Errorf("measure fsync: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took := make([]float64, 200)
	for i := range took {
		began := time.Now()
		if _, err = f.Write(make([]byte, 8<<10)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return latency{}, fmt.Errorf("measure fsync: %w", err)
		}
		took[i] = float64(time.Since(began).Microseconds()) / 1000
	}
	slices.Sort(took)
	return latency{took[len(took)/2], took[len(took)*99/100], took[len(took)-1]}, nil
}
