package ingest

import (
	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// measure gives a visitor of lane measure the id of the day on which the request came, if the visitor's own
// connection is what came. Without the key of the
// day nobody is known again, so the request is lowered to lane count. What a visitor's will did to the
// cookie is decided before that.
func (s *Server) measure(r *request) {
	v := &r.visitor
	if v.lane == privacy.LaneMeasure && !v.unseen && !v.knowAs(r.tenant.days, daykey.DayOf(r.received)) {
		v.lane, v.cause = privacy.LaneCount, privacy.CauseNoKey
	}
}

// knowAs makes the id of a day; false when its key is not there. Most requests have events of one day,
// so the last id is kept.
func (v *visitor) knowAs(keys *daykey.Site, day daykey.Day) bool {
	if !v.id.IsZero() && v.day == day {
		return true
	}
	var key keyring.Key
	if keys == nil || !keys.Key(day, &key) {
		return false
	}
	v.id, v.day = privacy.MeasureID(&key, v.network, v.agent), day
	key.Wipe()
	return true
}

// describeMeasured fills the id of the day on which an event happened, which may be the day before. Where
// that day's key is gone, the event alone is lowered to lane count.
func (v *visitor) describeMeasured(e *event.Event, keys *daykey.Site) {
	if v.unseen {
		return // all of a shop's visitors would be one
	}
	if v.knowAs(keys, daykey.DayOf(e.OccurredAt)) {
		e.Visitor = v.id
		return
	}
	e.Lane, e.Cause, e.Visitor = privacy.LaneCount, privacy.CauseNoKey, privacy.ID{}
}
