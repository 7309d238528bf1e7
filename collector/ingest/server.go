// Package ingest is about turning one HTTP request into durable events: it reads pixels and batches, checks
// them by a list of named checks, reduces them in the privacy step, and answers when the spool has them.
//
//	request --checks.go--> rawEvent --visitor.go, props.go--> event.Event --> spool --> reply
//
// Promises. A raw address, cookie, user agent, URL or order number lives in one request only (request.go)
// and is in no record, log, metric or error. A 2xx means that every event is durable or was dropped for a
// reason that the reply names; any other status means that none was accepted. Every way to say no is a
// Reason (reason.go). A panic costs one request and is counted. The client never chooses its own address,
// user agent or time of day.
//
// Place in the path: fasthttp in front, internal/spool behind. What comes next (ClickHouse, decisions) is
// not known here.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/framing"
	"beckon/internal/keyring"
	"beckon/internal/limit"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// Appender is what ingest needs of the spool. Append stores all entries or none, before it returns; it
// sets Duplicate on repeats. spool.ErrFull, ErrClosed and ErrFailed are answered as 503.
type Appender interface {
	Append(entries []spool.Entry, counts []spool.Count) error
}

// Sites is the sites file in force, which may change between two requests.
type Sites interface{ File() *site.File }

// Keys finds the keys of a site.
type Keys interface {
	Site(id string) (*keyring.Site, error)
}

// Suppressed knows who said no, by suppress.KeyOf.
type Suppressed interface {
	Find(key privacy.ID) (cause privacy.Cause, at time.Time) // CauseNone: they did not
	Add(entries ...suppress.Entry) error
}

type nobody struct{}

func (nobody) Find(privacy.ID) (cause privacy.Cause, at time.Time) { return privacy.CauseNone, at }
func (nobody) Add(...suppress.Entry) error                         { return nil }

// Places finds the country and the region of a network.
type Places interface {
	Country(privacy.Network) privacy.Bucket
	Region(privacy.Network) privacy.Bucket
}

// Config is what a Server is made of. Spool, Sites, Keys, Agents and Registerer are needed.
type Config struct {
	Spool       Appender
	Crowded     func() bool // the spool is nearly full: some kinds are shed; nil: it never is
	Sites       Sites
	Keys        Keys
	Agents      *privacy.Agents
	DayKeys     *daykey.Keys // of lane measure; nil: its events are lowered to count
	Suppressed  Suppressed   // nil: nobody is, and nobody can be
	Geo         Places       // nil: no countries
	PathPrefix  string       // in front of every route, such as "/px"; "" = none
	Proxies     proxy.Trusted
	Probes      *Probes       // what the doctor asks about proxies; nil: it cannot
	DevSwitches bool          // POST /dev/tomorrow exists; never on a public address
	Limits      Limits        // of events a second
	ReadTimeout time.Duration // of a whole request; 0 = 5 s
	Now         func() time.Time
	Log         *slog.Logger
	Registerer  prometheus.Registerer
}

// A body a little over the limit is read and refused in peace. Beyond this the connection ends with the reply.
const maxReadBytes = 2 * event.MaxBodyBytes

const (
	noStore      = "no-store"
	reasonHeader = "Beckon-Reason"
)

// Server answers the collector's public routes. Its methods are safe for concurrent use.
type Server struct {
	config   Config
	http     *fasthttp.Server
	routes   map[string]*route
	unrouted *gauge
	tenants  tenants
	limits   limits
	started  time.Time // what the limits count from: the monotonic clock, which nobody sets
	metrics  *metrics
	ids      event.UUIDs
	requests sync.Pool
	draining atomic.Bool

	mu       sync.Mutex
	listener net.Listener // guarded by mu; nil before Serve
}

// New returns a server that listens nowhere yet. It fails when a site has no keys.
func New(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Suppressed == nil {
		c.Suppressed = nobody{}
	}
	c.PathPrefix = strings.TrimSuffix(c.PathPrefix, "/")
	s := &Server{config: c, metrics: newMetrics(c.Registerer), started: c.Now()}
	s.requests.New = func() any { return new(request) }
	s.tenants.sites, s.tenants.keys, s.tenants.outcomes = c.Sites, c.Keys, s.metrics.events
	s.tenants.perSecond = c.Limits.Site
	s.tenants.days = c.DayKeys
	if err := s.tenants.now().err(); err != nil {
		return nil, err
	}
	s.makeLimits()
	s.routes = s.makeRoutes()
	s.unrouted = s.metrics.gauge("other")
	s.http = framing.NewServer(framing.Options{
		Handler: s.Handler, OnFault: s.serveFault, MaxBody: maxReadBytes, ReadTime: c.ReadTimeout, Log: c.Log,
	})
	return s, nil
}

// Serve answers requests of ln until Shutdown, which may come before it.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.listener = ln
	s.mu.Unlock()
	if s.draining.Load() {
		return ln.Close()
	}
	done := make(chan struct{})
	defer close(done)
	go limit.KeepTidy(done, func() time.Duration { return s.config.Now().Sub(s.started) }, s.limits.clients, s.limits.networks)
	if err := s.http.Serve(framing.Patient{Listener: ln}); err != nil {
		return fmt.Errorf("serve events: %w", err)
	}
	return nil
}

