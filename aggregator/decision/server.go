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
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/framing"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/service"
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
	turns  [turns]sync.Mutex // for first serves, by visitor
	http   *fasthttp.Server

	mu       sync.Mutex
	listener net.Listener // guarded by mu; nil before Serve
	stopping bool         // guarded by mu
}

// turns is how many visitors can be given something at once: more than a disk commits together.
const turns = 128

// maxReadBytes is what is read of a body: nothing here has one of use.
const maxReadBytes = 4 << 10

// New returns a server that does not listen yet.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{Config: c, m: newMetrics(c.Registerer), tokens: newTokenCache()}
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
	route := "other"
	defer func() {
		if p := recover(); p != nil {
			s.m.panics.Inc()
			s.Log.Error("panic in a request", "route", route, "type", fmt.Sprintf("%T", p), "stack", service.Callers())
			ctx.Response.Reset()
			ctx.SetStatusCode(fasthttp.StatusInternalServerError)
			ctx.SetConnectionClose()
		}
		s.m.seconds.WithLabelValues(route).Observe(time.Since(start).Seconds())
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
		route = "decision"
		s.handleDecision(ctx)
	case "/.well-known/jwks.json":
		route = "jwks"
		s.static(ctx, "application/json", "public, max-age=300", s.Tokens.JWKS())
	case "/openapi.json":
		route = "openapi"
		s.static(ctx, "application/json", "public, max-age=300", openAPI)
	case "/planted":
		if planted != nil {
			planted(ctx)
		}
		fallthrough
	default:
		s.refuse(ctx, notFound)
	}
}

// planted is set in one build only, that of the privacy proof: see planted.go.
var planted func(*fasthttp.RequestCtx)

func (s *Server) handleDecision(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("Cache-Control", "private, no-store")
	h.Set("Vary", "Origin, Cookie")
	h.Set("X-Content-Type-Options", "nosniff")
	program := s.Program()
	st := program.File().Site(string(ctx.QueryArgs().Peek("site")))
	if st == nil {
		s.refuse(ctx, unknownSite)
		return
	}
	if origin := ctx.Request.Header.Peek("Origin"); len(origin) > 0 {
		if !st.Lists(origin) {
			s.refuse(ctx, originNotListed)
			return
		}
		allow(h, origin)
	}
	switch {
	case ctx.IsOptions():
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", "authorization, beckon-visitor")
		h.Set("Access-Control-Max-Age", "600")
		ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	case !ctx.IsGet() && !ctx.IsHead():
		s.refuse(ctx, wrongMethod)
		return
	}
	a, refused := s.identify(ctx, program, st)
	if refused != nil {
		s.refuse(ctx, refused)
		return
	}
	h.Set("Beckon-Lane", a.lane.String()+"; "+a.cause.String())
	if ctx.IsHead() { // who asks for the head alone is given no offer: nothing is decided or recorded
		ctx.SetContentType("application/json")
		return
	}
	s.reply(ctx, a)
}

// reply writes the decision. A fault of ours is an answer without an offer, reason ERROR, and a
// counter: the shop goes on selling.
func (s *Server) reply(ctx *fasthttp.RequestCtx, a asker) {
	ans, err := s.decide(ctx, a)
	if err != nil {
		s.Log.Error("decision failed", "site", a.site.ID, "error", err)
		ans.verdict, ans.token = eligibility.Verdict{Reason: eligibility.EvaluationFailed}, ""
	}
	s.m.decisions.WithLabelValues(a.site.ID, ans.verdict.Reason.String()).Inc()
	body, err := json.Marshal(newReply(a.site.ID, &ans.verdict, ans.token, ans.freshAt))
	if err != nil {
		panic("BUG: reply does not marshal: " + err.Error())
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

func (s *Server) static(ctx *fasthttp.RequestCtx, contentType, cache string, body []byte) {
	if !ctx.IsGet() && !ctx.IsHead() {
		s.refuse(ctx, wrongMethod)
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

// allow lets a listed origin read the answer with the visitor's cookie.
func allow(h *fasthttp.ResponseHeader, origin []byte) {
	h.SetBytesV("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "Beckon-Reason, Beckon-Lane, ETag, Retry-After")
}
