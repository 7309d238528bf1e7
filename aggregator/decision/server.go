// Package decision is about answering a storefront: does this visitor get an offer, which, why, and
// how fresh is that answer.
//
// An answer is reached from memory: features of recently seen visitors, rules compiled when the
// sites file was read. ClickHouse is asked only for a visitor who is not in memory, with a deadline,
// and an answer without features is "no offer", never an error page (P6). The first serve of a grant
// is durable before the shopper hears of it; every answer can be explained from its row (P7). Only
// the holder of a valid visitor cookie, or the shop's server key, gets a personalised answer (P8).
//
// It stands behind aggregator/eligibility and is the last step of the path.
package decision

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/cors"
	"beckon/internal/framing"
	"beckon/internal/keyring"
	"beckon/internal/limit"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/token"
)

//go:embed openapi.json
var openAPI []byte

// Config is what a Server is made of.
type Config struct {
	Program    func() *eligibility.Program // in force, with its sites
	Keys       *keyring.Ring
	Suppressed interface { // by suppress.KeyOf
		Find(key privacy.ID) (cause privacy.Cause, at time.Time)
	}
	Tokens     *token.Issuer // signs offers
	Issuer     string        // the `iss` of tokens
	Store      *feature.Store
	Cold       *feature.Cold
	CompleteAt func() time.Time // the change feed is complete up to here
	Recorder   *Recorder
	Agents     *privacy.Agents

	PathPrefix   string        // "" or "/px"
	Proxies      proxy.Trusted // in front of us; without any, whoever connects is the client
	Limits       Limits
	ColdDeadline time.Duration // how long an answer waits for a visitor who is not in memory
	StaleAfter   time.Duration // older features give no offer
	ReadTimeout  time.Duration // of a whole request; 0 = framing.ReadTimeout
	Now          func() time.Time
	Log          *slog.Logger
	Registerer   prometheus.Registerer
}

// Server answers decision requests.
type Server struct {
	Config
	m      metrics
	tokens *tokenCache
	limits *limits
	shops  atomic.Pointer[shops]
	turns  [turns]sync.Mutex // for first serves, by visitor
	http   *fasthttp.Server

	failing trouble // of decisions: a first serve that could not be recorded, most often

	mu       sync.Mutex
	listener net.Listener // guarded by mu; nil before Serve
	stopping bool         // guarded by mu
}

// turns is how many visitors can be given something at once: more than a disk commits together.
const turns = 128

// maxReadBytes is what is read of a body: the context of an OFREP question, of which we use one word.
const maxReadBytes = 64 << 10

// New returns a server that does not listen yet.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{Config: c, m: newMetrics(c.Registerer), tokens: newTokenCache(), limits: newLimits(c.Limits, c.Registerer)}
	s.http = framing.NewServer(framing.Options{
		Handler: s.handle, OnFault: s.handleFault, MaxBody: maxReadBytes, ReadTime: c.ReadTimeout, Log: c.Log,
	})
	return s
}

// Serve answers on l until Shutdown, which may come before it.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		return l.Close()
	}
	done := make(chan struct{})
	defer close(done)
	go limit.KeepTidy(done, func() time.Duration { return time.Since(s.limits.started) }, s.limits.clients)
	return s.http.Serve(framing.Patient{Listener: l})
}

