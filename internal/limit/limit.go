// Package limit is about how often somebody may come: token buckets, one for a thing that is known by name
// (Bucket), and many for keys that nobody lists (Table), such as the addresses of the internet.
//
// Promises. Memory is fixed when a Table is made, whatever keys come. A key itself is never kept: the table
// holds a hash of it under a random seed that lives in memory only and is changed by Tidy within the hour,
// after which nobody can tell any more which key an entry was for. Debts move over to the new seed, so
// nobody gets a second burst when it changes. For want of room nobody is refused: the smallest debt of a
// set makes room, so a key that is deep in debt is the last to be forgotten (see set). Nothing here
// allocates after the start, and everything is safe for concurrent use.
//
// Place in the path: the first check of both services.
//
// A bucket is kept as one instant, the moment at which it will be full again (the "theoretical arrival
// time" of the generic cell rate algorithm): each take moves it by the time that one token needs to
// grow back. An instant that has passed is a full bucket, and says nothing: its place is free.
package limit

import (
	"sync/atomic"
	"time"
)

// pace is a rate: one token grows back every interval, and tolerance is a full bucket.
type pace struct {
	interval, tolerance int64 // nanoseconds
}

func paceOf(perSecond int, burst time.Duration) pace {
	interval := time.Second / time.Duration(perSecond)
	return pace{int64(interval), int64(max(burst, interval))}
}

// take returns when the bucket will be full again after n tokens are gone, or for how long it refuses. It
// refuses only an empty bucket: who finds less than n in it owes the rest.
func (p pace) take(full, now int64, n int) (next, wait int64) {
	full = p.sane(full, now)
	if wait = full + p.interval - now - p.tolerance; wait > 0 {
		return full, wait
	}
	return p.owe(full, now, n), 0
}

// owe takes n tokens without asking. A debt is never more than another full bucket, so that there is an
// end to it.
func (p pace) owe(full, now int64, n int) int64 {
	return min(p.sane(full, now)+int64(n)*p.interval, now+2*p.tolerance)
}

// sane is the instant, or now for one that says nothing: it has passed, or it is farther away than any debt
// can be, because the clock was set back.
func (p pace) sane(full, now int64) int64 {
	if full < now || full > now+2*p.tolerance {
		return now
	}
	return full
}

// Bucket limits one thing. Nil limits nothing.
type Bucket struct {
	pace
	full atomic.Int64
}

// NewBucket returns a full bucket: perSecond for long, burst's worth of that at once. Nil without a rate.
func NewBucket(perSecond int, burst time.Duration) *Bucket {
	if perSecond <= 0 {
		return nil
	}
	return &Bucket{pace: paceOf(perSecond, burst)}
}

// Take takes n tokens and returns 0, or takes none and returns how long there is none at all. now counts
// from any fixed moment.
func (b *Bucket) Take(now time.Duration, n int) (wait time.Duration) {
	if b == nil {
		return 0
	}
	for {
		full := b.full.Load()
		next, wait := b.take(full, int64(now), n)
		if wait > 0 {
			return time.Duration(wait)
		}
		if b.full.CompareAndSwap(full, next) {
			return 0
		}
	}
}
