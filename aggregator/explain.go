package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/aggregator/decision"
	"beckon/aggregator/feature"
	"beckon/internal/chconn"
	"beckon/internal/keyring"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/suppress"
)

// explainCmd reaches a verdict beside a running service, from the same files and the same ClickHouse. What a
// service knows that is on its way to ClickHouse, and what a grant cookie says, it does not see.
type explainCmd struct {
	Site          string        `required:"" help:"Site of the visitor."`
	VisitorCookie string        `required:"" help:"Value of the visitor cookie, _bk_SITE or __Host-_bk_SITE." placeholder:"VALUE"`
	Sites         string        `default:"sites.yaml" help:"Sites file."`
	KeyringDir    string        `default:"keyring" help:"Folder of the key files."`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol."`
	Database      string        `default:"beckon" help:"ClickHouse database."`
	Timeout       time.Duration `default:"10s" help:"How long ClickHouse may take."`
}

// Run prints the explanation.
func (cmd *explainCmd) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), cmd.Timeout)
	defer cancel()
	out, err := cmd.explain(ctx)
	if err != nil {
		return err
	}
	return printExplanation(os.Stdout, out)
}

func (cmd *explainCmd) explain(ctx context.Context) (out decision.Explanation, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if !service.IsDatabase(cmd.Database) {
		return out, fmt.Errorf("--database %q is no name: letters, digits and _, such as beckon", cmd.Database)
	}
	keys, err := keyring.Open(cmd.KeyringDir)
	if err != nil {
		return out, fmt.Errorf("--keyring-dir: %w", err)
	}
	var rules programs
	sites, err := site.Open(cmd.Sites, service.HaveKeys(keys), rules.check)
	if err != nil {
		return out, fmt.Errorf("--sites: %w", err)
	}
	rules.use(sites.File())
	suppressed, err := suppress.Open(suppress.Dir(cmd.KeyringDir), suppress.Options{Log: log, Registerer: prometheus.NewRegistry()})
	if err != nil {
		return out, fmt.Errorf("--keyring-dir: %w", err)
	}
	defer suppressed.Close()
	store, err := feature.NewStore(1)
	if err != nil {
		return out, err
	}
	store.Refuse(feature.SuppressedBy(keys, suppressed))
	reader := feature.NewReader(cmd.Database, func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, cmd.ClickHouseDSN) })
	defer reader.Close()
	cold := feature.NewCold(reader, store, log)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go cold.Run(running) //nolint:errcheck // it returns nil
	server := decision.New(decision.Config{
		Program: rules.current, Keys: keys, Suppressed: suppressed, Store: store, Cold: cold, CompleteAt: time.Now,
		ColdDeadline: cmd.Timeout, StaleAfter: cmd.Timeout, Log: log, Registerer: prometheus.NewRegistry(),
	})
	out, ok := server.Explain(cmd.Site, []byte(cmd.VisitorCookie))
	if !ok {
		return out, fmt.Errorf("--site %q: the sites file has no such site", cmd.Site)
	}
	if out.Reason == "STALE" {
		return out, errors.New("ClickHouse did not say in time what it knows of the visitor (--timeout, --clickhouse-dsn)")
	}
	return out, nil
}

func printExplanation(w io.Writer, e decision.Explanation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "reason\t%s\n", e.Reason)
	fmt.Fprintf(t, "eligible\t%v\n", e.Eligible)
	for _, line := range []struct {
		name string
		text *string
	}{{"offer", e.Offer}, {"rule", e.Rule}, {"arm", e.Arm}} {
		if line.text != nil {
			fmt.Fprintf(t, "%s\t%s\n", line.name, *line.text)
		}
	}
	fmt.Fprintf(t, "lane\t%s, %s\n", e.Lane, e.Cause)
	if e.Visitor != "" {
		fmt.Fprintf(t, "visitor\t%s...\n", e.Visitor)
	}
	fmt.Fprint(t, "\noffer\tgate\tpass\tcompared\n")
	for _, g := range e.Gates {
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\n", g.Offer, g.Gate, g.Pass, g.Detail)
	}
	if len(e.Features) > 0 {
		fmt.Fprint(t, "\nfeature\tvalue\n")
	}
	for _, name := range slices.Sorted(maps.Keys(e.Features)) {
		fmt.Fprintf(t, "%s\t%v\n", name, e.Features[name])
	}
	return t.Flush()
}
