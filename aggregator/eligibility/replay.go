package eligibility

import (
	"strings"
	"time"

	"beckon/internal/site"
)

// Rule is an offer's rule for who replays it over history.
type Rule struct {
	Offer   *site.Offer
	Version string // "welcome-back@3f2a9c1d"
	// SQL is the rule over columns named like the features: 1 = matches, 0 = does not, NULL = fails. "1" for everyone.
	SQL   string
	Reads []string // the features that it looks at, as in feature.Feature.Name
}

// Rules are those of a site, by rank.
func (p *Program) Rules(siteID string) (list []Rule) {
	s := p.sites[siteID]
	if s == nil {
		return nil
	}
	for _, o := range s.offers {
		r := Rule{Offer: o.Offer, Version: o.version, SQL: "1"}
		if o.rule != nil {
			r.SQL = o.rule.sql
			for _, name := range o.names {
				r.Reads = append(r.Reads, strings.TrimPrefix(name, namespace+"."))
			}
		}
		list = append(list, r)
	}
	return list
}

// Ask leads one offer through its gates, as if the site had no other and the visitor no grant, and returns the
// reason of the gate that refused it, ReasonNone when none did. Cap and cooldown come last: who was refused by
// them has passed all others.
func (p *Program) Ask(in Input, offer string, now time.Time) Reason {
	s := p.sites[in.Site.ID]
	if s == nil {
		return EvaluationFailed
	}
	for _, o := range s.offers {
		if o.ID == offer {
			e := evaluation{in: in, now: now, site: s, reached: -1}
			return e.ask(o, false)
		}
	}
	return Default
}
