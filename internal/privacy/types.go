package privacy

import (
	"encoding/hex"
	"net/netip"
)

// The types below are what may outlive a request. Their fields are unexported, so that only this
// package can fill them, and it fills them only with reduced values: event.Event is made of them,
// which leaves no field that a raw address, cookie, user agent or URL could be put in.

// ID is a keyed hash: the first 128 bits of HMAC-SHA-256 under a key of one site, lane and purpose.
// The zero ID means "none".
type ID struct{ b [16]byte }

// Bytes returns the 16 bytes as stored in ClickHouse (FixedString(16)).
func (id ID) Bytes() [16]byte { return id.b }

// IsZero reports whether there is no id.
func (id ID) IsZero() bool { return id.b == [16]byte{} }

// Hex returns 32 lower-case hexadecimal digits.
func (id ID) Hex() string { return hex.EncodeToString(id.b[:]) }

// Network is a truncated client address; the zero Network when the address is unknown.
type Network struct{ p netip.Prefix }

// String returns the CIDR form, "203.0.113.0/24" or "2001:db8::/40"; nothing of an unknown network.
func (n Network) String() string { return string(n.AppendTo(nil)) }

// AppendTo appends what String returns, at most MaxNetworkBytes.
func (n Network) AppendTo(dst []byte) []byte {
	if !n.p.IsValid() {
		return dst
	}
	return n.p.AppendTo(dst)
}

// MaxNetworkBytes is the length of the longest network.
const MaxNetworkBytes = len("ffff:ffff:ff00::/40")

// Path is a URL path whose personal-looking segments were replaced. It never holds a query.
type Path struct{ s string }

func (p Path) String() string { return p.s }

// Host is a lower-case host name without user, port and path.
type Host struct{ s string }

func (h Host) String() string { return h.s }

// Bucket is a word of a small, closed list: a country code, a browser family, a configured site.
type Bucket struct{ s string }

func (b Bucket) String() string { return b.s }

// Label is a short word chosen by the shop (a product, a campaign) after scrubbing.
type Label struct{ s string }

func (l Label) String() string { return l.s }

// Lane says what a visitor's events may be used for. Zero is "not decided yet".
type Lane uint8

// The lanes, from the least to the most that may be done with an event.
const (
	LaneNone    Lane = iota
	LaneCount        // totals only: no visitor id, no cookie
	LaneMeasure      // traffic reports: an id that lives a day and is not in any cookie
	LaneDecide       // personalised offers: the signed visitor cookie
)

var laneNames = [...]string{"", "count", "measure", "decide"}

func (l Lane) String() string {
	if int(l) < len(laneNames) {
		return laneNames[l]
	}
	return ""
}

// ParseLane reads "count", "measure" or "decide".
func ParseLane(s string) (Lane, bool) {
	for i, name := range laneNames {
		if i > 0 && name == s {
			return Lane(i), true
		}
	}
	return LaneNone, false
}

// Cause says why an event is in its lane. It is sent back in Beckon-Lane and stored.
type Cause uint8

// The causes.
const (
	CauseNone     Cause = iota
	CauseDefault        // no choice known: the site's default
	CauseCountry        // no choice known: the site's default for the visitor's country
	CauseChoice         // this request's explicit choice
	CauseRecorded       // the choice recorded in a valid visitor cookie
	CauseDenied         // an explicit choice against measuring
	CauseGPC            // Sec-GPC: 1
	CauseDNT            // DNT: 1
	CauseOptOut         // the opt-out cookie
	CauseNoKey          // lane measure, lowered to count because the key of the day is not there
)

var causeNames = [...]string{"", "default", "country", "choice", "recorded", "denied", "gpc", "dnt", "opt-out", "no-key"}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return ""
}
