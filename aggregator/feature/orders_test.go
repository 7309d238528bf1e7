package feature_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"beckon/aggregator/feature"
	"beckon/internal/event"
)

// placeOrders makes a program that has placed orders, one a minute up to now, the newest 900 of 1.00 each and the others
// of nothing. Each visitor has the same number.
func (s *shop) placeOrders(orders int, visitors ...string) {
	s.t.Helper()
	for _, visitor := range visitors {
		id := hash("%s", visitor).Bytes()
		insert := fmt.Sprintf("INSERT INTO %s.events (event_id, site, lane, kind, source, bot, visitor, session, order_key, occurred_at, received_at, value, rate, currency, expires, profile_expires) "+
			"SELECT toFixedString(substring(MD5(concat(x, toString(number))), 1, 16), 16), 'demo', 'decide', 'purchase', 'beacon', 0, unhex('%s'), toFixedString('s', 16), MD5(concat(x, 'o', toString(number))), "+
			"now64(3) - number * 60, now64(3), if(number < 900, 1, 0), 1, 'EUR', today() + 200, today() + 200 FROM (SELECT '%s' AS x, number FROM numbers(%d))",
			db, hex.EncodeToString(id[:]), visitor, orders)
		if err := s.conn.Exec(s.t.Context(), insert); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestAVisitorWhoMakesUpOrdersIsReadLikeAnyOther(t *testing.T) {
	s := newShop(t)
	s.placeOrders(100_000, "program")
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	now := time.Now()
	profiles, err := reader.Read(t.Context(), "demo", []feature.Key{key(hash("program"))})
	if err != nil {
		t.Fatal(err)
	}
	p := profiles[0]
	if len(p.Orders) != 1000 || p.MoreOrders != 1 {
		t.Errorf("%d orders are read and %d left, want the newest 1,000, and that there are more", len(p.Orders), p.MoreOrders)
	}
	if f := p.At(now); f.Purchases90d != 1001 || f.Revenue90d != 900 {
		t.Errorf("%d purchases of %v, want 1001 of 900", f.Purchases90d, f.Revenue90d)
	}
	if p.At(now.Add(200*24*time.Hour)).Purchases90d == 0 {
		t.Error("orders that were left out do not count as bought")
	}
	if !p.HasUsed(hash("decision")) {
		t.Error("an offer that may have been used can be used again")
	}
	for _, f := range feature.All {
		if f.Name != "purchases_90d" {
			continue
		}
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{
			"site": "demo", "visitor": hash("program").Hex(), "now": now.UTC().Format("2006-01-02 15:04:05.000"),
		}))
		var got uint64
		if err := s.conn.QueryRow(ctx, strings.ReplaceAll("SELECT toUInt64("+f.SQL()+")", "{database}", db)).Scan(&got); err != nil || got != 1001 {
			t.Errorf("%v, SQL says %d purchases, rules see 1001", err, got)
		}
	}

	f, store := follow(t, s, nil)
	eventually(t, "first look", func() bool { return !f.CompleteAt().IsZero() })
	s.bring(newEvent(event.PageView, 1, hash("program"), hash("s"), now), newEvent(event.PageView, 2, hash("person"), hash("s2"), now))
	for _, visitor := range []string{"program", "person"} {
		eventually(t, "the page view of the "+visitor, func() bool {
			p := store.Get(key(hash("%s", visitor)))
			return p != nil && p.At(now).Pageviews1d == 1
		})
	}
}

func TestManyVisitorsWhoMakeUpOrdersAreReadWithinBounds(t *testing.T) {
	s := newShop(t)
	var names []string
	var keys []feature.Key
	for n := range 16 {
		names = append(names, fmt.Sprint("program", n))
		keys = append(keys, key(hash("%s", names[n])))
	}
	s.placeOrders(1000, names...)
	s.placeOrders(3, "person")
	reader := feature.NewReader(db, s.connect)
	defer reader.Close()
	profiles, err := reader.Read(t.Context(), "demo", append(keys, key(hash("person"))))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i, p := range profiles[:16] {
		sum += len(p.Orders)
		if n := p.At(time.Now()).Purchases90d; n != 1000 {
			t.Errorf("program %d has %d purchases, want all 1000", i, n)
		}
	}
	if sum > 10_000 || sum < 5000 {
		t.Errorf("%d of 16,000 orders are read at once, want at most 10,000", sum)
	}
	if p := profiles[16]; len(p.Orders) != 3 || p.MoreOrders != 0 {
		t.Errorf("of a person with three orders %d are read and %d left out", len(p.Orders), p.MoreOrders)
	}
}
