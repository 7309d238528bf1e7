// Package service is about what both binaries do around their parts: take their ports, run loops that
// stop in a given order, share one deadline for stopping, and bring a spool to ClickHouse to the end.
//
// It promises that what is stopped later may still be needed by what is stopped earlier, and that
// stopping takes no longer than the operator allowed. It stands in the two main.go and nowhere else.
package service

import (
	"context"
	"time"
)

// Loop makes an actor for run.Group of a function that runs until its context ends. The interrupt
// waits for it, so that what is stopped later may still be needed by it.
func Loop(f func(context.Context) error) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	execute = func() error {
		defer close(ended)
		return f(ctx)
	}
	return execute, func(error) {
		cancel()
		<-ended
	}
}

// Deadline gives all steps of a stop one deadline, counted from the first. The steps run one after
// another.
type Deadline struct {
	Within time.Duration
	at     time.Time
}

// Context begins the stop when it has not begun, and returns a context that ends with it.
func (d *Deadline) Context() (context.Context, context.CancelFunc) {
	if d.at.IsZero() {
		d.at = time.Now().Add(d.Within)
	}
	return context.WithDeadline(context.Background(), d.at)
}
