package loader_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/event"
	"beckon/internal/loader"
	"beckon/internal/spool"
)

// dying is a connection whose loader is cut off with its nth statement: that one reaches the server or not,
// and nobody hears of it.
type dying struct {
	driver.Conn
	after  int
	before bool // the statement does not reach the server
	n      int
	died   func()
	dead   bool
}

var errDead = errors.New("the loader is dead")

func (c *dying) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if c.dead {
		return nil, errDead
	}
	b, err := c.Conn.PrepareBatch(ctx, query, opts...)
	c.n++
	return &dyingBatch{b, c}, err
}

func (c *dying) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	if c.dead {
		return c.Conn.QueryRow(ctx, "SELECT throwIf(1, 'dead')")
	}
	return c.Conn.QueryRow(ctx, query, args...)
}

func (c *dying) Close() error { return nil }

type dyingBatch struct {
	driver.Batch
	conn *dying
}

func (b *dyingBatch) Send() error {
	if b.conn.n != b.conn.after {
		return b.Batch.Send()
	}
	b.conn.dead = true
	defer b.conn.died()
	if b.conn.before {
		return errDead
	}
	return errors.Join(errDead, b.Batch.Send())
}

// loaderFor returns a loader that connects by connect, and the registry of its metrics.
func loaderFor(t *testing.T, s loader.Source, db string, connect connector) (*loader.Loader, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewRegistry()
	return loader.New(loader.Config{
		Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(t.TempDir(), "dead"), Registerer: r,
	}), r
}

// cutOff loads what is in the spool of dir until the loader dies, and closes the spool.
func cutOff(t *testing.T, dir, db string, conn *dying) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn.died = cancel
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, _ := loaderFor(t, s, db, func(context.Context) (driver.Conn, error) { return conn, nil })
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !conn.dead || s.Stats().Segments == 0 {
		t.Fatalf("the loader was cut off: %v, and %d segments are left", conn.dead, s.Stats().Segments)
	}
}

// brokenFeed makes a feed throw and returns what mends it.
func brokenFeed(t *testing.T, conn driver.Conn, db, feed string) (mend func()) {
	t.Helper()
	return changedFeed(t, conn, db, feed, "SELECT * FROM (%s) WHERE NOT throwIf(site != '', 'broken feed')")
}

// changedFeed puts something around the query of a feed and returns what takes it away.
func changedFeed(t *testing.T, conn driver.Conn, db, feed, around string) (mend func()) {
	t.Helper()
	var query string
	if err := conn.QueryRow(t.Context(), "SELECT as_select FROM system.tables WHERE database = ? AND name = ?", db, feed).Scan(&query); err != nil {
		t.Fatal(err)
	}
	alter := "ALTER TABLE " + db + "." + feed + " MODIFY QUERY "
	exec(t, conn, alter+fmt.Sprintf(around, query))
	return func() { t.Helper(); exec(t, conn, alter+query) }
}

// forgetTokensAfter sets the window of every table.
func forgetTokensAfter(t *testing.T, conn driver.Conn, db string, inserts int) {
	t.Helper()
	var tables []string
	if err := conn.QueryRow(t.Context(), "SELECT groupArray(name) FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'", db).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		exec(t, conn, fmt.Sprintf("ALTER TABLE %s.`%s` MODIFY SETTING non_replicated_deduplication_window = %d", db, table, inserts))
	}
}

func TestBatchThatComesBackAfterItsTokenIsForgottenDoublesAndMissesNothing(t *testing.T) {
	conn, connect := server(t)
	forgetTokensAfter(t, conn, db, 10)
	shop := newShop()
	nextMonth := func(i int, e *event.Event) { e.ReceivedAt += int64(i%2) * 31 * 24 * time.Hour.Milliseconds() }
	month := time.Now().UTC().Format("200601")
	cases := []struct {
		name   string
		conn   dying
		feed   string // throws at the first try
		change func(i int, e *event.Event)
		then   string // statement that makes of the first try what cannot be timed
		mended bool
		dir    string
	}{
		{name: "before the insert", conn: dying{after: 1, before: true}},
		{name: "after the insert", conn: dying{after: 1}, mended: true},
		{name: "after a part of its views", conn: dying{after: 1}, feed: "feed_sessions", mended: true},
		{name: "after another part of its views", conn: dying{after: 1}, feed: "feed_visitor_activity", mended: true},
		{name: "before its loads row", conn: dying{after: 2}, mended: true},
		{name: "after its loads row", conn: dying{after: 3}},
		{
			name: "after one of its two months", conn: dying{after: 1}, change: nextMonth, mended: true,
			then: "ALTER TABLE DB.events DELETE WHERE toYYYYMM(received_at) != " + month + " SETTINGS mutations_sync = 2",
		},
	}
	for i := range cases {
		c := &cases[i]
		c.conn.Conn, c.dir = conn, t.TempDir()
		s := openSpool(t, c.dir)
		if c.change == nil {
			c.change = func(int, *event.Event) {}
		}
		shop.sells(t, s, 400, c.change)
		s.Close()
		mend := func() {}
		if c.feed != "" {
			mend = brokenFeed(t, conn, db, c.feed)
		}
		cutOff(t, c.dir, db, &c.conn)
		mend()
		if c.then != "" {
			exec(t, conn, strings.ReplaceAll(c.then, "DB", db))
		}
	}
	others := openSpool(t, t.TempDir())
	l, _ := loaderFor(t, others, db, connect)
	for range 100 {
		shop.sells(t, others, 1)
		seal(t, others)
	}
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	batches := uint64(100)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := openSpool(t, c.dir)
			batches += uint64(s.Stats().Segments)
			l, metrics := loaderFor(t, s, db, connect)
			if err := l.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := s.Stats().Segments; n != 0 {
				t.Errorf("%d segments are left", n)
			}
			if n := metric(t, metrics, "beckon_loader_mended_batches_total"); n > 0 != c.mended {
				t.Errorf("%v batches were mended, want some: %v", n, c.mended)
			}
		})
	}
	if err := shop.acked.Compare(t.Context(), conn, db); err != nil {
		t.Error(err)
	}
	if n := scalar(t, conn, "SELECT uniqExact(spool, segment) FROM "+db+".loads"); n != batches {
		t.Errorf("%d batches are marked, want %d", n, batches)
	}
	for _, reason := range []string{"accepted", "stored"} {
		if n := scalar(t, conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE reason = '"+reason+"'"); n != uint64(len(shop.acked)) {
			t.Errorf("ledger: %d %s, want %d", n, reason, len(shop.acked))
		}
	}
}

// metric is the sum of all series of a metric.
func metric(t testing.TB, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
