// Package site is about the shops we serve: what sites.yaml says of them.
//
// A sites file is read whole or refused whole. Parse lists every fault with its line and column, so
// that one run is enough to set a file right; Registry keeps the last good file while a newer one
// is broken. Both services read the same file: the collector for origins, consent and retention,
// the aggregator for offers too. Everything here is plain, checked and immutable once parsed.
package site

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// File is one parsed sites file. It never changes; a reload makes a new one.
type File struct {
	Name   string  // as given to Parse, for messages
	Digest string  // first 8 hex digits of the SHA-256 of the text, for logs and metrics
	Sites  []*Site // in the order of the file

	byID     map[string]*Site
	byOrigin map[string]*Site
}

// Site returns the site with that id, or nil.
func (f *File) Site(id string) *Site { return f.byID[id] }

// ByOrigin returns the only site that lists the origin, exactly as a browser spells it. It is nil
// when no site does, and when several do: then the request must name its site.
func (f *File) ByOrigin(origin string) *Site { return f.byOrigin[origin] }

// Lists reports whether any site lists the origin, for who does not know yet which site is meant.
func (f *File) Lists(origin []byte) bool {
	for _, s := range f.Sites {
		if s.Lists(origin) {
			return true
		}
	}
	return false
}

// Site is one shop.
type Site struct {
	ID           string // [a-z0-9-]{1,32}: part of cookie and file names
	Name         string // for people; the id when absent
	Environment  string // "production" unless said otherwise
	Disabled     bool   // enabled: false, the kill switch: no offer of this site is served
	Origins      []string
	Timezone     *time.Location // UTC when absent
	Currency     string         // ISO 4217; amounts of the site's offers are in it
	Consent      privacy.Policy
	Region       bool          // events say in which region of the country the visitor is, where the geo file knows
	Events       time.Duration // how long events are kept
	Profiles     time.Duration // how long what is derived for a visitor is kept
	Holdout      float64       // share of eligible visitors who get nothing, 0 to 1, unless the offer has its own
	ServerKeys   [][sha256.Size]byte
	CookieDomain string           // "" = the cookie stays on the host that set it
	Rates        map[string]int64 // units of Currency for one of the key's, in event.RateScale-ths
	Offers       []*Offer         // in the order of the file
}

// Offer returns the offer with that id, or nil.
func (s *Site) Offer(id string) *Offer {
	for _, o := range s.Offers {
		if o.ID == id {
			return o
		}
	}
	return nil
}

// Lists reports whether origin, exactly as a browser spells it, is one of the site's own.
func (s *Site) Lists(origin []byte) bool {
	for _, o := range s.Origins {
		if o == string(origin) {
			return true
		}
	}
	return false
}

// HasServerKey reports whether key is one of the shop's server keys. It takes the same time for
// every key of one length, right or wrong.
func (s *Site) HasServerKey(key []byte) bool { return s.hasSum(sha256.Sum256(key)) == 1 }

func (s *Site) hasSum(sum [sha256.Size]byte) (found int) {
	for i := range s.ServerKeys {
		found |= subtle.ConstantTimeCompare(sum[:], s.ServerKeys[i][:])
	}
	return found
}

// HasServerKey reports whether key is a server key of any site, for who has not read yet which site is meant. It
// takes the same time for every key of one length.
func (f *File) HasServerKey(key []byte) bool {
	sum := sha256.Sum256(key)
	found := 0
	for _, s := range f.Sites {
		found |= s.hasSum(sum)
	}
	return found == 1
}

// Kind says what an offer takes off the order.
type Kind string

// The kinds of offer.
const (
	Percent      Kind = "percent"
	FixedAmount  Kind = "amount"
	FreeShipping Kind = "free_shipping"
)

// Audience says whose data an offer may use.
type Audience string

// The audiences.
const (
	Targeted Audience = "targeted" // a rule over the visitor's features; lane decide only
	Everyone Audience = "everyone" // no visitor data at all; every lane
)

// Offer is one discount and the terms on which it is given.
type Offer struct {
	ID       string // [a-z0-9-]{1,32}, unique in its site
	Title    string
	Enabled  bool
	Audience Audience

	// When is the CEL rule over visitor.*; only Everyone has none. WhenLine and WhenColumn count from 1
	// and point at its first character in the file; WhenFault maps positions inside it.
	When                 string
	WhenLine, WhenColumn int
	rule                 ruleText

	Kind         Kind
	Percent      float64      // of the order, above 0 and at most 100; for Percent only
	Amount       event.Amount // for FixedAmount only
	Currency     string       // the site's, when Amount or MinCartValue is set, else ""
	MinCartValue event.Amount

	ValidFor   time.Duration // from the first serve
	Cooldown   time.Duration // from the first serve; 0 = none
	Cap        int           // first serves per visitor in 30 days; 0 = no cap
	Priority   int           // the highest wins, ties go to the lower id
	Holdout    *float64      // 0 to 1; nil = the site's
	Experiment int           // part of the holdout draw: another number draws every visitor anew
	Starts     time.Time     // zero = at once
	Ends       time.Time     // exclusive; zero = never
	TooNew     time.Duration // not for visitors younger than this
	Abandoner  int           // not for visitors who let this many grants run out unused; 0 = do not ask

	Disclosure string   // why the visitor sees this price, shown beside it; a Targeted offer always has one
	Code       string   // a static code of the shop
	AppliesTo  []string // products or collections in the shop's own words; none = the whole order
	Combinable bool     // with other discounts of the shop
}

// HoldoutShare is the share of eligible visitors who are not given o, 0 to 1.
func (s *Site) HoldoutShare(o *Offer) float64 {
	switch {
	case o.Audience == Everyone:
		return 0
	case o.Holdout != nil:
		return *o.Holdout
	}
	return s.Holdout
}
