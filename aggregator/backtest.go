package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"beckon/aggregator/backtest"
	"beckon/aggregator/eligibility"
	"beckon/internal/chconn"
	"beckon/internal/keyring"
	"beckon/internal/site"
)

// backtestCmd replays an offer over history, before it is switched on.
type backtestCmd struct {
	Site          string        `required:"" help:"Site id of the sites file."`
	Offer         string        `required:"" help:"Offer id; it need not be enabled, and its schedule is left out."`
	Days          int           `default:"30" help:"Calendar days of the shop to replay, today included."`
	JSON          string        `name:"json" placeholder:"FILE" help:"Write the result as JSON too; - is the standard output, instead of the text."`
	SVG           string        `name:"svg" placeholder:"FILE" help:"Write a chart of the days too."`
	Timeout       time.Duration `default:"30m" help:"Give up after this long."`
	Sites         string        `default:"sites.yaml" help:"Sites file."`
	KeyringDir    string        `default:"keyring" help:"Folder of the key files: the holdout is drawn with the site's key, as after the launch."`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol. It is only read."`
	Database      string        `default:"beckon" help:"ClickHouse database."`
}

// Run replays and writes what came out.
func (cmd *backtestCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	return cmd.run(ctx, os.Stdout, os.Stderr)
}

func (cmd *backtestCmd) run(ctx context.Context, out, progress io.Writer) error {
	options, err := cmd.options()
	if err != nil {
		return err
	}
	conn, err := chconn.Open(ctx, cmd.ClickHouseDSN)
	if err != nil {
		return fmt.Errorf("--clickhouse-dsn: %w", err)
	}
	defer conn.Close()
	options.Conn, options.Database, options.Now = conn, cmd.Database, time.Now()
	began := time.Now()
	options.Progress = func(done, of int) {
		if time.Since(began) > 2*time.Second {
			fmt.Fprintf(progress, "\r%3d%% of the visitors replayed", 100*done/of)
		}
	}
	result, err := backtest.Run(ctx, options)
	if time.Since(began) > 2*time.Second {
		fmt.Fprint(progress, "\r                               \r")
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("not done within --timeout %s: replay fewer --days, or take longer: %w", cmd.Timeout, err)
	case err != nil:
		return err
	}
	return cmd.write(result, out)
}

// options reads all that can be wrong before anything is asked of ClickHouse.
func (cmd *backtestCmd) options() (backtest.Options, error) {
	o := backtest.Options{Offer: cmd.Offer, Days: cmd.Days}
	if cmd.Days < 1 || cmd.Days > 366 {
		return o, fmt.Errorf("--days %d: write 1 to 366", cmd.Days)
	}
	sites, err := site.Open(cmd.Sites, func(f *site.File) site.Faults {
		_, faults := eligibility.Compile(f)
		return faults
	})
	if err != nil {
		return o, fmt.Errorf("--sites: %w", err)
	}
	if o.Site = sites.Site(cmd.Site); o.Site == nil {
		var ids []string
		for _, s := range sites.File().Sites {
			ids = append(ids, s.ID)
		}
		return o, fmt.Errorf("--site: %s has no site %q; it has %q", cmd.Sites, cmd.Site, ids)
	}
	ring, err := keyring.Open(cmd.KeyringDir)
	if err != nil {
		return o, fmt.Errorf("--keyring-dir: %w", err)
	}
	keys, err := ring.Site(cmd.Site)
	if err != nil {
		return o, fmt.Errorf("--keyring-dir: %w", err)
	}
	o.DrawKey = (*[32]byte)(&keys.Decision)
	return o, nil
}

func (cmd *backtestCmd) write(r *backtest.Result, out io.Writer) error {
	if cmd.JSON == "-" {
		if err := r.WriteJSON(out); err != nil {
			return err
		}
	} else if err := r.WriteText(out); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{{cmd.JSON, r.WriteJSON}, {cmd.SVG, r.WriteSVG}} {
		if file.name == "" || file.name == "-" {
			continue
		}
		if err := writeFile(file.name, file.write); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
