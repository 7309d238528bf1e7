package ingest

import "time"

// How far an event may be from the moment it arrives. The past is as long as a tag keeps what it
// could not send; the future is what is left of clock errors after the correction.
const (
	maxPast   = 24 * time.Hour
	maxFuture = 5 * time.Minute
)

// maxAhead is how far a shop's own event may be in the future, where nothing is pulled back: a clock in another
// time zone, not another century.
const maxAhead = 24 * time.Hour

// maxMillis bounds a sender's times, so that no sum of them overflows. It is the year 5138.
const maxMillis = 100_000_000_000_000

// onOurClock is when an event happened. Both of the sender's readings come from one clock, so its
// error cancels out: the event happened sent-at before it arrived. A pixel says no sent; its at is
// then taken as it is. Times are Unix milliseconds, -1 when the sender said none.
func onOurClock(received, sent, at int64) int64 {
	switch {
	case at < 0:
		return received
	case sent >= 0:
		return received - (sent - at)
	}
	return at
}

// occurred places an event of a browser on our clock. One from the future is pulled back to the limit; ok is
// false for one that is too old.
func occurred(received, sent, at int64) (millis int64, ok bool) {
	millis = onOurClock(received, sent, at)
	if millis < received-maxPast.Milliseconds() {
		return 0, false
	}
	return min(millis, received+maxFuture.Milliseconds()), true
}
