package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/collector/history"
	"beckon/collector/ingest"
	"beckon/internal/chconn"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// importCmd loads history.
type importCmd struct {
	File          string `arg:"" help:"One event a line, see docs/reference.md; - reads standard input."`
	Site          string `help:"Site of the lines that name none (\"s\")." placeholder:"ID"`
	Sites         string `default:"sites.yaml" help:"Sites file."`
	KeyringDir    string `default:"keyring" help:"Folder of the key files."`
	ClickHouseDSN string `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol. It must be up: it is asked what it has already."`
	Database      string `default:"beckon" help:"ClickHouse database."`
	SpoolDir      string `env:"BECKON_IMPORT_SPOOL_DIR" default:"spool-import" help:"Folder of the import's own, where events wait for ClickHouse; the same one each time."`
	Rejects       string `default:"import-rejects.jsonl" help:"File for the numbers of lines that were not taken, and why; written anew."`
}

// errRejected ends an import that was otherwise finished.
var errRejected = errors.New("some lines were not taken")

// Run imports until the end of the file, a fault, or a signal.
func (cmd *importCmd) Run() error {
	service.KeepTwoThreads()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal does not wait
	sum, err := cmd.load(ctx, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if sum.Read > 0 || err == nil {
		fmt.Println(sum.String())
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; run the same command again to go on: what is stored is not stored twice")
	case err != nil:
		return fmt.Errorf("%w; once that is in order run the same command again: what is stored is not stored twice", err)
	case sum.Refused() > 0:
		return fmt.Errorf("%w, their numbers are in %s; correct them where they stand and run the same command again", errRejected, cmd.Rejects)
	}
	return nil
}

const (
	firstAnswer = 10 * time.Second // of ClickHouse
	reachTries  = 3
	diskReserve = 256 << 20 // as --spool-reserve of the services
)

// load is the drawing of the import: its parts, in the order in which data passes them.
func (cmd *importCmd) load(ctx context.Context, log *slog.Logger) (sum history.Summary, err error) {
	lines, suppressed, err := cmd.gather(log)
	if err != nil {
		return sum, err
	}
	defer suppressed.Close()
	file, rejects, err := cmd.files()
	if err != nil {
		return sum, err
	}
	defer file.Close()
	defer rejects.Close()

	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, cmd.ClickHouseDSN) }
	conn, err := cmd.reach(ctx)
	if err != nil {
		return sum, fmt.Errorf("--clickhouse-dsn: %w", err)
	}
	defer conn.Close()
	events, err := cmd.openSpool(log)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	load := loader.New(loader.Config{
		Source: events, Table: loader.Events(), Connect: connect, Database: cmd.Database, DeadLetter: cmd.deadLetter(), Log: log, Registerer: prometheus.NewRegistry(),
	})
	follow, stop := service.Loop(suppressed.Follow)
	go follow()
	defer stop(nil)
	out := bufio.NewWriter(rejects)
	im := history.Import{
		Lines: lines, Known: &history.Stored{Conn: conn, Database: cmd.Database, Log: log}, Spool: events, Rejects: out, Tell: os.Stderr, Now: time.Now,
		Drain: func(ctx context.Context) error { return drain(ctx, events, load) },
	}
	sum, err = im.Run(ctx, file)
	err = errors.Join(err, out.Flush())
	if info, missing := os.Stat(cmd.deadLetter()); err == nil && missing == nil && info.Size() > 0 {
		err = fmt.Errorf("%s: ClickHouse's tables have no room for some records, see the reason of each; move the file away when that is settled", cmd.deadLetter())
	}
	return sum, err
}

// reach makes the first connection. One that is reset may only be bad luck, so it tries a few times; it does not
// wait for a server that is not there, because then something in the command is likely to be wrong.
func (cmd *importCmd) reach(ctx context.Context) (conn driver.Conn, err error) {
	for try := range reachTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
			}
		}
		patience, cancel := context.WithTimeout(ctx, firstAnswer)
		conn, err = chconn.Open(patience, cmd.ClickHouseDSN)
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// drain brings all that is in the spool to ClickHouse, however long that takes.
func drain(ctx context.Context, events *spool.Spool, load *loader.Loader) error {
	if err := events.Seal(); err != nil {
		return err
	}
	for events.Stats().Segments > 0 {
		if err := load.Drain(ctx); err != nil {
			return err
		}
		if err := errors.Join(ctx.Err(), service.SpoolReady(events)); err != nil {
			return err
		}
	}
	return nil
}

