package privacy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"beckon/internal/keyring"
)

const (
	// CookieLife is counted from the cookie's creation and never extended: 13 months.
	CookieLife = 395 * 24 * time.Hour

	// OptOutCookie is host-wide: it holds for every site on the host. Its value is "1".
	OptOutCookie = "_bk_out"
	// OptOutLife is the longest that browsers keep a cookie.
	OptOutLife = 400 * 24 * time.Hour

	sessionIdle = 30 * time.Minute
	sessionCap  = 24 * time.Hour
	resendAfter = time.Minute     // how far last seen moves before the cookie is sent again
	clockSlack  = 5 * time.Minute // between the clocks of two collectors
)

// CookieName returns the name of a site's visitor cookie. hostOnlyHTTPS says that it is sent over https
// without a Domain: browsers then hold the __Host- prefix against anybody who sets it in another way.
func CookieName(site string, hostOnlyHTTPS bool) string {
	if hostOnlyHTTPS {
		return "__Host-_bk_" + site
	}
	return "_bk_" + site
}

// GrantCookieName returns the name of the cookie that carries a site's active grant.
func GrantCookieName(site string) string { return "_bk_d_" + site }

// Visit is what the visitor cookie says. Times are Unix seconds. Only Random names the visitor, and it
// never leaves the request: ID is what is stored.
type Visit struct {
	Epoch        uint8 // of the key that makes ID, for the whole life of the cookie
	Random       [16]byte
	Created      int64
	SessionStart int64 // a whole minute, so that two tabs that start together agree
	LastSeen     int64 // as the cookie knows it: moves in steps of a minute or more
	Lane         Lane
	PolicyHash   uint32 // of the policy version under which the choice was made
	ChoiceAt     int64  // 0 = the lane was granted by default, nobody chose
}

// The cookie before base64url, big endian. Times are Unix seconds in 32 bits (until 2106).
//
//	 0       1     2        18       22             26         30    31           35         39   47
//	+-------+-----+--------+--------+--------------+----------+-----+------------+----------+----+
//	|version|epoch| random |created |session start |last seen |lane |policy hash |choice at |MAC |
//	+-------+-----+--------+--------+--------------+----------+-----+------------+----------+----+
const (
	visitVersion = 1
	visitBytes   = 39
	visitPurpose = "visit"
)

