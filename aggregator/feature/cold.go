package feature

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Cold reads the profiles of visitors that are in no Store. Most of the time of one look-up is
// overhead of the query, so all that wait while one query runs share the next one.
type Cold struct {
	reader *Reader
	store  *Store
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[Key]*lookup
	wake    chan struct{}
}

// lookup is one visitor that is being read, and all who wait for it.
type lookup struct {
	done    chan struct{}
	profile *Profile // nil after done: could not be read
}

const (
	coldTimeout = 2 * time.Second
	maxWaiting  = 20_000 // beyond it newcomers are told at once that nothing is known
)

// NewCold returns look-ups that do not run yet: see Run.
func NewCold(r *Reader, s *Store, log *slog.Logger) *Cold {
	return &Cold{reader: r, store: s, log: log, waiting: map[Key]*lookup{}, wake: make(chan struct{}, 1)}
}

// Load returns the profile of k within the deadline of ctx, or nil when it cannot be had in time.
// A look-up that comes too late for its caller still fills the store for the next one.
func (c *Cold) Load(ctx context.Context, k Key) *Profile {
	c.mu.Lock()
	l := c.waiting[k]
	if l == nil {
		if len(c.waiting) >= maxWaiting {
			c.mu.Unlock()
			return nil
		}
		l = &lookup{done: make(chan struct{})}
		c.waiting[k] = l
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-l.done:
		return l.profile
	case <-ctx.Done():
		return nil
	}
}

// Run answers look-ups until ctx ends.
func (c *Cold) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		c.mu.Lock()
		round := c.waiting
		c.waiting = map[Key]*lookup{}
		c.mu.Unlock()
		bySite := map[string][]Key{}
		for k := range round {
			bySite[k.Site] = append(bySite[k.Site], k)
		}
		for site, keys := range bySite {
			for len(keys) > 0 {
				n := min(len(keys), chunk)
				c.read(ctx, site, keys[:n], round)
				keys = keys[n:]
			}
		}
	}
}

func (c *Cold) read(ctx context.Context, site string, keys []Key, round map[Key]*lookup) {
	ctx, cancel := context.WithTimeout(ctx, coldTimeout)
	defer cancel()
	profiles, err := c.reader.Read(ctx, site, keys)
	if err != nil {
		c.log.Warn("visitors not read", "count", len(keys), "error", err)
	}
	for i, k := range keys {
		if err == nil {
			c.store.Put(k, profiles[i], time.Now())
			round[k].profile = c.store.Get(k)
		}
		close(round[k].done)
	}
}
