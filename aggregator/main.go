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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/alecthomas/kong"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/aggregator/decision"
	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/admin"
	"beckon/internal/chconn"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
	"beckon/internal/token"
)

const (
	watchEvery  = 500 * time.Millisecond // the sites file
	agentsKept  = 20_000                 // user agents in the cache: a few MiB
	adminHeader = 5 * time.Second

	restoreRound = 20 * time.Second // between two looks at why decisions of the last run are not in

	gatherDecisions = 2 * time.Second // nobody waits for their rows, and an insert of few costs ClickHouse as much as one of hundreds
)

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("beckon-aggregator"),
		kong.Description("Per-visitor features and discount decisions for online shops."),
		kong.DefaultEnvars("BECKON"), kong.UsageOnError(), kong.Vars{"version": admin.Version})
	k.FatalIfErrorf(k.Run())
}

// Run serves until a signal comes or a part fails.
func (cmd *serveCmd) Run() error {
	service.KeepTwoThreads()
	return cmd.serve(context.Background(), slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}

// parts is what a start needs of the world outside, each part good or reported.
type parts struct {
	rules  programs
	sites  *site.Registry
	keys   *keyring.Ring
	issuer *token.Issuer

	proxies         proxy.Trusted
	decisions       *spool.Spool
	suppressed      *suppress.List
	public, private net.Listener
}

// close lets go of what is open.
func (p *parts) close(log *slog.Logger) {
	if p.public != nil {
		p.public.Close()
		p.private.Close()
	}
	if p.suppressed != nil {
		p.suppressed.Close()
	}
	if p.decisions != nil {
		service.CloseSpool(p.decisions, log)
	}
}

// gather reads and takes everything that can be wrong before anything is started, and lists all of it at once. The
// ports come last: nobody waits at them for a spool that takes its time.
func (c *Config) gather(log *slog.Logger, reg prometheus.Registerer) (*parts, error) {
	var p parts
	faults := []error{c.validate()}
	fault := func(flag string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", flag, err))
		}
	}
	var err error
	if p.proxies, err = proxy.Read(c.TrustedProxy, c.ProxySecret); err != nil {
		faults = append(faults, err)
	}
	if p.keys, err = keyring.Open(c.KeyringDir); err == nil {
		p.issuer, err = token.NewIssuer(p.keys.Issuer, time.Now)
	}
	fault("--keyring-dir", err)
	p.sites, err = site.Open(c.Sites, service.HaveKeys(p.keys), p.rules.check)
	fault("--sites", err)
	p.decisions, err = spool.Open(c.SpoolDir, spool.Options{MaxBytes: c.SpoolMaxBytes, Reserve: c.SpoolReserve, Log: log, Registerer: reg})
	fault("--spool-dir", err)
	if p.keys != nil { // its place is beside them
		p.suppressed, err = suppress.Open(suppress.Dir(c.KeyringDir), suppress.Options{Log: log, Registerer: reg})
		fault("--keyring-dir", err)
	}
	if p.public, p.private, err = service.Listen(c.Listen, c.Admin); err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		p.close(log)
		return nil, err
	}
	p.rules.use(p.sites.File())
	p.sites.OnReload = func(f *site.File, err error) {
		if err == nil {
			p.rules.use(f)
		}
	}
	return &p, nil
}

