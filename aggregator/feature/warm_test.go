package feature_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/event"
)

func TestAStartIsWarmWithTheVisitorsOfTheLastHalfHour(t *testing.T) {
	s := newShop(t)
	now := time.Now()
	for i, ago := range map[string]time.Duration{"latest": time.Minute, "late": 10 * time.Minute, "early": 25 * time.Minute, "gone": time.Hour} {
		visitor := hash("%s", i)
		s.bring(newEvent(event.PageView, int(ago.Minutes()), visitor, hash("s"), now.Add(-ago)))
		id := visitor.Bytes()
		if err := s.conn.Exec(t.Context(), "INSERT INTO "+db+".eligibility (site, visitor, decided_at, expires) VALUES ('demo', ?, ?, today() + 90)", string(id[:]), now.Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	f := func(limit int, want ...string) {
		t.Helper()
		store, err := feature.NewStore(1000)
		if err != nil {
			t.Fatal(err)
		}
		w := feature.NewWarmer(reader, store, limit, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		<-w.Done()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, name := range want {
			if p := store.Get(key(hash("%s", name))); p == nil || p.At(now).Pageviews1d != 1 {
				t.Errorf("limit %d: of the visitor %q there is %+v", limit, name, p)
			}
		}
		if store.Len() != len(want) {
			t.Errorf("limit %d: %d visitors, want %v", limit, store.Len(), want)
		}
	}
	f(100, "latest", "late", "early")
	f(2, "latest", "late")
	reader.Close() // ClickHouse goes away
	f(100)
}