// Shutdown stops listening and waits for the requests under way, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	if s.listener != nil {
		s.listener.Close() // fasthttp does not know it yet when Serve has just begun
	}
	s.mu.Unlock()
	if err := s.http.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	route, offerID := routeOther, ""
	defer func() {
		if p := recover(); p != nil {
			s.survive(ctx, route, offerID, p)
		}
		s.m.seconds[route].Observe(time.Since(start).Seconds())
	}()
	plain, chunked := framing.Plain(&ctx.Request.Header)
	if !plain || chunked {
		ctx.SetConnectionClose() // behind it may stand bytes that a proxy in front of us took for part of it
	}
	if !plain {
		s.refuse(ctx, malformed)
		return
	}
	path, ok := bytes.CutPrefix(ctx.Path(), []byte(s.PathPrefix))
	if !ok {
		s.refuse(ctx, notFound)
		return
	}
	switch string(path) {
	case "/v1/decision":
		route = routeDecision
		s.handleDecision(ctx)
	case "/.well-known/jwks.json":
		route = routeJWKS
		s.static(ctx, "application/json", "public, max-age=300", s.Tokens.JWKS())
	case "/openapi.json":
		route = routeOpenAPI
		s.static(ctx, "application/json", "public, max-age=300", openAPI)
	case "/planted":
		if planted != nil {
			planted(ctx)
		}
		fallthrough
	default:
		rest, isOFREP := bytes.CutPrefix(path, []byte(ofrepPath))
		if !isOFREP || len(rest) > 0 && rest[0] != '/' || len(rest) == 1 {
			s.refuse(ctx, notFound)
			return
		}
		route, offerID = routeOFREP, string(bytes.TrimPrefix(rest, []byte("/")))
		s.handleOFREP(ctx, offerID)
	}
}

// survive turns a panic into a 500, which the page may read that was let in before it.
func (s *Server) survive(ctx *fasthttp.RequestCtx, route, offerID string, p any) {
	s.m.panics.Inc()
	s.Log.Error("panic in a request", "route", route, "type", fmt.Sprintf("%T", p), "stack", service.Callers())
	origin := bytes.Clone(ctx.Response.Header.Peek("Access-Control-Allow-Origin"))
	ctx.Response.Reset()
	private(ctx)
	if len(origin) > 0 {
		cors.Allow(&ctx.Response.Header, origin)
	}
	s.writeRefusal(ctx, internal)
	if route == routeOFREP {
		failOFREP(ctx, internal, offerID)
	}
	ctx.SetConnectionClose()
}

// planted is set in one build only, that of the privacy proof: see planted.go.
var planted func(*fasthttp.RequestCtx)

// What a page's script may ask for in advance.
const (
	decisionMethods = "GET, HEAD"
	decisionHeaders = "Authorization, Beckon-Visitor"
	allowsGet       = "GET, HEAD, OPTIONS"
)

func (s *Server) handleDecision(ctx *fasthttp.RequestCtx) {
	private(ctx)
	program, key := s.Program(), bearer(&ctx.Request.Header)
	if refused := s.withinRate(ctx, program.File(), key); refused != nil {
		s.refuse(ctx, refused)
		return
	}
	st := program.File().Site(string(ctx.QueryArgs().Peek("site")))
	if st == nil {
		s.refuse(ctx, unknownSite)
		return
	}
	switch refused := letIn(ctx, st); {
	case refused != nil:
		s.refuse(ctx, refused)
		return
	case ctx.IsOptions():
		cors.Preflight(ctx, decisionMethods, decisionHeaders)
		return
	case !ctx.IsGet() && !ctx.IsHead():
		s.refuseMethod(ctx, allowsGet)
		return
	}
	a, refused := s.admit(ctx, program, st, key)
	explain := string(ctx.QueryArgs().Peek("explain")) == "1"
	if refused == nil && explain && !a.byKey {
		refused = badServerKey // what a rule looks at is the shop's, not the shopper's
	}
	if refused != nil {
		s.refuse(ctx, refused)
		return
	}
	a.tellLane(ctx)
	if ctx.IsHead() { // who asks for the head alone is given no offer: nothing is decided or recorded
		ctx.SetContentType("application/json")
		return
	}
	if explain {
		writeJSON(ctx, s.explain(a))
		return
	}
	s.reply(ctx, a)
}

// private says that an answer is for one visitor.
func private(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	for i := range privateLines {
		h.SetCanonical(privateLines[i].name, privateLines[i].value)
	}
}

// privateLines are spelled as fasthttp would: names that it has to look through first cost three times as much.
var privateLines = [...]struct{ name, value []byte }{
	{[]byte("Cache-Control"), []byte("private, no-store")},
	{[]byte("Vary"), []byte("Origin, Cookie")},
	{[]byte("X-Content-Type-Options"), []byte("nosniff")},
}

