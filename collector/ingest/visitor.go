package ingest

import (
	"time"

	"beckon/internal/cookie"
	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/suppress"
)

// visitor is what is known of the sender after the privacy step: reduced values, and the cookie, whose
// random part goes back to the browser and nowhere else.
type visitor struct {
	network privacy.Network
	country privacy.Bucket
	region  privacy.Bucket // of a site that asks for it
	agent   privacy.Agent
	lane    privacy.Lane
	cause   privacy.Cause

	id, session privacy.ID // in lane decide of the cookie; in measure the id of the day, and no session
	since       int64      // creation of the visitor's cookie in Unix seconds, 0 = nobody is named
	day         daykey.Day // of id, in lane measure

	raised bool // the choice of this request allows more than was allowed without it
	unseen bool // a shop's server speaks: its own address and agent are not the shopper's

	cookies cookie.Jar
	visit   privacy.Visit
	known   bool // a valid cookie came along, of a visitor who has not said no
	send    bool // the reply sets the cookie
	expire  bool // the reply expires it

	link   privacy.Link
	linked bool // the same without a cookie: by a link token, or by the cookie's value from the shop's server

	revoked privacy.ID // the visitor for whom the sender speaks, when they have said no
}

// meet is the privacy step of a request: it reads what the sender's connection, headers and cookies say,
// keeps what may be kept, and decides the lane. The tenant is known.
func (s *Server) meet(r *request) {
	v, h := &r.visitor, &r.ctx.Request.Header
	if v.unseen = r.trusted(); !v.unseen {
		v.network = privacy.Truncate(r.addr)
		if s.config.Geo != nil {
			v.country = s.config.Geo.Country(v.network)
			if r.tenant.site.Region {
				v.region = s.config.Geo.Region(v.network)
			}
		}
		v.agent = s.config.Agents.Parse(privacy.HintsOf(h.PeekCanonical))
	}
	if r.driven {
		v.agent.Drive()
	}
	now := time.UnixMilli(r.received)
	v.cookies = r.tenant.names.On(proxy.OverHTTPS(r.ctx, r.throughProxy))
	recorded := s.claim(r, now)

	signals := privacy.Signals{
		GPC: cookie.Says(h, "Sec-GPC", "1"), DNT: cookie.Says(h, "DNT", "1"), OptOut: v.cookies.OptedOut,
		Recorded: recorded, Country: v.country.String(),
	}
	if r.chosen {
		r.choice.At = r.chosenTime(now)
		signals.Choice = &r.choice
	}
	s.heed(r, &signals)
	policy := r.tenant.site.Consent
	if r.trusted() && v.linked { // where the shopper is, the collector knew when it granted the lane
		policy.Default = policy.Granted(v.link.Lane)
	}
	v.lane, v.cause = privacy.Choose(policy, signals)
	if r.chosen {
		signals.Choice = nil
		before, _ := privacy.Choose(policy, signals)
		v.raised = v.lane > before
	}
	s.recognise(r, now)
}

// claim finds out for whom the sender speaks: the visitor of a valid cookie, else of a valid link token. The
// cookie wins, because it is this browser's own and a token can be passed on. It is the one place where
// something that was sent becomes the id of a visitor. recorded is the choice that came with it.
func (s *Server) claim(r *request, now time.Time) (recorded privacy.Lane) {
	v, keys := &r.visitor, r.tenant.keys
	v.visit, v.known = v.cookies.Read(&r.ctx.Request.Header, keys, now)
	if v.known = v.known && !r.cookieless; v.known {
		v.id, v.since = v.visit.ID(keys), v.visit.Created
		return v.visit.Recorded()
	}
	if r.trusted() {
		r.readVisitor(now)
	}
	if r.readLink() {
		v.id, v.since = v.link.Visitor, v.link.VisitorSince
		return v.link.Recorded()
	}
	return privacy.LaneNone
}

// heed looks up whether the visitor for whom the sender speaks has said no. If so, nobody is known: a
// consent makes a new visitor, where there can be one. A consent that was given before the no is none, such
// as that of another tab whose request was on its way.
func (s *Server) heed(r *request, signals *privacy.Signals) {
	v := &r.visitor
	if v.id.IsZero() {
		return
	}
	cause, since := s.config.Suppressed.Find(suppress.KeyOf(r.tenant.keys, v.id))
	if cause == privacy.CauseNone {
		return
	}
	v.revoked, v.id, v.since = v.id, privacy.ID{}, 0
	v.known, v.linked = false, false
	signals.Revoked = cause
	if r.chosen && r.choice.Decide && (r.cookieless || !r.choice.At.After(since)) {
		r.chosen, signals.Choice = false, nil
	}
}

// recognise leaves the ids to a visitor in lane decide and makes a new visitor where nobody is known; in lane
// measure there is the id of the day. Outside decide the cookie goes when somebody's will put the visitor there.
// A choice that changed is recorded once.
func (s *Server) recognise(r *request, now time.Time) {
	v, keys := &r.visitor, r.tenant.keys
	if v.lane != privacy.LaneDecide {
		who, revoked := v.id, v.revoked
		v.id, v.since = privacy.ID{}, 0
		v.expire = !r.cookieless && privacy.ExpiresVisit(v.lane, v.cause)
		switch {
		case !who.IsZero() && r.chosen && !r.choice.Decide:
			s.withdraw(r, who, &r.choice)
		case !revoked.IsZero() && r.chosen && !r.choice.Decide: // who was not answered says it again
			s.withdraw(r, revoked, &r.choice)
		case v.known && v.cookies.OptedOut: // a cookie that was on its way to them when they opted out
			s.withdraw(r, who, &privacy.Choice{Source: optOutSource, At: now})
		case !revoked.IsZero() && v.cookies.OptedOut && v.expire: // in force here, perhaps without its row
			s.withdraw(r, revoked, &privacy.Choice{Source: optOutSource, At: now})
		}
		s.measure(r)
		if v.lane == privacy.LaneMeasure && v.raised && !v.id.IsZero() {
			s.arrive(r)
		}
		return
	}
	changed := false
	switch {
	case v.known:
		v.send = v.visit.Touch(now)
		changed = r.chosen && v.visit.Record(now, v.lane, r.choice)
		v.send = v.send || changed
		v.session = v.visit.SessionOf(keys, v.id)
	case v.linked:
		changed = r.chosen && v.link.Changes(v.lane, r.choice)
		v.session = v.link.Session
	case r.cookieless: // nobody is named, and nobody can be
	default:
		var choice *privacy.Choice
		if r.chosen {
			choice = &r.choice
		}
		v.visit = privacy.NewVisit(keys, now, v.lane, choice)
		v.send, changed = true, r.chosen
		v.id, v.since = v.visit.ID(keys), v.visit.Created
		v.session = v.visit.SessionOf(keys, v.id)
	}
	if changed {
		s.consent(r, v.id, &r.choice)
	}
}

// describe fills what an event says of its sender.
func (v *visitor) describe(e *event.Event, keys *daykey.Site) {
	e.Lane, e.Cause = v.lane, v.cause
	e.Network, e.Country, e.Region = v.network, v.country, v.region
	e.Device, e.Browser, e.OS, e.Bot = v.agent.Device, v.agent.Browser, v.agent.OS, v.agent.Bot
	e.Visitor, e.Session, e.VisitorSince = v.id, v.session, v.since*1000
	switch {
	case v.lane == privacy.LaneMeasure:
		v.describeMeasured(e, keys)
	case v.linked && !v.link.InSession(e.OccurredAt):
		e.Session = privacy.ID{}
	}
}
