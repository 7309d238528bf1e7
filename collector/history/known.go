package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/collector/ingest"
	"beckon/internal/event"
)

// Stored asks ClickHouse.
type Stored struct {
	Conn     driver.Conn
	Database string
	Log      *slog.Logger
}

// known reads the days of the chunk in each of its sites, by the sort key, and no others. What the shop's server
// has told already is known too; what a browser says is no reason to leave out what the shop says.
const known = `SELECT site, event_id FROM %s.events
WHERE (site, toDate(occurred_at)) IN (SELECT site, day FROM wanted) AND (site, event_id) IN (SELECT site, event_id FROM wanted)
	AND source IN ('import', 'server')`

const askAgain = time.Second

// Has reports of each event whether it is there. It waits for a ClickHouse that does not answer, as the loader
// does, until ctx ends; an answer that is a refusal is an error.
func (s *Stored) Has(ctx context.Context, events []ingest.Old) ([]bool, error) {
	for {
		there, err := s.ask(ctx, events)
		var answer *clickhouse.Exception
		if err == nil || ctx.Err() != nil || errors.As(err, &answer) {
			return there, err
		}
		s.Log.Error("ClickHouse does not say what it has, asking again", "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(askAgain):
		}
	}
}

func (s *Stored) ask(ctx context.Context, events []ingest.Old) ([]bool, error) {
	there := make([]bool, len(events))
	if len(events) == 0 {
		return there, nil
	}
	wanted, err := ext.NewTable("wanted", ext.Column("site", "String"), ext.Column("day", "Date"), ext.Column("event_id", "FixedString(16)"))
	if err != nil {
		return nil, fmt.Errorf("make the table of ids: %w", err)
	}
	type key struct {
		site string
		id   event.UUID
	}
	places := make(map[key]int, len(events))
	for i, e := range events {
		if err := wanted.Append(e.Site, time.UnixMilli(e.OccurredAt).UTC(), string(e.ID[:])); err != nil {
			return nil, fmt.Errorf("append to the table of ids: %w", err)
		}
		places[key{e.Site, e.ID}] = i
	}
	rows, err := s.Conn.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(wanted)), fmt.Sprintf(known, s.Database))
	if err != nil {
		return nil, fmt.Errorf("ask ClickHouse which of %d events it has: %w", len(events), err)
	}
	defer rows.Close()
	for rows.Next() {
		var site, id string
		if err := rows.Scan(&site, &id); err != nil {
			return nil, fmt.Errorf("read which events ClickHouse has: %w", err)
		}
		if i, ok := places[key{site, event.UUID([]byte(id))}]; ok {
			there[i] = true
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read which events ClickHouse has: %w", err)
	}
	return there, nil
}
