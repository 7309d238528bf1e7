package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"beckon/bench/rig"
	"beckon/bench/visits"
	"beckon/internal/chromium"
)

// lossFigures are those of one ending, for the file.
type lossFigures struct {
	Ending string
	visits.Tally
}

// loss counts what visits have told against what is stored.
func (b *bench) loss(ctx context.Context) (err error) {
	browser, stop, err := chromium.Start(b.rig.Path("profile"), visits.Flags...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	began := time.Now()
	all, err := visits.Run(ctx, browser, visits.Config{Front: b.front, Site: rig.Site, Seed: b.c.Seed, Visits: b.c.Visits, AtOnce: b.c.AtOnce})
	if err != nil {
		return err
	}
	took := time.Since(began)
	by, err := b.compare(ctx, all)
	if err != nil {
		return err
	}
	b.printf("\n## What is lost\n\n%d visits, %d tabs at once, in %s.\n\n| how the visit ended | visits | events told | stored | lost | | stored twice | called before the tag was there |\n|---|---|---|---|---|---|---|---|\n",
		b.c.Visits, b.c.AtOnce, took.Round(time.Second))
	var up visits.Tally
	doubled, untold := 0, 0
	for ending, t := range by {
		b.printf("| %s | %d | %d | %d | %d | %.3f %% | %d | %d |\n", visits.Endings[ending], t.Visits, t.Told, t.Stored, len(t.Lost), t.Share(), len(t.Doubled), t.Early)
		b.figures.Loss = append(b.figures.Loss, lossFigures{visits.Endings[ending], t})
		doubled, untold = doubled+len(t.Doubled), untold+len(t.Untold)
		if visits.Ending(ending).Counts() {
			up.Told += t.Told
			up.Lost = append(up.Lost, t.Lost...)
		}
	}
	b.printf("\nEvents that are stored and that no page has noted: %d (else the truth is none).\n", untold)
	b.bars.Under("lost with the network up, percent", up.Share(), 0.1)
	b.bars.Under("stored twice", float64(doubled), 1)
	return visits.Excused(by)
}

// compare waits until what has come is in ClickHouse, and nothing more comes.
func (b *bench) compare(ctx context.Context, all []visits.Visit) (by [len(visits.Endings)]visits.Tally, err error) {
	for last, quiet := -1, 0; quiet < 10; time.Sleep(200 * time.Millisecond) {
		if ctx.Err() != nil {
			return by, ctx.Err()
		}
		came := len(b.front.Requests())
		if came == last && b.collector.Metric(ctx, "beckon_spool_records") == 0 {
			quiet++
		} else {
			quiet = 0
		}
		last = came
	}
	rows, err := b.rig.Conn.Query(ctx, visits.Query)
	if err != nil {
		return by, fmt.Errorf("ask ClickHouse: %w", err)
	}
	defer rows.Close()
	stored := visits.Stored{}
	for rows.Next() {
		var host, what string
		var n uint64
		if err := rows.Scan(&host, &what, &n); err != nil {
			return by, fmt.Errorf("read the answer of ClickHouse: %w", err)
		}
		stored[host+" "+what] = n
	}
	return visits.Compare(all, stored), rows.Err()
}
