package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	rigs "beckon/bench/rig"
	"beckon/bench/shoppers"
	"beckon/collector/ingest"
	"beckon/internal/chconn"
	"beckon/internal/fetch"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/site"
	"beckon/internal/spool"
)

// speed is how much faster the shop's clock runs in stored and loader: a quarter of a minute is a day's
// first half, so that times spread as in a shop and not as in a benchmark.
const speed = 1500

// stored tells how many bytes an event takes: in the spool, and in every table after all merges.
func stored(ctx context.Context, c *Config, r *report) (err error) {
	g, err := newRig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	s, err := g.corpus(ctx, c.Events)
	if err != nil {
		return err
	}
	defer s.Close()
	stats := s.Stats()
	if err := g.load(ctx, s, rigs.Database); err != nil {
		return err
	}
	events, err := g.Number(ctx, "SELECT count() FROM "+rigs.Database+".events")
	if err != nil {
		return err
	}
	r.line("\n## Bytes per event, after all merges: %.0f events of the shoppers' mix in %s of the shop's time\n\n| where | rows | bytes per event |\n|---|---|---|",
		events, "half a day")
	r.line("| spool | %d | %.1f |", stats.Records, float64(stats.Bytes)/float64(stats.Records))
	tables, err := g.texts(ctx, "SELECT name FROM system.tables WHERE database = '"+rigs.Database+"' AND engine LIKE '%MergeTree' ORDER BY name")
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := g.Conn.Exec(ctx, "OPTIMIZE TABLE "+rigs.Database+"."+table+" FINAL"); err != nil {
			return fmt.Errorf("merge %s: %w", table, err)
		}
	}
	rows, err := g.Conn.Query(ctx, `SELECT table, sum(rows), sum(data_compressed_bytes + marks_bytes + primary_key_size)
		FROM system.parts WHERE active AND database = '`+rigs.Database+`' GROUP BY table ORDER BY 3 DESC`)
	if err != nil {
		return fmt.Errorf("ask for sizes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		var n, bytes uint64
		if err := rows.Scan(&table, &n, &bytes); err != nil {
			return err
		}
		r.line("| %s | %d | %.2f |", table, n, float64(bytes)/events)
		if table == "events" {
			r.bar("bytes per event in `events`", float64(bytes)/events, "at most 36", float64(bytes)/events <= 36)
		}
	}
	return rows.Err()
}

// corpus lets shoppers visit a collector whose clock runs fast, and returns the spool with what it kept.
func (g *rig) corpus(ctx context.Context, events int) (_ *spool.Spool, err error) {
	start, began := time.Now().Add(-13*time.Hour), time.Now()
	now := func() time.Time { return start.Add(time.Since(began) * speed) }
	sites, err := site.Open(g.Path("sites.yaml"))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Open(g.Path("keyring"))
	if err != nil {
		return nil, err
	}
	file, err := fetch.GeoCountry(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	geo, err := privacy.OpenGeo(file)
	if err != nil {
		return nil, err
	}
	s, err := spool.Open(g.Path("corpus"), spool.Options{Sync: spool.SyncOS, Now: now})
	if err != nil {
		return nil, err
	}
	s.Sealing(0) // batches as large as behind a ClickHouse that was down
	server, err := ingest.New(ingest.Config{
		Spool: s, Sites: sites, Keys: keys, Agents: privacy.NewAgents(20_000), Geo: geo, Now: now,
		Proxies: proxy.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go server.Serve(ln)
	defer server.Shutdown(ctx)
	result, err := shoppers.Run(ctx, shoppers.Config{
		Target: "http://" + ln.Addr().String(), Site: rigs.Site, Origin: rigs.Shop, Seed: 1, Start: start, Events: events, Concurrency: 32,
	})
	if err == nil && len(result.Acknowledged) != events {
		err = fmt.Errorf("%d of %d events were acknowledged, refused %v", len(result.Acknowledged), events, result.Refused)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, s.Seal()
}

// load brings everything in a spool to the tables of a database.
func (g *rig) load(ctx context.Context, s *spool.Spool, into string) error {
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Database: into, DeadLetter: g.Path("dead-letter.jsonl"), Registerer: prometheus.NewRegistry(),
		Connect: func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, g.ClickHouse.DSN()) },
	})
	if err := l.Drain(ctx); err != nil {
		return err
	}
	if left := s.Stats().Records; left > 0 {
		return fmt.Errorf("%d records were not loaded", left)
	}
	return nil
}

func (g *rig) texts(ctx context.Context, query string) (list []string, err error) {
	rows, err := g.Conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("ask ClickHouse: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
