package eligibility

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// Program is one version of a sites file, ready to be evaluated. It never changes and is safe for
// concurrent use.
type Program struct {
	file  *site.File
	sites map[string]*compiledSite
}

type compiledSite struct {
	*site.Site
	offers   []*offer // by rank: priority from high to low, then id
	targeted bool     // one of them is not for everyone
	reads    []string // features that its rules look at
}

// offer is a site.Offer with what is computed once.
type offer struct {
	*site.Offer
	*rule             // nil for everyone
	version   string  // "welcome-back@3f2a9c1d"
	share     float64 // of the holdout
	drawLabel []byte  // what the holdout draw hashes beside the visitor
}

// Compile prepares every offer of a file. It returns no Program when there is a fault; each fault
// points into the rule, at its place in the file. Use it as a check of site.Open.
func Compile(f *site.File) (*Program, site.Faults) {
	p := &Program{file: f, sites: make(map[string]*compiledSite, len(f.Sites))}
	var faults site.Faults
	for _, s := range f.Sites {
		c := &compiledSite{Site: s}
		for _, o := range s.Offers {
			compiled := newOffer(s, o)
			if o.Audience == site.Targeted {
				var wrong site.Faults
				compiled.rule, wrong = compileRule(o)
				faults = append(faults, wrong...)
				c.targeted = true
				if compiled.rule != nil {
					c.reads = append(c.reads, compiled.names...)
				}
			}
			c.offers = append(c.offers, compiled)
		}
		slices.SortFunc(c.offers, func(a, b *offer) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
		})
		for i, name := range c.reads {
			c.reads[i] = strings.TrimPrefix(name, namespace+".")
		}
		slices.Sort(c.reads)
		c.reads = slices.Compact(c.reads)
		p.sites[s.ID] = c
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// File is what was compiled. Who answers a request takes its site from here, so that one answer never mixes
// the sites of one version of the file with the rules of another.
func (p *Program) File() *site.File { return p.file }

// Reads returns the names of the features that the rules of a site look at, sorted, each once, as in
// feature.Feature.Name. A record of a verdict needs no others.
func (p *Program) Reads(siteID string) []string {
	if s := p.sites[siteID]; s != nil {
		return s.reads
	}
	return nil
}

// Matches evaluates an offer's rule alone. An offer that the site does not have, or that is for everyone, matches
// nobody.
func (p *Program) Matches(siteID, offerID string, f *feature.Features) (bool, error) {
	s := p.sites[siteID]
	if s == nil {
		return false, errUnknownSite
	}
	for _, o := range s.offers {
		if o.ID == offerID && o.rule != nil {
			return o.matches(f)
		}
	}
	return false, nil
}

func newOffer(s *site.Site, o *site.Offer) *offer {
	share := s.HoldoutShare(o)
	return &offer{
		Offer: o, version: o.ID + "@" + termsHash(o, share), share: share,
		drawLabel: []byte("\x00" + o.ID + "\x00" + strconv.Itoa(o.Experiment)),
	}
}

// termsHash is the version of an offer: the first 8 hexadecimal digits of the SHA-256 of its terms,
// all but the kill switch. The same terms have the same version in every file, at every place.
func termsHash(o *site.Offer, share float64) string {
	instant := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.Unix()
	}
	units := func(a event.Amount) int64 { return a.Units }
	// A field is only ever added at the end, with omitzero, so that older terms keep their version.
	terms, err := json.Marshal(struct {
		ID, Title, Audience, When, Kind string
		Percent                         float64
		Amount, MinCartValue            int64
		Currency                        string
		ValidFor, Cooldown              time.Duration
		Cap, Priority                   int
		Holdout                         float64
		Experiment                      int
		Starts, Ends                    int64
		TooNew                          time.Duration
		Abandoner                       int
		Disclosure, Code                string
		AppliesTo                       []string
		Combinable                      bool
	}{
		o.ID, o.Title, string(o.Audience), o.When, string(o.Kind),
		o.Percent,
		units(o.Amount), units(o.MinCartValue),
		o.Currency,
		o.ValidFor, o.Cooldown,
		o.Cap, o.Priority,
		share,
		o.Experiment,
		instant(o.Starts), instant(o.Ends),
		o.TooNew,
		o.Abandoner,
		o.Disclosure, o.Code,
		o.AppliesTo,
		o.Combinable,
	})
	if err != nil {
		panic("BUG: an offer's terms have no JSON: " + err.Error())
	}
	sum := sha256.Sum256(terms)
	return hex.EncodeToString(sum[:4])
}

// activeServe returns the visitor's grant or assignment that is still valid, and its offer. Of several
// the latest counts. A grant that was used is over. An offer that was taken out of the file, or is for everyone now, holds nobody.
func (s *compiledSite) activeServe(serves []feature.Serve, now time.Time) (held *offer, active *feature.Serve) {
	for i := range serves {
		serve := &serves[i]
		if serve.Used || !serve.ValidUntil.After(now) || active != nil && serve.At.Before(active.At) {
			continue
		}
		for _, o := range s.offers {
			if o.ID == serve.Offer && o.Audience == site.Targeted {
				held, active = o, serve
			}
		}
	}
	return held, active
}

// draw puts a visitor on one side of the offer's experiment, the same one in every session, on every
// replica and whatever other terms change: only another Experiment number draws anew, and a larger
// holdout keeps those who were in the smaller one.
func (o *offer) draw(key *[32]byte, visitor privacy.ID) feature.Arm {
	b := visitor.Bytes()
	sum := privacy.KeyedID((*keyring.Key)(key), "arm", append(b[:], o.drawLabel...)).Bytes()
	var n uint64
	for _, c := range sum[:7] { // 56 bits, of which a float64 holds the first 53
		n = n<<8 | uint64(c)
	}
	if float64(n>>3)/(1<<53) < o.share {
		return feature.HeldOut
	}
	return feature.Treatment
}

// decisionID names the grant or assignment that begins in this session under these terms.
func (o *offer) decisionID(key *[32]byte, visitor, session privacy.ID) privacy.ID {
	v, s := visitor.Bytes(), session.Bytes()
	value := make([]byte, 0, 96)
	value = append(append(append(value, v[:]...), s[:]...), o.version...)
	return privacy.KeyedID((*keyring.Key)(key), "decision", value)
}

func (o *offer) holdoutDetail() string { return fmt.Sprintf("holdout %.4g%%", o.share*100) }