// letIn lets a page of the site read the answer. A page of anybody else is refused; who has no Origin is no
// page of another host.
func letIn(ctx *fasthttp.RequestCtx, st *site.Site) *refusal {
	switch origin, ok := cors.Origin(&ctx.Request.Header); {
	case !ok || len(origin) > 0 && !st.Lists(origin):
		return originNotListed
	case len(origin) > 0:
		cors.Allow(&ctx.Response.Header, origin)
	}
	return nil
}

// answer decides. A fault of ours is an answer without an offer, reason ERROR, and a counter: the shop goes
// on selling.
func (s *Server) answer(ctx *fasthttp.RequestCtx, a asker, only *site.Offer) *answer {
	ans, err := s.decide(ctx, a, only)
	if err != nil {
		if s.failing.failed(ans.now) {
			s.Log.Error("decisions fail; nothing new is given meanwhile", "site", a.site.ID, "error", err)
		}
		ans.verdict, ans.token, ans.failed = eligibility.Verdict{Reason: eligibility.EvaluationFailed}, "", true
	}
	a.shop.answers[ans.verdict.Reason].Inc()
	return ans
}

// reply writes the decision.
func (s *Server) reply(ctx *fasthttp.RequestCtx, a asker) {
	ans := s.answer(ctx, a, nil)
	ctx.SetContentType("application/json")
	var stack [1536]byte // an answer with a token has about 900 bytes
	ctx.SetBody(ans.appendReply(stack[:0]))
	ans.forget()
}

func (s *Server) static(ctx *fasthttp.RequestCtx, contentType, cache string, body []byte) {
	if !ctx.IsGet() && !ctx.IsHead() {
		s.refuseMethod(ctx, "GET, HEAD")
		return
	}
	ctx.Response.Header.Set("Access-Control-Allow-Origin", "*") // public documents, no credentials
	ctx.Response.Header.Set("Cache-Control", cache)
	ctx.SetContentType(contentType)
	ctx.SetBody(body)
}

// faultRefusals is what is said of each fault.
var faultRefusals = [...]*refusal{
	framing.Malformed: malformed, framing.HeaderTooLarge: headerTooLarge, framing.TooLarge: tooLarge,
	framing.TimedOut: timedOut, framing.ExpectationRefused: expectationRefused,
}

// handleFault answers what was no request. Nobody can tell of which route it was.
func (s *Server) handleFault(ctx *fasthttp.RequestCtx, fault framing.Fault) {
	s.refuse(ctx, faultRefusals[fault])
	ctx.SetConnectionClose()
}

func (s *Server) refuse(ctx *fasthttp.RequestCtx, r *refusal) {
	s.writeRefusal(ctx, r)
	if r != originNotListed {
		s.letRead(ctx)
	}
}

// writeRefusal counts a refusal and writes it.
func (s *Server) writeRefusal(ctx *fasthttp.RequestCtx, r *refusal) {
	s.m.refusals.WithLabelValues(r.reason).Inc()
	ctx.Response.Header.Set("Beckon-Reason", r.reason)
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	if r == badServerKey {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
	ctx.SetContentType("application/problem+json")
	ctx.SetStatusCode(r.status)
	body, _ := json.Marshal(map[string]any{"status": r.status, "title": r.reason}) // two plain values
	ctx.SetBody(body)
}

// letRead lets a page that any site lists read a refusal, also where no site was found yet: without that its
// script sees no status and no Retry-After, and could only guess when to come again.
func (s *Server) letRead(ctx *fasthttp.RequestCtx) {
	if from, ok := cors.Origin(&ctx.Request.Header); ok && len(from) > 0 && s.Program().File().Lists(from) {
		cors.Allow(&ctx.Response.Header, from)
	}
}

func (s *Server) refuseMethod(ctx *fasthttp.RequestCtx, allowed string) {
	ctx.Response.Header.Set("Allow", allowed)
	s.refuse(ctx, wrongMethod)
}
