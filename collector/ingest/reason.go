package ingest

import "github.com/valyala/fasthttp"

// Reason says why a request, or one event of it, was not taken. The zero Reason means that it was.
// The list is closed: a new Reason is one line in the constants, one in reasons, one in
// docs/reference.md and one case in TestEveryReasonIsReachedByItsCase.
type Reason uint8

// The reasons, in the order in which a request meets them.
const (
	Taken Reason = iota

	// Of a request as a whole.
	Malformed
	HeaderTooLarge
	TooLarge
	TimedOut
	ExpectationRefused
	ShuttingDown
	NotFound
	MethodNotAllowed
	RateLimited
	BadServerKey
	UnknownSite
	OriginNotListed
	NoVisitor
	TooManyEvents
	SpoolFull
	Internal

	// Of one event.
	UnknownKind
	Shed
	BadValue
	BadID
	TooOld
	Duplicate

	reasonCount
)

// reasons is the one place where a Reason becomes a word, a status and a habit. An event's status is
// what a pixel gets for it; in a batch the event is listed under "dropped" of a 200 instead.
var reasons = [reasonCount]struct {
	name   string // of the Beckon-Reason header, the metrics and the ledger
	status int
	event  bool // of one event, not of the request
	retry  bool // the same request may be taken a little later
	close  bool // the rest of the connection cannot be trusted, or is not wanted
}{
	Taken:              {status: fasthttp.StatusNoContent},
	Malformed:          {name: "malformed", status: fasthttp.StatusBadRequest},
	HeaderTooLarge:     {name: "header-too-large", status: fasthttp.StatusRequestHeaderFieldsTooLarge, close: true},
	TooLarge:           {name: "too-large", status: fasthttp.StatusRequestEntityTooLarge},
	TimedOut:           {name: "timed-out", status: fasthttp.StatusRequestTimeout, close: true},
	ExpectationRefused: {name: "expectation-refused", status: fasthttp.StatusExpectationFailed, close: true},
	ShuttingDown:       {name: "shutting-down", status: fasthttp.StatusServiceUnavailable, retry: true, close: true},
	NotFound:           {name: "not-found", status: fasthttp.StatusNotFound},
	MethodNotAllowed:   {name: "method-not-allowed", status: fasthttp.StatusMethodNotAllowed},
	RateLimited:        {name: "rate-limited", status: fasthttp.StatusTooManyRequests, retry: true},
	BadServerKey:       {name: "bad-server-key", status: fasthttp.StatusUnauthorized},
	UnknownSite:        {name: "unknown-site", status: fasthttp.StatusNotFound},
	OriginNotListed:    {name: "origin-not-listed", status: fasthttp.StatusForbidden},
	NoVisitor:          {name: "no-visitor", status: fasthttp.StatusForbidden},
	TooManyEvents:      {name: "too-many-events", status: fasthttp.StatusBadRequest},
	SpoolFull:          {name: "spool-full", status: fasthttp.StatusServiceUnavailable, retry: true},
	Internal:           {name: "internal", status: fasthttp.StatusInternalServerError, close: true},

	UnknownKind: {name: "unknown-kind", status: fasthttp.StatusBadRequest, event: true},
	Shed:        {name: "shed", status: fasthttp.StatusServiceUnavailable, event: true, retry: true},
	BadValue:    {name: "bad-value", status: fasthttp.StatusBadRequest, event: true},
	BadID:       {name: "bad-id", status: fasthttp.StatusBadRequest, event: true},
	TooOld:      {name: "too-old", status: fasthttp.StatusBadRequest, event: true},
	Duplicate:   {name: "duplicate", status: fasthttp.StatusOK, event: true},
}

// retryAfterSeconds is sent with every reason that passes by itself and does not know when, as a rate limit
// does. A full spool drains at the pace of ClickHouse and a restart takes a moment: both are seconds, not
// minutes.
const retryAfterSeconds = "5"

func (r Reason) String() string { return reasons[r].name }

// Status is the HTTP status of a request refused for r, or of a pixel whose event was dropped for r.
func (r Reason) Status() int { return reasons[r].status }

// Ledger is the name of r in the ledger's lines about dropped events.
func (r Reason) Ledger() string { return "dropped:" + reasons[r].name }