// AppendTo appends the cookie's value, signed under k, and returns dst.
func (v Visit) AppendTo(dst []byte, k *keyring.Site) []byte {
	var stack [visitBytes]byte
	b := append(stack[:0], visitVersion, v.Epoch)
	b = append(b, v.Random[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(v.Created))
	b = binary.BigEndian.AppendUint32(b, uint32(v.SessionStart))
	b = binary.BigEndian.AppendUint32(b, uint32(v.LastSeen))
	b = append(b, byte(v.Lane))
	b = binary.BigEndian.AppendUint32(b, v.PolicyHash)
	b = binary.BigEndian.AppendUint32(b, uint32(v.ChoiceAt))
	return appendSealed(dst, k, visitPurpose, b)
}

// OpenVisit reads a cookie's value. It is false, and the cookie as good as absent, when the value was
// not signed by this site, is cut, of another version, of an epoch whose key is gone, older than
// CookieLife, or from more than five minutes ahead.
func OpenVisit(k *keyring.Site, value []byte, now time.Time) (Visit, bool) {
	var stack [2 * visitBytes]byte
	if len(value) > len(stack) { // decoding shrinks: what fits here stays on the stack
		return Visit{}, false
	}
	b, ok := openSealed(stack[:0], k, visitPurpose, value)
	if !ok || len(b) != visitBytes || b[0] != visitVersion {
		return Visit{}, false
	}
	v := Visit{
		Epoch:        b[1],
		Random:       [16]byte(b[2:18]),
		Created:      int64(binary.BigEndian.Uint32(b[18:])),
		SessionStart: int64(binary.BigEndian.Uint32(b[22:])),
		LastSeen:     int64(binary.BigEndian.Uint32(b[26:])),
		Lane:         Lane(b[30]),
		PolicyHash:   binary.BigEndian.Uint32(b[31:]),
		ChoiceAt:     int64(binary.BigEndian.Uint32(b[35:])),
	}
	ahead := now.Add(clockSlack).Unix()
	if max(v.Created, v.SessionStart, v.LastSeen) > ahead || v.MaxAge(now) <= 0 {
		return Visit{}, false
	}
	if k.Epoch(v.Epoch) == nil || v.Lane < LaneCount || v.Lane > LaneDecide {
		return Visit{}, false
	}
	return v, true
}

// NewVisit begins a visitor: a new id, a new session, the newest epoch. c is the choice that granted
// the lane, nil when it was the site's default.
func NewVisit(k *keyring.Site, now time.Time, lane Lane, c *Choice) Visit {
	v := Visit{
		Epoch: k.Newest().Number, Created: now.Unix(), SessionStart: floorMinute(now.Unix()), LastSeen: now.Unix(), Lane: lane,
	}
	_, _ = rand.Read(v.Random[:]) // never fails: it ends the program instead
	if c != nil {
		v.Record(now, lane, *c)
	}
	return v
}

// Record notes a visitor's choice and the lane it led to. changed is true when the cookie said something
// else before: the choice is then worth a row in consents, and the cookie must be sent again. The same
// choice told again with every batch changes nothing.
func (v *Visit) Record(now time.Time, lane Lane, c Choice) (changed bool) {
	hash := policyHash(c.Version)
	if v.ChoiceAt != 0 && v.Lane == lane && v.PolicyHash == hash {
		return false
	}
	at := c.At.Unix()
	if at <= 0 || at > now.Unix() { // not told, or by a clock that is wrong
		at = now.Unix()
	}
	v.Lane, v.PolicyHash, v.ChoiceAt = lane, hash, at
	return true
}

// Recorded returns the lane that the visitor chose; none when the cookie was granted by default.
func (v Visit) Recorded() Lane {
	if v.ChoiceAt == 0 {
		return LaneNone
	}
	return v.Lane
}

func policyHash(version Label) uint32 {
	sum := sha256.Sum256([]byte(version.s))
	return binary.BigEndian.Uint32(sum[:])
}

// Touch notes that the visitor was seen at now. After 30 minutes without being seen, or 24 hours after
// its start, a new session begins. resend is true when the cookie changed and must be sent again: for a
// new session, or when last seen moved by a minute or more.
func (v *Visit) Touch(now time.Time) (resend bool) {
	t := now.Unix()
	if t-v.LastSeen >= int64(sessionIdle/time.Second) || t-v.SessionStart >= int64(sessionCap/time.Second) {
		v.SessionStart, v.LastSeen = floorMinute(t), t
		return true
	}
	if t-v.LastSeen < int64(resendAfter/time.Second) {
		return false
	}
	v.LastSeen = t
	return true
}

// Tomorrow makes the visit look as if its visitor came back a day later: it was created a day earlier
// and a new session begins now. It is for the documented switch of development machines only.
//
// The new session must differ from the present one, also when the switch is used again within the same
// minute, and must not lie in the future. So its start goes back by a minute at each use, be it before
// Created or before the time at which the session really began; nothing else reads the start.
func (v *Visit) Tomorrow(now time.Time) {
	t := now.Unix()
	v.Created -= int64(24 * time.Hour / time.Second)
	v.SessionStart = floorMinute(min(v.SessionStart, t)) - 60
	v.LastSeen = t
}

// ID returns the visitor's id under the cookie's epoch; the zero ID when the epoch's key is gone.
func (v Visit) ID(k *keyring.Site) ID {
	key := k.Epoch(v.Epoch)
	if key == nil {
		return ID{}
	}
	return KeyedID(key, "visitor", v.Random[:])
}

// Session returns the session's id: HMAC(visitor, start minute). Tabs, collectors and restarts agree on
// it, because nothing but the cookie goes into it.
func (v Visit) Session(k *keyring.Site) ID { return v.SessionOf(k, v.ID(k)) }

// SessionOf is Session for who has the visitor's ID already.
func (v Visit) SessionOf(k *keyring.Site, visitor ID) ID {
	key := k.Epoch(v.Epoch)
	if key == nil {
		return ID{}
	}
	var b [24]byte
	copy(b[:], visitor.b[:])
	binary.BigEndian.PutUint64(b[16:], uint64(v.SessionStart/60))
	return KeyedID(key, "session", b[:])
}

// MaxAge returns what is left of the cookie's life, for its Max-Age.
func (v Visit) MaxAge(now time.Time) time.Duration {
	left := CookieLife - time.Duration(now.Unix()-v.Created)*time.Second
	return min(left, CookieLife)
}

func floorMinute(unix int64) int64 { return unix - unix%60 }