// serve is the drawing of the service: its parts, in the order in which data passes them. They stop
// from the end, so that an answer given last is still recorded and loaded.
func (c *Config) serve(ctx context.Context, log *slog.Logger) error {
	reg := admin.NewRegistry("aggregator")
	p, err := c.gather(log, reg)
	if err != nil {
		return err
	}
	defer p.close(log)
	decisions, suppressed := p.decisions, p.suppressed
	store, err := feature.NewStore(c.Visitors)
	if err != nil {
		return fmt.Errorf("--visitors: %w", err)
	}
	suppressed.OnNew = store.Drop // who is on the list already, no profile has come for yet
	store.Refuse(feature.SuppressedBy(p.keys, suppressed))
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, c.ClickHouseDSN) }
	reader := feature.NewReader(c.Database, connect)
	defer reader.Close()
	verdicts := &decision.Verdicts{Program: p.rules.current, Keys: p.keys, Store: store, Connect: connect, Database: c.Database, Log: log}
	otherHosts := suppress.Table{List: suppressed, Connect: connect, Database: c.Database, Log: log}
	follower := feature.NewFollower(reader, store, verdicts.Changed, log, reg)
	snapshot := feature.NewSnapshot(c.SpoolDir, c.StaleAfter, store, follower, log)
	known := 0
	if c.SnapshotEvery > 0 {
		known = snapshot.Load()
	} else {
		snapshot.Remove()
	}
	warmer := feature.NewWarmer(reader, store, c.Visitors, log)
	cold := feature.NewCold(reader, store, log)
	recorder := decision.NewRecorder(decisions, time.Now, log, reg)
	load := loader.New(loader.Config{
		Source: decisions, Table: decision.Table(), Connect: connect, Database: c.Database, DeadLetter: c.deadLetter(), Log: log, Registerer: reg,
		Gather: gatherDecisions,
	})
	server := decision.New(decision.Config{
		Program: p.rules.current, Keys: p.keys, Suppressed: suppressed, Tokens: p.issuer, Issuer: c.Issuer,
		Store: store, Cold: cold, CompleteAt: follower.CompleteAt, Recorder: recorder, Agents: privacy.NewAgents(agentsKept),
		PathPrefix: c.PathPrefix, Proxies: p.proxies, Limits: decision.Limits{Client: c.LimitClient, Site: c.LimitSite},
		ColdDeadline: c.ColdDeadline, StaleAfter: c.StaleAfter, Log: log, Registerer: reg,
	})
	pages := map[string]http.Handler{}
	if c.DevSwitches {
		pages["/dev/visitor"] = server.DevVisitor()
	}
	private := &http.Server{ReadHeaderTimeout: adminHeader, Handler: admin.New(reg, []admin.Check{
		{Name: "spool", Ready: func() error { return service.SpoolReady(decisions) }},
		{Name: "suppressed", Ready: suppressed.Err},
		{Name: "features", Ready: func() error { return featuresReady(follower, warmer, known) }},
	}, pages)}

	stop := service.Deadline{Within: c.DrainTimeout}
	var g run.Group
	g.Add(run.SignalHandler(ctx, syscall.SIGINT, syscall.SIGTERM))
	g.Add(func() error { return server.Serve(p.public) }, func(error) {
		ctx, cancel := stop.Context()
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Warn("requests were cut off", "error", err)
		}
	})
	restored := make(chan struct{})
	g.Add(service.Loop(recorder.Run))
	g.Add(service.Loop(func(ctx context.Context) error {
		if err := restore(ctx, load, restored, log); err != nil {
			return err
		}
		return service.LoadUntil(ctx, load, decisions, &stop)
	}))
	g.Add(service.Loop(after(follower.Begun(), cold.Run)))
	g.Add(service.Loop(after(follower.Begun(), warmer.Run)))
	if c.SnapshotEvery > 0 {
		g.Add(service.Loop(snapshot.Keep(c.SnapshotEvery)))
	}
	g.Add(service.Loop(verdicts.Run))
	g.Add(service.Loop(after(restored, follower.Run)))
	g.Add(service.Loop(suppressed.Follow))
	g.Add(service.Loop(otherHosts.Follow))
	g.Add(service.Loop(func(ctx context.Context) error { p.sites.Watch(ctx, watchEvery, log); return nil }))
	g.Add(service.Loop(func(ctx context.Context) error { p.issuer.Watch(ctx, token.ReloadEvery, log); return nil }))
	g.Add(service.Loop(func(ctx context.Context) error { return service.FailedSpool(ctx, decisions) }))
	g.Add(func() error { return private.Serve(p.private) }, func(error) { private.Close() })
	log.Info("aggregator serves", "listen", p.public.Addr().String(), "admin", p.private.Addr().String(),
		"sites", len(p.sites.File().Sites), "version", admin.Version)

	err = g.Run()
	if errors.Is(err, run.ErrSignal) || ctx.Err() != nil {
		return nil
	}
	return err
}

// restore brings to ClickHouse what the last run has recorded and left on disk, and says when it is
// there. No visitor may be read before: a grant that is still on its way would be given once more.
// A ClickHouse that answers and refuses, though, must not keep every shopper without an offer.
func restore(ctx context.Context, load *loader.Loader, restored chan<- struct{}, log *slog.Logger) error {
	defer close(restored)
	for ctx.Err() == nil {
		round, cancel := context.WithTimeout(ctx, restoreRound)
		err := load.Drain(round)
		ended := round.Err()
		cancel()
		if err != nil || ended == nil {
			return err
		}
		if load.Refused() {
			log.Error("ClickHouse refuses decisions of the last run; going on without them: a grant among them can be given once more")
			return nil
		}
	}
	return nil
}

// after makes a loop that begins once ready is closed.
func after(ready <-chan struct{}, loop func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
			return loop(ctx)
		}
	}
}

// featuresReady: a start without anybody from a snapshot waits until ClickHouse has told who was here lately. Once
// running, an outage makes nobody unready.
func featuresReady(f *feature.Follower, w *feature.Warmer, known int) error {
	if f.CompleteAt().IsZero() {
		return errors.New("no look at ClickHouse has succeeded yet, and there is no snapshot to go by")
	}
	if known > 0 {
		return nil
	}
	select {
	case <-w.Done():
		return nil
	default:
		return errors.New("visitors of the last half hour are being read")
	}
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
