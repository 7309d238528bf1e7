package feature_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/privacy"
)

// TestReadAgreesWithRawEvents compares what Reader and Profile.At say with a recomputation from the
// raw events, over random shoppers whose events come shuffled, in several batches, some twice.
func TestReadAgreesWithRawEvents(t *testing.T) {
	s := newShop(t)
	now := time.Now()
	r := rand.New(rand.NewPCG(1, 2))
	all := history(r, 12, 60, now)
	loadShuffled(s, r, all)

	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	var keys []feature.Key
	var want []feature.Features
	for visitor, events := range all {
		keys = append(keys, key(visitor))
		want = append(want, naive(events, now))
	}
	profiles, err := reader.Read(t.Context(), "demo", keys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		if got := profiles[i].At(now); !same(got, want[i]) {
			t.Errorf("visitor %d:\ngot  %+v\nwant %+v", i, got, want[i])
		}
	}
	// Windows slide without another read.
	for _, later := range []time.Duration{time.Hour, 26 * time.Hour, 8 * 24 * time.Hour} {
		then := now.Add(later)
		for i, k := range keys {
			if got, want := profiles[i].At(then), naive(all[privacy.StoredID(k.Visitor)], then); !same(got, want) {
				t.Errorf("visitor %d, %s later:\ngot  %+v\nwant %+v", i, later, got, want)
			}
		}
	}
}

// TestSQLAgreesWithAt holds that the SQL which documents a feature gives the value that rules see.
func TestSQLAgreesWithAt(t *testing.T) {
	s := newShop(t)
	now := time.Now().Truncate(time.Millisecond)
	r := rand.New(rand.NewPCG(3, 4))
	all := history(r, 4, 60, now)
	loadShuffled(s, r, all)
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	for visitor := range all {
		profiles, err := reader.Read(t.Context(), "demo", []feature.Key{key(visitor)})
		if err != nil {
			t.Fatal(err)
		}
		values := profiles[0].At(now)
		for _, f := range feature.All {
			query := strings.ReplaceAll("SELECT toString("+f.SQL()+") FROM {database}.visitor_activity WHERE site = {site:String} AND visitor = unhex({visitor:String})", "{database}", db)
			ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{
				"site": "demo", "visitor": visitor.Hex(), "now": now.UTC().Format("2006-01-02 15:04:05.000"),
			}))
			var got string
			if err := s.conn.QueryRow(ctx, query).Scan(&got); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if want := feature.Text(&f, &values); !sameText(got, want) {
				t.Errorf("%s: SQL says %q, rules see %q", f.Name, got, want)
			}
		}
	}
}

func loadShuffled(s *shop, r *rand.Rand, all map[privacy.ID][]*event.Event) {
	var events []*event.Event
	for _, more := range all {
		events = append(events, more...)
	}
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	third := len(events) / 3
	s.bring(events[:third]...)
	s.bring(events[third:]...)
	s.bring(events[third-20 : third+20]...) // repeats beyond the duplicate window
}

// same compares features; money may differ in the last bit of a float.
func same(a, b feature.Features) bool {
	if math.Abs(a.Revenue90d-b.Revenue90d) > 1e-6 || math.Abs(a.CartValue-b.CartValue) > 1e-9 {
		return false
	}
	a.Revenue90d, a.CartValue = b.Revenue90d, b.CartValue
	return a == b
}

func sameText(a, b string) bool {
	a = strings.NewReplacer("true", "1", "false", "0").Replace(a)
	b = strings.NewReplacer("true", "1", "false", "0").Replace(b)
	if x, err := strconv.ParseFloat(a, 64); err == nil {
		if y, err := strconv.ParseFloat(b, 64); err == nil {
			return math.Abs(x-y) < 1e-6
		}
	}
	return a == b
}

func TestEmptyProfileIsAStranger(t *testing.T) {
	got := (&feature.Profile{}).At(time.Now())
	want := feature.Features{MinutesSinceLastSeen: feature.NeverMinutes, MinutesSinceCart: feature.NeverMinutes, LastOfferMinutes: feature.NeverMinutes}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFeatureNamesAndTypesAgree(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range feature.All {
		if seen[f.Name] || f.Doc == "" || f.Aggregate == "" {
			t.Errorf("%s: listed twice, or without description or SQL", f.Name)
		}
		seen[f.Name] = true
		want := map[feature.Type]reflect.Kind{feature.Int: reflect.Int64, feature.Double: reflect.Float64, feature.String: reflect.String, feature.Bool: reflect.Bool}[f.Type]
		if got := reflect.TypeOf(f.Get(&feature.Features{})).Kind(); got != want {
			t.Errorf("%s is a %s and listed as %s", f.Name, got, f.Type)
		}
	}
	if n := reflect.TypeFor[feature.Features]().NumField(); n != len(feature.All) {
		t.Errorf("%d values in Features, %d features listed", n, len(feature.All))
	}
}

// follow runs a follower on its own store until the test ends.
func follow(t *testing.T, s *shop, changed func([]feature.Key)) (*feature.Follower, *feature.Store) {
	t.Helper()
	store, err := feature.NewStore(1000)
	if err != nil {
		t.Fatal(err)
	}
	reader := feature.NewReader(db, s.connect)
	f := feature.NewFollower(reader, store, changed, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended; reader.Close() })
	return f, store
}

