// Command beckon-collector takes events from browsers over HTTP, reduces them to what may be kept, makes
// them durable before it answers, and brings them to ClickHouse exactly once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/alecthomas/kong"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/collector/ingest"
	"beckon/internal/admin"
	"beckon/internal/chconn"
	"beckon/internal/daykey"
	"beckon/internal/geofile"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

const (
	watchEvery    = 500 * time.Millisecond // the sites file
	watchGeoEvery = 10 * time.Second       // vendors publish once a day at most
	agentsKept    = 20_000                 // user agents in the cache: a few MiB, over 99 % of the requests
	adminHeader   = 5 * time.Second
)

// disk is what the spool is kept on; a test puts a failing one in its place.
var disk = spool.Disk

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("beckon-collector"),
		kong.Description("Takes shop events over HTTP and brings them to ClickHouse, private before durable, durable before answered."),
		kong.DefaultEnvars("BECKON"), kong.UsageOnError(), kong.Exit(exit), kong.Vars{"version": admin.Version, "volatile": daykey.DefaultDir()})
	k.FatalIfErrorf(k.Run())
}

// exit ends with 2 after a wrong command line, as other programs do; kong's own code for that is 80.
func exit(code int) {
	if code == kongUsage {
		code = exitUsage
	}
	os.Exit(code)
}

const kongUsage = 80

// Run serves until a signal comes or a part fails.
func (cmd *serveCmd) Run() error {
	service.KeepTwoThreads()
	service.LeanHeap()
	return cmd.serve(context.Background(), slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}

// Run creates missing key files.
func (cmd *keyringInitCmd) Run() error {
	sites, err := site.Open(cmd.Sites)
	if err != nil {
		return fmt.Errorf("--sites: %w", err)
	}
	var ids []string
	for _, s := range sites.File().Sites {
		ids = append(ids, s.ID)
	}
	created, err := keyring.Init(cmd.KeyringDir, ids)
	for _, name := range created {
		fmt.Println("created", name)
	}
	if err == nil && len(created) == 0 {
		fmt.Println("every site has its keys, nothing to do")
	}
	return err
}

// Run adds a key to those of the issuer, or puts one in the place of all.
func (cmd *keyringRotateCmd) Run() error {
	now := time.Now()
	rotate := func() (keyring.Rotation, error) { return keyring.RotateIssuer(cmd.KeyringDir, now, cmd.After) }
	if cmd.Leaked {
		rotate = func() (keyring.Rotation, error) { return keyring.ReplaceIssuer(cmd.KeyringDir, now) }
	}
	r, err := rotate()
	if err != nil {
		return err
	}
	signs := "at once"
	if !r.Added.From.IsZero() {
		signs = "from " + r.Added.From.Format(time.RFC3339)
	}
	fmt.Println("added", r.Added.ID+": published now, signs", signs)
	for _, id := range r.Removed {
		fmt.Println("removed", id)
	}
	return nil
}

// Run prints the secret alone on stdout, so that a script can keep it, and what to do with it on stderr.
func (*keyringServerKeyCmd) Run() error {
	secret, line := keyring.NewServerKey()
	fmt.Fprintf(os.Stderr, "the key, for the shop's server, is on the next line and nowhere else; for the site in the sites file:\n    server_keys: [%q]\n", line)
	_, err := fmt.Println(secret)
	return err
}

// parts is what a start needs of the world outside, each part good or reported.
type parts struct {
	settings
	sites           *site.Registry
	keys            *keyring.Ring
	days            *daykey.Keys
	geo             *geofile.File // nil: no countries
	events          *spool.Spool
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
	if p.events != nil {
		service.CloseSpool(p.events, log)
	}
}

// gather reads and takes everything that can be wrong before anything is started, and lists all of it at once. The
// ports come last: nobody waits at them for a spool that takes its time.
func (c *Config) gather(log *slog.Logger, reg prometheus.Registerer) (*parts, error) {
	var p parts
	var faults []error
	fault := func(flag string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", flag, err))
		}
	}
	var err error
	if p.settings, err = c.settings(); err != nil {
		faults = append(faults, err)
	}
	p.keys, err = keyring.Open(c.KeyringDir)
	fault("--keyring-dir", err)
	p.sites, err = site.Open(c.Sites, service.HaveKeys(p.keys))
	fault("--sites", err)
	var secret *daykey.Secret
	if c.PeerSecret != "" {
		secret, err = daykey.ReadSecret(c.PeerSecret)
		fault("--peer-secret-file", err)
	}
	if c.DayKeysFrom == "" || secret != nil { // without, it is reported already
		p.days, err = daykey.Open(daykey.Config{Dir: c.volatileDir(), From: c.DayKeysFrom, Secret: secret, Log: log, Registerer: reg})
		fault("--volatile-dir", err)
	}
	if c.Geo != "" {
		p.geo, err = geofile.Open(c.Geo)
		fault("--geo", err)
	}
	p.events, err = spool.Open(c.SpoolDir, spool.Options{Sync: p.sync, MaxBytes: c.SpoolMaxBytes, Reserve: c.SpoolReserve, FS: disk, Log: log, Registerer: reg})
	fault("--spool-dir", err)
	if p.keys != nil { // its place is beside them
		p.suppressed, err = suppress.Open(suppress.Dir(c.KeyringDir), suppress.Options{Log: log, Registerer: reg})
		fault("--keyring-dir", err)
	}
	if p.public, p.private, err = service.Listen(c.Listen, c.Admin); err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		p.close(log)
		return nil, errors.Join(faults...)
	}
	return &p, nil
}

