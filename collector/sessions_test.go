package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/collector/ingest"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/schema"
)

// truth finds the sessions in the raw events alone: a new one begins with the first event, and after 30 minutes of
// silence. What the collector called a session, by its cookie, is not looked at.
const truth = `SELECT visitor, min(occurred_at) AS started, max(occurred_at) AS ended, count() AS events
FROM (
	SELECT visitor, occurred_at,
		sum(dateDiff('millisecond', before, occurred_at) >= 1800000) OVER (PARTITION BY visitor ORDER BY occurred_at, event_id) AS number
	FROM (
		SELECT visitor, occurred_at, event_id,
			lagInFrame(occurred_at) OVER (PARTITION BY visitor ORDER BY occurred_at, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
		FROM beckon.events WHERE lane = 'decide' AND bot = 0 AND kind != 'consent'))
GROUP BY visitor, number`

const storedSessions = `SELECT max(visitor) AS visitor, min(started_at) AS started, max(ended_at) AS ended, length(groupUniqArrayArray(events)) AS events
FROM beckon.sessions GROUP BY session`

// visit is one request that a shopper will make.
type visit struct {
	shopper int
	at      time.Time
	tab     bool // another tab, which still has the cookie from before the request before
}

// histories invents what shoppers do, in the order of time. No pause is of 29 to 31 minutes, where it depends on how
// the cookie counts. Nobody is at it for a day without a pause.
func histories(rng *rand.Rand, from time.Time, shoppers int) (all []visit) {
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	for s := range shoppers {
		at, sinceBreak := from.Add(upTo(24*time.Hour)), time.Duration(0)
		for range 5 + rng.IntN(40) {
			all = append(all, visit{s, at, false})
			// A second tab loads in the same minute: later, two that wake up alone have two sessions, which is known.
			if in := at.Add(upTo(20 * time.Second)); rng.IntN(4) == 0 && in.Truncate(time.Minute).Equal(at.Truncate(time.Minute)) {
				all = append(all, visit{s, in, true})
				at = in
			}
			pause := upTo(29*time.Minute - time.Second)
			if rng.IntN(3) == 0 {
				pause = upTo(2 * time.Minute)
			}
			if sinceBreak += pause; rng.IntN(6) == 0 || sinceBreak > 20*time.Hour {
				pause, sinceBreak = 31*time.Minute+time.Second+upTo(3*time.Hour), 0
			}
			at = at.Add(pause.Truncate(time.Millisecond))
		}
	}
	slices.SortStableFunc(all, func(a, b visit) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return all
}

// house is the collectors of one shop: they share its keys, and each has a spool of its own.
type house struct {
	*testing.T
	dir     string
	now     time.Time
	sites   *site.Registry
	keys    *keyring.Ring
	connect func(context.Context) (driver.Conn, error)
	spools  [2]*spool.Spool
	servers [2]*ingest.Server
}

// start starts a collector, or starts it again.
func (h *house) start(i int) {
	h.Helper()
	if h.spools[i] != nil {
		h.load(i)
		if err := h.spools[i].Close(); err != nil {
			h.Fatal(err)
		}
	}
	var err error
	if h.spools[i], err = spool.Open(filepath.Join(h.dir, fmt.Sprint("spool", i)), spool.Options{Sync: spool.SyncOS}); err != nil {
		h.Fatal(err)
	}
	h.servers[i], err = ingest.New(ingest.Config{
		Spool: h.spools[i], Sites: h.sites, Keys: h.keys, Agents: privacy.NewAgents(100),
		Now: func() time.Time { return h.now }, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		h.Fatal(err)
	}
}

// load brings what a collector has to ClickHouse.
func (h *house) load(i int) {
	h.Helper()
	if err := h.spools[i].Seal(); err != nil {
		h.Fatal(err)
	}
	l := loader.New(loader.Config{
		Source: h.spools[i], Table: loader.Events(), Database: database, DeadLetter: filepath.Join(h.dir, "dead"),
		Connect: h.connect, Registerer: prometheus.NewRegistry(),
	})
	if err := l.Drain(h.Context()); err != nil {
		h.Fatal(err)
	}
}

const database = "beckon"

// ask sends a page view with that cookie and returns the cookie that the browser has then.
func (h *house) ask(i int, at time.Time, cookie string) string {
	h.Helper()
	h.now = at
	var req fasthttp.Request
	req.SetRequestURI("/p.gif?s=demo&n=page_view&u=/")
	req.Header.SetUserAgent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if cookie != "" {
		req.Header.SetCookie("_bk_demo", cookie)
	}
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, nil, nil)
	h.servers[i].Handler(&ctx)
	if ctx.Response.StatusCode() != 200 || !strings.HasPrefix(string(ctx.Response.Header.Peek("Beckon-Lane")), "decide;") {
		h.Fatalf("got %d, lane %s", ctx.Response.StatusCode(), ctx.Response.Header.Peek("Beckon-Lane"))
	}
	var c fasthttp.Cookie
	c.SetKey("_bk_demo")
	if ctx.Response.Header.Cookie(&c) {
		return string(c.Value())
	}
	return cookie
}

func (h *house) count(conn driver.Conn, query string) (n uint64) {
	h.Helper()
	if err := conn.QueryRow(h.Context(), "SELECT count() FROM ("+query+")").Scan(&n); err != nil {
		h.Fatalf("%s: %v", query, err)
	}
	return n
}

// Random shoppers, with tabs, through two collectors that restart in between: what the cookie called a session is what
// the raw events say.
func TestStoredSessionsAreThoseOfTheRawEvents(t *testing.T) {
	c := ready(t)
	dsn := chlocal.ForTest(t).DSN()
	h := &house{T: t, dir: t.TempDir(), connect: func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, dsn) }}
	conn, err := h.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, database); err != nil {
		t.Fatal(err)
	}
	if h.sites, err = site.Open(c.Sites); err != nil {
		t.Fatal(err)
	}
	if h.keys, err = keyring.Open(c.KeyringDir); err != nil {
		t.Fatal(err)
	}
	h.start(0)
	h.start(1)
	const shoppers = 60
	rng := rand.New(rand.NewPCG(20261127, 3))
	all := histories(rng, time.Now().UTC().Truncate(time.Minute).Add(-10*24*time.Hour), shoppers)
	var has, had [shoppers]string // cookies: of the browser, and before its last request
	for n, v := range all {
		cookie := has[v.shopper]
		if v.tab && had[v.shopper] != "" {
			cookie = had[v.shopper]
		}
		had[v.shopper] = cookie
		if got := h.ask(rng.IntN(2), v.at, cookie); !v.tab || got != cookie {
			has[v.shopper] = got
		}
		if n%(len(all)/5) == 0 {
			h.start(rng.IntN(2))
		}
	}
	h.load(0)
	h.load(1)
	sessions := h.count(conn, truth)
	t.Logf("%d requests of %d shoppers: %d sessions", len(all), shoppers, sessions)
	if n := h.count(conn, "SELECT * FROM beckon.events"); n != uint64(len(all)) || sessions < 3*shoppers {
		t.Fatalf("%d events, %d sessions: too few", n, sessions)
	}
	if n := h.count(conn, "SELECT DISTINCT visitor FROM beckon.events"); n != shoppers {
		t.Errorf("%d visitors, want %d", n, shoppers)
	}
	for _, difference := range []string{storedSessions + " EXCEPT " + truth, truth + " EXCEPT " + storedSessions} {
		if n := h.count(conn, difference); n != 0 {
			t.Errorf("%d of %d sessions differ:\n%s", n, sessions, difference)
		}
	}
}