// eventually polls until ok, for at most 15 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func TestFollowerSeesEveryChangeAcrossARestartOfClickHouse(t *testing.T) {
	s := newShop(t)
	visitor, session := hash("v"), hash("s")
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })

	pageviews := func() int64 {
		if p := store.Get(key(visitor)); p != nil {
			return p.At(time.Now()).Pageviews1d
		}
		return 0
	}
	s.bring(newEvent(event.PageView, 1, visitor, session, time.Now()))
	eventually(t, "one page view", func() bool { return pageviews() == 1 })

	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	stood := f.CompleteAt()
	eventually(t, "memory answers while ClickHouse is down", func() bool { return pageviews() == 1 && time.Since(stood) > 300*time.Millisecond })
	if at := f.CompleteAt(); time.Since(at) < 200*time.Millisecond {
		t.Errorf("complete %s ago although ClickHouse is down", time.Since(at))
	}
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.bring(newEvent(event.PageView, 2, visitor, session, time.Now()))
	eventually(t, "two page views after the restart", func() bool { return pageviews() == 2 })
}

func TestFollowerFindsTheVisitorOfAServersOrder(t *testing.T) {
	s := newShop(t)
	visitor, session := hash("v"), hash("s")
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	bought := newEvent(event.Purchase, 1, visitor, session, time.Now())
	bought.Order, bought.Value = hash("order"), event.Amount{Units: 500_000, Set: true}
	s.bring(bought)
	revenue := func() float64 {
		if p := store.Get(key(visitor)); p != nil {
			return p.At(time.Now()).Revenue90d
		}
		return -1
	}
	eventually(t, "revenue of the purchase", func() bool { return revenue() == 50 })
	refund := newEvent(event.Refund, 2, privacy.ID{}, privacy.ID{}, time.Now())
	refund.Source, refund.Order, refund.Value = event.SourceServer, bought.Order, event.Amount{Units: 200_000, Set: true}
	s.bring(refund)
	eventually(t, "revenue less the refund", func() bool { return revenue() == 30 })
}

