package shoppers

import (
	"context"
	"sync"
	"time"
)

// pace gives every event its moment, evenly from the start of the run. Who is late is not given new
// moments: the events catch up, and what they waited counts as latency. Safe for concurrent use.
type pace struct {
	start time.Time
	rate  float64 // events per second; 0 = every moment is right

	mu     sync.Mutex
	events int // that have their moment
}

// wait returns when the next events are due, and not before. The error is that of ctx.
func (p *pace) wait(ctx context.Context, events int) (due time.Time, err error) {
	now := time.Now()
	if p.rate == 0 {
		return now, ctx.Err()
	}
	p.mu.Lock()
	due = p.start.Add(time.Duration(float64(p.events) / p.rate * float64(time.Second)))
	p.events += events
	p.mu.Unlock()
	return due, pause(ctx, due.Sub(now))
}

// pause lets d pass. The error is that of ctx, when it ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
