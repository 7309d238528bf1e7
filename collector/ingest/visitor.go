package ingest

import (
	"time"

	"beckon/internal/cookie"
	"beckon/internal/event"
	"beckon/internal/privacy"
)

// visitor is what is known of the sender after the privacy step: reduced values, and the cookie, whose
// random part goes back to the browser and nowhere else.
type visitor struct {
	network privacy.Network
	country privacy.Bucket
	agent   privacy.Agent
	lane    privacy.Lane
	cause   privacy.Cause

	id, session privacy.ID // zero outside lane decide

	cookies cookie.Jar
	visit   privacy.Visit
	known   bool // a valid cookie came along
	send    bool // the reply sets the cookie
	expire  bool // the reply expires it
}

// meet is the privacy step of a request: it reads what the sender's connection, headers and cookies say,
// keeps what may be kept, and decides the lane. The tenant is known.
func (s *Server) meet(r *request) {
	v, h := &r.visitor, &r.ctx.Request.Header
	v.network = privacy.Truncate(r.addr)
	if s.config.Geo != nil {
		v.country = s.config.Geo.Country(v.network)
	}
	v.agent = s.config.Agents.Parse(privacy.HintsOf(h.Peek))
	now := time.UnixMilli(r.received)
	v.cookies = r.tenant.names.On(overHTTPS(r.ctx, r.throughProxy))
	v.visit, v.known = v.cookies.Read(h, r.tenant.keys, now)

	signals := privacy.Signals{
		GPC: cookie.Says(h, "Sec-GPC", "1"), DNT: cookie.Says(h, "DNT", "1"), OptOut: v.cookies.OptedOut,
		Country: v.country.String(),
	}
	if v.known {
		signals.Recorded = v.visit.Recorded()
	}
	if r.chosen {
		r.choice.At = r.chosenTime(now)
		signals.Choice = &r.choice
	}
	v.lane, v.cause = privacy.Choose(r.tenant.site.Consent, signals)
	s.recognise(r, now)
}

// recognise gives a visitor in lane decide the ids of the cookie, a new one when there is none. In every
// other lane there are no ids; the cookie goes when somebody's will put the visitor there. A choice that
// changed is recorded once.
func (s *Server) recognise(r *request, now time.Time) {
	v, keys := &r.visitor, r.tenant.keys
	if v.lane != privacy.LaneDecide {
		v.expire = privacy.ExpiresVisit(v.lane, v.cause)
		if v.known && r.chosen && !r.choice.Decide {
			s.consent(r, v.visit.ID(keys), &r.choice)
		}
		return
	}
	changed := false
	if v.known {
		v.send = v.visit.Touch(now)
		changed = r.chosen && v.visit.Record(now, v.lane, r.choice)
	} else {
		var choice *privacy.Choice
		if r.chosen {
			choice = &r.choice
		}
		v.visit = privacy.NewVisit(keys, now, v.lane, choice)
		changed = r.chosen
	}
	v.send = v.send || changed || !v.known
	v.id, v.session = v.visit.ID(keys), v.visit.Session(keys)
	if changed {
		s.consent(r, v.id, &r.choice)
	}
}

// describe fills what an event says of its sender.
func (v *visitor) describe(e *event.Event) {
	e.Lane, e.Cause = v.lane, v.cause
	e.Network, e.Country = v.network, v.country
	e.Device, e.Browser, e.OS, e.Bot = v.agent.Device, v.agent.Browser, v.agent.OS, v.agent.Bot
	e.Visitor, e.Session = v.id, v.session
	if v.lane == privacy.LaneDecide {
		e.VisitorSince = v.visit.Created * 1000
	}
}
