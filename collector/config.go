package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/alecthomas/kong"

	"beckon/collector/ingest"
	"beckon/internal/daykey"
	"beckon/internal/proxy"
	"beckon/internal/service"
	"beckon/internal/spool"
)

// Config is everything an operator can set, as flags or BECKON_ environment variables.
type Config struct {
	Listen        string        `default:"127.0.0.1:8080" help:"Public address for pixels, batches and the tag."`
	Admin         string        `default:"127.0.0.1:8090" help:"Private address for health, metrics, the ledger and profiles."`
	PathPrefix    string        `help:"Path under which a proxy publishes this service and does not strip, such as /px." placeholder:"PATH"`
	TrustedProxy  []string      `help:"Network of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; may be repeated." placeholder:"CIDR"`
	ProxySecret   string        `name:"trusted-proxy-secret-file" help:"File with a line HEADER: SECRET. Who sends that header is believed as a trusted proxy; for proxies without fixed addresses." placeholder:"FILE"`
	Sites         string        `default:"sites.yaml" help:"Sites file, read again when it changes."`
	KeyringDir    string        `default:"keyring" help:"Folder of the key files, see: beckon-collector keyring init."`
	VolatileDir   string        `help:"Folder of the keys of lane measure, which live two days: on a tmpfs, shared by the collectors of a host; default ${volatile}." placeholder:"DIR"`
	DayKeysFrom   string        `help:"Fetch the keys of lane measure from another collector instead of making them, such as http://10.0.0.1:8090/day-keys." placeholder:"URL"`
	PeerSecret    string        `name:"peer-secret-file" help:"File with the secret of the collectors that share the keys of lane measure; with it /day-keys is served on the private port." placeholder:"FILE"`
	Geo           string        `help:"MaxMind DB file for countries and regions, read again when it changes; without one they are unknown." placeholder:"FILE"`
	SpoolDir      string        `default:"spool" help:"Folder where events wait for ClickHouse."`
	SpoolMaxBytes int64         `default:"4294967296" help:"Size of the spool at which events are refused with 503."`
	SpoolReserve  int64         `default:"268435456" help:"Free bytes to leave on the spool's disk (never over a twentieth of it): events are refused before it is full. 0: do not watch the disk."`
	Sync          string        `default:"always" enum:"always,os" help:"What a reply waits for: always = the disk (survives power loss), os = the write (survives kill -9)."`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol. It may be down: events wait in the spool."`
	Database      string        `default:"beckon" help:"ClickHouse database."`
	LimitClient   int           `default:"1000" help:"Events a second from one address (IPv6: /64), for long; 20 seconds' worth at once. A mobile carrier's address can be thousands of shoppers. 0 = no limit."`
	LimitNetwork  int           `default:"20000" help:"The same for one network, IPv4 /24 or IPv6 /40. 0 = no limit."`
	LimitSite     int           `default:"100000" help:"The same for one site, servers with a key included. 0 = no limit."`
	DrainTimeout  time.Duration `default:"10s" help:"How long a stopping service may take to finish requests and bring events to ClickHouse."`
	DevSwitches   bool          `help:"Serve POST /dev/tomorrow, for demonstrations; refused unless --listen is a loopback address."`
}

const (
	minSpoolBytes = 1 << 20
	maxLimit      = 100_000_000 // beyond it a limit is none, and the buckets count nanoseconds
)

// settings is a Config that was understood.
type settings struct {
	proxies proxy.Trusted
	sync    spool.Sync
}

