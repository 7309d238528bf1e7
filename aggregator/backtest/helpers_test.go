package backtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/loader"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/schema"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

const db = "beckon"

var drawKey = [32]byte{1, 2, 3}

// shop is a ClickHouse with the schema, and the real way of events into it.
type shop struct {
	t       *testing.T
	conn    driver.Conn
	connect func(context.Context) (driver.Conn, error)
	events  *spool.Spool
	load    *loader.Loader
	n       int
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t}
	server := chlocal.ForTest(t)
	s.connect = func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, server.DSN()) }
	conn, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.conn = conn
	if err := schema.Apply(t.Context(), conn, db); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if s.events, err = spool.Open(dir, spool.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.events.Close() })
	s.load = loader.New(loader.Config{Source: s.events, Table: loader.Events(), Connect: s.connect, Database: db, DeadLetter: filepath.Join(dir, "dead")})
	return s
}

// bring loads the events as one batch.
func (s *shop) bring(events ...*event.Event) {
	s.t.Helper()
	entries := make([]spool.Entry, len(events))
	for i, e := range events {
		entries[i] = spool.Entry{Site: "demo", Payload: e.AppendTo(nil)}
	}
	if err := s.events.Append(entries, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := s.events.Seal(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.load.Drain(ctx); err != nil {
		s.t.Fatal(err)
	}
	if s.events.Stats().Segments != 0 {
		s.t.Fatal("the batch was not loaded within 30 s")
	}
}

func hash(format string, args ...any) privacy.ID {
	return privacy.KeyedID(&keyring.Key{7}, "test", fmt.Appendf(nil, format, args...))
}

// event is one of a visitor in a session, both by name.
func (s *shop) event(kind event.Kind, visitor, session string, at time.Time) *event.Event {
	s.n++
	day := uint16(time.Now().Unix()/86400) + 395
	return &event.Event{
		Kind: kind, Source: event.SourceBeacon, Lane: privacy.LaneDecide, Cause: privacy.CauseChoice,
		ID: event.UUID{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, byte(s.n >> 24), byte(s.n >> 16), byte(s.n >> 8), byte(s.n)}, ReceivedAt: time.Now().UnixMilli(), OccurredAt: at.UnixMilli(),
		Site: privacy.NewBucket("demo"), Environment: privacy.NewBucket("production"), Visitor: hash("%s", visitor), Session: hash("%s", session),
		Rate: event.RateScale, ExpiresDay: day, ProfileExpiresDay: day,
	}
}

func euros(v float64) event.Amount {
	return event.Amount{Units: int64(v * event.AmountScale), Set: true}
}

// sites is a file with one shop in Berlin and these offers.
func sites(t testing.TB, offers string) *site.Site {
	t.Helper()
	f, err := site.Parse("sites.yaml", []byte("sites:\n  - id: demo\n    origins: [http://shop.example]\n    currency: EUR\n    timezone: Europe/Berlin\n    offers:\n"+offers))
	if err != nil {
		t.Fatal(err)
	}
	return f.Sites[0]
}

func (s *shop) options(st *site.Site, offer string, days int, now time.Time) Options {
	return Options{Site: st, Offer: offer, Days: days, Now: now, Conn: s.conn, Database: db, DrawKey: &drawKey}
}

// midnight is the beginning of a day of the shop, some days ago.
func midnight(st *site.Site, now time.Time, ago int) time.Time {
	local := now.In(st.Timezone)
	return time.Date(local.Year(), local.Month(), local.Day()-ago, 0, 0, 0, 0, st.Timezone)
}

// tenthHeldOut has an offer with a holdout of a tenth.
func tenthHeldOut() *site.Site {
	f, err := site.Parse("sites.yaml", []byte("sites: [{id: demo, origins: [http://shop.example], currency: EUR, holdout: 10%, offers: [{id: welcome-back, when: \"true\", discount: {percent: 10}}]}]"))
	if err != nil {
		panic(err)
	}
	return f.Sites[0]
}