// serve is the drawing of the service: its parts, in the order in which data passes them. They stop in the
// same order, so that nothing accepted is left behind a closed door.
func (c *Config) serve(ctx context.Context, log *slog.Logger) error {
	reg := admin.NewRegistry("collector")
	p, err := c.gather(log, reg)
	if err != nil {
		return err
	}
	reg.MustRegister(p.geo)
	defer p.close(log)
	events, suppressed := p.events, p.suppressed
	probes := new(ingest.Probes)
	public, err := ingest.New(ingest.Config{
		Spool: events, Crowded: events.Crowded, Sites: p.sites, Keys: p.keys, DayKeys: p.days, Suppressed: suppressed,
		Agents: privacy.NewAgents(agentsKept), Geo: p.geo,
		PathPrefix: c.PathPrefix, Proxies: p.proxies, Probes: probes, DevSwitches: c.DevSwitches, Log: log, Registerer: reg,
		Limits: c.limits(),
	})
	if err != nil {
		return err
	}
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, c.ClickHouseDSN) }
	load := loader.New(loader.Config{
		Source: events, Table: loader.Events(), Database: c.Database, DeadLetter: c.deadLetter(), Log: log, Registerer: reg, Connect: connect,
	})
	otherHosts := suppress.Table{List: suppressed, Connect: connect, Database: c.Database, Log: log}
	private := &http.Server{ReadHeaderTimeout: adminHeader, Handler: admin.New(reg,
		[]admin.Check{{Name: "ingest", Ready: public.Ready}, {Name: "spool", Ready: func() error { return service.SpoolReady(events) }}, {Name: "suppressed", Ready: suppressed.Err}},
		map[string]http.Handler{"/ledger": ledgerPage(events), "/day-keys": p.days, "/probe": probes})}

	stop := service.Deadline{Within: c.DrainTimeout}
	var g run.Group
	g.Add(run.SignalHandler(ctx, syscall.SIGINT, syscall.SIGTERM))
	g.Add(func() error { return public.Serve(p.public) }, func(error) {
		ctx, cancel := stop.Context()
		defer cancel()
		if err := public.Shutdown(ctx); err != nil {
			log.Warn("requests were cut off", "error", err)
		}
	})
	g.Add(service.Loop(func(ctx context.Context) error { return service.LoadUntil(ctx, load, events, &stop) }))
	g.Add(service.Loop(p.days.Run))
	g.Add(service.Loop(suppressed.Follow))
	g.Add(service.Loop(otherHosts.Follow))
	g.Add(service.Loop(func(ctx context.Context) error { p.sites.Watch(ctx, watchEvery, log); return nil }))
	g.Add(service.Loop(func(ctx context.Context) error { p.geo.Watch(ctx, watchGeoEvery, log); return nil }))
	g.Add(service.Loop(func(ctx context.Context) error { return service.FailedSpool(ctx, events) }))
	g.Add(func() error { return private.Serve(p.private) }, func(error) { private.Close() })
	log.Info("collector serves", "listen", p.public.Addr().String(), "admin", p.private.Addr().String(),
		"sites", len(p.sites.File().Sites), "version", admin.Version)

	err = g.Run()
	if errors.Is(err, run.ErrSignal) || ctx.Err() != nil {
		return nil
	}
	return err
}

// ledgerPage shows what the spool has counted and ClickHouse does not know yet.
func ledgerPage(events *spool.Spool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(events.Ledger())
	})
}
