package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/alecthomas/kong"

	"beckon/internal/service"
)

// Config is everything an operator can set, as flags or BECKON_ environment variables.
type Config struct {
	Listen        string        `default:"127.0.0.1:8081" help:"Address for storefronts."`
	Admin         string        `default:"127.0.0.1:8091" help:"Private address for health, metrics and profiles."`
	Sites         string        `default:"sites.yaml" help:"Sites file, read again when it changes."`
	KeyringDir    string        `default:"keyring" help:"Folder of the key files, see: beckon-collector keyring init."`
	SpoolDir      string        `default:"spool-decisions" help:"Folder where decisions wait for ClickHouse."`
	SpoolMaxBytes int64         `default:"1073741824" help:"Size at which first serves are refused."`
	SpoolReserve  int64         `default:"268435456" help:"Free bytes to leave on the spool's disk (never over a twentieth of it): first serves are refused before it is full. 0: do not watch the disk."`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol."`
	Database      string        `default:"beckon" help:"ClickHouse database."`
	Issuer        string        `default:"https://beckon.invalid" help:"The issuer (iss) of offer tokens: the public address of this service."`
	PathPrefix    string        `help:"Path under which a proxy publishes this service and does not strip, such as /px." placeholder:"PATH"`
	TrustedProxy  []string      `help:"Network of proxies whose X-Forwarded-For is believed; may be repeated." placeholder:"CIDR"`
	ProxySecret   string        `name:"trusted-proxy-secret-file" help:"File with a line HEADER: SECRET. Who sends that header is believed as a trusted proxy; for proxies without fixed addresses." placeholder:"FILE"`
	LimitClient   int           `default:"200" help:"Questions a second from one address (IPv6: /64), for long; 20 seconds' worth at once. A mobile carrier's address can be thousands of shoppers. 0 = no limit."`
	LimitSite     int           `default:"50000" help:"The same for one site, its servers with a key included. 0 = no limit."`
	Visitors      int           `default:"200000" help:"Recently seen visitors to keep in memory; five times as many older ones are kept as room allows."`
	ColdDeadline  time.Duration `default:"25ms" help:"How long an answer may wait for a visitor who is not in memory."`
	StaleAfter    time.Duration `default:"1h" help:"Age of features beyond which nobody gets a targeted offer."`
	SnapshotEvery time.Duration `default:"1m" help:"How often the recently seen visitors are written to the spool's folder, for a start while ClickHouse is down. 0: never, and what is there is removed."`
	DrainTimeout  time.Duration `default:"10s" help:"How long a stopping service may take to bring its decisions to ClickHouse."`
	DevSwitches   bool          `help:"Serve /dev/visitor on the admin address, for demonstrations; refused unless that is a loopback address."`
}

// maxLimit is a rate beyond which a limit is none, and the buckets count nanoseconds.
const maxLimit = 100_000_000

// validate lists every wrong setting with how to set it right. What can only be found out by taking it, as a port
// is, gather finds out.
func (c *Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !service.IsPathPrefix(c.PathPrefix) {
		fault("--path-prefix %q must begin with a slash and not end with one, such as /px", c.PathPrefix)
	}
	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme == "" {
		fault("--issuer %q is no address: write the public address of this service, such as https://shop.example/px", c.Issuer)
	}
	if c.SpoolMaxBytes < 1<<20 {
		fault("--spool-max-bytes %d is too small: at least 1048576", c.SpoolMaxBytes)
	}
	if c.SpoolReserve < 0 {
		fault("--spool-reserve %d: write a number of bytes, such as 268435456, or 0 for none", c.SpoolReserve)
	}
	for _, limit := range []struct {
		flag      string
		perSecond int
	}{{"--limit-client", c.LimitClient}, {"--limit-site", c.LimitSite}} {
		if limit.perSecond < 0 || limit.perSecond > maxLimit {
			fault("%s %d: 0 for no limit, or up to %d questions a second", limit.flag, limit.perSecond, maxLimit)
		}
	}
	if c.Visitors < 1 {
		fault("--visitors %d: at least 1", c.Visitors)
	}
	if c.SnapshotEvery != 0 && c.SnapshotEvery < time.Second {
		fault("--snapshot-every %s: at least 1s, such as 1m, or 0 for never", c.SnapshotEvery)
	}
	if c.DevSwitches && !service.IsLoopback(c.Admin) {
		fault("--dev-switches shows a visitor's features to anybody who can reach %s: use a loopback --admin address", c.Admin)
	}
	if _, err := clickhouse.ParseDSN(c.ClickHouseDSN); err != nil { // its error may quote a password
		fault("--clickhouse-dsn cannot be read: write clickhouse://user:password@host:9000/database")
	}
	if !service.IsDatabase(c.Database) {
		fault("--database %q is no name: letters, digits and _, such as beckon", c.Database)
	}
	for _, d := range []struct {
		flag string
		is   time.Duration
	}{{"--cold-deadline", c.ColdDeadline}, {"--stale-after", c.StaleAfter}, {"--drain-timeout", c.DrainTimeout}} {
		if d.is <= 0 {
			fault("%s %s: must be above zero, such as 10s", d.flag, d.is)
		}
	}
	return errors.Join(faults...)
}

func (c *Config) deadLetter() string { return filepath.Join(c.SpoolDir, "dead-letter.jsonl") }

// cli is the command line: `serve` is what happens without a word.
type cli struct {
	Serve    serveCmd         `cmd:"" default:"withargs" help:"Follow the events in ClickHouse and answer decision requests (the default)."`
	Verify   verifyCmd        `cmd:"" help:"Check an offer token as a shop does, offline. Each refusal has a word and an exit code, see docs/decisions.md."`
	Explain  explainCmd       `cmd:"" help:"Say why the visitor with a cookie gets an offer, or none: every gate, and what it looked at. Nothing is served."`
	Backtest backtestCmd      `cmd:"" help:"Replay an offer over history before it is switched on: whom it would have reached, at what cost, and whether its effect could be measured."`
	Report   reportCmd        `cmd:"" help:"Say whether an offer earned anything: the treatment beside the holdout."`
	Version  kong.VersionFlag `env:"-" help:"Print the version."`
}

type serveCmd struct {
	Config
}
