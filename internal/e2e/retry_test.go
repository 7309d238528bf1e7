package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A client that hears nothing sends the same batch again: at once from another tab, after a restart of the
// collector, with something else in it.
func TestClientThatSendsABatchAgainIsStoredOnceAndToldDuplicate(t *testing.T) {
	s := newStack(t)
	s.collector.start()
	v := s.newVisitor("demo")
	first, second, third := newID(), newID(), newID()
	body := batch("demo", oneEvent("page_view", first, `{}`), oneEvent("product_view", second, `{"product":"mug"}`))
	repeated := func(t *testing.T, body string, accepted string, duplicates ...string) {
		t.Helper()
		a, err := v.post(body)
		if err != nil || a.status != http.StatusOK || a.reason() != "duplicate" {
			t.Fatalf("answer %d %q (%v), want 200 with the reason duplicate", a.status, a.reason(), err)
		}
		for _, id := range duplicates {
			if !strings.Contains(string(a.body), `"i":"`+id+`"`) || !strings.Contains(string(a.body), `"accepted":`+accepted) {
				t.Errorf("answer %s, want %s as a duplicate and %s accepted", a.body, id, accepted)
			}
		}
	}
	if a, err := v.post(body); err != nil || a.status != http.StatusNoContent {
		t.Fatalf("answer %d %q (%v)", a.status, a.reason(), err)
	}
	t.Run("once more", func(t *testing.T) { repeated(t, body, "0", first.String(), second.String()) })
	t.Run("with other properties under the same id", func(t *testing.T) {
		repeated(t, batch("demo", oneEvent("product_view", second, `{"product":"another mug"}`)), "0", second.String())
	})
	t.Run("with one event more", func(t *testing.T) {
		repeated(t, batch("demo", oneEvent("page_view", first, `{}`), oneEvent("cart_view", third, `{}`)), "1", first.String())
	})
	t.Run("eight times at once", func(t *testing.T) {
		id := newID()
		var senders sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range 8 {
			senders.Go(func() {
				a, err := v.post(batch("demo", oneEvent("search", id, `{}`)))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				statuses[a.status]++
			})
		}
		senders.Wait()
		if statuses[http.StatusNoContent] != 1 || statuses[http.StatusOK] != 7 {
			t.Errorf("statuses %v, want one 204 and seven times 200 with the reason", statuses)
		}
	})
	t.Run("after a kill", func(t *testing.T) {
		s.collector.kill()
		s.collector.start()
		repeated(t, body, "0", first.String(), second.String())
	})
	t.Run("after a stop that emptied the spool", func(t *testing.T) {
		if code := s.collector.stop(); code != 0 {
			t.Errorf("the collector ended with %d", code)
		}
		s.collector.start()
		repeated(t, body, "0", first.String(), second.String())
	})
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	if n := s.number("SELECT count() FROM events WHERE kind != 'consent'"); n != 4 {
		t.Errorf("%d events are stored, want 4", n)
	}
	if n := s.number("SELECT count() FROM events WHERE product = 'mug'"); n != 1 {
		t.Errorf("the first version of an event is there %d times, want once", n)
	}
	s.ledgerCloses()
}
