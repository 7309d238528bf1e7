package shoppers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
)

// deaf is a collector without a network, for tests about time.
type deaf func(s *shopper, m *message, late time.Duration) (reply, error)

func (f deaf) send(s *shopper, m *message, late time.Duration) (reply, error) { return f(s, m, late) }

func taken(*shopper, *message, time.Duration) (reply, error) {
	return reply{status: http.StatusNoContent}, nil
}

// inBubble runs shoppers on a clock that moves when all wait.
func inBubble(t *testing.T, c Config, to deaf, check func(Result, error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.Target, c.Site = "http://collector.example", "demo"
		if err := c.complete(); err != nil {
			t.Fatal(err)
		}
		check(run(t.Context(), &c, to))
	})
}

func TestRunKeepsTheRate(t *testing.T) {
	inBubble(t, Config{Events: 5000, Rate: 100}, taken, func(r Result, err error) {
		if err != nil || len(r.Acknowledged) != 5000 {
			t.Fatalf("%d of 5000 events: %v", len(r.Acknowledged), err)
		}
		// Repeats count too: 5000 events and 2 % of them again.
		if r.Elapsed < 49*time.Second || r.Elapsed > 54*time.Second {
			t.Errorf("5000 events at 100/s took %v", r.Elapsed)
		}
		if r.Latency.Max != 0 {
			t.Errorf("a collector that answers at once kept somebody waiting for %v", r.Latency.Max)
		}
	})
}

func TestRunCatchesUpAndCountsTheWaitAfterAStall(t *testing.T) {
	stalled := false
	stall := func(s *shopper, m *message, late time.Duration) (reply, error) {
		if !stalled {
			stalled = true
			time.Sleep(10 * time.Second)
		}
		return taken(s, m, late)
	}
	inBubble(t, Config{Events: 3000, Rate: 100, Concurrency: 1}, stall, func(r Result, err error) {
		if err != nil || r.Elapsed > 34*time.Second {
			t.Errorf("3000 events at 100/s took %v with a stall of 10 s in it: %v", r.Elapsed, err)
		}
		if r.Latency.Max != 10*time.Second || r.Latency.P95 < 5*time.Second {
			t.Errorf("those who waited behind the stall are not seen: %+v", r.Latency)
		}
	})
}

func TestRunBeginsNothingAfterItsDuration(t *testing.T) {
	slow := func(s *shopper, m *message, late time.Duration) (reply, error) {
		time.Sleep(300 * time.Millisecond)
		return taken(s, m, late)
	}
	inBubble(t, Config{Duration: 10 * time.Second, Concurrency: 2}, slow, func(r Result, err error) {
		if err != nil || r.Elapsed < 10*time.Second || r.Elapsed > 10300*time.Millisecond {
			t.Errorf("ended after %v: %v", r.Elapsed, err)
		}
		if r.Requests < 66 || r.Requests > 68 || len(r.Acknowledged) != r.Events || len(r.Unacknowledged) != 0 {
			t.Errorf("%d requests, %d of %d events acknowledged", r.Requests, len(r.Acknowledged), r.Events)
		}
	})
}

