package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/collector/doctor"
	"beckon/internal/chconn"
	"beckon/internal/service"
	"beckon/internal/site"
)

// doctorCmd looks at a shop's page from outside and says what to mend.
type doctorCmd struct {
	Site          string        `required:"" help:"The site's id in the sites file." placeholder:"ID"`
	URL           string        `name:"url" env:"-" required:"" help:"A page of the shop, such as https://shop.example/." placeholder:"URL"`
	Endpoint      string        `env:"-" help:"Where collector and decisions answer, such as https://shop.example/px; default: as the tag in the page says." placeholder:"URL"`
	Sites         string        `default:"sites.yaml" help:"Sites file."`
	Admin         string        `help:"The collector's private address, such as 127.0.0.1:8090: for what only the collector knows, such as whom it takes a visitor for." placeholder:"ADDRESS"`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" help:"ClickHouse, native protocol: for the first and the last event." placeholder:"DSN"`
	Database      string        `default:"beckon" help:"ClickHouse database."`
	Timeout       time.Duration `env:"-" default:"10s" help:"How long to wait for each answer."`
	JSON          bool          `name:"json" env:"-" help:"Answer as JSON, for machines."`
}

// codedError ends the program with a code of its own.
type codedError struct {
	error
	code int
}

func (e codedError) ExitCode() int { return e.code }

func (e codedError) Unwrap() error { return e.error }

// How the doctor ends, beside 0 for no fault.
const (
	exitFault = 1 // something in the report has to be mended
	exitUsage = 2 // nothing could be looked at: a wrong flag, a page that does not answer
)

// Run prints the report on stdout; what kept it from looking is an error.
func (cmd *doctorCmd) Run() error {
	service.KeepTwoThreads()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cmd.examine(ctx, os.Stdout)
}

func (cmd *doctorCmd) examine(ctx context.Context, w io.Writer) error {
	config, err := cmd.config()
	if err != nil {
		return codedError{err, exitUsage}
	}
	report := doctor.Run(ctx, config)
	if cmd.JSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		err = out.Encode(report)
	} else {
		err = report.Text(w)
	}
	switch {
	case err != nil:
		return fmt.Errorf("write the report: %w", err)
	case ctx.Err() != nil:
		return codedError{errors.New("interrupted"), exitUsage}
	case !report.Reached:
		return codedError{fmt.Errorf("%s could not be looked at", cmd.URL), exitUsage}
	case report.Faults > 0:
		return codedError{errors.New("the shop has faults, see the report"), exitFault}
	}
	return nil
}

// config reads what needs reading; its error lists every wrong flag.
func (cmd *doctorCmd) config() (c doctor.Config, err error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	sites, err := site.Open(cmd.Sites)
	if err != nil {
		fault("--sites: %w", err)
	} else {
		c.Sites = sites.File()
	}
	if c.URL, err = webAddress(cmd.URL); err != nil {
		fault("--url %w", err)
	}
	if cmd.Endpoint != "" {
		if c.Endpoint, err = webAddress(cmd.Endpoint); err != nil {
			fault("--endpoint %w", err)
		}
	}
	if cmd.ClickHouseDSN != "" {
		if _, err := clickhouse.ParseDSN(cmd.ClickHouseDSN); err != nil { // its error may quote a password
			fault("--clickhouse-dsn cannot be read: write clickhouse://user:password@host:9000/database")
		}
		c.Connect = func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, cmd.ClickHouseDSN) }
	}
	if !service.IsDatabase(cmd.Database) {
		fault("--database %q is no name: letters, digits and _, such as beckon", cmd.Database)
	}
	if cmd.Timeout <= 0 {
		fault("--timeout %s: must be above zero, such as 10s", cmd.Timeout)
	}
	c.Site, c.Admin, c.Database, c.Timeout = cmd.Site, cmd.Admin, cmd.Database, cmd.Timeout
	return c, errors.Join(faults...)
}

// webAddress reads an address as a browser takes it.
func webAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("is no address of a page: write https://shop.example/, without user and password") // which is why it is not shown
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment = ""
	return u, nil
}
