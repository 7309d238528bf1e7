package suppress

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/schema"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

// A row bears the time at which its insert began, and is seen when that has ended.
func TestWeAskFurtherBackThanAnInsertMayTake(t *testing.T) {
	if askBack < loader.MaxPatience+2*askTimeout {
		t.Errorf("asks %s back, an insert may take %s", askBack, loader.MaxPatience)
	}
}

// A no whose row the spool refused, of somebody who did not say it again: the host's list is all that knows it, the
// process that took it has died, and ClickHouse was down meanwhile. The other host hears of it all the same.
func TestALineWithoutARowReachesOtherHosts(t *testing.T) {
	dsn := chlocal.ForTest(t).DSN()
	conn, err := chconn.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, "beckon"); err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	down.Store(true)
	connect := func(ctx context.Context) (driver.Conn, error) {
		if down.Load() {
			return nil, errors.New("connection refused")
		}
		return chconn.Open(ctx, dsn)
	}
	now := time.Now().Truncate(time.Millisecond)
	entry := func(name string, age time.Duration) Entry {
		return Entry{privacy.KeyedID(&keyring.Key{1}, "test", []byte(name)), privacy.CauseDenied, now.Add(-age)}
	}
	lost, young, told, over := entry("lost", time.Hour), entry("young", time.Second), entry("told", time.Hour), entry("over", life-time.Hour)
	widened := Entry{entry("widened", 0).Key, privacy.CauseOptOut, now.Add(-time.Hour)}

	here := filepath.Join(t.TempDir(), "suppressed")
	before, err := Open(here, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Add(lost, young, told, over, widened); err != nil {
		t.Fatal(err)
	}
	before.Close()
	for _, e := range []Entry{told, {widened.Key, privacy.CauseDenied, widened.At}} {
		query := "INSERT INTO beckon.suppressed SELECT 'demo', unhex(?), 'denied', fromUnixTimestamp64Milli(?), now64(3), today() + 300"
		if err := conn.Exec(t.Context(), query, e.Key.Hex(), e.At.UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}

	follow := func(dir string) *List {
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		table := &Table{List: l, Connect: connect, Database: "beckon", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); table.Follow(ctx) }()
		t.Cleanup(func() { cancel(); <-ended; l.Close() })
		return l
	}
	follow(here)
	there := follow(filepath.Join(t.TempDir(), "suppressed"))
	if cause, _ := there.Find(lost.Key); cause != privacy.CauseNone {
		t.Fatalf("the other host knows already: %s", cause)
	}
	down.Store(false)
	for _, e := range []Entry{lost, told, widened} {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if cause, at := there.Find(e.Key); cause != privacy.CauseNone && at.Equal(e.At) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the other host does not hear of %s of %s", e.Cause, e.At)
			}
		}
	}
	f := func(name string, e Entry, rows uint64) {
		t.Helper()
		var n uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM beckon.suppressed WHERE suppress_key = unhex(?)", e.Key.Hex()).Scan(&n); err != nil || n != rows {
			t.Errorf("%s: %d rows (%v), want %d", name, n, err, rows)
		}
	}
	f("lost", lost, 1)
	f("young, whose row may be on its way", young, 0)
	f("told by its row", told, 1)
	f("over today, in days", over, 0)
	f("denied there, opted out here", widened, 2)
}
