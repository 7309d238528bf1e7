package ingest

import (
	"time"

	"beckon/internal/cors"
	"beckon/internal/event"
)

// check looks at one thing. It returns Taken when that is in order, and leaves what it found in r.
type check func(*Server, *request) Reason

// A request of a browser passes these in order; the first that refuses ends it. Those of a page that wants a
// link and of a shop's server are in link.go and backend.go.
var requestChecks = []check{withinRate, wellFormed, knownSite, listedOrigin, notTooMany, withinSiteRate}

// Then each of its events passes these.
var eventChecks = []check{knownKind, worthItsRoom, goodValues, goodID, inTime}

func wellFormed(_ *Server, r *request) Reason { return r.parse(r) }

func knownSite(s *Server, r *request) Reason {
	t, err := s.tenants.find(r.siteID)
	if err != nil {
		s.fault("site without keys", err)
		return Internal
	}
	if t == nil {
		return UnknownSite
	}
	r.tenant = t
	return Taken
}

// listedOrigin refuses pages that the site does not know. A request without Origin is let through:
// pixels, old browsers and shop servers send none, and the header proves nothing about them. "null" is
// whoever likes to be it, such as a sandboxed frame: only a valid link token lets it in, and its cookies
// stay out. Without Origin a choice counts only where it may have come from a page of the shop.
func listedOrigin(_ *Server, r *request) Reason {
	from, ok := cors.Origin(&r.ctx.Request.Header)
	switch {
	case !ok:
		return OriginNotListed
	case len(from) == 0:
		r.chosen = r.chosen && fromPage(&r.ctx.Request.Header)
		return Taken
	case string(from) == cors.Null && r.readLink():
		r.cookieless = true
		cors.AllowNull(&r.ctx.Response.Header)
		return Taken
	case !r.tenant.site.Lists(from):
		return OriginNotListed
	}
	cors.Allow(&r.ctx.Response.Header, from)
	return Taken
}

func notTooMany(_ *Server, r *request) Reason {
	if r.sent > event.MaxBatchEvents {
		return TooManyEvents
	}
	return Taken
}

func knownKind(_ *Server, r *request) Reason {
	r.event.Kind = event.ParseKind(r.raw.kind, r.trusted())
	if r.event.Kind == event.KindNone {
		return UnknownKind
	}
	return Taken
}

// worthItsRoom sheds what shops can do without while the spool is nearly full, so that what they cannot is still
// taken. It is for browsers only: a server tries again later when the spool is full, and wants all or nothing.
func worthItsRoom(s *Server, r *request) Reason {
	fromBrowser := r.source == event.SourcePixel || r.source == event.SourceBeacon
	if fromBrowser && r.event.Kind.Expendable() && s.config.Crowded != nil && s.config.Crowded() {
		return Shed
	}
	return Taken
}

func goodValues(_ *Server, r *request) Reason {
	if !r.raw.sound || !r.readPage() || !r.readProps() {
		return BadValue
	}
	return Taken
}

func goodID(s *Server, r *request) Reason {
	if !r.raw.hasID {
		r.event.ID = s.ids.Next(r.received)
		return Taken
	}
	var ok bool
	if r.event.ID, ok = event.ParseUUID(r.raw.id); !ok {
		return BadID
	}
	return Taken
}

func inTime(_ *Server, r *request) Reason {
	if r.trusted() {
		return r.inHistory()
	}
	var ok bool
	if r.event.OccurredAt, ok = occurred(r.received, r.sentAt, r.raw.at); !ok {
		return TooOld
	}
	return Taken
}

// inHistory places an event of the shop itself: at any time that the site would still keep, which is years
// after 1970, where ClickHouse's times begin to be trusted.
func (r *request) inHistory() Reason {
	millis := onOurClock(r.received, r.sentAt, r.raw.at)
	if millis > r.received+maxAhead.Milliseconds() {
		return BadValue
	}
	if day(millis, r.tenant.site.Events) <= day(r.received, 0) {
		return TooOld
	}
	r.event.OccurredAt = millis
	return Taken
}

// day is the day that lies keep after an instant, counted from 1970-01-01; the last one is 2149-06-06,
// where ClickHouse's Date ends.
func day(millis int64, keep time.Duration) uint16 {
	d := (millis + keep.Milliseconds()) / (24 * time.Hour).Milliseconds()
	return uint16(min(max(d, 0), 65535))
}
