package ingest

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/event"
	"beckon/internal/limit"
)

// Limits are the events a second that are taken for long from one client, from one truncated network, and
// for one site; 0 = no limit. A request counts for its events, and for one when it has none.
type Limits struct{ Client, Network, Site int }

// limitBurst is how much of each rate may come at once: a shop's message to all its customers, or a batch of
// what a browser could not send for a day.
const limitBurst = 20 * time.Second

// limitPlaces is how many clients, and networks, may be in debt at once before the smallest debts are
// forgotten: 2 MiB for each of the two.
const limitPlaces = 1 << 17

// limits knows who came how often. Addresses go in and nothing comes out: see package limit. The site's own
// bucket stands with its tenant.
type limits struct {
	clients, networks         *limit.Table
	client, network, siteWide prometheus.Counter // refusals
}

func (s *Server) makeLimits() {
	c := s.config.Limits
	s.limits = limits{
		clients:  limit.NewTable(c.Client, limitBurst, limitPlaces),
		networks: limit.NewTable(c.Network, limitBurst, limitPlaces),
		client:   s.metrics.limited.WithLabelValues("client"),
		network:  s.metrics.limited.WithLabelValues("network"),
		siteWide: s.metrics.limited.WithLabelValues("site"),
	}
	s.config.Registerer.MustRegister(
		forgotten("client", s.limits.clients), forgotten("network", s.limits.networks))
}

func forgotten(by string, t *limit.Table) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "beckon_limit_forgotten_total", Help: "Debts of clients or networks that were forgotten for want of room.",
		ConstLabels: prometheus.Labels{"by": by},
	}, func() float64 { return float64(t.Forgotten()) })
}

// enter takes one token of a client and of its network, in this order, so that a client who is refused
// takes nothing away from its neighbours. An unknown address and one of our own proxies stand for any
// number of people: they count for the site only.
func (s *Server) enter(ctx *fasthttp.RequestCtx, from netip.Addr, now time.Duration) Reason {
	if !from.IsValid() || s.config.Proxies.Trusts(from) {
		return Taken
	}
	if wait := s.limits.clients.Take(now, limit.ClientKey(from), 1); wait > 0 {
		return s.tooOften(ctx, wait, s.limits.client)
	}
	if wait := s.limits.networks.Take(now, limit.NetworkKey(from), 1); wait > 0 {
		return s.tooOften(ctx, wait, s.limits.network)
	}
	return Taken
}

// charge takes tokens for the events of a request beyond its first.
func (s *Server) charge(from netip.Addr, now time.Duration, more int) {
	if more > 0 && from.IsValid() && !s.config.Proxies.Trusts(from) {
		s.limits.clients.Charge(now, limit.ClientKey(from), more)
		s.limits.networks.Charge(now, limit.NetworkKey(from), more)
	}
}

func (s *Server) tooOften(ctx *fasthttp.RequestCtx, wait time.Duration, count prometheus.Counter) Reason {
	count.Inc()
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, limit.RetryAfter(wait))
	return RateLimited
}

// withinRate refuses who comes too often, before anything of the request is read. A shop's server is one
// address for all its customers: it is limited as its site.
func withinRate(s *Server, r *request) Reason {
	if r.source == event.SourceServer {
		return Taken
	}
	return s.enter(r.ctx, r.addr, r.since)
}

// withinSiteRate refuses more events than the site may bring, and counts those beyond the first for whoever
// sent them.
func withinSiteRate(s *Server, r *request) Reason {
	if r.source != event.SourceServer {
		s.charge(r.addr, r.since, r.sent-1)
	}
	if wait := r.tenant.rate.Take(r.since, max(r.sent, 1)); wait > 0 {
		return s.tooOften(r.ctx, wait, s.limits.siteWide)
	}
	return Taken
}
