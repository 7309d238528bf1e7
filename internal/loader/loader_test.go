package loader_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/schema"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

// connector opens a connection as a loader does.
type connector func(context.Context) (driver.Conn, error)

// server starts a ClickHouse and applies the schema.
func server(t *testing.T) (driver.Conn, connector) {
	t.Helper()
	ctx, dsn := t.Context(), chlocal.ForTest(t).DSN()
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, dsn) }
	conn, err := connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Apply(ctx, conn, db); err != nil {
		t.Fatal(err)
	}
	return conn, connect
}

const db = "beckon"

// pageView is the record of the n-th page view of one of ten visitors.
func pageView(n int) []byte {
	key := &keyring.Key{7}
	now := time.Now().UnixMilli()
	e := event.Event{
		Kind: event.PageView, Source: event.SourceBeacon, Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
		ID: event.UUID{0, 1, 2, 3, 4, 5, 0x70, 0, 0x80, byte(n >> 16), byte(n >> 8), byte(n)}, ReceivedAt: now, OccurredAt: now,
		Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("production"),
		Visitor: privacy.KeyedID(key, "visitor", fmt.Append(nil, "v", n%10)), Session: privacy.KeyedID(key, "session", fmt.Append(nil, "s", n%10)),
		Rate: event.RateScale, ExpiresDay: 40_000, ProfileExpiresDay: 40_000,
	}
	return e.AppendTo(nil)
}

func fill(t *testing.T, s *spool.Spool, from, to int) {
	t.Helper()
	var entries []spool.Entry
	for n := from; n < to; n++ {
		entries = append(entries, spool.Entry{Site: "demo", Payload: pageView(n)})
	}
	if err := s.Append(entries, []spool.Count{{Site: "demo", Reason: "dropped:too-old", N: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
}

func openSpool(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func scalar(t *testing.T, conn driver.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestBatchIsLoadedOnceWithItsLedgerAndMark(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	fill(t, s, 0, 1000)
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(dir, "dead"), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := func(query string, n uint64) {
		t.Helper()
		if got := scalar(t, conn, strings.ReplaceAll(query, "DB", db)); got != n {
			t.Errorf("%s = %d, want %d", query, got, n)
		}
	}
	want("SELECT count() FROM DB.events", 1000)
	want("SELECT uniqExact(event_id) FROM DB.events", 1000)
	want("SELECT toUInt64(arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(events))) FROM DB.visitor_activity", 1000)
	want("SELECT count() FROM (SELECT DISTINCT site, visitor FROM DB.visitor_changes)", 10)
	want("SELECT sum(n) FROM DB.ledger WHERE reason = 'accepted'", 1000)
	want("SELECT sum(n) FROM DB.ledger WHERE reason = 'dropped:too-old'", 3)
	want("SELECT sum(rows) FROM DB.loads WHERE table_name = 'events'", 1000)
	if n := s.Stats().Segments; n != 0 {
		t.Errorf("%d segments left in the spool, want none", n)
	}
}

// lossy fails the nth statement after it has reached the server, as a lost reply does.
type lossy struct {
	driver.Conn
	failAt int
	n      int
	lost   bool
}

type lossyBatch struct {
	driver.Batch
	lose *bool
}

func (c *lossy) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	b, err := c.Conn.PrepareBatch(ctx, query, opts...)
	c.n++
	lost := &lossyBatch{Batch: b}
	if c.n == c.failAt {
		lost.lose = &c.lost
	}
	return lost, err
}

func (b *lossyBatch) Send() error {
	if err := b.Batch.Send(); err != nil {
		return err
	}
	if b.lose != nil {
		*b.lose = true
		return fmt.Errorf("connection reset before the reply")
	}
	return nil
}

func (c *lossy) Close() error { return nil } // the test's connection lives on

func TestLostReplyLoadsNothingTwice(t *testing.T) {
	conn, _ := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	total := uint64(0)
	for failAt := 1; failAt <= 3; failAt++ { // rows, ledger, mark
		fill(t, s, failAt*1000, failAt*1000+100)
		total += 100
		lossyConn := &lossy{Conn: conn, failAt: failAt}
		l := loader.New(loader.Config{
			Source: s, Table: loader.Events(), Database: db, DeadLetter: filepath.Join(dir, "dead"),
			Connect: func(context.Context) (driver.Conn, error) { return lossyConn, nil },
		})
		if err := l.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !lossyConn.lost {
			t.Fatalf("the reply to statement %d was not lost", failAt)
		}
		for query, want := range map[string]uint64{
			"SELECT count() FROM DB.events": total,
			"SELECT toUInt64(arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(events))) FROM DB.visitor_activity": total,
			"SELECT sum(n) FROM DB.ledger FINAL WHERE reason = 'accepted'":                                             total,
			"SELECT sum(rows) FROM DB.loads FINAL":                                                                     total,
			"SELECT uniqExact(spool, segment) FROM DB.visitor_changes":                                                 uint64(failAt),
			"SELECT uniqExact(spool, segment) FROM DB.loads":                                                           uint64(failAt),
		} {
			if got := scalar(t, conn, strings.ReplaceAll(query, "DB", db)); got != want {
				t.Errorf("reply %d lost: %s = %d, want %d", failAt, query, got, want)
			}
		}
	}
}

func TestRecordThatIsNoRowGoesToTheDeadLetter(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	good := pageView(1)
	if err := s.Append([]spool.Entry{{Site: "demo", Payload: good[:20]}, {Site: "demo", Payload: good}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: dead})
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := scalar(t, conn, "SELECT count() FROM "+db+".events"); got != 1 {
		t.Errorf("%d rows, want the good one", got)
	}
	for _, reason := range []string{"dead-letter", "stored"} {
		if got := scalar(t, conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE site = 'demo' AND reason = '"+reason+"'"); got != map[string]uint64{"dead-letter": 1, "stored": 2}[reason] {
			t.Errorf("ledger: %d %s at the site", got, reason)
		}
	}
	day := time.Now().UTC()
	if got := scalar(t, conn, fmt.Sprintf("SELECT count() FROM %s.report_ledger(since = '%s', until = '%s') WHERE site = 'demo' AND accepted = 2 AND dead_letters = 1 AND still_there = 1 AND gone = 0 AND unexplained = 0",
		db, day.AddDate(0, 0, -1).Format(time.DateOnly), day.Format(time.DateOnly))); got != 1 {
		t.Error("report_ledger does not close")
	}
	letters, err := os.ReadFile(dead)
	if err != nil || strings.Count(string(letters), "\n") != 1 || !strings.Contains(string(letters), "too short") {
		t.Errorf("dead letters %q, %v: want one line with its reason", letters, err)
	}
}

func TestOutageEndsInEveryBatchLoaded(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	for n := range 7 {
		fill(t, s, n*100, n*100+100)
	}
	down := true
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Database: db, DeadLetter: filepath.Join(dir, "dead"),
		Connect: func(ctx context.Context) (driver.Conn, error) {
			if down {
				down = false
				return nil, fmt.Errorf("connection refused")
			}
			return connect(ctx)
		},
	})
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := scalar(t, conn, "SELECT uniqExact(event_id) FROM "+db+".events"); got != 700 {
		t.Errorf("%d events, want 700", got)
	}
}

func TestDrainWithoutAServerEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	fill(t, s, 0, 10)
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Database: db, DeadLetter: filepath.Join(dir, "dead"),
		Connect: func(context.Context) (driver.Conn, error) { return nil, fmt.Errorf("nobody listens") },
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- l.Drain(ctx) }()
	select {
	case err := <-drained:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still draining")
	}
	if n := s.Stats().Segments; n != 1 {
		t.Errorf("%d segments are left on disk, want the one that nobody took", n)
	}
}

