package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	rigs "beckon/bench/rig"
	"beckon/internal/event"
	"beckon/internal/privacy"
)

// fresh is what decisions were like while events flowed.
type fresh struct {
	EventsASecond, ClosedLoop, DecisionsASecond float64
	Changed                                     latency            // from the acknowledgement of a first event to the decision that knows it
	Warm, ColdOnes                              latency            // from the planned moment to the answer
	SentLate                                    latency            // of our own client
	Server                                      latency            // of the histogram, upper bounds
	Steps                                       map[string]latency // of a change, by the aggregator's histogram, upper bounds
	Cores                                       map[string]float64 // processor time of each, a second
	ColdReasons                                 map[string]int
	Acknowledged                                int64
}

const (
	closedLoop   = 16 // connections
	openLoop     = 64
	warmVisitors = 2000
	probeEvery   = 100 * time.Millisecond
	pollEvery    = 10 * time.Millisecond
	probeWithin  = 20 * time.Second
)

// steps of a change, in their order, and all of them.
var steps = []string{"gather", "load", "notice", "read", "whole"}

// offers let the first event of a visitor decide.
const offers = `    offers:
      - id: hello
        title: 5% off
        when: visitor.pageviews_1d >= 1
        discount: {percent: 5}
        valid_for: 1d
        cooldown: 7d
`

func (f *fresh) reasons() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(f.ColdReasons)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, f.ColdReasons[reason]))
	}
	return strings.Join(parts, ", ")
}

// storefront asks the two services as browsers do.
type storefront struct {
	*rigs.Rig
	collector, aggregator *fasthttp.HostClient
	admin                 *rigs.Child
}

