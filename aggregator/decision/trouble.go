package decision

import (
	"sync"
	"sync/atomic"
	"time"
)

// trouble is what fails for many requests, some of them or all. The log has a line where it begins and one where
// it is over, at the first success after a quiet minute, however often it comes and goes in between; the counters
// have the rest. The zero value is none. Safe for concurrent use.
type trouble struct {
	on atomic.Bool // what works asks only this

	mu    sync.Mutex
	last  time.Time
	times int
}

const quietFor = time.Minute

// failed counts a failure, and reports whether the trouble begins with it.
func (t *trouble) failed(now time.Time) (begins bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	t.times++
	return !t.on.Swap(true)
}

// worked reports whether the trouble is over with this success, and how many failures it had.
func (t *trouble) worked(now time.Time) (times int, over bool) {
	if !t.on.Load() {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on.Load() || now.Sub(t.last) < quietFor {
		return 0, false
	}
	times, t.times = t.times, 0
	t.on.Store(false)
	return times, true
}
