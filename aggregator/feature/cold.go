package feature

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"beckon/internal/chconn"
)

// ProfileReader is what Cold needs of a Reader.
type ProfileReader interface {
	// Read returns the profiles of keys, which are all of one site, in their order.
	Read(ctx context.Context, site string, keys []Key) ([]*Profile, error)
}

// Cold reads the profiles of visitors that are in no Store. Most of the time of one look-up is
// overhead of the query, so all that are missed within a millisecond share one; while as many run as
// may, those who come gather for the next. Whoever asks for a visitor who is being read waits for that
// reading. A visitor without rows is stored like any other, so is asked for once; one who could not be
// read is not asked for again for a moment: ClickHouse has trouble, and the answer must not wait for it.
type Cold struct {
	reader ProfileReader
	store  *Store
	log    *slog.Logger
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time

	mu      sync.Mutex
	pending map[Key]*lookup // of the next round, and of those under way
	next    map[string][]Key
	failed  map[Key]time.Time // until when they are not asked for again
	failing bool              // the last round failed, and the log says so
	wake    chan struct{}
	slots   chan struct{}
}

// lookup is one visitor that is being read, and all who wait for it.
type lookup struct {
	done    chan struct{}
	profile *Profile // nil after done: could not be read
}

const (
	gatherFor   = time.Millisecond
	coldTimeout = 2 * time.Second
	maxRounds   = 4 // queries at once: one that hangs does not stop the others
	failedFor   = time.Second
	maxWaiting  = 20_000 // beyond it newcomers are told at once that nothing is known
	maxFailed   = 20_000 // beyond it all are forgotten, and asked for again
)

// NewCold returns look-ups that do not run yet: see Run.
func NewCold(r ProfileReader, s *Store, log *slog.Logger) *Cold {
	return &Cold{
		reader: r, store: s, log: log, now: time.Now, after: time.After,
		pending: map[Key]*lookup{}, next: map[string][]Key{}, failed: map[Key]time.Time{},
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxRounds),
	}
}

// Load returns the profile of k within the deadline of ctx, or nil when it cannot be had in time.
// A look-up that comes too late for its caller still fills the store for the next one.
func (c *Cold) Load(ctx context.Context, k Key) *Profile {
	l := c.ask(k)
	if l == nil {
		return nil
	}
	select {
	case <-l.done:
		return l.profile
	case <-ctx.Done():
		return nil
	}
}

// ask returns the reading of k that is under way or will be, nil when there is none.
func (c *Cold) ask(k Key) *lookup {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.pending[k]; l != nil {
		return l
	}
	if until, ok := c.failed[k]; ok {
		if c.now().Before(until) {
			return nil
		}
		delete(c.failed, k)
	}
	if len(c.pending) >= maxWaiting {
		return nil
	}
	l := &lookup{done: make(chan struct{})}
	c.pending[k] = l
	c.next[k.Site] = append(c.next[k.Site], k)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return l
}

// Run answers look-ups until ctx ends.
func (c *Cold) Run(ctx context.Context) error {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.after(gatherFor):
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case c.slots <- struct{}{}:
			}
			site, keys := c.round()
			if keys == nil {
				<-c.slots
				break
			}
			rounds.Go(func() {
				defer func() { <-c.slots }()
				c.read(ctx, site, keys)
			})
		}
	}
}

// round takes who waits at one site, at most a chunk of them.
func (c *Cold) round() (site string, keys []Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for site, keys := range c.next {
		if n := min(len(keys), chunk); n < len(keys) {
			c.next[site] = keys[n:]
			return site, keys[:n]
		}
		delete(c.next, site)
		return site, keys
	}
	return "", nil
}

func (c *Cold) read(ctx context.Context, site string, keys []Key) {
	ctx, cancel := context.WithTimeout(ctx, coldTimeout)
	defer cancel()
	err := c.store.fill(chconn.WithPriority(ctx, 1), c.reader, site, keys, c.now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && len(c.failed)+len(keys) > maxFailed {
		clear(c.failed)
	}
	until := c.now().Add(failedFor)
	for _, k := range keys {
		l := c.pending[k]
		delete(c.pending, k)
		if err == nil {
			l.profile = c.store.Get(k)
		} else {
			c.failed[k] = until
		}
		close(l.done)
	}
	c.tell(err, len(keys))
}

// tell logs where trouble begins and ends, not each of its look-ups.
func (c *Cold) tell(err error, visitors int) {
	switch {
	case err != nil && !c.failing:
		c.log.Warn("visitors not read; those who are not in memory get no targeted offer", "count", visitors, "error", err)
	case err == nil && c.failing:
		c.log.Info("visitors are read again")
	}
	c.failing = err != nil
}
