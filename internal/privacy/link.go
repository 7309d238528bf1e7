package privacy

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"time"

	"beckon/internal/keyring"
)

// LinkLife is how long a link token may name its visitor. Carts and orders are settled within days.
const LinkLife = 7 * 24 * time.Hour

// Link is what a link token says: all that an event needs of a visit, and nothing that the cookie is made
// of. Times are Unix seconds.
type Link struct {
	Visitor      ID
	Session      ID
	VisitorSince int64 // creation of the visitor cookie
	SessionStart int64
	Made         int64  // of the token: its life is counted from here
	Lane         Lane   // that the cookie was granted
	PolicyHash   uint32 // as in Visit
	Chosen       bool   // the lane was the visitor's choice, not a default
}

// Link returns what may be told of the visit to somebody who shall write in its visitor's name and never
// read: ids instead of the random bits that they are made of, so that no token can become a cookie.
func (v Visit) Link(k *keyring.Site, now time.Time) Link {
	return Link{
		Visitor: v.ID(k), Session: v.Session(k), VisitorSince: v.Created, SessionStart: v.SessionStart, Made: now.Unix(),
		Lane: v.Lane, PolicyHash: v.PolicyHash, Chosen: v.ChoiceAt != 0,
	}
}

// Recorded returns the lane that the visitor chose; none when it was granted by default.
func (l Link) Recorded() Lane {
	if !l.Chosen {
		return LaneNone
	}
	return l.Lane
}

// Changes reports whether a choice says something else than the token does.
func (l Link) Changes(lane Lane, c Choice) bool {
	return l.Recorded() != lane || l.PolicyHash != policyHash(c.Version)
}

// InSession reports whether something that happened then, in Unix milliseconds, belongs to the session that the
// token names: a token outlives it.
func (l Link) InSession(millis int64) bool {
	start := l.SessionStart * 1000
	return millis >= start-clockSlack.Milliseconds() && millis < start+sessionCap.Milliseconds()
}

// Expires returns when the token stops naming anybody.
func (l Link) Expires() time.Time { return time.Unix(l.Made, 0).Add(LinkLife) }

// A link token before base64url: the version, then what AES-256-GCM made of the rest under the site's link
// key. Version, purpose and site are additional data, so a token of another shop does not open. Numbers
// are big endian, times Unix seconds in 32 bits (until 2106).
//
//	 0       1     13        29        45            49             53    57    58     59          63   79
//	+-------+-----+---------+---------+-------------+--------------+-----+-----+------+-----------+----+
//	|version|nonce| visitor | session |visitor since|session start |made |lane |chosen|policy hash|tag |
//	+-------+-----+---------+---------+-------------+--------------+-----+-----+------+-----------+----+
//
// Nonces are random: 2^32 tokens of one key may be made before two of them share a nonce with a chance of
// more than 2^-32. At ten a second that is 13 years.
const (
	linkVersion  = 1
	linkPlain    = 50
	linkOverhead = 12 + 16 // nonce and tag
	linkBytes    = 1 + linkPlain + linkOverhead
	linkPurpose  = "link"
)

// Links makes and opens the link tokens of one site. It is safe for concurrent use.
type Links struct {
	aead  cipher.AEAD
	bound []byte // additional data
}

// NewLinks returns the tokens of the site whose keys k are.
func NewLinks(k *keyring.Site) (*Links, error) {
	block, err := aes.NewCipher(k.Link[:])
	if err != nil {
		return nil, fmt.Errorf("link key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("link key: %w", err)
	}
	bound := append([]byte{linkVersion}, linkPurpose...)
	return &Links{aead: aead, bound: append(append(bound, 0), k.ID...)}, nil
}

// AppendTo appends the token that says l to dst and returns dst.
func (ls *Links) AppendTo(dst []byte, l Link) []byte {
	var stack [linkPlain]byte
	b := append(stack[:0], l.Visitor.b[:]...)
	b = append(b, l.Session.b[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(l.VisitorSince))
	b = binary.BigEndian.AppendUint32(b, uint32(l.SessionStart))
	b = binary.BigEndian.AppendUint32(b, uint32(l.Made))
	b = append(b, byte(l.Lane), bit(l.Chosen))
	b = binary.BigEndian.AppendUint32(b, l.PolicyHash)
	var sealed [linkBytes]byte
	return sealing.AppendEncode(dst, ls.aead.Seal(append(sealed[:0], linkVersion), nil, b, ls.bound))
}

// Open reads a token. It is false, and the token as good as absent, when it was not made by this site, is
// cut, spelled in another way, of another version, older than LinkLife, or from more than five minutes ahead.
func (ls *Links) Open(token []byte, now time.Time) (Link, bool) {
	if len(token) != sealing.EncodedLen(linkBytes) {
		return Link{}, false
	}
	var sealed, plain [linkBytes]byte
	raw, err := sealing.AppendDecode(sealed[:0], token)
	if err != nil || len(raw) != linkBytes || raw[0] != linkVersion { // the decoder skips line breaks
		return Link{}, false
	}
	b, err := ls.aead.Open(plain[:0], nil, raw[1:], ls.bound)
	if err != nil {
		return Link{}, false
	}
	l := Link{
		Visitor:      ID{[16]byte(b)},
		Session:      ID{[16]byte(b[16:])},
		VisitorSince: int64(binary.BigEndian.Uint32(b[32:])),
		SessionStart: int64(binary.BigEndian.Uint32(b[36:])),
		Made:         int64(binary.BigEndian.Uint32(b[40:])),
		Lane:         Lane(b[44]),
		Chosen:       b[45] == 1,
	}
	l.PolicyHash = binary.BigEndian.Uint32(b[46:])
	if l.Made > now.Add(clockSlack).Unix() || !now.Before(l.Expires()) {
		return Link{}, false
	}
	if l.Visitor.IsZero() || l.Lane != LaneDecide {
		return Link{}, false
	}
	return l, true
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
