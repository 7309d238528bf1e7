package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/bench/contest"
	"beckon/internal/spool"
	"beckon/schema"
)

// compareLoader holds the loader against the least that anybody can do who uses clickhouse-go: the same
// rows, ready in memory as columns, in inserts of the same size into the same tables and views.
// The loader reads them from disk, checks them, and writes ledger and marks.
func compareLoader(ctx context.Context, c *Config, r *report) (err error) {
	g, err := newRig(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	s, err := g.corpus(ctx, c.Events)
	if err != nil {
		return err
	}
	records, dir := s.Stats().Records, g.Path("corpus")
	if err := s.Close(); err != nil {
		return err
	}
	var batches [][]any // by batch and column
	var columns []string
	var loaderSpeeds, bareSpeeds, ratios []float64
	for round := range c.Rounds + 1 {
		took, err := g.timed(ctx, func(name string) error {
			copied := g.Path(name)
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				return err
			}
			s, err := spool.Open(copied, spool.Options{Sync: spool.SyncOS})
			if err != nil {
				return err
			}
			defer s.Close()
			begin()
			defer end()
			return g.load(ctx, s, name)
		})
		if err != nil {
			return err
		}
		if round == 0 { // warms everything up, and makes the rows for the others
			if columns, batches, err = g.rows(ctx, lastDatabase); err != nil {
				return err
			}
		}
		loaderSeconds := took.Seconds()
		took, err = g.timed(ctx, func(name string) error {
			begin()
			defer end()
			return g.bare(ctx, name, columns, batches)
		})
		if err != nil {
			return err
		}
		if round > 0 {
			loaderSpeeds = append(loaderSpeeds, float64(records)/loaderSeconds)
			bareSpeeds = append(bareSpeeds, float64(records)/took.Seconds())
			ratios = append(ratios, took.Seconds()/loaderSeconds)
		}
	}
	r.line("\n## Loader beside a bare column-wise insert: %d rows in %d batches, %d rounds in turns\n\n| | rows/s, median |\n|---|---|", records, len(batches), c.Rounds)
	r.line("| loader: read, check, insert, ledger, mark, done | %.0f |\n| bare insert of the same rows | %.0f |\n| ratio, median of the rounds | %.2f |",
		contest.Median(loaderSpeeds), contest.Median(bareSpeeds), contest.Median(ratios))
	r.bar("loader, of a bare insert of the same rows", contest.Median(ratios), "at least 0.8", contest.Median(ratios) >= 0.8)
	return nil
}

// Of the run in hand: a run takes what it needs first, and then begins.
var (
	lastDatabase string
	begun        time.Time
	lasted       time.Duration
)

func begin() { begun = time.Now() }
func end()   { lasted = time.Since(begun) }

// timed runs f with a fresh database of our tables, and removes what the run before left.
func (g *rig) timed(ctx context.Context, f func(name string) error) (time.Duration, error) {
	if lastDatabase != "" {
		if err := g.Conn.Exec(ctx, "DROP DATABASE "+lastDatabase+" SYNC"); err != nil {
			return 0, err
		}
		if err := os.RemoveAll(g.Path(lastDatabase)); err != nil {
			return 0, err
		}
	}
	lastDatabase = fmt.Sprintf("run%d", time.Now().UnixNano())
	if err := schema.Apply(ctx, g.Conn, lastDatabase); err != nil {
		return 0, err
	}
	err := f(lastDatabase)
	return lasted, err
}

// rows reads the batches that were loaded back, as the columns that clickhouse-go wants.
func (g *rig) rows(ctx context.Context, name string) (columns []string, batches [][]any, err error) {
	columns, err = g.texts(ctx, "SELECT name FROM system.columns WHERE database = '"+name+"' AND table = 'events' AND default_kind = '' ORDER BY position")
	if err != nil {
		return nil, nil, err
	}
	segments, err := g.texts(ctx, "SELECT toString(segment) FROM "+name+".events GROUP BY segment ORDER BY segment")
	if err != nil {
		return nil, nil, err
	}
	for _, segment := range segments {
		rows, err := g.Conn.Query(ctx, "SELECT `"+strings.Join(columns, "`, `")+"` FROM "+name+".events WHERE segment = "+segment+" ORDER BY sequence")
		if err != nil {
			return nil, nil, err
		}
		batch, err := gather(rows)
		if err != nil {
			return nil, nil, err
		}
		batches = append(batches, batch)
	}
	return columns, batches, nil
}

func gather(rows driver.Rows) ([]any, error) {
	defer rows.Close()
	types := rows.ColumnTypes()
	lists := make([]reflect.Value, len(types))
	row := make([]any, len(types))
	for i, t := range types {
		lists[i] = reflect.MakeSlice(reflect.SliceOf(t.ScanType()), 0, 50_000)
	}
	for rows.Next() {
		for i, t := range types {
			row[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(row...); err != nil {
			return nil, err
		}
		for i := range row {
			lists[i] = reflect.Append(lists[i], reflect.ValueOf(row[i]).Elem())
		}
	}
	batch := make([]any, len(lists))
	for i := range lists {
		batch[i] = lists[i].Interface()
	}
	return batch, rows.Err()
}

func (g *rig) bare(ctx context.Context, name string, columns []string, batches [][]any) error {
	for _, values := range batches {
		batch, err := g.Conn.PrepareBatch(ctx, "INSERT INTO "+name+".events (`"+strings.Join(columns, "`, `")+"`)")
		if err != nil {
			return err
		}
		for i := range values {
			if err := batch.Column(i).Append(values[i]); err != nil {
				return errors.Join(fmt.Errorf("append column %s: %w", columns[i], err), batch.Close())
			}
		}
		if err := batch.Send(); err != nil {
			return err
		}
	}
	return nil
}
