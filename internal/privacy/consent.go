package privacy

import "time"

// Choice is what a visitor chose, as the shop's page reported it. Decide is consent to personalised
// offers and includes the recording that they need; Measure alone is consent to traffic reports.
type Choice struct {
	Decide, Measure bool
	Source, Version Label     // by which means; under which version of the policy text
	At              time.Time // zero when not told
}

// lane is the lane that the choice asks for.
func (c *Choice) lane() Lane {
	switch {
	case c.Decide:
		return LaneDecide
	case c.Measure:
		return LaneMeasure
	}
	return LaneCount
}

// Policy is a site's part of the decision.
type Policy struct {
	Default   Lane            // without a choice; none = count
	Allow     Lane            // how far a choice may raise; none = not above the default
	GPC       Lane            // lane under Sec-GPC: count (also when none) or measure
	Countries map[string]Lane // instead of Default, by ISO country code
}

// Granted is the default for a visitor whose country is not known now and was known when the lane was
// granted, by default: it stands as far as the policy still grants that to anybody.
func (p Policy) Granted(before Lane) Lane {
	highest := p.Default
	for _, lane := range p.Countries {
		highest = max(highest, lane)
	}
	return min(highest, before)
}

// Signals is the request's part of the decision.
type Signals struct {
	GPC, DNT, OptOut bool
	Choice           *Choice // of this request; nil = none
	Recorded         Lane    // Visit.Recorded of a valid cookie; none without one
	Revoked          Cause   // why the visitor of a valid cookie is suppressed; none = is not
	Country          string  // ISO code, empty when unknown
}

// Choose returns the lane of an event and what put it there (docs/design.md).
//
// Without a choice the site's default for the visitor's country stands. A choice, or one recorded in
// the cookie, replaces it and may raise the lane up to Policy.Allow. A suppressed visitor's cookie stands
// for the no that suppressed them, until they choose anew. GPC, DNT and the opt-out cookie
// only lower, whatever was chosen; they are named as the cause also when the lane was that low already,
// since they say more about the visitor's will than a default does.
func Choose(p Policy, s Signals) (Lane, Cause) {
	lane, cause := max(p.Default, LaneCount), CauseDefault
	if l, ok := p.Countries[s.Country]; ok {
		lane, cause = max(l, LaneCount), CauseCountry
	}
	ceiling := max(lane, p.Allow)
	switch {
	case s.Choice != nil:
		lane, cause = min(s.Choice.lane(), ceiling), CauseChoice
		if s.Choice.lane() == LaneCount {
			cause = CauseDenied
		}
	case s.Revoked != CauseNone:
		lane, cause = LaneCount, s.Revoked
	case s.Recorded != LaneNone:
		lane, cause = min(s.Recorded, ceiling), CauseRecorded
	}
	lower := func(signal bool, to Lane, by Cause) {
		switch {
		case !signal:
		case to <= lane:
			lane, cause = to, by
		case cause == CauseDefault || cause == CauseCountry || cause == CauseRecorded:
			cause = by // it would have allowed more, and still is the visitor's will of today
		}
	}
	// In rising order of strength: of two that ask for the same lane, the last one is named.
	lower(s.DNT, LaneCount, CauseDNT)
	lower(s.GPC, min(max(p.GPC, LaneCount), LaneMeasure), CauseGPC)
	lower(s.OptOut, LaneCount, CauseOptOut)
	return lane, cause
}

// ExpiresVisit reports whether the reply must expire an existing visitor cookie: when somebody's will
// (a choice, GPC, DNT, the opt-out cookie) put the event below decide. A default, which only says that
// the will is not known, neither sets nor expires a cookie.
func ExpiresVisit(l Lane, c Cause) bool {
	switch c {
	case CauseChoice, CauseDenied, CauseGPC, CauseDNT, CauseOptOut:
		return l < LaneDecide
	}
	return false
}
