package ingest

import (
	"encoding/binary"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/suppress"
)

// consent adds a row that proves a choice: who (a keyed id), what, by which means, under which policy
// text, when. A withdrawal names the id that it ends and nothing else of the visitor. The row goes to
// disk with the same append as the request's events, a withdrawal's before them, so a choice is never answered
// before it is kept.
func (s *Server) consent(r *request, who privacy.ID, c *privacy.Choice) {
	s.consentWith(r, who, c, privacy.ID{})
}

// consentWith is consent; suppressed is zero unless the choice ends who.
func (s *Server) consentWith(r *request, who privacy.ID, c *privacy.Choice, suppressed privacy.ID) {
	e := &r.event
	e.Reset()
	e.Suppress = suppressed
	e.Kind, e.Source = event.Consent, event.SourceCollector
	e.Lane, e.Cause = r.visitor.lane, r.visitor.cause
	e.Visitor = who
	if e.Lane == privacy.LaneDecide {
		e.Country = r.visitor.country // whose law the consent was given under
	}
	e.Choice = chosenLane(c)
	e.ConsentSource, e.ConsentPolicy = c.Source, c.Version
	e.ConsentAt = c.At.UnixMilli()
	e.ID, e.OccurredAt = s.ids.Next(r.received), r.received
	e.Rate = event.RateScale
	if r.visitor.raised && suppressed.IsZero() {
		r.readLanding()
	}
	r.tenant.stamp(e, r.received)
	r.add(ofConsent, r.fingerprint(r.choiceIdentity(who)))
}

// readLanding puts on a choice where the visit came from, whose page view stayed in the lower lane: campaign
// and referrer, so that a visit of the higher lane has them, and no path, by which the two could be joined. The
// row names the session then, and whether a program speaks, like an event's; others name none.
func (r *request) readLanding() {
	e, v := &r.event, &r.visitor
	page := r.texts.URL(wholeParts(r.landing.url))
	e.UTMSource, e.UTMMedium, e.UTMName = page.Source, page.Medium, page.Campaign
	e.Referrer = r.texts.Referrer(r.landing.referrer, r.landing.url)
	if !e.HasOrigin() {
		return
	}
	e.Bot = v.agent.Bot
	if !v.linked || v.link.InSession(r.received) {
		e.Session = v.session
	}
}

// arrive keeps where a visit of lane measure came from. No other choice of that lane has a row: there is
// nobody whose consent it could prove.
func (s *Server) arrive(r *request) {
	r.event.Reset()
	if r.readLanding(); r.event.HasOrigin() {
		s.consent(r, r.visitor.id, &r.choice)
	}
}

// withdraw is consent for a choice that ends who, and for an opt-out: from now on they are nobody, here and
// on every other host. See keepWithdrawals.
func (s *Server) withdraw(r *request, who privacy.ID, c *privacy.Choice) {
	key := suppress.KeyOf(r.tenant.keys, who)
	s.consentWith(r, who, c, key)
	cause := privacy.CauseDenied
	if r.visitor.cause == privacy.CauseOptOut {
		cause = privacy.CauseOptOut
	}
	r.withdrawn = append(r.withdrawn, suppress.Entry{Key: key, Cause: cause, At: time.UnixMilli(r.received)})
}

// keepWithdrawals makes them durable on this host, whatever the spool says of their rows, which come first: the row
// is how other hosts hear of it, and how this one does should it die between the two.
func (s *Server) keepWithdrawals(entries []suppress.Entry) Reason {
	if err := s.config.Suppressed.Add(entries...); err != nil {
		s.fault("visitors not suppressed on disk", err)
		return SpoolFull
	}
	return Taken
}

// choiceIdentity is what makes a choice one and the same when a tag, whose reply was lost, tells it again
// with the old cookie: who chose what, and when by the tag's clock. A choice without a time is new each
// time it changes something; one that comes with a link token, which cannot note a change, is the same, and
// so is a no: it ends its visitor for good.
func (r *request) choiceIdentity(who privacy.ID) [16]byte {
	if r.chosenAt < 0 && !r.visitor.linked && r.event.Suppress.IsZero() {
		return r.event.ID
	}
	id := who.Bytes()
	b := append(make([]byte, 0, 64), id[:]...)
	b = append(b, byte(r.event.Choice))
	b = binary.BigEndian.AppendUint64(b, uint64(r.chosenAt))
	b = append(b, r.event.ConsentPolicy.String()...)
	return privacy.KeyedID(&r.tenant.keys.MAC, "consent", b).Bytes()
}

// chosenTime is when the choice was made, by our clock: corrected like an event's time, but of any age,
// and never later than now.
func (r *request) chosenTime(now time.Time) time.Time {
	at := r.chosenAt
	if at < 0 {
		return now
	}
	if r.sentAt >= 0 {
		at = r.received - (r.sentAt - at)
	}
	return time.UnixMilli(min(max(at, 0), r.received))
}

// chosenLane is the lane that a choice asks for, whatever the site or the browser make of it.
func chosenLane(c *privacy.Choice) privacy.Lane {
	switch {
	case c.Decide:
		return privacy.LaneDecide
	case c.Measure:
		return privacy.LaneMeasure
	}
	return privacy.LaneCount
}
