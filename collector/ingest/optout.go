package ingest

import (
	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
)

// optOutSource is the "source" of a withdrawal by POST /optout.
var optOutSource = privacy.NewLabel([]byte("opt-out"))

// serveOptOut sets the opt-out cookie, which holds for every site on this host, expires the cookies of all
// of them and records a withdrawal for each visitor that they named. The cookies are set even when the
// disk refuses the record: nobody has to wait for us to be left alone.
func (s *Server) serveOptOut(ctx *fasthttp.RequestCtx) Reason {
	if !s.fromOurPages(ctx) {
		return OriginNotListed
	}
	_, throughProxy := s.client(ctx)
	https := overHTTPS(ctx, throughProxy)
	host := cookies{secure: https}
	host.write(&ctx.Response.Header, privacy.OptOutCookie, []byte("1"), privacy.OptOutLife)

	reason := Taken
	for _, t := range s.tenants.now().byID {
		reason = max(reason, s.forget(ctx, t, https))
	}
	if reason == Taken {
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
	return reason
}

// forget expires what the browser has of one site and records the withdrawal.
func (s *Server) forget(ctx *fasthttp.RequestCtx, t *tenant, https bool) Reason {
	now := s.config.Now()
	c := cookiesOf(t, https)
	visit, known := c.read(&ctx.Request.Header, t.keys, now)
	c.expire(&ctx.Response.Header)
	if !known {
		return Taken
	}
	r := s.acquire(ctx)
	r.tenant = t
	r.visitor.lane, r.visitor.cause = privacy.LaneCount, privacy.CauseOptOut
	s.consent(r, visit.ID(t.keys), &privacy.Choice{Source: optOutSource, At: now})
	reason := s.store(r)
	s.release(r)
	return reason
}

// serveOptIn takes the opt-out cookie away. It grants nothing: the site's default or a new choice does.
func (s *Server) serveOptIn(ctx *fasthttp.RequestCtx) Reason {
	if !s.fromOurPages(ctx) {
		return OriginNotListed
	}
	_, throughProxy := s.client(ctx)
	host := cookies{secure: overHTTPS(ctx, throughProxy)}
	host.write(&ctx.Response.Header, privacy.OptOutCookie, nil, 0)
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
	_, throughProxy := s.client(ctx)
	c := cookiesOf(t, overHTTPS(ctx, throughProxy))
	now := s.config.Now()
	visit, known := c.read(&ctx.Request.Header, t.keys, now)
	if !known {
		return Malformed
	}
	visit.Tomorrow(now)
	c.set(&ctx.Response.Header, visit, t.keys, now)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return Taken
}
