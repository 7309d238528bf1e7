package feature

import (
	"context"
	"log/slog"
	"slices"
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
//
// A visitor who cannot be read costs nobody but himself: a round that ClickHouse refuses, or answers too late, is read again
// part by part, beside the others, until it is known who that is. From then on he is read alone, and ever more seldom.
type Cold struct {
	reader ProfileReader
	store  *Store
	log    *slog.Logger
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time

	mu      sync.Mutex
	pending map[Key]*lookup // of the next round, and of those under way
	next    map[string][]Key
	failed  map[Key]failure
	failing bool // the last round failed, and the log says so
	wake    chan struct{}
	slots   chan struct{}
	doubts  chan []Key // rounds of which somebody may be who cannot be read, and those who could not
}

// failure is that of a visitor who could not be read.
type failure struct {
	until time.Time     // he is not asked for again
	alone time.Duration // how long he was set aside last; 0: the failure may have been another's
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
	parts       = 8                // of a round that is in doubt
	doubtFor    = 15 * time.Second // at most: who is left then is asked for like anybody else
	maxWaiting  = 20_000           // beyond it newcomers are told at once that nothing is known
	maxFailed   = 20_000           // beyond it all are forgotten, and asked for again
)

// NewCold returns look-ups that do not run yet: see Run.
func NewCold(r ProfileReader, s *Store, log *slog.Logger) *Cold {
	return &Cold{
		reader: r, store: s, log: log, now: time.Now, after: time.After,
		pending: map[Key]*lookup{}, next: map[string][]Key{}, failed: map[Key]failure{},
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxRounds), doubts: make(chan []Key, 1),
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
	f := c.failed[k]
	if c.now().Before(f.until) || len(c.pending) >= maxWaiting {
		return nil
	}
	l := &lookup{done: make(chan struct{})}
	if f.alone > 0 {
		select {
		case c.doubts <- []Key{k}:
			c.pending[k] = l
			return l
		default:
			return nil
		}
	}
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
	rounds.Go(func() { c.settleDoubts(ctx) })
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

// read reads who waits. Where ClickHouse says no, or nothing in time, it may be one of them, and that is for the doubts.
func (c *Cold) read(ctx context.Context, site string, keys []Key) {
	err := c.fill(ctx, site, keys)
	if err != nil && ofTheRead(err) {
		select {
		case c.doubts <- keys:
			return
		default:
		}
	}
	c.settle(keys, err)
}

func (c *Cold) fill(ctx context.Context, site string, keys []Key) error {
	ctx, cancel := context.WithTimeout(ctx, coldTimeout)
	defer cancel()
	return c.store.fill(chconn.WithPriority(ctx, 1), c.reader, site, keys, c.now)
}

// settleDoubts reads those in doubt until ctx ends, one round at a time: whoever comes now has the other slots.
func (c *Cold) settleDoubts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case keys := <-c.doubts:
			limited, cancel := context.WithTimeout(ctx, doubtFor)
			if err := readNobody(limited, c.reader, keys[0].Site, coldTimeout); err != nil { // it is none of them
				c.settle(keys, err)
			} else {
				c.sift(limited, keys)
			}
			cancel()
		}
	}
}

// sift reads visitors of one site, those who fail together in ever smaller parts.
func (c *Cold) sift(ctx context.Context, keys []Key) {
	for part := range slices.Chunk(keys, max(1, len(keys)/parts)) {
		err := c.fill(ctx, part[0].Site, part)
		switch {
		case err == nil || !ofTheRead(err) || ctx.Err() != nil:
			c.settle(part, err)
		case len(part) > 1:
			c.sift(ctx, part)
		default:
			c.setAside(part[0], err)
		}
	}
}

// settle tells those who wait what became of it.
func (c *Cold) settle(keys []Key, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.makeRoomLocked(len(keys))
	}
	for _, k := range keys {
		if err == nil {
			delete(c.failed, k)
			c.answerLocked(k, c.store.Get(k))
		} else {
			c.failed[k] = failure{c.now().Add(failedFor), c.failed[k].alone}
			c.answerLocked(k, nil)
		}
	}
	c.tell(err, len(keys))
}

// setAside notes that it is k who cannot be read.
func (c *Cold) setAside(k Key, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeRoomLocked(1)
	wait := min(max(2*c.failed[k].alone, asideFor), asideAtMost)
	c.failed[k] = failure{c.now().Add(wait), wait}
	c.answerLocked(k, nil)
	c.log.Warn("a visitor could not be read, and gets no targeted offer; others can be", "again_in", wait.String(), "error", err)
}

// makeRoomLocked keeps what is known of failures bounded: who failed once need not come again.
func (c *Cold) makeRoomLocked(n int) {
	if len(c.failed)+n > maxFailed {
		clear(c.failed)
	}
}

func (c *Cold) answerLocked(k Key, p *Profile) {
	l := c.pending[k]
	delete(c.pending, k)
	l.profile = p
	close(l.done)
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
