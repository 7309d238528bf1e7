package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"beckon/bench/shoppers"
)

// shop sends the load generator's people to the collector.
func (s *stack) shop(seed uint64, events int, onAck func(shoppers.Ack)) (shoppers.Result, error) {
	return shoppers.Run(s.t.Context(), shoppers.Config{
		Target: "http://" + s.collector.public, Site: "demo", Origin: shopOrigin,
		Seed: seed, Events: events, Concurrency: 8, OnAck: onAck,
	})
}

func TestEveryAcknowledgedEventIsStoredAndCountedOnce(t *testing.T) {
	s := newStack(t)
	s.collector.start()
	const events = 10_000
	half := make(chan struct{})
	acknowledged := 0
	done := make(chan error, 1)
	var result shoppers.Result
	go func() {
		var err error
		result, err = s.shop(1, events, func(shoppers.Ack) {
			if acknowledged++; acknowledged == events/2 {
				close(half)
			}
		})
		done <- err
	}()
	select {
	case <-half:
	case err := <-done:
		t.Fatalf("the run ended before half of the events were acknowledged: %v", err)
	}
	s.collector.kill()
	s.collector.start()
	if err := <-done; err != nil {
		t.Fatalf("run: %v, faults %v", err, result.Faults)
	}
	t.Logf("%d shoppers, %d events, %d acknowledged, refused %v, %d repeated messages, faults %v, in %s",
		result.Shoppers, result.Events, len(result.Acknowledged), result.Refused, result.Repeats, result.Faults, result.Elapsed.Round(time.Millisecond))
	if result.Events != events || len(result.Acknowledged) < events*9/10 || result.Faults["connection"] == 0 || result.TakenTwice != 0 {
		t.Errorf("want %d events, most of them acknowledged, some of them cut off by the kill, none taken twice", events)
	}
	ids := idSet{}
	for _, id := range result.Acknowledged {
		ids.add(id)
	}
	eventually(t, func() error { return s.hasOnce(ids) })
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	s.countedOnce()
	s.ledgerCloses()
}

// counted compares what each view's target says with a recount of all events. A view is fed by events of
// people in lane decide.
var counted = map[string]struct{ view, recount string }{
	"visitor_activity": {
		`SELECT site, visitor,
			arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 2, groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 3, groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 4, groupUniqArrayArray(events)),
			length(groupUniqArrayArray(sessions)), length(groupUniqArrayArray(products)), length(groupUniqArrayArray(orders)),
			min(first_seen), max(last_seen)
		FROM visitor_activity GROUP BY site, visitor`,
		`SELECT site, visitor, countIf(kind = 'page_view'), countIf(kind = 'product_view'), countIf(kind = 'cart_add'), countIf(kind = 'checkout_start'),
			uniqExact(session), uniqExactIf(product, kind = 'product_view'), uniqExactIf(order_key, kind = 'purchase'),
			min(occurred_at), max(occurred_at)
		FROM events WHERE lane = 'decide' AND bot = 0 AND kind != 'consent' GROUP BY site, visitor`,
	},
	"sessions": {
		`SELECT site, session, max(visitor), length(groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 2, groupUniqArrayArray(events)), arrayCount(x -> bitAnd(x, 7) = 3, groupUniqArrayArray(events)),
			arrayCount(x -> bitAnd(x, 7) = 4, groupUniqArrayArray(events)), min(started_at), max(ended_at)
		FROM sessions GROUP BY site, session`,
		`SELECT site, session, any(visitor), count(), countIf(kind = 'page_view'), countIf(kind = 'product_view'), countIf(kind = 'cart_add'),
			countIf(kind = 'checkout_start'), min(occurred_at), max(occurred_at)
		FROM events WHERE lane = 'decide' AND bot = 0 AND kind != 'consent' GROUP BY site, session`,
	},
	"orders": {
		`SELECT site, order_key, minMerge(placed_at) FROM orders GROUP BY site, order_key`,
		`SELECT site, order_key, min(occurred_at) FROM events WHERE kind = 'purchase' AND order_key != toFixedString('', 16) AND bot = 0 GROUP BY site, order_key`,
	},
}

func (s *stack) countedOnce() {
	s.t.Helper()
	for table, q := range counted {
		if n := s.number("SELECT count() FROM (" + q.view + ")"); n < 50 {
			s.t.Errorf("%s has %d rows: too few to mean anything", table, n)
		}
		for _, difference := range []string{q.view + " EXCEPT " + q.recount, q.recount + " EXCEPT " + q.view} {
			if n := s.number("SELECT count() FROM (" + difference + ")"); n != 0 {
				s.t.Errorf("%s: %d rows differ from a recount of the events:\n%s", table, n, difference)
			}
		}
	}
}

// ledgerCloses holds the ledger against itself and against the events, for a collector whose spool is empty and a
// database from which nothing was deleted.
func (s *stack) ledgerCloses() {
	s.t.Helper()
	const all = "report_ledger(since = '2020-01-01', until = '2100-01-01')"
	lines, err := s.query("SELECT site, accepted, stored, duplicates, dropped, dead_letters, lost, still_there, gone, unexplained FROM " + all)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("ledger: site, accepted, stored, duplicates, dropped, dead letters, lost, still there, gone, unexplained: %v", lines)
	if n := s.number("SELECT count() FROM " + all + " WHERE gone != 0 OR unexplained != 0"); n != 0 || len(lines) == 0 {
		s.t.Errorf("ledger: does not close in %d of %d pairs of site and day", n, len(lines))
	}
	if open := s.number(`SELECT count() FROM (
		SELECT site, minute, sumIf(toInt64(n), reason = 'accepted') - sumIf(toInt64(n), reason NOT IN ('accepted', 'dead-letter', 'lost')) AS open
		FROM ledger FINAL GROUP BY site, minute HAVING open != 0)`); open != 0 {
		s.t.Errorf("ledger: does not close in %d pairs of site and minute", open)
	}
}

