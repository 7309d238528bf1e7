package shoppers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// sender makes one request. An error means that nobody knows what became of the message.
type sender interface {
	send(s *shopper, m *message, late time.Duration) (reply, error)
}

// openTabs is how many shoppers one goroutine serves in turns, so that the collector sees many of them at
// once and each of them again and again.
const openTabs = 16

// errOver is the end of a run that had no other.
var errOver = errors.New("the time is over")

// runner is one Run.
type runner struct {
	patience time.Duration
	street   *street
	pace     *pace
	tally    *tally
	to       sender
	stop     context.CancelCauseFunc
}

func run(ctx context.Context, c *Config, to sender) (Result, error) {
	if c.Duration > 0 {
		timed, cancel := context.WithTimeoutCause(ctx, c.Duration, errOver)
		defer cancel()
		ctx = timed
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	start := time.Now()
	r := runner{
		patience: c.Patience, street: newStreet(c), pace: &pace{start: start, rate: c.Rate},
		tally: newTally(c.OnAck), to: to, stop: stop,
	}
	var workers sync.WaitGroup
	for w := range c.Concurrency {
		rng := rand.New(rand.NewPCG(scramble(c.Seed), scramble(uint64(w))))
		workers.Go(func() { r.serve(ctx, rng) })
	}
	workers.Wait()

	result := r.tally.result()
	result.Elapsed = time.Since(start)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errOver) {
		return result, fmt.Errorf("shoppers: %w", cause)
	}
	return result, nil
}

// serve sends the messages of some shoppers, in turns by chance, until there are no more of them.
func (r *runner) serve(ctx context.Context, rng *rand.Rand) {
	var tabs []*shopper
	for {
		for len(tabs) < openTabs {
			s := r.street.next()
			if s == nil {
				break
			}
			tabs = append(tabs, s)
		}
		if len(tabs) == 0 {
			return
		}
		i := rng.IntN(len(tabs))
		s := tabs[i]
		if !r.deliver(ctx, s, &s.messages[0]) {
			return
		}
		if s.messages = s.messages[1:]; len(s.messages) == 0 {
			tabs = slices.Delete(tabs, i, i+1)
		}
	}
}

// deliver sends a message, again and again with the same ids, until the collector has settled it. It is
// false when the run ended first.
func (r *runner) deliver(ctx context.Context, s *shopper, m *message) bool {
	due, err := r.pace.wait(ctx, len(m.events))
	if err != nil {
		return false
	}
	begun := time.Now()
	r.tally.begin(s, m)
	for failures := 1; ; failures++ {
		reply, err := r.to.send(s, m, time.Since(begun))
		if err == nil && !reply.later() {
			r.tally.settle(s, m, &reply, time.Since(due))
			return true
		}
		r.tally.fail(&reply, err)
		if time.Since(begun) >= r.patience {
			r.stop(fmt.Errorf("%w: tried for %v", ErrSilent, r.patience))
		}
		if pause(ctx, backoff(failures, reply.retryAfter)) != nil {
			r.tally.abandon(m)
			return false
		}
	}
}

// Pauses between two tries. The tag begins with a whole second; a test has no such time.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// backoff is how long to keep still after that many failures in a row (from 1): twice as long each time,
// or what the collector asked for if that is more, and up to half of it again by chance, so that not all
// come back in one moment.
func backoff(failures int, asked time.Duration) time.Duration {
	doubled := firstPause << min(failures-1, 10)
	d := max(min(doubled, longestPause), asked)
	return d + rand.N(d/2)
}
