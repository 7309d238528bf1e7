package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/bench/contest"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// result is all that was measured.
type result struct {
	Machine    contest.Machine
	Command    string
	Took       time.Duration
	AnswerSize int // bytes
	Peers      []contest.Turns
	Memory     size
	Evaluation []evaluation
}

// evaluation is what the rules cost alone.
type evaluation struct {
	What        string
	Nanoseconds float64
	Allocations int64
}

// Run measures everything and writes it down.
func (c *runCmd) Run(ctx context.Context) error {
	began := time.Now()
	for _, tool := range []string{"taskset", "wrk", "webdis", "redis-server"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: apt-get install -y util-linux wrk webdis redis-server (%w)", tool, err)
		}
	}
	dir, err := os.MkdirTemp(c.Dir, "bench-decision-")
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer os.RemoveAll(dir)
	c.Dir = dir
	r := result{Machine: contest.ThisMachine(), Command: "make bench-decision ARGS='" + strings.Join(os.Args[1:], " ") + "'"}
	parts := []struct {
		name    string
		measure func(context.Context, *result) error
	}{{"evaluation", evaluate}, {"peers", c.peers}, {"memory", c.memory}}
	for _, part := range parts {
		if c.Only == "" || c.Only == part.name {
			if err := part.measure(ctx, &r); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	r.Took = time.Since(began).Round(time.Second)
	report := r.markdown(c)
	if _, err := os.Stdout.Write(report); err != nil || c.Only != "" {
		return err
	}
	return r.Machine.Keep(c.Out, "decision-", report, &r)
}

// peers gives each server its turn in each round.
func (c *runCmd) peers(ctx context.Context, r *result) error {
	if c.Opa == "" {
		var err error
		if c.Opa, err = buildOPA(ctx); err != nil {
			return err
		}
	}
	aggregator, err := startAggregator(ctx, c)
	if err != nil {
		return err
	}
	defer aggregator.Stop()
	answers, err := aggregator.answers(ctx)
	if err != nil {
		return err
	}
	r.AnswerSize = len(answers[0])
	bare, err := startBare(ctx, c, answers[0])
	if err != nil {
		return err
	}
	defer bare.Stop()
	bare.asks = aggregator.asks // the same bytes to both
	webdis, err := startWebdis(ctx, c, answers)
	if err != nil {
		return err
	}
	defer webdis.Stop()
	opa, err := startOPA(ctx, c)
	if err != nil {
		return err
	}
	defer opa.Stop()

	all := []*peer{bare, webdis, opa, aggregator}
	for _, p := range all {
		r.Peers = append(r.Peers, contest.Turns{Name: p.Name})
	}
	for round := range c.Rounds {
		for i, p := range all {
			if err := r.Peers[i].Take(p.Server, round, c.Rounds, func() (contest.Counted, error) { return c.turn(ctx, p) }); err != nil {
				return err
			}
		}
	}
	if c.Profile == "" {
		return nil
	}
	written := make(chan error, 1) // of one more turn, which is not counted: being looked at costs time
	go func() { written <- contest.CPUProfile(aggregator.Server, c.Duration, c.Profile) }()
	_, err = c.turn(ctx, aggregator)
	return errors.Join(err, <-written)
}

// memory fills a store with visitors and asks what they take.
func (c *runCmd) memory(ctx context.Context, r *result) error {
	dir, err := os.MkdirTemp(c.Dir, "memory-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	s, err := contest.StartOwn(ctx, "aggregator", c.Server, "serve", "--dir", dir, "--visitors", "1", "--cached", strconv.Itoa(c.Cached))
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := readJSON(filepath.Join(dir, "size"), &r.Memory); err != nil {
		return err
	}
	r.Memory.ResidentMiB, _, err = s.Memory()
	return err
}

// evaluate measures the rules alone: features to verdict.
func evaluate(_ context.Context, r *result) error {
	file, err := site.Parse("sites.yaml", []byte(strings.Replace(sites, "holdout: 0%", "holdout: 10%", 1)))
	if err != nil {
		return err
	}
	program, faults := eligibility.Compile(file)
	if len(faults) > 0 {
		return faults
	}
	now := time.Now()
	values := profile(1, now).At(now)
	in := eligibility.Input{
		Site: file.Site("demo"), Features: &values, Visitor: privacy.StoredID([16]byte{1}), Session: privacy.StoredID([16]byte{2}),
		Since: now.Add(-time.Hour), Lane: privacy.LaneDecide, DrawKey: &[32]byte{3},
	}
	cooled := in
	cooled.Serves = []feature.Serve{{Offer: "welcome-back", Rule: "welcome-back@0", Arm: feature.Treatment, At: now.Add(-48 * time.Hour), ValidUntil: now.Add(-24 * time.Hour)}}
	measure := func(what string, f func()) {
		b := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
		r.Evaluation = append(r.Evaluation, evaluation{what, float64(b.T.Nanoseconds()) / float64(b.N), b.AllocsPerOp()})
	}
	measure("rule of five terms", func() { program.Matches("demo", "welcome-back", &values) })
	measure("verdict: rule, holdout, a new grant", func() { program.Evaluate(in, now) })
	measure("verdict: rule, cooldown", func() { program.Evaluate(cooled, now) })
	return nil
}

func (r *result) bars() contest.Bars {
	var bars contest.Bars
	if len(r.Peers) > 0 {
		// By processor time: wrk spells each request in Lua and has not always enough of them for a whole core.
		us := r.Peers[3].CPU
		bars.AtLeast("cached verdicts a core, to bare fasthttp with the same answer", contest.Ratio(r.Peers[0].CPU, us), .55)
		bars.AtLeast("cached verdicts a core, to webdis and Redis", contest.Ratio(r.Peers[1].CPU, us), 1.5)
		bars.AtLeast("cached verdicts a core, to OPA", contest.Ratio(r.Peers[2].CPU, us), 5)
	}
	for i, e := range r.Evaluation {
		if i == 0 {
			bars.Under("ns: "+e.What, e.Nanoseconds, 500)
			continue
		}
		bars.Under("ns: "+e.What, e.Nanoseconds, 2000)
		bars.Under("allocations: "+e.What, float64(e.Allocations), 10)
	}
	if r.Memory.Visitors > 0 {
		bars.Under(fmt.Sprintf("bytes for each of %d visitors in memory", r.Memory.Visitors), r.Memory.BytesEach, 800)
	}
	return bars
}

func (r *result) markdown(c *runCmd) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Decisions, %s, commit %s\n", time.Now().UTC().Format(time.DateOnly), r.Machine.Commit)
	line("`%s`\n", r.Command)
	line("%s; took %s. The server had core %d, the load core %d.\n", r.Machine, r.Took, c.Server, c.Load)
	line("%s", r.bars())
	if len(r.Peers) > 0 {
		line("\n## %d visitors in turn, %d connections, %d rounds of %s, each server in turn\n", c.Visitors, c.Connections, c.Rounds, c.Duration)
		line("The aggregator verifies the cookie, looks up its list of who said no, evaluates a rule of five terms, finds the grant and its token, and counts")
		line("the answer of %d bytes; bare fasthttp answers the same bytes to the same requests, webdis finds them in Redis (both on the core), OPA evaluates", r.AnswerSize)
		line("the same rule over the same values and answers without a token. Ratios are medians of the rounds' ratios; those by processor time hold where wrk could not")
		line("keep a core busy.\n")
		line("| server | requests/s, median | lowest to highest | of bare fasthttp | CPU us/request | of bare fasthttp, by CPU | errors | resident MiB, highest |\n|---|---|---|---|---|---|---|---|")
		for _, k := range r.Peers {
			line("| %s | %.0f | %.0f to %.0f | %.2f | %.1f | %.2f | %d | %.0f, %.0f |", k.Name, contest.Median(k.PerSec), slices.Min(k.PerSec), slices.Max(k.PerSec),
				contest.Ratio(k.PerSec, r.Peers[0].PerSec), contest.Median(k.CPU), contest.Ratio(r.Peers[0].CPU, k.CPU), k.Errors, k.ResidentMiB, k.HighestMiB)
		}
	}
	if len(r.Evaluation) > 0 {
		line("\n## Rules alone\n\n| what | ns | allocations |\n|---|---|---|")
		for _, e := range r.Evaluation {
			line("| %s | %.0f | %d |", e.What, e.Nanoseconds, e.Allocations)
		}
	}
	if m := r.Memory; m.Visitors > 0 {
		line("\n## Memory\n\n%d visitors in memory, nine of ten with events in two hours, the tenth in eight: %.0f bytes each, %.0f MiB of heap after a collection, %.0f MiB resident with GOGC",
			m.Visitors, m.BytesEach, m.HeapMiB, m.ResidentMiB)
		line("at its default and no GOMEMLIMIT.")
	}
	return b.Bytes()
}