func TestSilentStop(t *testing.T) {
	s := newStack(t)
	s.collector.start()
	var (
		mu       sync.Mutex
		ids      = idSet{}
		outcomes = map[string]int{}
		faults   []string
		quit     atomic.Bool
		senders  sync.WaitGroup
	)
	for range 4 {
		v := s.newVisitor("demo")
		senders.Go(func() {
			for !quit.Load() {
				id := newID()
				reply, err := v.post(batch("demo", oneEvent("page_view", id, `{}`)))
				mu.Lock()
				switch {
				case err == nil && reply.status == http.StatusNoContent:
					ids.add(id)
					outcomes["taken"]++
				case err == nil && reply.status == http.StatusServiceUnavailable && reply.reason() == "shutting-down" && reply.header.Get("Retry-After") != "":
					outcomes["shutting-down"]++
				case errors.Is(err, syscall.ECONNREFUSED):
					outcomes["connection refused"]++
				case err == nil:
					faults = append(faults, fmt.Sprintf("%d %q", reply.status, reply.reason()))
				default:
					faults = append(faults, err.Error())
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond) // the pace of a light load
			}
		})
	}
	count := func(outcome string, n int) func() error {
		return func() error {
			mu.Lock()
			defer mu.Unlock()
			if outcomes[outcome] < n {
				return fmt.Errorf("%d times %s, faults %v", outcomes[outcome], outcome, faults)
			}
			return nil
		}
	}
	eventually(t, count("taken", 300))
	code := s.collector.stop()
	eventually(t, count("connection refused", 20))
	quit.Store(true)
	senders.Wait()
	t.Logf("%v, %d faults", outcomes, len(faults))
	if code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	if len(faults) > 0 {
		t.Errorf("%d requests were neither taken nor refused in order:\n%s", len(faults), strings.Join(faults, "\n"))
	}
	if err := s.hasOnce(ids); err != nil { // at once: a stop brings everything there first
		t.Error(err)
	}
}

func TestFirstServeOutlivesAKilledAggregator(t *testing.T) {
	s := newStack(t)
	s.start()
	t.Run("for a browser with all its cookies", func(t *testing.T) {
		v := s.newVisitor("demo")
		first := v.becomesEligible()
		s.aggregator.kill()
		s.aggregator.start()
		s.keepsGrant(v, first)
	})
	t.Run("for a browser that has lost the cookie of the grant", func(t *testing.T) {
		v := s.newVisitor("demo")
		first := v.becomesEligible()
		s.aggregator.kill()
		v.forgetGrant()
		s.aggregator.start()
		s.keepsGrant(v, first)
	})
}

// keepsGrant waits until the visitor is offered something again, and wants it to be what was offered first.
func (s *stack) keepsGrant(v *visitor, first decision) {
	s.t.Helper()
	var again decision
	eventually(s.t, func() error {
		if again = v.asks(s.aggregator); !again.Eligible {
			return fmt.Errorf("reason %s", again.Reason)
		}
		return nil
	})
	if again.same() != first.same() || *again.Offer != *first.Offer {
		s.t.Errorf("after the restart\n%s, before it\n%s", again.same(), first.same())
	}
	eventually(s.t, func() error {
		lines, err := s.query(fmt.Sprintf("SELECT count() FROM decisions WHERE first_serve = 1 AND lower(hex(decision_id)) = '%s'", strings.ToLower(first.ID)))
		if err != nil || lines[0][0] == "0" {
			return fmt.Errorf("the first serve is not in the table decisions (%v)", err)
		}
		if lines[0][0] != "1" {
			s.t.Fatalf("%s first serves of one decision", lines[0][0])
		}
		return nil
	})
}

// forgetGrant takes away the cookie that carries the grant and leaves the visitor's own.
func (v *visitor) forgetGrant() {
	v.t.Helper()
	v.setCookie("_bk_d_"+v.site, "")
}

func TestReplicasAgree(t *testing.T) {
	s := startStack(t)
	other := s.newAggregator("spool-decisions-2")
	other.start()
	eventually(t, other.ready)
	t.Run("on a grant that one of them has just given", func(t *testing.T) {
		v := s.newVisitor("demo")
		first := v.becomesEligible()
		for _, a := range []*service{other, s.aggregator, other} {
			if again := v.asks(a); again.same() != first.same() {
				t.Errorf("%s\nand before\n%s", again.same(), first.same())
			}
		}
	})
	t.Run("on who gets the offer and who is held out", func(t *testing.T) {
		visitors := make([]*visitor, 16)
		for i := range visitors {
			visitors[i] = s.newVisitor("half")
			visitors[i].comesTwice()
		}
		arms := map[string]int{}
		for _, v := range visitors {
			first := v.draws(s.aggregator)
			if first.Arm == "" || first.Eligible != (first.Arm == "treatment") {
				t.Fatalf("decision %+v", first)
			}
			arms[first.Arm]++
			v.forgetGrant() // each of them has to draw by itself
			if again := v.draws(other); again.ID != first.ID || again.Arm != first.Arm {
				t.Errorf("one says %s %s, the other %s %s", first.ID, first.Arm, again.ID, again.Arm)
			}
		}
		if arms["treatment"] == 0 || arms["holdout"] == 0 {
			t.Errorf("arms %v of %d visitors, want some in both", arms, len(visitors))
		}
	})
}
