package shoppers

import (
	"errors"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
)

// Result is what became of a run. Each event that was sent is in one of Acknowledged, Unacknowledged and
// Refused.
type Result struct {
	Shoppers int // that sent something
	Events   int // different ones that were sent
	Requests int // tries included

	Acknowledged   []event.UUID   // each id once: accepted, or known to the collector as a duplicate
	Unacknowledged []event.UUID   // sent and never settled; they may be stored or not
	Refused        map[string]int // events by Beckon-Reason
	Faults         map[string]int // tries that settled nothing, by kind: connection, timeout, spool-full ...

	Repeats    int // messages sent a second time on purpose, after the first was settled
	TakenTwice int // events of those that the collector took for new ones: should be none

	Elapsed time.Duration
	Latency Latency
}

// Latency is how long messages waited until they were settled, tries and pauses included, from the moment
// in which they were due: with a Rate that is the planned moment, even when no request was free for it.
type Latency struct{ P50, P95, P99, Max time.Duration }

// tally counts. Safe for concurrent use.
type tally struct {
	onAck func(Ack)

	mu    sync.Mutex
	sum   Result
	waits []time.Duration
}

func newTally(onAck func(Ack)) *tally {
	if onAck == nil {
		onAck = func(Ack) {}
	}
	return &tally{onAck: onAck, sum: Result{Refused: map[string]int{}, Faults: map[string]int{}}}
}

// begin notes that a message is sent for the first time.
func (t *tally) begin(s *shopper, m *message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.seen {
		s.seen = true
		t.sum.Shoppers++
	}
	if m.repeat {
		t.sum.Repeats++
		return
	}
	t.sum.Events += len(m.events)
}

// settle notes the collector's last word on a message.
func (t *tally) settle(s *shopper, m *message, r *reply, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Requests++
	t.waits = append(t.waits, wait)
	for i := range m.events {
		e := &m.events[i]
		refused, fresh := r.verdict(e)
		switch {
		case m.repeat:
			if fresh && e.acked {
				t.sum.TakenTwice++
			}
		case refused != "":
			t.sum.Refused[refused]++
		default:
			e.acked = true
			t.sum.Acknowledged = append(t.sum.Acknowledged, e.id)
			t.onAck(Ack{ID: e.id, Kind: e.kind, Shopper: s.number, Lane: r.lane, Bot: s.bot})
		}
	}
}

// fail notes a try that settled nothing.
func (t *tally) fail(r *reply, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Requests++
	t.sum.Faults[fault(r, err)]++
}

// abandon notes a message that will not be tried again. What a repeat brings was settled before.
func (t *tally) abandon(m *message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.repeat {
		return
	}
	for i := range m.events {
		t.sum.Unacknowledged = append(t.sum.Unacknowledged, m.events[i].id)
	}
}

// fault names what went wrong in one try.
func fault(r *reply, err error) string {
	var network net.Error
	switch {
	case err == nil:
		refused, _ := r.verdict(&told{})
		return refused
	case errors.Is(err, errBadReply):
		return "bad-reply"
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	}
	return "connection"
}

// result is what was counted so far.
func (t *tally) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.Sort(t.waits)
	r := t.sum
	r.Latency = Latency{
		P50: quantile(t.waits, 0.50), P95: quantile(t.waits, 0.95), P99: quantile(t.waits, 0.99), Max: quantile(t.waits, 1),
	}
	return r
}

// quantile is the smallest of the sorted waits that at least the share q does not exceed; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}