func (c *config) fresh(ctx context.Context) (f *fresh, err error) {
	g, err := rigs.New(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if err := os.WriteFile(g.Path("sites.yaml"), []byte(rigs.Sites+offers), 0o640); err != nil {
		return nil, err
	}
	collector, err := g.Start(ctx, c.Collector, "--trusted-proxy", "127.0.0.0/8", "--limit-client", "0", "--limit-network", "0", "--limit-site", "0")
	if err != nil {
		return nil, err
	}
	aggregator, err := g.Start(ctx, c.Aggregator, "--cold-deadline", "25ms", "--limit-client", "0", "--limit-site", "0")
	if err != nil {
		return nil, err
	}
	s := &storefront{
		Rig: g, admin: aggregator,
		collector:  &fasthttp.HostClient{Addr: collector.Public, MaxConns: 1000},
		aggregator: &fasthttp.HostClient{Addr: aggregator.Public, MaxConns: 1000},
	}
	warm, err := s.warm(ctx)
	if err != nil {
		return nil, err
	}
	flow, err := rigs.NewTraffic(collector.Public, g.Keys, float64(c.Rate), c.Rate*10, 0)
	if err != nil {
		return nil, err
	}
	f = &fresh{EventsASecond: float64(c.Rate)}
	const closedFor = 5 * time.Second
	flowing := make(chan error, 1)
	go func() { flowing <- flow.Send(ctx, 64, closedFor+c.Duration+5*time.Second) }()
	if f.ClosedLoop, err = s.saturate(warm, closedFor); err != nil {
		return nil, err
	}
	if f.DecisionsASecond = float64(c.Decisions); c.Decisions == 0 {
		f.DecisionsASecond = math.Floor(f.ClosedLoop / 2)
	}
	cold, err := s.cold(ctx, int(f.DecisionsASecond*c.Duration.Seconds()*c.Cold)+1)
	if err != nil {
		return nil, err
	}
	before, err := s.histograms(ctx)
	if err != nil {
		return nil, err
	}
	used := usage(collector, aggregator)
	var probes sync.WaitGroup
	var probed []time.Duration
	probes.Go(func() { probed, err = s.probe(c.Duration) })
	asked := s.ask(f, warm, cold, c)
	probes.Wait()
	after, errAfter := s.histograms(ctx)
	f.Cores = map[string]float64{}
	for name, cpu := range usage(collector, aggregator) {
		f.Cores[name] = (cpu - used[name]).Seconds() / c.Duration.Seconds()
	}
	if err := errors.Join(err, asked, errAfter, <-flowing); err != nil {
		return nil, err
	}
	f.Changed, f.Acknowledged = latencyOf(probed), flow.Acked.Load()
	f.Server, f.Steps = after["decision"].since(before["decision"]), map[string]latency{}
	for _, step := range steps {
		f.Steps[step] = after[step].since(before[step])
	}
	return f, nil
}

// usage is the processor time of each so far.
func usage(collector, aggregator *rigs.Child) map[string]time.Duration {
	_, c := rigs.Processes(collector.Cmd.Process.Pid)
	_, a := rigs.Processes(aggregator.Cmd.Process.Pid)
	_, all := rigs.Processes(os.Getpid())
	_, own := rigs.Ourselves()
	return map[string]time.Duration{"collector": c, "aggregator": a, "ClickHouse": all - c - a - own, "load": own}
}

// someone is a browser with a cookie.
func (s *storefront) someone() (cookie string, visitor privacy.ID) {
	now := time.Now()
	choice := &privacy.Choice{Decide: true, Measure: true, Source: privacy.NewLabel([]byte("banner")), At: now}
	v := privacy.NewVisit(s.Keys, now, privacy.LaneDecide, choice)
	return privacy.CookieName(rigs.Site, false) + "=" + string(v.AppendTo(nil, s.Keys)), v.ID(s.Keys)
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// view sends a page view and returns when it is acknowledged.
func (s *storefront) view(cookie string) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI("http://" + s.collector.Addr + "/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2F")
	req.Header.SetUserAgent(firefox)
	req.Header.Set("Cookie", cookie)
	if err := s.collector.Do(req, resp); err != nil {
		return fmt.Errorf("send a page view: %w", err)
	}
	if resp.StatusCode() != http.StatusOK {
		return fmt.Errorf("send a page view: status %d, %s", resp.StatusCode(), resp.Header.Peek("Beckon-Reason"))
	}
	return nil
}

// decide asks for a decision and returns its reason.
func (s *storefront) decide(cookie string) (string, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI("http://" + s.aggregator.Addr + "/v1/decision?site=demo")
	req.Header.SetUserAgent(firefox)
	req.Header.Set("Cookie", cookie)
	if err := s.aggregator.Do(req, resp); err != nil {
		return "", fmt.Errorf("ask for a decision: %w", err)
	}
	var reply struct{ Reason string }
	if err := json.Unmarshal(resp.Body(), &reply); err != nil || resp.StatusCode() != http.StatusOK {
		return "", fmt.Errorf("ask for a decision: status %d: %s", resp.StatusCode(), resp.Body())
	}
	return reply.Reason, nil
}

// warm makes visitors who have come and been given the offer.
func (s *storefront) warm(ctx context.Context) ([]string, error) {
	cookies := make([]string, warmVisitors)
	for i := range cookies {
		cookies[i], _ = s.someone()
		if err := s.view(cookies[i]); err != nil {
			return nil, err
		}
	}
	for _, cookie := range cookies {
		for deadline := time.Now().Add(probeWithin); ; time.Sleep(pollEvery) {
			reason, err := s.decide(cookie)
			if err != nil {
				return nil, err
			}
			if reason == "TARGETING_MATCH" {
				break
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return nil, fmt.Errorf("a visitor who came is still %s after %s", reason, probeWithin)
			}
		}
	}
	return cookies, nil
}

// cold brings visitors into ClickHouse behind the aggregator's back: nothing says that they changed.
func (s *storefront) cold(ctx context.Context, n int) ([]string, error) {
	batch, err := s.Conn.PrepareBatch(ctx, "INSERT INTO "+rigs.Database+`.events (site, environment, event_id, kind, source, lane, cause,
		received_at, occurred_at, visitor, session, visitor_since, spool, segment, sequence, expires, profile_expires)`)
	if err != nil {
		return nil, fmt.Errorf("insert cold visitors: %w", err)
	}
	defer batch.Close()
	cookies := make([]string, n)
	var ids event.UUIDs
	for i := range cookies {
		var visitor privacy.ID
		cookies[i], visitor = s.someone()
		id, now := ids.Next(time.Now().UnixMilli()), time.Now()
		v := visitor.Bytes()
		err := batch.Append(rigs.Site, "production", string(id[:]), "page_view", "pixel", "decide", "choice", now, now, string(v[:]), string(v[:]), now,
			strings.Repeat("b", 16), uint64(1), uint64(i), now.AddDate(1, 0, 0), now.AddDate(0, 3, 0))
		if err != nil {
			return nil, fmt.Errorf("insert cold visitors: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return nil, fmt.Errorf("insert cold visitors: %w", err)
	}
	return cookies, nil
}

// saturate asks in a closed loop and returns the answers a second.
func (s *storefront) saturate(warm []string, d time.Duration) (float64, error) {
	var answers atomic.Int64
	errs := make([]error, closedLoop)
	var all sync.WaitGroup
	began := time.Now()
	for i := range closedLoop {
		all.Go(func() {
			for n := i; time.Since(began) < d && errs[i] == nil; n += closedLoop {
				if _, errs[i] = s.decide(warm[n%len(warm)]); errs[i] == nil {
					answers.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(answers.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

// ask asks in an open loop: each question has its moment, and what it waits counts.
func (s *storefront) ask(f *fresh, warm, cold []string, c *config) error {
	total := int(f.DecisionsASecond * c.Duration.Seconds())
	every := max(1, int(1/c.Cold))
	var mu sync.Mutex
	var warmTook, coldTook, lates []time.Duration
	f.ColdReasons = map[string]int{}
	errs := make([]error, openLoop)
	var all sync.WaitGroup
	start := time.Now().Add(50 * time.Millisecond)
	for w := range openLoop {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for i := w; i < total && errs[w] == nil; i += openLoop {
				due := start.Add(time.Duration(float64(i) / f.DecisionsASecond * float64(time.Second)))
				time.Sleep(time.Until(due))
				late := time.Since(due)
				isCold, cookie := i%every == 0, warm[random.IntN(len(warm))]
				if isCold {
					cookie = cold[i/every]
				}
				var reason string
				reason, errs[w] = s.decide(cookie)
				took := time.Since(due)
				mu.Lock()
				if lates = append(lates, late); isCold {
					coldTook = append(coldTook, took)
					f.ColdReasons[reason]++
				} else {
					warmTook = append(warmTook, took)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	f.Warm, f.ColdOnes, f.SentLate = latencyOf(warmTook), latencyOf(coldTook), latencyOf(lates)
	return errors.Join(errs...)
}

// probe sends new visitors, and returns how long each waited from the acknowledgement of its first event to a decision
// that knows it, probeWithin for who gave up.
func (s *storefront) probe(d time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var took []time.Duration
	var errs []error
	var all sync.WaitGroup
	for began := time.Now(); time.Since(began) < d; time.Sleep(probeEvery) {
		all.Go(func() {
			cookie, _ := s.someone()
			err := s.view(cookie)
			acknowledged := time.Now()
			for reason := ""; err == nil && reason != "TARGETING_MATCH" && time.Since(acknowledged) < probeWithin; time.Sleep(pollEvery) {
				reason, err = s.decide(cookie)
			}
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, time.Since(acknowledged)-pollEvery), append(errs, err)
		})
	}
	all.Wait()
	return took, errors.Join(errs...)
}

// buckets are a histogram's: how many answers took at most so many seconds.
type buckets map[float64]float64

// histograms reads the server's own times: of decisions, and of the steps of a change.
func (s *storefront) histograms(ctx context.Context) (map[string]buckets, error) {
	page, err := s.admin.Read(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]buckets{}
	for line := range bytes.Lines(page) {
		series, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		what := label(series, "step")
		switch name, _, _ := strings.Cut(series, "{"); {
		case name == "beckon_decision_seconds_bucket" && label(series, "route") == "decision":
			what = "decision"
		case name != "beckon_features_delay_seconds_bucket":
			continue
		}
		bound, err := strconv.ParseFloat(label(series, "le"), 64)
		if err != nil {
			return nil, fmt.Errorf("read the histogram: %q: %w", series, err)
		}
		if all[what] == nil {
			all[what] = buckets{}
		}
		if all[what][bound], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("read the histogram: %q: %w", series, err)
		}
	}
	for _, what := range append(steps, "decision") {
		if len(all[what]) == 0 {
			return nil, fmt.Errorf("the aggregator has no histogram of %s", what)
		}
	}
	return all, nil
}

// label is a label's value in a series.
func label(series, name string) string {
	_, value, _ := strings.Cut(series, name+`="`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}

// since is the latency of what came after before, as bounds of buckets.
func (b buckets) since(before buckets) latency {
	bounds := slices.Sorted(maps.Keys(b))
	total := b[bounds[len(bounds)-1]] - before[bounds[len(bounds)-1]]
	at := func(share float64) float64 {
		for _, bound := range bounds {
			if b[bound]-before[bound] >= share*total {
				return bound * 1000
			}
		}
		return math.Inf(1)
	}
	return latency{N: int(total), P50: at(.5), P90: at(.9), P99: at(.99)}
}
