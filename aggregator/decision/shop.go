package decision

import (
	"encoding/json"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/aggregator/eligibility"
	"beckon/internal/cookie"
	"beckon/internal/keyring"
	"beckon/internal/site"
)

// shop is a site with all that an answer for it needs, made once per sites file.
type shop struct {
	keys    *keyring.Site
	names   cookie.Names
	answers [eligibility.ReasonCount]prometheus.Counter // by reason
	offers  map[*site.Offer]wording
	rules   trouble
}

// wording is what every answer says alike of an offer, as JSON.
type wording struct{ offer, disclosure []byte }

// shops are those of one program. Nothing in them changes but what is counted.
type shops struct {
	program *eligibility.Program
	bySite  map[*site.Site]*shop
}

// shopOf returns the shop of a site of p, or nil when the site has no keys.
func (s *Server) shopOf(p *eligibility.Program, st *site.Site) *shop {
	c := s.shops.Load()
	if c == nil || c.program != p {
		c = s.openShops(p) // two at once make the same
		s.shops.Store(c)
	}
	return c.bySite[st]
}

func (s *Server) openShops(p *eligibility.Program) *shops {
	c := &shops{program: p, bySite: make(map[*site.Site]*shop)}
	for _, st := range p.File().Sites {
		keys, err := s.Keys.Site(st.ID)
		if err != nil {
			s.Log.Error("site has no keys", "site", st.ID, "error", err)
			continue
		}
		sh := &shop{keys: keys, names: cookie.NamesOf(st), offers: make(map[*site.Offer]wording, len(st.Offers))}
		for r := eligibility.Match; r < eligibility.ReasonCount; r++ {
			sh.answers[r] = s.m.decisions.WithLabelValues(st.ID, r.String())
		}
		for _, o := range st.Offers {
			sh.offers[o] = wording{marshal(newOffer(o)), marshal(textOrNull(o.Disclosure))}
		}
		c.bySite[st] = sh
	}
	return c
}

// marshal is json.Marshal of what always has a JSON.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: reply does not marshal: " + err.Error())
	}
	return b
}
