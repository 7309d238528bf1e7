package loader_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/loader"
	"beckon/internal/relay"
	"beckon/schema"
)

// rig is a loader that reaches its ClickHouse over a network that can fail.
type rig struct {
	*testing.T // of the fault
	all        *testing.T
	clickhouse *chlocal.Server
	relay      *relay.Relay
	conn       driver.Conn // past the relay
	shop       *shop
	options    atomic.Pointer[string] // of the loader's DSN
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, all: t, clickhouse: chlocal.ForTest(t), shop: newShop()}
	r.reconnect()
	if err := schema.Apply(t.Context(), r.conn, db); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.relay, err = relay.Start(r.clickhouse.NativeAddr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.relay.Close() })
	return r
}

// reconnect gives the test itself a fresh connection.
func (r *rig) reconnect() {
	r.Helper()
	conn, err := chconn.Open(r.Context(), r.clickhouse.DSN())
	if err != nil {
		r.Fatal(err)
	}
	r.all.Cleanup(func() { conn.Close() })
	r.conn = conn
}

func (r *rig) connect(ctx context.Context) (driver.Conn, error) {
	dsn := strings.Replace(r.clickhouse.DSN(), r.clickhouse.NativeAddr(), r.relay.Addr(), 1)
	if more := r.options.Load(); more != nil {
		dsn += *more
	}
	return chconn.Open(ctx, dsn)
}

func (r *rig) exec(statements ...string) {
	r.Helper()
	for _, s := range statements {
		exec(r.T, r.conn, strings.ReplaceAll(s, "DB", db))
	}
}

