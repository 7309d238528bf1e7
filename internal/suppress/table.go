package suppress

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/privacy"
)

//go:embed table.sql
var tableSQL string

const (
	askEvery     = time.Second
	askTimeout   = 10 * time.Second
	askBack      = 45 * time.Minute // a row is seen at most this long after its time: longer than a loader waits for an insert
	errorBackoff = 5 * time.Second
)

// Table is what the other hosts know, by way of ClickHouse.
type Table struct {
	List     *List
	Connect  func(context.Context) (driver.Conn, error)
	Database string
	Log      *slog.Logger

	conn  driver.Conn
	asked time.Time // ClickHouse's clock at the last answer
}

// Follow asks for new entries and adds them to the list until ctx ends. While ClickHouse does not answer
// it keeps trying; what the host knows itself stays in force.
func (t *Table) Follow(ctx context.Context) error {
	failing := false
	defer func() {
		if t.conn != nil {
			t.conn.Close()
		}
	}()
	for {
		wait := askEvery
		err := t.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !failing {
				t.Log.Error("cannot ask other hosts for suppressed visitors, going by our own list", "error", err)
			}
			t.List.metrics.failures.WithLabelValues("table").Inc()
			failing, wait = true, errorBackoff
		case failing:
			failing = false
			t.Log.Info("asking other hosts for suppressed visitors again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (t *Table) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if t.conn == nil {
		conn, err := t.Connect(ctx)
		if err != nil {
			return err
		}
		t.conn = conn
	}
	entries, clock, err := t.read(ctx)
	if err != nil {
		return err
	}
	if err := t.List.addMissing(entries); err != nil {
		return err
	}
	t.asked = clock
	return nil
}

// read returns what was added since a little before the last answer, and ClickHouse's clock.
func (t *Table) read(ctx context.Context) (entries []Entry, clock time.Time, err error) {
	since := int64(0)
	if !t.asked.IsZero() {
		since = t.asked.Add(-askBack).UnixMilli()
	}
	rows, err := t.conn.Query(ctx, strings.ReplaceAll(tableSQL, "{database}", t.Database), since)
	if err != nil {
		return nil, clock, fmt.Errorf("ask for suppressed visitors: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			key, cause string
			at         time.Time
		)
		if err := rows.Scan(&key, &cause, &at); err != nil {
			return nil, clock, fmt.Errorf("scan suppressed visitor: %w", err)
		}
		var b [16]byte
		copy(b[:], key)
		e := Entry{privacy.StoredID(b), privacy.CauseDenied, at}
		switch {
		case e.Key.IsZero():
			clock = at
			continue
		case cause == privacy.CauseOptOut.String():
			e.Cause = privacy.CauseOptOut
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, clock, fmt.Errorf("read suppressed visitors: %w", err)
	}
	return entries, clock, nil
}

// addMissing adds those entries that are not in force yet: most were written here.
func (l *List) addMissing(entries []Entry) error {
	var missing []Entry
	l.mu.RLock()
	for _, e := range entries {
		if _, ok := l.marks[e.Key]; !ok {
			missing = append(missing, e)
		}
	}
	l.mu.RUnlock()
	return l.Add(missing...)
}
