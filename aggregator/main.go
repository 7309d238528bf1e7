// Command beckon-aggregator turns the events in ClickHouse into per-visitor features and answers
// storefronts: does this visitor get that offer, and why.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/alecthomas/kong"
	"github.com/oklog/run"

	"beckon/aggregator/decision"
	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/admin"
	"beckon/internal/chconn"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/token"
)

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("beckon-aggregator"),
		kong.Description("Per-visitor features and discount decisions for online shops."),
		kong.DefaultEnvars("BECKON"), kong.UsageOnError(), kong.Vars{"version": admin.Version})
	k.FatalIfErrorf(k.Run())
}

// Run is the drawing of the service: its parts, in the order in which data passes them.
func (cmd *serveCmd) Run() error {
	c := cmd.Config
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := c.validate(); err != nil {
		return err
	}
	reg := admin.NewRegistry("aggregator")

	rules := &programs{}
	sites, err := site.Open(c.Sites, rules.check)
	if err != nil {
		return err
	}
	rules.use(sites.File())
	sites.OnReload = func(f *site.File, err error) {
		if err == nil {
			rules.use(f)
		}
	}
	keys, issuer, err := openKeys(c.KeyringDir, sites.File())
	if err != nil {
		return err
	}
	decisions, err := spool.Open(c.SpoolDir, spool.Options{MaxBytes: c.SpoolMaxBytes, Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	defer decisions.Close()
	store, err := feature.NewStore(c.Visitors)
	if err != nil {
		return err
	}
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, c.ClickHouseDSN) }
	reader := feature.NewReader(c.Database, connect)
	defer reader.Close()
	verdicts := &decision.Verdicts{Sites: sites, Program: rules.current, Keys: keys, Store: store, Connect: connect, Database: c.Database, Log: log}
	follower := feature.NewFollower(reader, store, verdicts.Changed, log)
	cold := feature.NewCold(reader, store, log)
	recorder := decision.NewRecorder(decisions, time.Now, log, reg)
	load := loader.New(loader.Config{
		Source: decisions, Table: decision.Table(), Connect: connect, Database: c.Database, DeadLetter: c.deadLetter(), Log: log, Registerer: reg,
	})
	server := decision.New(decision.Config{
		Sites: sites, Program: rules.current, Keys: keys, SigningKey: issuer[0], JWKS: token.JWKS(issuer), Issuer: c.Issuer,
		Store: store, Cold: cold, CompleteAt: follower.CompleteAt, Recorder: recorder, Agents: privacy.NewAgents(10_000),
		PathPrefix: c.PathPrefix, ColdDeadline: c.ColdDeadline, StaleAfter: c.StaleAfter, Log: log, Registerer: reg,
	})
	pages := map[string]http.Handler{}
	if c.DevSwitches {
		pages["/dev/visitor"] = server.DevVisitor()
	}
	checks := []admin.Check{
		{Name: "spool", Ready: func() error { return spoolReady(decisions) }},
		{Name: "features", Ready: func() error {
			if follower.CompleteAt().IsZero() {
				return errors.New("no look at ClickHouse has succeeded yet")
			}
			return nil
		}},
	}
	public, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	private, err := net.Listen("tcp", c.Admin)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	adminServer := &http.Server{Handler: admin.New(reg, checks, pages), ReadHeaderTimeout: 5 * time.Second}

	var g run.Group
	g.Add(run.SignalHandler(context.Background(), syscall.SIGINT, syscall.SIGTERM))
	g.Add(func() error { return server.Serve(public) }, func(error) { server.Shutdown() })
	g.Add(func() error { return adminServer.Serve(private) }, func(error) { adminServer.Close() })
	addLoop(&g, follower.Run)
	addLoop(&g, cold.Run)
	addLoop(&g, recorder.Run)
	addLoop(&g, load.Run)
	addLoop(&g, func(ctx context.Context) error { sites.Watch(ctx, 500*time.Millisecond, log); return nil })
	addLoop(&g, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-decisions.Failed():
			return errors.New("the decision spool failed: see the log above; nothing more can be recorded, so the process ends")
		}
	})
	log.Info("aggregator serves", "listen", public.Addr().String(), "admin", private.Addr().String(), "sites", len(sites.File().Sites), "version", admin.Version)

	var stopped run.SignalError
	if err := g.Run(); err != nil && !errors.As(err, &stopped) {
		return err
	}
	return drain(decisions, load, c.DrainTimeout)
}

// drain brings what is recorded to ClickHouse, within a bounded time; the rest waits on disk.
func drain(s *spool.Spool, load *loader.Loader, within time.Duration) error {
	if err := s.Seal(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	go func() { // a second signal ends the wait
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGINT, syscall.SIGTERM)
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	return load.Drain(ctx)
}

func addLoop(g *run.Group, loop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error { defer cancel(); return loop(ctx) }, func(error) { cancel() })
}

// programs holds the compiled rules of the sites file in force.
type programs struct {
	p       atomic.Pointer[eligibility.Program]
	checked *eligibility.Program // compiled by the last check, for the file it looked at
	of      *site.File
}

// check compiles the rules of a file before the registry accepts it.
func (p *programs) check(f *site.File) site.Faults {
	compiled, faults := eligibility.Compile(f)
	p.checked, p.of = compiled, f
	return faults
}

// use puts the rules of f in force. The registry has just checked f, on this goroutine.
func (p *programs) use(f *site.File) {
	if p.of == f {
		p.p.Store(p.checked)
	}
}

func (p *programs) current() *eligibility.Program { return p.p.Load() }

func openKeys(dir string, f *site.File) (*keyring.Ring, []keyring.IssuerKey, error) {
	keys, err := keyring.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	var missing []error
	for _, s := range f.Sites {
		if _, err := keys.Site(s.ID); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) > 0 {
		return nil, nil, errors.Join(missing...)
	}
	issuer, err := keys.Issuer()
	return keys, issuer, err
}

func spoolReady(s *spool.Spool) error {
	select {
	case <-s.Failed():
		return errors.New("failed")
	default:
		return nil
	}
}
