package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"beckon/internal/relay"
)

// A ClickHouse that is slow, cut off, or answers with errors is no reason to wait: whoever is in memory gets the
// answer of before, with its age, until that is too old; whoever is not gets no offer within the deadline.
func TestDecisionsDoNotWaitForAClickHouseInTrouble(t *testing.T) {
	s := newStack(t)
	network, err := relay.Start(s.clickhouse.NativeAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	t.Cleanup(func() { network.Set(relay.Fault{}) }) // before the services stop, which want to say what they have
	const staleAfter = 3 * time.Second
	s.aggregator.flags = append(s.aggregator.flags, "--stale-after", staleAfter.String(), "--drain-timeout", "2s",
		"--clickhouse-dsn", strings.Replace(s.clickhouse.DSN(), s.clickhouse.NativeAddr(), network.Addr(), 1))
	s.start()
	granted, looked := s.newVisitor("demo"), s.newVisitor("demo")
	first := granted.becomesEligible()
	looked.looks()
	eventually(t, func() error {
		if d := looked.asks(s.aggregator); d.Reason != "DEFAULT" {
			return fmt.Errorf("reason %s", d.Reason)
		}
		return nil
	})
	asks := func(t *testing.T, v *visitor) decision {
		t.Helper()
		began := time.Now()
		d := v.asks(s.aggregator)
		if took := time.Since(began); took > time.Second { // 25 ms, and a machine that is busy with tests; a query has two seconds
			t.Errorf("the answer took %s", took)
		}
		return d
	}
	f := func(name string, begin, end func()) {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			begin()
			for range 3 {
				if d := asks(t, granted); d.same() != first.same() {
					t.Errorf("a grant: %+v, want %+v", d, first)
				}
				stranger := s.newVisitor("demo")
				stranger.looks()
				for range 3 {
					if d := asks(t, stranger); d.Eligible || d.Reason != "STALE" {
						t.Errorf("a stranger: %+v", d)
					}
				}
			}
			eventually(t, func() error {
				d := asks(t, looked)
				switch {
				case d.FreshAt == nil || d.FreshAt.After(began.Add(staleAfter-time.Second)): // errors begin with the next batch
					t.Fatalf("fresh_at is %v without a ClickHouse since %s", d.FreshAt, began)
				case d.Reason != "DEFAULT" && (d.Reason != "STALE" || time.Since(*d.FreshAt) < staleAfter):
					t.Fatalf("%s, %s old", d.Reason, time.Since(*d.FreshAt))
				case d.Reason != "STALE":
					return fmt.Errorf("%s, %s old", d.Reason, time.Since(*d.FreshAt))
				}
				return nil
			})
			if err := s.aggregator.ready(); err != nil {
				t.Errorf("an outage makes it unready: %v", err)
			}
			end()
			eventually(t, func() error {
				if d := asks(t, looked); d.Reason != "DEFAULT" {
					return fmt.Errorf("reason %s after it", d.Reason)
				}
				return nil
			})
		})
	}
	mend := func() { network.Set(relay.Fault{}) }
	f("nothing comes back", func() { network.Set(relay.Fault{Hold: true}) }, mend)
	f("cut off", func() { network.Set(relay.Fault{Down: true}) }, mend)
	rename := func(from, to string) func() {
		return func() {
			if _, err := s.query("RENAME TABLE " + from + " TO " + to); err != nil {
				t.Fatal(err)
			}
		}
	}
	f("errors come back", rename("decisions", "decisions_away"), rename("decisions_away", "decisions"))
}
