// Package shoppers is about people in a shop, invented: who they are, what they look at and buy, and how
// their browsers tell the collector. Tests use it for volume, bench/load for measuring.
//
//	seed --street.go, walk.go--> shopper, with all its messages --run.go--> requests --tally.go--> Result
//
// Promises. The same Seed, Start and Events give the same shoppers and the same events with the same ids,
// whatever the concurrency and the pace. A shopper has one request under way at a time and keeps what
// cookies it is given, as a browser with our tag does. A request that is not answered, or answered with
// 429 or 5xx, is sent again with the same ids until it is settled; what never was settled is reported
// apart. Run ends: by count, by time, by its context, or when the collector stays silent.
//
// It stands in front of the whole path, at the place of the browsers, and knows the wire contract only.
package shoppers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"beckon/internal/event"
)

// Config says who comes to the shop, how many, and how fast. Target, Site and one of Events and Duration
// are needed.
type Config struct {
	Target string // the collector with its path prefix, such as http://127.0.0.1:8080
	Site   string // site id
	Origin string // the shop's pages, such as https://shop.example; sent as Origin header when set, so it must be listed

	Seed  uint64
	Start time.Time // when the first shopper comes, by the shoppers' clocks; zero = now

	Events      int           // how many different events; 0 = as many as fit into Duration
	Duration    time.Duration // no request is begun later; 0 = until all Events are settled
	Rate        float64       // events per second, repeats included; 0 = as fast as it goes
	Concurrency int           // requests under way at once, at most; 0 = 8

	// Each is how many events one shopper sends at most; 0 = all that it would.
	Each int
	// Networks is how many networks (/24, /40) the shoppers share, some of them far more popular than others; 0 = they
	// come from anywhere, hardly two from one.
	Networks int

	// Patience is how long one message is tried before Run gives up with ErrSilent; 0 = 1 minute.
	Patience time.Duration

	// OnAck is told of each event once, as soon as the collector has acknowledged it. Calls come from
	// several goroutines, one at a time, and hold up all others. It may be nil.
	OnAck func(Ack)
}

// Ack is one event that the collector answers for.
type Ack struct {
	ID      event.UUID
	Kind    string
	Shopper int    // number of the shopper, from 0
	Lane    string // the lane that the reply named: count, measure or decide
	Bot     bool   // the shopper is a program
}

// ErrSilent is returned by Run when a message was not settled within Config.Patience.
var ErrSilent = errors.New("the collector does not answer")

// Pages of a Config without Origin lie here; example domains belong to nobody.
const defaultShop = "https://shop.example"

// complete fills in defaults. Its error lists every wrong setting.
func (c *Config) complete() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	u, err := url.Parse(c.Target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fault("target %q is no address: write it as http://127.0.0.1:8080", c.Target)
	}
	if c.Site == "" {
		fault("no site: name one of the collector's sites file")
	}
	if c.Events < 0 || c.Duration < 0 || c.Rate < 0 || c.Concurrency < 0 || c.Patience < 0 || c.Each < 0 || c.Networks < 0 {
		fault("events, duration, rate, concurrency, patience, each and networks cannot be negative")
	}
	if c.Events == 0 && c.Duration == 0 {
		fault("no end: set events, duration or both")
	}
	if c.Start.IsZero() {
		c.Start = time.Now()
	}
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	c.Patience = cmp.Or(c.Patience, time.Minute)
	return errors.Join(faults...)
}

// Run sends shoppers to the collector and returns when they are through. Its Result is complete also
// beside an error: ErrSilent, the error of ctx, or a wrong Config. Requests under way are waited for, so
// Run returns at most 10 s after ctx has ended.
func Run(ctx context.Context, c Config) (Result, error) {
	if err := c.complete(); err != nil {
		return Result{}, fmt.Errorf("shoppers: %w", err)
	}
	p, err := newPost(&c)
	if err != nil {
		return Result{}, fmt.Errorf("shoppers: %w", err)
	}
	defer p.close()
	return run(ctx, &c, p)
}