// told is a spool that notes how long its batches were told to gather.
type told struct {
	*spool.Spool
	intervals chan time.Duration
}

func (s told) Sealing(interval time.Duration) {
	s.Spool.Sealing(interval)
	s.intervals <- interval
}

// slow takes its time over every statement.
type slow struct{ driver.Conn }

func (c slow) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	time.Sleep(20 * time.Millisecond)
	return c.Conn.PrepareBatch(ctx, query, opts...)
}

func (c slow) Close() error { return nil } // the test's connection lives on

func TestBatchesGatherWhileInsertsAreSlowAndNotAfterAQuietTime(t *testing.T) {
	conn, _ := server(t)
	dir := t.TempDir()
	s := told{openSpool(t, dir), make(chan time.Duration, 10)}
	fill(t, s.Spool, 0, 10)
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Database: db, DeadLetter: filepath.Join(dir, "dead"),
		Connect: func(context.Context) (driver.Conn, error) { return slow{conn}, nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	busy, quiet := <-s.intervals, <-s.intervals
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if busy < 8*60*time.Millisecond || busy > 10*time.Second || quiet != 250*time.Millisecond {
		t.Errorf("a batch gathers for %s after slow inserts and for %s after a quiet time, want 480 ms or more, up to 10 s, then 250 ms", busy, quiet)
	}
}

// forgetful is a spool whose Done fails at first, as it does when no file can be opened.
type forgetful struct {
	*spool.Spool
	faults int
}

func (s *forgetful) Done(id spool.BatchID) error {
	if s.faults--; s.faults >= 0 {
		return fmt.Errorf("too many open files")
	}
	return s.Spool.Done(id)
}

func TestPassingLocalFaultsEndNothing(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := &forgetful{openSpool(t, dir), 2}
	good := pageView(1)
	if err := s.Append([]spool.Entry{{Site: "demo", Payload: good[:20]}, {Site: "demo", Payload: good}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	letters := filepath.Join(dir, "no room yet", "dead") // cannot be opened, as on a full disk
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: letters})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if err := os.Mkdir(filepath.Dir(letters), 0o750); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); s.Stats().Segments > 0; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("the loader ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the batch is still there after 20 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := scalar(t, conn, "SELECT count() FROM "+db+".events"); n != 1 {
		t.Errorf("%d rows, want the good one once", n)
	}
	if n := scalar(t, conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE reason = 'dead-letter'"); n != 1 {
		t.Errorf("%d dead letters in the ledger, want 1", n)
	}
}

func TestFullDeadLetterFileHoldsTheBatchBackAndLosesNothing(t *testing.T) {
	conn, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	good := pageView(1)
	if err := s.Append([]spool.Entry{{Site: "demo", Payload: good[:20]}, {Site: "demo", Payload: good}}, nil); err != nil {
		t.Fatal(err)
	}
	seal(t, s)
	dead := filepath.Join(dir, "dead")
	if err := os.WriteFile(dead, []byte("what was there before"), 0o640); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: dead, MaxDeadLetters: 10, Registerer: reg})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	until(t, "the batch is refused", func() bool { return failures(t, reg)["dead-letter"] > 0 })
	if n := scalar(t, conn, "SELECT count() FROM "+db+".events"); n != 0 || metric(t, reg, "beckon_loader_dead_letter_file_bytes") != 21 {
		t.Errorf("%d rows, of a batch that has to wait", n)
	}
	if err := os.Rename(dead, dead+".old"); err != nil {
		t.Fatal(err)
	}
	until(t, "the batch is in", func() bool { return s.Stats().Segments == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := scalar(t, conn, "SELECT count() FROM "+db+".events"); n != 1 {
		t.Errorf("%d rows, want the good one", n)
	}
}
