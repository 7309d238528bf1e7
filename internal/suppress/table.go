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

	// A row takes a second or two by way of the spool. Later than this it may never come: the list tells it.
	tellAfter = time.Minute
	tellEvery = time.Minute
	maxTold   = 10_000 // at once
)

// Table is what the other hosts know, by way of ClickHouse, and how they hear of what is in the list alone.
type Table struct {
	List     *List
	Connect  func(context.Context) (driver.Conn, error)
	Database string
	Log      *slog.Logger

	conn  driver.Conn
	asked time.Time // ClickHouse's clock at the last answer
	told  time.Time // ours, when it was last looked for what ClickHouse lacks
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
	return t.tell(ctx)
}

// tell puts into the table what the list has and the table, as far as we were told, has not. The site is not known
// of a line, and nobody needs it: keys of different sites are never alike. Equal rows replace each other, so it does
// no harm when several processes of a host tell the same.
func (t *Table) tell(ctx context.Context) error {
	now := t.List.Now()
	if now.Sub(t.told) < tellEvery {
		return nil
	}
	entries := t.List.untold(now)
	if len(entries) > 0 {
		t.Log.Warn("suppressed visitors have not reached ClickHouse with their rows yet, telling them from the list", "count", len(entries))
		batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.Database+".suppressed (site, suppress_key, cause, at, added_at, expires)")
		if err != nil {
			return fmt.Errorf("prepare insert into suppressed: %w", err)
		}
		defer batch.Close()
		for _, e := range entries {
			key := e.Key.Bytes()
			if err := batch.Append("", key[:], e.Cause.String(), e.At, t.asked, e.At.Add(life)); err != nil {
				return fmt.Errorf("append suppressed visitor: %w", err)
			}
		}
		if err := batch.Send(); err != nil {
			return fmt.Errorf("tell ClickHouse of %d suppressed visitors: %w", len(entries), err)
		}
	}
	t.told = now
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

// addMissing adds those entries that are not in force yet: most were written here. All of them are told.
func (l *List) addMissing(entries []Entry) error {
	var missing []Entry
	l.mu.RLock()
	for _, e := range entries {
		if _, ok := l.marks[e.Key]; !ok {
			missing = append(missing, e)
		}
	}
	l.mu.RUnlock()
	err := l.Add(missing...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		// A denial there does not tell of an opt-out here, which is the wider one.
		if m, ok := l.marks[e.Key]; ok && (m.cause == e.Cause || e.Cause == privacy.CauseOptOut) {
			m.told = true
			l.marks[e.Key] = m
		}
	}
	return err
}

// untold are entries that ClickHouse should have by now. In their last days they are left alone: the table has days,
// and what is over there would be told for ever.
func (l *List) untold(now time.Time) (entries []Entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for key, m := range l.marks {
		if !m.told && now.Sub(m.at()) > tellAfter && m.expires().Sub(now) > 48*time.Hour {
			if entries = append(entries, Entry{key, m.cause, m.at()}); len(entries) == maxTold {
				break
			}
		}
	}
	return entries
}
