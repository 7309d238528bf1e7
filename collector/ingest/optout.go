package ingest

import (
	"github.com/valyala/fasthttp"

	"beckon/internal/cookie"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
)

// optOutSource is the "source" of a withdrawal by POST /optout.
var optOutSource = privacy.NewLabel([]byte("opt-out"))

// serveOptOut sets the opt-out cookie, which holds for every site on this host, expires the cookies of all
// of them and records a withdrawal for each visitor that they named. The opt-out cookie is set even when the
// disk refuses a record, or the address comes too often for one: nobody has to wait for us to be left alone.
// The visitor cookie then stays, because it is all that can say who withdraws: the next request does it.
func (s *Server) serveOptOut(ctx *fasthttp.RequestCtx) Reason {
	if !s.fromOurPages(ctx) {
		return OriginNotListed
	}
	addr, throughProxy := s.config.Proxies.Client(ctx)
	https := proxy.OverHTTPS(ctx, throughProxy)
	host := cookie.Host(https)
	host.SetOptOut(&ctx.Response.Header)

	reason := s.enter(ctx, addr, s.config.Now().Sub(s.started))
	records := reason == Taken
	for _, t := range s.tenants.now().byID {
		reason = max(reason, s.forget(ctx, t, https, records))
	}
	if reason == Taken {
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
	return reason
}

// forget records the withdrawal of one site's visitor, if it may, and then expires what the browser has of it.
func (s *Server) forget(ctx *fasthttp.RequestCtx, t *tenant, https, records bool) Reason {
	now := s.config.Now()
	c := t.names.On(https)
	visit, known := c.Read(&ctx.Request.Header, t.keys, now)
	if known && !records {
		return Taken
	}
	if known {
		r := s.acquire(ctx)
		r.tenant = t
		r.visitor.lane, r.visitor.cause = privacy.LaneCount, privacy.CauseOptOut
		s.withdraw(r, visit.ID(t.keys), &privacy.Choice{Source: optOutSource, At: now})
		reason := s.store(r)
		s.release(r)
		if reason != Taken {
			return reason
		}
	}
	c.Expire(&ctx.Response.Header)
	return Taken
}

// serveOptIn takes the opt-out cookie away. It grants nothing: the site's default or a new choice does.
func (s *Server) serveOptIn(ctx *fasthttp.RequestCtx) Reason {
	addr, throughProxy := s.config.Proxies.Client(ctx)
	if reason := s.enter(ctx, addr, s.config.Now().Sub(s.started)); reason != Taken {
		return reason
	}
	if !s.fromOurPages(ctx) {
		return OriginNotListed
	}
	host := cookie.Host(proxy.OverHTTPS(ctx, throughProxy))
	host.ClearOptOut(&ctx.Response.Header)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return Taken
}

// serveTomorrow is the development switch: it makes the visitor of ?s=SITE look as if they came back a day
// later. It exists only with Config.DevSwitches.
func (s *Server) serveTomorrow(ctx *fasthttp.RequestCtx) Reason {
	if !s.fromOurPages(ctx) {
		return OriginNotListed
	}
	t, err := s.tenants.find(ctx.QueryArgs().Peek("s"))
	if err != nil {
		s.fault("site without keys", err)
		return Internal
	}
	if t == nil {
		return UnknownSite
	}
	_, throughProxy := s.config.Proxies.Client(ctx)
	c := t.names.On(proxy.OverHTTPS(ctx, throughProxy))
	now := s.config.Now()
	visit, known := c.Read(&ctx.Request.Header, t.keys, now)
	if !known {
		return Malformed
	}
	visit.Tomorrow(now)
	c.SetVisit(&ctx.Response.Header, visit, t.keys, now)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return Taken
}