// lastWord is how long open connections may still bring a request and hear that they should go
// elsewhere. Closed at once, one that was just sending would be reset without an answer.
const lastWord = 300 * time.Millisecond

// Shutdown takes no new connections, refuses new requests with shutting-down, lets those that were begun
// finish, and returns when all connections are closed or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	if s.listener != nil {
		s.listener.Close() // fasthttp does not know it yet when Serve has just begun
	}
	s.mu.Unlock()
	for end := time.Now().Add(lastWord); s.http.GetOpenConnectionsCount() > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(lastWord / 60)
	}
	if err := s.http.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("connections still open: %w", err)
	}
	return nil
}

// Ready is the admin page's question: an error once Shutdown has begun.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	return nil
}

// Handler answers one request.
func (s *Server) Handler(ctx *fasthttp.RequestCtx) {
	start := ctx.Time() // when fasthttp had the whole request
	g := s.unrouted
	var rt *route
	reason := Taken
	defer func() {
		if p := recover(); p != nil {
			reason = s.survive(ctx, rt, p)
		}
		g.observe(ctx.Response.StatusCode(), reason, time.Since(start))
	}()
	ok, chunked := framing.Plain(&ctx.Request.Header)
	rt, reason = s.find(ctx)
	if rt != nil {
		g = rt.gauge
	}
	switch {
	case !ok:
		reason = Malformed
	case s.draining.Load():
		reason = ShuttingDown
	case reason == Taken:
		reason = rt.serve(ctx, s)
	}
	s.finish(ctx, rt, reason)
	if chunked || !ok { // behind it may stand bytes that another server in front of us took for part of it
		ctx.SetConnectionClose()
	}
}

// finish adds what every reply has. rt is nil where no route was found.
func (s *Server) finish(ctx *fasthttp.RequestCtx, rt *route, reason Reason) {
	switch {
	case reason == Taken:
	case rt != nil && rt.backend:
		s.refuse(ctx, reason)
		explain(ctx, reason)
	default:
		s.refuse(ctx, reason)
		if reason != OriginNotListed {
			s.letRead(ctx)
		}
	}
	h := &ctx.Response.Header
	for i := range everyReply {
		if line := &everyReply[i]; !line.unlessSet || len(h.PeekCanonical(line.name)) == 0 {
			h.SetCanonical(line.name, line.value)
		}
	}
}

// everyReply is what finish adds, spelled as fasthttp would spell it: names that it has to look through
// first cost three times as much.
var everyReply = [...]struct {
	name, value []byte
	unlessSet   bool
}{
	{[]byte(fasthttp.HeaderXContentTypeOptions), []byte("nosniff"), false},
	{[]byte("Cross-Origin-Resource-Policy"), []byte("cross-origin"), false}, // pixels and tags are other hosts' resources
	{[]byte(fasthttp.HeaderCacheControl), []byte(noStore), true},
	{[]byte(fasthttp.HeaderVary), []byte(fasthttp.HeaderOrigin), true},
}

// refuse answers with a reason and no body, so that an image's onerror fires. Headers that were set
// stay: a page's script may read the reason, an opt-out holds.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, reason Reason) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(reason.Status())
	h := &ctx.Response.Header
	h.Set(reasonHeader, reason.String())
	h.Set(fasthttp.HeaderCacheControl, noStore)
	if reasons[reason].retry && len(h.Peek(fasthttp.HeaderRetryAfter)) == 0 {
		h.Set(fasthttp.HeaderRetryAfter, retryAfterSeconds)
	}
	if reasons[reason].close {
		ctx.SetConnectionClose()
	}
}

// faultReasons is what is said of each fault.
var faultReasons = [...]Reason{
	framing.Malformed: Malformed, framing.HeaderTooLarge: HeaderTooLarge, framing.TooLarge: TooLarge,
	framing.TimedOut: TimedOut, framing.ExpectationRefused: ExpectationRefused,
}

// serveFault answers what was no request.
func (s *Server) serveFault(ctx *fasthttp.RequestCtx, fault framing.Fault) {
	reason := faultReasons[fault]
	s.finish(ctx, nil, reason)
	s.unrouted.observe(reason.Status(), reason, 0)
}

// survive turns a panic into a 500. The log gets the kind of fault and the names of the functions: the text
// of a panic, and the arguments in a full stack trace, may hold what a visitor sent.
func (s *Server) survive(ctx *fasthttp.RequestCtx, rt *route, p any) Reason {
	s.metrics.panics.Inc()
	s.config.Log.Error("panic in a request", "type", fmt.Sprintf("%T", p), "stack", service.Callers())
	ctx.Response.Reset()
	s.finish(ctx, rt, Internal)
	return Internal
}

// fault counts and logs what is our fault and no panic. The error names our own files, never a value of
// the request.
func (s *Server) fault(what string, err error) {
	s.metrics.faults.Inc()
	s.config.Log.Error(what, "error", err)
}
