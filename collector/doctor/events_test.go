package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/schema"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

func TestEvents(t *testing.T) {
	dsn := chlocal.ForTest(t).DSN()
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, dsn) }
	conn, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, "beckon"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := Config{Site: "demo", Connect: connect, Database: "beckon", Timeout: 10 * time.Second, Now: time.Now}
	f := func(outcome Outcome, want string, change func(*Config)) {
		t.Helper()
		c := c
		change(&c)
		s := readStored(t.Context(), &c)
		if got := s.judge(now); got.Outcome != outcome || !strings.Contains(got.Seen+" -> "+got.Mend, want) {
			t.Errorf("found %s, want %s that says %q", got.says(), outcome, want)
		}
	}
	same := func(*Config) {}
	insert := func(site, lane, kind string, bot int, at time.Time) {
		t.Helper()
		text := at.UTC().Format("2006-01-02 15:04:05")
		if err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO beckon.events (site, environment, event_id, kind, source, lane, received_at, occurred_at, bot, expires)
			VALUES ('%s', 'production', toFixedString('%s', 16), '%s', 'beacon', '%s', '%s', '%s', %d, today() + 9)`, site, text[3:], kind, lane, text, text, bot)); err != nil {
			t.Fatal(err)
		}
	}
	f(Warning, "has no event of this site -> open the page", same)
	insert("other", "decide", "page_view", 0, now)
	f(Warning, "has no event of this site", same)
	insert("demo", "decide", "page_view", 0, now.Add(-30*time.Hour))
	f(Warning, "1 in all; in the last hour none of people -> nothing has come for over a day", same)
	insert("demo", "decide", "page_view", 0, now.Add(-2*time.Minute))
	insert("demo", "decide", "cart_view", 0, now.Add(-time.Minute))
	insert("demo", "count", "page_view", 0, now.Add(-2*time.Hour))
	insert("demo", "measure", "page_view", 0, now.Add(-3*time.Minute))
	insert("demo", "count", "page_view", 1, now.Add(-4*time.Minute))
	insert("demo", "decide", "consent", 0, now.Add(-5*time.Minute))
	f(OK, "the first event came "+now.Add(-30*time.Hour).UTC().Format(time.DateTime), same)
	f(OK, "7 in all; in the last hour 2 in decide and 1 in measure", same)
	f(NotChecked, "because ClickHouse does not answer", func(c *Config) { c.Database = "nowhere" })
	f(NotChecked, "because ClickHouse does not answer: no way", func(c *Config) {
		c.Connect = func(context.Context) (driver.Conn, error) { return nil, errors.New("no way\nat all") }
	})
}

func TestCounters(t *testing.T) {
	finds(t, "events", OK, "has stored 7 events of this site, 3 of them not yet in ClickHouse", func(*world) {})
	finds(t, "events", NotChecked, "name ClickHouse with --clickhouse-dsn", func(w *world) { w.noAdmin = true })
	finds(t, "events", NotChecked, "nobody listens at 127.0.0.1:1 -> --admin is the address", func(w *world) { w.admin = "127.0.0.1:1" })
	f := func(outcome Outcome, want, metrics, ledger string) {
		t.Helper()
		finds(t, "events", outcome, want, func(w *world) { w.admin = privatePort(w.t, metrics, ledger) }, "proxy")
	}
	const info = "# TYPE beckon_build_info gauge\nbeckon_build_info 1\n# TYPE beckon_ingest_events_total counter\n"
	count := func(outcome string, n int) string {
		return fmt.Sprintf("beckon_ingest_events_total{site=\"demo\",outcome=\"%s\"} %d\nbeckon_ingest_events_total{site=\"other\",outcome=\"%s\"} 99\n", outcome, n, outcome)
	}
	f(Warning, "has stored 0 events of this site, 0 of them", info+count("stored", 0), "[]")
	f(OK, "stored 5 events of this site, 0 of them not yet in ClickHouse; not stored: 2 bad-value", info+count("bad-value", 2)+count("stored", 5)+count("too-old", 0), "[]")
	f(NotChecked, "/metrics of the private port is not the collector's", "<html>", "[]")
	f(NotChecked, "/metrics of the private port is not the collector's", "", "[]")
	f(NotChecked, "/ledger of the private port is not the collector's", info, "<html>")
}

// privatePort has these two pages, and no probes.
func privatePort(t *testing.T, metrics, ledger string) string {
	mux := http.NewServeMux()
	for path, text := range map[string]string{"/metrics": metrics, "/ledger": ledger} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}