func TestRunGivesUpOnASilentCollectorAndSaysWhatIsOpen(t *testing.T) {
	silent := func(*shopper, *message, time.Duration) (reply, error) { return reply{}, errors.New("refused") }
	inBubble(t, Config{Events: 1000, Patience: 30 * time.Second, Concurrency: 3}, silent, func(r Result, err error) {
		if !errors.Is(err, ErrSilent) || r.Elapsed < 30*time.Second || r.Elapsed > 40*time.Second {
			t.Errorf("ended after %v: %v", r.Elapsed, err)
		}
		if r.Events == 0 || len(r.Unacknowledged) != r.Events || len(r.Acknowledged) != 0 || r.Faults["connection"] != r.Requests {
			t.Errorf("%d of %d events open, faults %v of %d requests", len(r.Unacknowledged), r.Events, r.Faults, r.Requests)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c := Config{Target: "http://collector.example", Site: "demo", Events: 1000, Rate: 10}
		if err := c.complete(); err != nil {
			t.Fatal(err)
		}
		r, err := run(ctx, &c, deaf(taken))
		if !errors.Is(err, context.DeadlineExceeded) || r.Elapsed != 5*time.Second || len(r.Acknowledged) != r.Events {
			t.Errorf("ended after %v with %d of %d events: %v", r.Elapsed, len(r.Acknowledged), r.Events, err)
		}
	})
}

func TestRetriesKeepIDsWhileTheClockGoesOn(t *testing.T) {
	type try struct {
		ids  []event.UUID
		late time.Duration
	}
	var tries []try
	failing := func(s *shopper, m *message, late time.Duration) (reply, error) {
		var ids []event.UUID
		for _, e := range m.events {
			ids = append(ids, e.id)
		}
		tries = append(tries, try{ids, late})
		switch len(tries) {
		case 1:
			return reply{}, errors.New("connection reset")
		case 2:
			return reply{status: http.StatusServiceUnavailable, reason: "spool-full", retryAfter: 5 * time.Second}, nil
		case 3:
			return reply{status: http.StatusTooManyRequests}, nil
		case 4:
			return reply{}, fmt.Errorf("%w: status 202", errBadReply)
		case 5:
			return reply{}, fmt.Errorf("send: %w", fasthttp.ErrTimeout)
		}
		return taken(s, m, late)
	}
	inBubble(t, Config{Events: 1, Concurrency: 1}, failing, func(r Result, err error) {
		if err != nil || len(r.Acknowledged) != 1 {
			t.Fatalf("%d acknowledged: %v", len(r.Acknowledged), err)
		}
		for i := 1; i < 6; i++ {
			if !slices.Equal(tries[i].ids, tries[0].ids) {
				t.Error("a retry has other ids")
			}
			if tries[i].late <= tries[i-1].late {
				t.Error("a retry says that no time has passed")
			}
		}
		if wait := tries[2].late - tries[1].late; wait < 5*time.Second || wait > 8*time.Second {
			t.Errorf("the collector asked for 5 s and was left alone for %v", wait)
		}
		if want := map[string]int{"connection": 1, "spool-full": 1, "status-429": 1, "bad-reply": 1, "timeout": 1}; !maps.Equal(r.Faults, want) {
			t.Errorf("faults %v, want %v", r.Faults, want)
		}
		if r.Latency.Max != tries[5].late {
			t.Errorf("latency %v leaves out the retries, which took %v", r.Latency.Max, tries[5].late)
		}
	})
}

func TestBackoffDoublesUpToItsLimit(t *testing.T) {
	f := func(failures int, asked, low time.Duration) {
		t.Helper()
		if got := backoff(failures, asked); got < low || got >= low*3/2 {
			t.Errorf("backoff(%d, %v) = %v, want %v and up to half of it more", failures, asked, got, low)
		}
	}
	f(1, 0, 50*time.Millisecond)
	f(2, 0, 100*time.Millisecond)
	f(6, 0, 1600*time.Millisecond)
	f(7, 0, 2*time.Second)
	f(1000, 0, 2*time.Second)
	f(1, 5*time.Second, 5*time.Second)
}

func TestARepeatThatIsTakenForNewIsReported(t *testing.T) {
	inBubble(t, Config{Events: 5000}, taken, func(r Result, err error) {
		if err != nil || r.Repeats == 0 || r.TakenTwice < r.Repeats || len(r.Acknowledged) != 5000 {
			t.Errorf("%d repeats, %d events taken twice, %d acknowledged: %v", r.Repeats, r.TakenTwice, len(r.Acknowledged), err)
		}
	})
}

func TestAWrongConfigNamesEveryFault(t *testing.T) {
	_, err := Run(t.Context(), Config{Target: "localhost:8080", Rate: -1})
	if err == nil {
		t.Fatal("a run began")
	}
	for _, want := range []string{"target", "no site", "negative", "no end"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not speak of %q", err, want)
		}
	}
}

func TestQuantileIsTheSmallestThatCoversItsShare(t *testing.T) {
	waits := make([]time.Duration, 100)
	for i := range waits {
		waits[i] = time.Duration(i + 1)
	}
	f := func(sorted []time.Duration, q float64, want time.Duration) {
		t.Helper()
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile of %d waits at %v: %d, want %d", len(sorted), q, got, want)
		}
	}
	f(waits, 0.5, 50)
	f(waits, 0.99, 99)
	f(waits, 1, 100)
	f(waits[:1], 0.5, 1)
	f(nil, 0.5, 0)
}
