package e2e_test

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestOutageOfClickHouse(t *testing.T) {
	s := newStack(t)
	s.aggregator.flags = append(s.aggregator.flags, "--drain-timeout", "1s") // which it will wait for in vain
	s.start()
	known := s.newVisitor("demo")
	first := known.becomesEligible()
	asksLate := s.newVisitor("demo")
	asksLate.mayHaveOffer()
	asksLast := s.newVisitor("demo")
	asksLast.mayHaveOffer()
	s.killClickHouse()
	began := time.Now()

	ids := idSet{}
	t.Run("events are still acknowledged", func(t *testing.T) {
		result, err := s.shop(3, 1000, nil)
		if err != nil || len(result.Acknowledged) != 1000 || len(result.Faults) != 0 {
			t.Fatalf("%d of 1000 events acknowledged, faults %v: %v", len(result.Acknowledged), result.Faults, err)
		}
		for _, id := range result.Acknowledged {
			ids.add(id)
		}
		ids.add(known.tells("cart_add"))
		if n := s.spooled(t); n < 1000 {
			t.Errorf("%d records wait on disk, want all of the outage", n)
		}
	})
	t.Run("verdicts are still served, and say how old they are", func(t *testing.T) {
		var fresh time.Time
		eventually(t, func() error { // answers go on while their age grows
			d := known.asks(s.aggregator)
			if d.same() != first.same() || d.FreshAt == nil {
				t.Fatalf("decision %+v, want that of before the outage", d)
			}
			if !fresh.IsZero() && !d.FreshAt.Equal(fresh) {
				t.Fatalf("fresh_at went from %s to %s without a ClickHouse", fresh, *d.FreshAt)
			}
			fresh = *d.FreshAt
			if age := time.Since(fresh); age < 2*time.Second {
				return fmt.Errorf("the answer is %s old", age)
			}
			return nil
		})
		if fresh.After(began) {
			t.Errorf("fresh_at is %s, after the outage began at %s", fresh, began)
		}
	})
	firstLate := asksLate.asks(s.aggregator)
	t.Run("a first serve is given too", func(t *testing.T) {
		if !firstLate.Eligible || firstLate.Token == "" {
			t.Errorf("decision %+v, want the offer", firstLate)
		}
	})
	t.Run("a stranger is told that there is no offer, in time", func(t *testing.T) {
		stranger := s.newVisitor("demo")
		ids.add(stranger.tells("page_view"))
		asked := time.Now()
		d := stranger.asks(s.aggregator)
		if took := time.Since(asked); took > time.Second { // 50 ms, and a machine that is busy with tests
			t.Errorf("the answer took %s", took)
		}
		if d.Eligible || d.Reason != "STALE" {
			t.Errorf("decision %+v, want no offer for want of features", d)
		}
	})
	t.Run("an aggregator that starts meanwhile goes on with whom it knew, and honours what was granted", func(t *testing.T) {
		if code := s.aggregator.stop(); code != 0 {
			t.Errorf("it ended with %d", code)
		}
		s.aggregator.start()
		if err := s.aggregator.ready(); err != nil {
			t.Errorf("/readyz says %v", err)
		}
		known.forgetGrant() // the cookie: what is left is the snapshot
		if d := known.asks(s.aggregator); d.same() != first.same() || d.FreshAt == nil || d.FreshAt.After(began) {
			t.Errorf("decision %+v, want that of before the outage, and its age", d)
		}
		stranger := s.newVisitor("demo")
		ids.add(stranger.tells("page_view"))
		if d := stranger.asks(s.aggregator); d.Eligible || d.Reason != "STALE" {
			t.Errorf("decision %+v, want no offer", d)
		}
	})
	t.Run("after kill -9 too, with what was given since the snapshot", func(t *testing.T) {
		firstLast := asksLast.asks(s.aggregator)
		if !firstLast.Eligible {
			t.Fatalf("decision %+v, want the offer", firstLast)
		}
		s.aggregator.kill()
		s.aggregator.start()
		eventually(t, s.aggregator.ready)
		for v, before := range map[*visitor]decision{asksLate: firstLate, asksLast: firstLast} {
			v.forgetGrant()
			if d := v.asks(s.aggregator); d.same() != before.same() {
				t.Errorf("decision %+v, want that of before the kill, %+v", d, before)
			}
		}
	})
	t.Run("one without a snapshot knows nobody, and says so", func(t *testing.T) {
		bare := s.newAggregator("spool-bare", "--drain-timeout", "1s")
		bare.start()
		if err := bare.ready(); err == nil || !strings.Contains(err.Error(), "features") {
			t.Errorf("/readyz says %v", err)
		}
		if d := known.asks(bare); d.Reason != "STALE" {
			t.Errorf("decision %+v, want no offer", d)
		}
	})
	t.Run("a collector that starts meanwhile takes events and keeps those of before", func(t *testing.T) {
		s.collector.kill()
		s.collector.start()
		if err := s.collector.ready(); err != nil {
			t.Error(err)
		}
		ids.add(known.tells("product_view"))
	})

	s.restartClickHouse()
	t.Run("a grant of which nobody but the disk knew is not given once more", func(t *testing.T) {
		asksLate.forgetGrant()
		s.keepsGrant(asksLate, firstLate)
	})
	t.Run("everything arrives once, and offers go on", func(t *testing.T) {
		eventually(t, func() error { return s.hasOnce(ids) })
		eventually(t, s.aggregator.ready)
		eventually(t, func() error {
			if d := known.asks(s.aggregator); d.same() != first.same() {
				return fmt.Errorf("decision %+v, want that of before the outage, %+v", d, first)
			}
			return nil
		})
		if code := s.collector.stop(); code != 0 {
			t.Errorf("the collector ended with %d", code)
		}
		s.ledgerCloses()
	})
}

func TestSilentClickHouse(t *testing.T) {
	s := newStack(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, as a hanging server's kernel does, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, p := range []*service{s.collector, s.aggregator} {
		p.flags = append(p.flags, "--clickhouse-dsn", "clickhouse://default@"+l.Addr().String()+"/default", "--drain-timeout", "1s")
		p.start()
	}
	v := s.newVisitor("demo")
	for range 3 {
		v.tells("page_view")
		asked := time.Now()
		d := v.asks(s.aggregator)
		if took := time.Since(asked); took > time.Second { // 50 ms, and a machine that is busy with tests
			t.Errorf("the answer took %s", took)
		}
		if d.Eligible || d.Reason != "STALE" {
			t.Errorf("decision %+v, want no offer for want of features", d)
		}
	}
	for _, p := range []*service{s.collector, s.aggregator} {
		began := time.Now()
		if code := p.stop(); code != 0 {
			t.Errorf("%s ended with %d", p.name, code)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %s to stop, with a drain timeout of 1 s", p.name, took)
		}
	}
	if !regexp.MustCompile(`"records_on_disk":[1-9]`).MatchString(s.collector.said.String()) {
		t.Errorf("the collector did not say what it left on disk:\n%s", s.collector.said)
	}
}
