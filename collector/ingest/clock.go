package ingest

import "time"

// How far an event may be from the moment it arrives. The past is as long as a tag keeps what it
// could not send; the future is what is left of clock errors after the correction.
const (
	maxPast   = 24 * time.Hour
	maxFuture = 5 * time.Minute
)

// maxMillis bounds a sender's times, so that no sum of them overflows. It is the year 5138.
const maxMillis = 100_000_000_000_000

// occurred places an event on our clock. Both of the sender's readings come from one clock, so its
// error cancels out: the event happened sent-at before it arrived. A pixel says no sent; its at is
// then taken as it is. Times are Unix milliseconds, -1 when the sender said none. An event from the
// future is pulled back to the limit; ok is false for one that is too old.
func occurred(received, sent, at int64) (millis int64, ok bool) {
	if at < 0 {
		return received, true
	}
	millis = at
	if sent >= 0 {
		millis = received - (sent - at)
	}
	if millis < received-maxPast.Milliseconds() {
		return 0, false
	}
	return min(millis, received+maxFuture.Milliseconds()), true
}