func TestOrderPlacedWithADecisionUsesItsGrant(t *testing.T) {
	s := newShop(t)
	visitor, session, decision, other := hash("v"), hash("s"), hash("decision"), hash("other decision")
	now := time.Now().Truncate(time.Second)
	for i, id := range []privacy.ID{decision, other, decision} { // the first is served in two places, and counts from the earlier
		d, v, in := id.Bytes(), visitor.Bytes(), session.Bytes()
		err := s.conn.Exec(t.Context(), "INSERT INTO "+db+".decisions (site, visitor, session, decision_id, offer, rule, arm, first_serve, decided_at, valid_until, expires) "+
			"VALUES (?, ?, ?, ?, 'welcome-back', 'welcome-back@00000000', 'treatment', 1, ?, ?, today() + 90)",
			"demo", string(v[:]), string(in[:]), string(d[:]), now.Add(-time.Duration(i)*time.Minute), now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
	}
	bought := newEvent(event.Purchase, 1, visitor, session, now)
	bought.Order, bought.Value = hash("order"), event.Amount{Units: 500_000, Set: true}
	bought.Decision = privacy.NewLabel([]byte(decision.Hex()))
	s.bring(bought)
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	profiles, err := reader.Read(t.Context(), "demo", []feature.Key{key(visitor)})
	if err != nil {
		t.Fatal(err)
	}
	if len(profiles[0].Serves) != 2 {
		t.Fatalf("serves %+v, want two", profiles[0].Serves)
	}
	for i, serve := range profiles[0].Serves {
		if want := now.Add(-time.Duration(2-i) * time.Minute); !serve.At.Equal(want) {
			t.Errorf("serve %d is of %s, want %s, the oldest first", i, serve.At, want)
		}
		if serve.Used != (serve.DecisionID == decision) || serve.Session != session || !serve.ValidUntil.After(now) {
			t.Errorf("serve %+v: used is wrong, or it lost something on its way", serve)
		}
	}
}

func TestColdLookUpIsBoundedByItsDeadline(t *testing.T) {
	s := newShop(t)
	visitor := hash("v")
	s.bring(newEvent(event.PageView, 1, visitor, hash("s"), time.Now()))
	store, err := feature.NewStore(1000)
	if err != nil {
		t.Fatal(err)
	}
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	cold := feature.NewCold(reader, store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	short, stop := context.WithTimeout(ctx, 10*time.Millisecond)
	defer stop()
	if p := cold.Load(short, key(visitor)); p != nil { // Run has not begun: nobody answers
		t.Fatal("an answer from nowhere")
	}
	go cold.Run(ctx)
	p := cold.Load(ctx, key(visitor))
	if p == nil || p.At(time.Now()).Pageviews1d != 1 {
		t.Fatalf("cold profile %+v, want one page view", p)
	}
	if stranger := cold.Load(ctx, key(hash("nobody"))); stranger == nil || len(stranger.Hours) != 0 {
		t.Fatalf("profile of a stranger %+v, want an empty one", stranger)
	}
}

func TestALateBatchHasThoseReadAgainWhoAreKnownAndNobodyElse(t *testing.T) {
	s := newShop(t)
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	pageviews := func(visitor string) int64 {
		if p := store.Get(key(hash("%s", visitor))); p != nil {
			return p.At(time.Now()).Pageviews1d
		}
		return 0
	}
	view := func(n int, visitor string) *event.Event {
		return newEvent(event.PageView, n, hash("%s", visitor), hash("s"), time.Now())
	}
	s.bring(view(1, "known"))
	eventually(t, "who is shopping now", func() bool { return pageviews("known") == 1 })

	s.reopen(func() time.Time { return time.Now().Add(-time.Minute) }) // what is appended now was so a minute ago
	s.bring(view(2, "known"), view(3, "gone"))
	loaded := time.Now()
	s.reopen(time.Now)
	s.bring(view(4, "new"))
	eventually(t, "who came after the late batch", func() bool { return pageviews("new") == 1 })
	eventually(t, "who is known, of the late batch", func() bool { return pageviews("known") == 2 })
	eventually(t, "a complete look", func() bool { return f.CompleteAt().After(loaded) })
	if pageviews("gone") != 0 {
		t.Error("somebody was read who has not been here for a minute and is in no store")
	}
}

func TestBatchesThatAllComeLateDoNotHoldUpTheFeed(t *testing.T) {
	s := newShop(t)
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	known := hash("known")
	store.Put(key(known), &feature.Profile{}, time.Now())
	s.reopen(func() time.Time { return time.Now().Add(-11 * time.Second) }) // what is appended now was so 11 s ago
	n, began := 0, time.Now()
	eventually(t, "the feed moves on between batches that are all late", func() bool {
		n++
		s.bring(newEvent(event.PageView, n, known, hash("s"), time.Now()))
		return f.CompleteAt().After(began.Add(time.Second))
	})
	eventually(t, "who is known is read again", func() bool { return store.Get(key(known)).At(time.Now()).Pageviews1d == int64(n) })
}

func TestACollectorWhoseClockIsSlowIsNotLate(t *testing.T) {
	s := newShop(t)
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	visitor := hash("nobody has asked for").Bytes()
	for _, insert := range []string{
		"INSERT INTO DB.visitor_changes (spool, segment, site, visitor, order_key, expires) SELECT 's', 1, 'demo', unhex('" + hex.EncodeToString(visitor[:]) + "'), '', today() + 1",
		"INSERT INTO DB.loads (table_name, spool, segment, rows, first_received, last_received, waited_ms) SELECT 'events', 's', 1, 1, now64(3) - 60, now64(3) - 60, 200",
	} {
		if err := s.conn.Exec(t.Context(), strings.ReplaceAll(insert, "DB", db)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "who was there a moment ago by the collector's clock, a minute ago by ClickHouse's", func() bool { return store.Len() == 1 })
}

func TestABatchWhoseRowIsSeenLateIsNotMissed(t *testing.T) {
	s := newShop(t)
	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	visitor := hash("v").Bytes()
	for _, insert := range []string{
		"INSERT INTO DB.visitor_changes (spool, segment, site, visitor, order_key, expires) SELECT 's', 1, 'demo', unhex('" + hex.EncodeToString(visitor[:]) + "'), '', today() + 1",
		"INSERT INTO DB.loads (table_name, spool, segment, rows, first_received, last_received, waited_ms, loaded_at) SELECT 'events', 's', 1, 1, now64(3), now64(3), 0, now64(3) - 300",
	} {
		if err := s.conn.Exec(t.Context(), strings.ReplaceAll(insert, "DB", db)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a batch that was loaded five minutes ago by its row, which came just now", func() bool { return store.Len() == 1 })
}
