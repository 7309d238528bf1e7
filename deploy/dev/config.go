package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"beckon/internal/admin"
)

// Config is everything `make run` lets a newcomer choose, as flags or BECKON_ environment variables.
type Config struct {
	State            string           `default:".beckon" help:"Folder for all data and keys; the next start continues with it."`
	Collector        string           `default:"127.0.0.1:8080" help:"Address of the collector."`
	Aggregator       string           `default:"127.0.0.1:8081" help:"Address of the aggregator."`
	Shop             string           `default:"127.0.0.1:8082" help:"Address of the demo shop."`
	CollectorAdmin   string           `default:"127.0.0.1:8090" help:"Private address of the collector."`
	AggregatorAdmin  string           `default:"127.0.0.1:8091" help:"Private address of the aggregator."`
	ClickHouseHTTP   string           `name:"clickhouse-http" env:"BECKON_CLICKHOUSE_HTTP" default:"127.0.0.1:8123" help:"ClickHouse over HTTP."`
	ClickHouseNative string           `name:"clickhouse-native" env:"BECKON_CLICKHOUSE_NATIVE" default:"127.0.0.1:9000" help:"ClickHouse, native protocol."`
	ClickHouseDSN    string           `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" help:"A ClickHouse of your own, instead of the one that is started here." placeholder:"DSN"`
	Sites            string           `help:"A sites file of your own, instead of the one that is written for the demo shop." placeholder:"FILE"`
	NoShop           bool             `help:"Leave the demo shop out."`
	FetchOnly        bool             `help:"Fetch what a start needs into the user's cache, and stop."`
	Version          kong.VersionFlag `env:"-" help:"Print the version."`
}

func parse() Config {
	var c Config
	kong.Parse(&c, kong.Name("make run"), kong.DefaultEnvars("BECKON"), kong.UsageOnError(), kong.Vars{"version": admin.Version},
		kong.Description("Starts a local ClickHouse, the collector, the aggregator and a demo shop. Options go into ARGS: make run ARGS=\"--shop 127.0.0.1:9082\""))
	return c
}

// validate lists every wrong setting, and every address that is taken, with what to set instead.
func (c *Config) validate() error {
	var faults []error
	addresses := []struct{ what, flag, addr string }{
		{"the collector", "--collector", c.Collector},
		{"the aggregator", "--aggregator", c.Aggregator},
		{"the collector's private port", "--collector-admin", c.CollectorAdmin},
		{"the aggregator's private port", "--aggregator-admin", c.AggregatorAdmin},
	}
	if !c.NoShop {
		addresses = append(addresses, struct{ what, flag, addr string }{"the demo shop", "--shop", c.Shop})
	}
	if c.ClickHouseDSN == "" {
		addresses = append(addresses,
			struct{ what, flag, addr string }{"ClickHouse over HTTP", "--clickhouse-http", c.ClickHouseHTTP},
			struct{ what, flag, addr string }{"ClickHouse's native protocol", "--clickhouse-native", c.ClickHouseNative})
	} else if u, err := url.Parse(c.ClickHouseDSN); err != nil || u.Host == "" {
		faults = append(faults, errors.New("--clickhouse-dsn cannot be read: write clickhouse://user:password@host:9000/database"))
	}
	owner := make(map[string]string) // flag by address
	for _, a := range addresses {
		if other, twice := owner[a.addr]; twice {
			faults = append(faults, fmt.Errorf("%s and %s are both %s: choose another address for one of them", other, a.flag, a.addr))
			continue
		}
		owner[a.addr] = a.flag
		if err := mustBeFree(a.addr); err != nil {
			faults = append(faults, fmt.Errorf("%s cannot listen on %s: %w. Choose another address with %s", a.what, a.addr, err, a.flag))
		}
	}
	return errors.Join(faults...)
}

// mustBeFree wants a loopback address with a port that nobody listens on: everything here has
// switches for demonstrations and no password.
func mustBeFree(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || port == "0" {
		return errors.New("it must be host:port")
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errors.New("it must be a loopback address such as 127.0.0.1")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.New("the port is taken")
	}
	return l.Close()
}

// path names a file or folder below the state folder.
func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.State}, elem...)...)
}

// makeState makes the state folder and finds out before anything starts whether it can be written.
func (c *Config) makeState() error {
	abs, err := filepath.Abs(c.State)
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	c.State = abs
	if err := os.MkdirAll(c.path("log"), 0o750); err != nil {
		return fmt.Errorf("%w. Choose another folder with --state", err)
	}
	probe, err := os.CreateTemp(c.State, ".writable-*")
	if err != nil {
		return fmt.Errorf("%w. Choose another folder with --state", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// serverDSN is the address of the user's own ClickHouse, or "". It leads to the database that every
// server has: ours may not be there yet, and every statement names it.
func (c *Config) serverDSN() string {
	u, err := url.Parse(c.ClickHouseDSN)
	if err != nil || c.ClickHouseDSN == "" {
		return "" // validate has refused what cannot be read
	}
	query := u.Query()
	query.Del("database")
	u.Path, u.RawQuery = "/default", query.Encode()
	return u.String()
}