// gather reads everything that can be wrong before anything is started, and lists all of it at once.
func (cmd *importCmd) gather(log *slog.Logger) (*ingest.Lines, *suppress.List, error) {
	var faults []error
	fault := func(flag string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", flag, err))
		}
	}
	keys, err := keyring.Open(cmd.KeyringDir)
	fault("--keyring-dir", err)
	sites, err := site.Open(cmd.Sites, service.HaveKeys(keys))
	fault("--sites", err)
	if err == nil && cmd.Site != "" && sites.File().Site(cmd.Site) == nil {
		fault("--site", fmt.Errorf("the sites file has no %q", cmd.Site))
	}
	if _, err := clickhouse.ParseDSN(cmd.ClickHouseDSN); err != nil { // its error may quote a password
		faults = append(faults, errors.New("--clickhouse-dsn cannot be read: write clickhouse://user:password@host:9000/database"))
	}
	if !service.IsDatabase(cmd.Database) {
		faults = append(faults, fmt.Errorf("--database %q is no name: letters, digits and _, such as beckon", cmd.Database))
	}
	if info, err := os.Stat(filepath.Join(cmd.SpoolDir, "spool")); err == nil && info.Mode().IsRegular() {
		fault("--spool-dir", fmt.Errorf("%s is the spool of a service: name a folder of the import's own", cmd.SpoolDir))
	}
	var suppressed *suppress.List
	if keys != nil { // its place is beside them
		suppressed, err = suppress.Open(suppress.Dir(cmd.KeyringDir), suppress.Options{Log: log, Registerer: prometheus.NewRegistry()})
		fault("--keyring-dir", err)
	}
	if len(faults) > 0 {
		if suppressed != nil {
			suppressed.Close()
		}
		return nil, nil, errors.Join(faults...)
	}
	lines, err := ingest.NewLines(ingest.Config{Sites: sites, Keys: keys, Suppressed: suppressed, Log: log}, cmd.Site)
	if err != nil {
		return nil, nil, errors.Join(err, suppressed.Close())
	}
	return lines, suppressed, nil
}

// files opens what is read and what is written.
func (cmd *importCmd) files() (file io.ReadCloser, rejects *os.File, err error) {
	in := os.Stdin
	if cmd.File != "-" {
		if in, err = os.Open(cmd.File); err != nil {
			return nil, nil, fmt.Errorf("open history: %w", err)
		}
	}
	here, err := in.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("stat history: %w", err)
	}
	if there, err := os.Stat(cmd.Rejects); err == nil && os.SameFile(here, there) {
		return nil, nil, fmt.Errorf("--rejects: %s is the file that is imported: name another", cmd.Rejects)
	}
	if rejects, err = os.OpenFile(cmd.Rejects, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640); err != nil {
		return nil, nil, fmt.Errorf("--rejects: %w", err)
	}
	return in, rejects, nil
}

// openSpool opens the spool below the folder, so that no service's spool passes for it, nor it for one of theirs.
func (cmd *importCmd) openSpool(log *slog.Logger) (*spool.Spool, error) {
	events, err := spool.Open(filepath.Join(cmd.SpoolDir, "spool"), spool.Options{Reserve: diskReserve, Log: log})
	switch {
	case errors.Is(err, spool.ErrLocked):
		return nil, fmt.Errorf("--spool-dir: another import runs with %s: wait for its end", cmd.SpoolDir)
	case err != nil:
		return nil, fmt.Errorf("--spool-dir: %w", err)
	}
	return events, nil
}

func (cmd *importCmd) deadLetter() string { return filepath.Join(cmd.SpoolDir, "dead-letter.jsonl") }