// until waits for a fact.
func until(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !fact(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

// fault is one way in which the world is unkind to a loader.
type fault struct {
	name  string
	begin func(*rig) (end func())
	code  string // of beckon_loader_failures_total that has to appear; "" = it is only slow
	cuts  int    // connections that have to be cut before the fault ends

	mended bool // the views of some batch have to be fed once more

	patience time.Duration // of the loader; 0 = its own
}

// sql is a fault made and undone by statements.
func sql(begin, end string) func(*rig) func() {
	return func(r *rig) func() {
		r.exec(begin)
		return func() { r.exec(end) }
	}
}

func network(f relay.Fault) func(*rig) func() {
	return func(r *rig) func() {
		r.relay.Set(f)
		return func() { r.relay.Set(relay.Fault{}) }
	}
}

const midway = 8 << 10 // bytes: after the query, before the end of its rows

var faults = []fault{
	{name: "ClickHouse is down", code: "connection", begin: network(relay.Fault{Down: true})},
	{name: "the network is slow", begin: network(relay.Fault{Delay: 20 * time.Millisecond})},
	{name: "cut in the middle of a batch", code: "connection", cuts: 2, begin: network(relay.Fault{CutAfter: midway})},
	{name: "stored, and the reply is lost", code: "connection", cuts: 1, mended: true, begin: network(relay.Fault{LoseAfter: midway})},
	{name: "killed after it has stored, before it answers", code: "connection", cuts: 1, mended: true, begin: func(r *rig) func() {
		rows := func() (n uint64) {
			_ = r.conn.QueryRow(context.Background(), "SELECT count() FROM "+db+".events").Scan(&n)
			return n
		}
		before := rows()
		r.relay.Set(relay.Fault{LoseAfter: midway, Then: func() {
			for rows() == before { // an answer can be a sign of life
				time.Sleep(time.Millisecond)
			}
			_ = r.clickhouse.Kill()
		}})
		return func() {
			r.relay.Set(relay.Fault{})
			if err := r.clickhouse.Restart(r.Context()); err != nil {
				r.Fatal(err)
			}
			r.reconnect()
		}
	}},
	{name: "killed and started again", code: "connection", begin: func(r *rig) func() {
		if err := r.clickhouse.Kill(); err != nil {
			r.Fatal(err)
		}
		return func() {
			if err := r.clickhouse.Restart(r.Context()); err != nil {
				r.Fatal(err)
			}
			r.reconnect()
		}
	}},
	{name: "ClickHouse is read-only for us", code: "164", begin: func(r *rig) func() {
		change := func(readOnly string) func() {
			return func() {
				r.options.Store(&readOnly)
				r.relay.Set(relay.Fault{CutAfter: 100, Then: func() { r.relay.Set(relay.Fault{}) }}) // the next connection has them
			}
		}
		change("?readonly=1")()
		return change("")
	}},
	{name: "too many parts", code: "252", begin: func(r *rig) func() {
		r.exec("SYSTEM STOP MERGES DB.events", "ALTER TABLE DB.events MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1")
		return func() {
			r.exec("ALTER TABLE DB.events RESET SETTING parts_to_throw_insert, parts_to_delay_insert", "SYSTEM START MERGES DB.events")
		}
	}},
	{name: "the schema is another one", code: "16", begin: sql(
		"ALTER TABLE DB.events RENAME COLUMN variant TO other", "ALTER TABLE DB.events RENAME COLUMN other TO variant")},
	{name: "another view throws", code: "395", mended: true, begin: func(r *rig) func() { return brokenFeed(r.T, r.conn, db, "feed_visitor_changes") }},
	{name: "a view throws", code: "395", mended: true, begin: func(r *rig) func() { return brokenFeed(r.T, r.conn, db, "feed_sessions") }},
	{name: "a view is slower than the loader's patience", code: "connection", mended: true, patience: time.Second, begin: func(r *rig) func() {
		return changedFeed(r.T, r.conn, db, "feed_orders", "SELECT * FROM (%s) WHERE NOT ignore(sleepEachRow(0.045))")
	}},
	{name: "the server refuses one row", code: "469", begin: sql(
		"ALTER TABLE DB.events ADD CONSTRAINT one CHECK product != 'mug7'", "ALTER TABLE DB.events DROP CONSTRAINT one")},
	{name: "the ledger cannot be written", code: "469", mended: true, begin: sql(
		"ALTER TABLE DB.ledger ADD CONSTRAINT none CHECK n = 0", "ALTER TABLE DB.ledger DROP CONSTRAINT none")},
	{name: "the mark cannot be written", code: "469", mended: true, begin: sql(
		"ALTER TABLE DB.loads ADD CONSTRAINT none CHECK rows = 0", "ALTER TABLE DB.loads DROP CONSTRAINT none")},
}

func TestFaultsOfClickHouseLoseNothingAndDoubleNothing(t *testing.T) {
	r := newRig(t)
	t.Logf("%-48s %8s %7s  %s", "fault", "batches", "mended", "failed tries by code")
	for _, f := range faults {
		if !t.Run(f.name, func(t *testing.T) { r.survives(t, f) }) {
			return // the world is as that fault left it
		}
	}
}

// survives sells things while the fault lasts and compares everything after it.
func (r *rig) survives(t *testing.T, f fault) {
	r.T = t
	s := openSpool(t, t.TempDir())
	reg := prometheus.NewRegistry()
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Connect: r.connect, Database: db, DeadLetter: t.TempDir() + "/dead", Registerer: reg, Patience: f.patience,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r.shop.sells(t, s, 200)
	seal(t, s)
	go func() { ended <- l.Run(ctx) }()
	until(t, "a batch before the fault", func() bool { return s.Stats().Segments == 0 })
	cuts := r.relay.Cuts()
	end := f.begin(r)
	for range 3 {
		r.shop.sells(t, s, 300)
		seal(t, s)
	}
	if f.code == "" {
		until(t, "all batches are in", func() bool { return s.Stats().Segments == 0 })
	} else {
		until(t, "code "+f.code, func() bool { return failures(t, reg)[f.code] > 0 && r.relay.Cuts() >= cuts+f.cuts })
	}
	end()
	until(t, "all batches are in", func() bool { return s.Stats().Segments == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mended := metric(t, reg, "beckon_loader_mended_batches_total")
	t.Logf("%-48s %8v %7v  %v", f.name, metric(t, reg, "beckon_loader_batches_total"), mended, failures(t, reg))
	if f.mended && mended == 0 {
		t.Error("no batch was mended: the fault did not come where it should")
	}
	r.isExact(t)
}

// isExact compares every table with what was acknowledged.
func (r *rig) isExact(t *testing.T) {
	t.Helper()
	if err := r.shop.acked.Compare(t.Context(), r.conn, db); err != nil {
		t.Error(err)
	}
	if n := scalar(t, r.conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE reason = 'stored'"); n != uint64(len(r.shop.acked)) {
		t.Errorf("ledger: %d stored, want %d", n, len(r.shop.acked))
	}
}

// failures is how often tries failed, by code.
func failures(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "beckon_loader_failures_total" {
			for _, m := range f.GetMetric() {
				by[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return by
}

// The settings of the tables are what makes a deleted segment safe: each insert syncs its files and folders.
func TestEveryInsertIsSyncedAndSurvivesAKillRightAfterDone(t *testing.T) {
	r := newRig(t)
	s := openSpool(t, t.TempDir())
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: r.connect, Database: db, DeadLetter: t.TempDir() + "/dead"})
	syncs := func() uint64 {
		return scalar(t, r.conn, "SELECT sum(value) FROM system.events WHERE event IN ('FileSync', 'DirectorySync')")
	}
	for round := range 3 {
		before := syncs()
		r.shop.sells(t, s, 500)
		seal(t, s)
		if err := l.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := syncs() - before; n < 9*2 { // events, six views, ledger, mark: at least a file and a folder each
			t.Errorf("round %d: %d syncs", round, n)
		}
		if err := r.clickhouse.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.clickhouse.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.reconnect()
		r.isExact(t)
	}
}
