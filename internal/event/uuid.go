package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
)

// UUID is the identity of an event: a UUIDv7 (RFC 9562, 5.7), 48 bits of Unix milliseconds first.
type UUID [16]byte

// ParseUUID reads the 36-character form of a UUIDv7. Other versions are refused: time order in the
// first bits is what keeps the events table and the duplicate window compact.
func ParseUUID(s []byte) (UUID, bool) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	if _, err := hex.Decode(u[:], digits[:]); err != nil {
		return UUID{}, false
	}
	if u[6]>>4 != 7 || u[8]>>6 != 0b10 {
		return UUID{}, false
	}
	return u, true
}

func (u UUID) String() string {
	var s [36]byte
	hex.Encode(s[:8], u[:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:], u[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// NamedUUID makes the id of an event of that time from 16 bytes that name it, such as a keyed hash.
func NamedUUID(unixMilli int64, name [16]byte) UUID {
	u := UUID(name)
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(unixMilli)<<16)
	copy(u[:6], at[:6])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}

// UUIDs makes event ids that rise within this process, also when the clock steps back or stands
// still. Safe for concurrent use. The zero value is ready.
type UUIDs struct {
	mu   sync.Mutex
	last uint64 // milliseconds<<12 | counter: the 60 bits that must rise
}

// Next returns an id for unixMilli.
func (g *UUIDs) Next(unixMilli int64) UUID {
	g.mu.Lock()
	now := uint64(unixMilli) << 12
	if now <= g.last {
		now = g.last + 1 // RFC 9562, 6.2: the counter runs on into the time field
	}
	g.last = now
	g.mu.Unlock()

	var u UUID
	rand.Read(u[8:]) // never fails since Go 1.24
	binary.BigEndian.PutUint64(u[:8], now>>12<<16|0x7000|now&0xfff)
	u[8] = u[8]&0x3f | 0x80
	return u
}