// settings reads what needs reading; its error lists every wrong setting with how to set it right. What can
// only be found out by taking it, as a port is, gather finds out.
func (c *Config) settings() (settings, error) {
	var s settings
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.DevSwitches && !service.IsLoopback(c.Listen) {
		fault("--dev-switches lets anybody who can reach %s rewrite cookies: use a loopback --listen address, or leave it out", c.Listen)
	}
	if !service.IsPathPrefix(c.PathPrefix) {
		fault("--path-prefix %q must begin with a slash and not end with one, such as /px", c.PathPrefix)
	}
	proxies, err := proxy.Read(c.TrustedProxy, c.ProxySecret)
	if err != nil {
		faults = append(faults, err)
	}
	s.proxies = proxies
	if c.DayKeysFrom != "" && !isPeer(c.DayKeysFrom) {
		fault("--day-keys-from is no address: write http://host:port/day-keys, without user and password") // which is why it is not shown
	}
	if c.DayKeysFrom != "" && c.PeerSecret == "" {
		fault("--day-keys-from needs --peer-secret-file: the same secret on both hosts, made with `openssl rand -hex 32`")
	}
	if c.SpoolMaxBytes < minSpoolBytes {
		fault("--spool-max-bytes %d is too small: at least %d", c.SpoolMaxBytes, minSpoolBytes)
	}
	if c.SpoolReserve < 0 {
		fault("--spool-reserve %d: write a number of bytes, such as 268435456, or 0 for none", c.SpoolReserve)
	}
	for _, limit := range []struct {
		flag      string
		perSecond int
	}{{"--limit-client", c.LimitClient}, {"--limit-network", c.LimitNetwork}, {"--limit-site", c.LimitSite}} {
		if limit.perSecond < 0 || limit.perSecond > maxLimit {
			fault("%s %d: 0 for no limit, or up to %d events a second", limit.flag, limit.perSecond, maxLimit)
		}
	}
	if c.Sync == "os" {
		s.sync = spool.SyncOS
	}
	if _, err := clickhouse.ParseDSN(c.ClickHouseDSN); err != nil { // its error may quote a password
		fault("--clickhouse-dsn cannot be read: write clickhouse://user:password@host:9000/database")
	}
	if !service.IsDatabase(c.Database) {
		fault("--database %q is no name: letters, digits and _, such as beckon", c.Database)
	}
	if c.DrainTimeout <= 0 {
		fault("--drain-timeout %s: must be above zero, such as 10s", c.DrainTimeout)
	}
	return s, errors.Join(faults...)
}

func (c *Config) limits() ingest.Limits {
	return ingest.Limits{Client: c.LimitClient, Network: c.LimitNetwork, Site: c.LimitSite}
}

func (c *Config) deadLetter() string { return filepath.Join(c.SpoolDir, "dead-letter.jsonl") }

func (c *Config) volatileDir() string { return cmp.Or(c.VolatileDir, daykey.DefaultDir()) }

// isPeer reports whether text is the address of another collector's page.
func isPeer(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// cli is the command line: `serve` is what happens without a word.
type cli struct {
	Serve     serveCmd         `cmd:"" default:"withargs" help:"Take events and bring them to ClickHouse (the default)."`
	Import    importCmd        `cmd:"" help:"Bring events of the past to ClickHouse from a file, one a line."`
	Doctor    doctorCmd        `cmd:"" help:"Look at a shop's page from outside and say what to mend; stores nothing. Ends with 0, with 1 when there is a fault, with 2 when nothing could be looked at."`
	Keyring   keyringCmd       `cmd:"" help:"Manage the keys of the sites."`
	Spooldump spooldumpCmd     `cmd:"" help:"Show what files of a spool hold, damaged ones too; never writes, works beside a running collector."`
	Version   kong.VersionFlag `env:"-" help:"Print the version."`
}

type serveCmd struct {
	Config
}

type keyringCmd struct {
	Init      keyringInitCmd      `cmd:"" help:"Create the key files that are missing; never changes one that is there."`
	ServerKey keyringServerKeyCmd `cmd:"" help:"Make a key for a shop's server: prints it once, and its line for the sites file."`
	Rotate    keyringRotateCmd    `cmd:"" help:"Add a key that will sign offers: published at once, used after a while. The one in use stays published until its last offer has ended."`
}

type keyringServerKeyCmd struct{}

type keyringRotateCmd struct {
	KeyringDir string        `default:"keyring" help:"Folder of the key files."`
	After      time.Duration `default:"1h" help:"How long the new key is published before it signs; at least 10m, and more than shops keep the page of keys."`
	Leaked     bool          `help:"Remove every other key now and sign with the new one at once: offers that are out become worthless."`
}

type keyringInitCmd struct {
	Sites      string `default:"sites.yaml" help:"Sites file: one key file for each of its sites."`
	KeyringDir string `default:"keyring" help:"Folder of the key files."`
}
