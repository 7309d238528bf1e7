package feature

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"beckon/internal/chconn"
)

const (
	asideFor    = time.Second // until the first try to read them again
	asideAtMost = 5 * time.Minute
	maxAside    = 20_000 // beyond it ClickHouse has trouble with everybody, and the feed waits
)

// aside is the visitors who could not be read although ClickHouse answers: one of them must not hold up everybody else.
// They are dropped from the store, so nothing is decided by what they were, and read again beside the feed: half as many
// together each time, until those are found who cannot be read, and those ever more seldom.
type aside struct {
	log *slog.Logger

	mu      sync.Mutex
	changed map[Key]bool // all of them: whether they changed since the try under way began
	groups  []asideGroup

	now   prometheus.Gauge
	total prometheus.Counter
}

// asideGroup is some visitors of one site.
type asideGroup struct {
	keys []Key
	due  time.Time
	wait time.Duration // before the next try, if this one fails
}

func newAside(log *slog.Logger, reg prometheus.Registerer) aside {
	return aside{
		log: log, changed: map[Key]bool{},
		now: promauto.With(reg).NewGauge(prometheus.GaugeOpts{
			Name: "beckon_features_aside", Help: "Visitors whose features could not be read although ClickHouse answers; tried again beside the others.",
		}),
		total: promauto.With(reg).NewCounter(prometheus.CounterOpts{
			Name: "beckon_features_aside_total", Help: "Visitors who were set aside since their features could not be read.",
		}),
	}
}

// ofTheRead says whether a failure may be that of what was read and not of the connection.
func ofTheRead(err error) bool {
	var said *clickhouse.Exception
	return errors.As(err, &said) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// readNobody reads a visitor whom there is not: where that fails too, it is not those who were to be read that
// ClickHouse has trouble with.
func readNobody(ctx context.Context, r ProfileReader, site string, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := r.Read(chconn.WithPriority(limited, 2), site, []Key{{Site: site}})
	return err
}

// without parts keys into those who can be read and those who are aside, and notes that these changed again.
func (a *aside) without(keys []Key) (rest, again []Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.changed) == 0 {
		return keys, nil
	}
	for _, k := range keys {
		if _, ok := a.changed[k]; ok {
			a.changed[k] = true
			again = append(again, k)
		} else {
			rest = append(rest, k)
		}
	}
	return rest, again
}

// add sets visitors of one site aside, and reports whether there was room.
func (a *aside) add(keys []Key, now time.Time, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.changed)+len(keys) > maxAside {
		return false
	}
	if len(a.changed) == 0 {
		a.log.Warn("visitors could not be read; they are tried again beside the others", "count", len(keys), "error", err)
	}
	for _, k := range keys {
		a.changed[k] = false
	}
	a.groups = append(a.groups, asideGroup{slices.Clone(keys), now.Add(asideFor), asideFor})
	a.total.Add(float64(len(keys)))
	a.now.Set(float64(len(a.changed)))
	return true
}

// due takes the group whose time came first.
func (a *aside) due(now time.Time) (g asideGroup, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := -1
	for i := range a.groups {
		if !a.groups[i].due.After(now) && (first < 0 || a.groups[i].due.Before(a.groups[first].due)) {
			first = i
		}
	}
	if first < 0 {
		return g, false
	}
	g = a.groups[first]
	a.groups = slices.Delete(a.groups, first, first+1)
	for _, k := range g.keys {
		a.changed[k] = false
	}
	return g, true
}

// failed puts a group back in halves, a single visitor for longer.
func (a *aside) failed(g asideGroup, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(g.keys) / 2; n > 0 {
		a.groups = append(a.groups, asideGroup{g.keys[:n], now, asideFor}, asideGroup{g.keys[n:], now, asideFor})
		return
	}
	g.wait = min(2*g.wait, asideAtMost)
	g.due = now.Add(g.wait)
	a.groups = append(a.groups, g)
}

// done ends it for a group that was read, but for those who changed meanwhile: they are read once more.
func (a *aside) done(g asideGroup, now time.Time) (stay []Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range g.keys {
		if a.changed[k] {
			stay = append(stay, k)
		} else {
			delete(a.changed, k)
		}
	}
	if len(stay) > 0 {
		a.groups = append(a.groups, asideGroup{stay, now, asideFor})
	}
	if a.now.Set(float64(len(a.changed))); len(a.changed) == 0 {
		a.log.Info("all visitors are read again")
	}
	return stay
}

// retryAside tries until ctx ends.
func (f *Follower) retryAside(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.tryAside(ctx)
	}
}

// tryAside reads one group again, and takes as long as it needs: nobody waits for it.
func (f *Follower) tryAside(ctx context.Context) {
	g, ok := f.aside.due(f.now())
	if !ok {
		return
	}
	if err := f.read(ctx, g.keys, queryTimeout); err != nil {
		f.aside.failed(g, f.now())
		return
	}
	f.store.forget(f.aside.done(g, f.now()))
}
