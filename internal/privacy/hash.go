package privacy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"runtime"

	"beckon/internal/keyring"
)

// KeyedID returns the first 128 bits of HMAC-SHA-256(key, purpose 0x00 value). The purpose keeps ids
// of different uses apart when they share a key. An empty value has no id: the result is the zero ID.
func KeyedID(key *keyring.Key, purpose string, value []byte) ID {
	if len(value) == 0 {
		return ID{}
	}
	var id ID
	sum := mac(key, purpose, "", value)
	copy(id.b[:], sum[:])
	return id
}

// StoredID gives a keyed hash its type back after it was read from ClickHouse. It is for bytes that
// came from ID.Bytes, and hides nothing itself.
func StoredID(b [16]byte) ID { return ID{b: b} }

const macBytes = 8 // 64 bits: without the key each guess is a request to a server, and takes 2^64 of them

// SealValue signs payload for a cookie: base64url(payload | 64-bit MAC) without padding. The purpose
// and the site are in the MAC, so that no value passes for one of another purpose or shop. The payload
// is signed, not hidden.
func SealValue(k *keyring.Site, purpose string, payload []byte) []byte {
	return appendSealed(nil, k, purpose, payload)
}

// OpenValue returns the payload of a value made by SealValue with the same site and purpose; false for
// anything else, also for another spelling of the same bytes.
func OpenValue(k *keyring.Site, purpose string, value []byte) (payload []byte, ok bool) {
	return openSealed(nil, k, purpose, value)
}

// sealing is strict: unused bits of the last character must be zero, so a value has one spelling.
var sealing = base64.RawURLEncoding.Strict()

// appendSealed appends the sealed payload to dst.
func appendSealed(dst []byte, k *keyring.Site, purpose string, payload []byte) []byte {
	var stack [128]byte
	sum := mac(&k.MAC, purpose, k.ID, payload)
	raw := append(append(stack[:0], payload...), sum[:macBytes]...)
	return sealing.AppendEncode(dst, raw)
}

// openSealed decodes into dst, which may be nil, and returns the payload in it.
func openSealed(dst []byte, k *keyring.Site, purpose string, value []byte) ([]byte, bool) {
	raw, err := sealing.AppendDecode(dst[:0], value)
	// The decoder skips line breaks; the length finds them.
	if err != nil || len(raw) < macBytes || sealing.EncodedLen(len(raw)) != len(value) {
		return nil, false
	}
	payload, got := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	want := mac(&k.MAC, purpose, k.ID, payload)
	if subtle.ConstantTimeCompare(got, want[:macBytes]) != 1 {
		return nil, false
	}
	return payload, true
}

// The pads of HMAC, as long as a block of SHA-256.
var (
	innerPad = bytes.Repeat([]byte{0x36}, sha256.BlockSize)
	outerPad = bytes.Repeat([]byte{0x5c}, sha256.BlockSize)
)

// mac is HMAC-SHA-256 (RFC 2104) of purpose 0x00 [scope 0x00] value. Purposes and scopes are words of
// ours without zero bytes, so no two lists of parts make the same message.
//
// It is spelled out over sha256.Sum256 because crypto/hmac allocates 5 times for each new state, and
// a pool of its states would keep keys in memory that were destroyed. Both blocks live on the stack.
func mac(key *keyring.Key, purpose, scope string, value []byte) [sha256.Size]byte {
	var stack [sha256.BlockSize + 576]byte // a value has at most 512 bytes; a longer one goes to the heap
	inner := append(stack[:0], innerPad...)
	subtle.XORBytes(inner, inner, key[:])
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], outerPad)
	subtle.XORBytes(outer[:], outer[:], key[:])
	inner = append(append(inner, purpose...), 0)
	if scope != "" {
		inner = append(append(inner, scope...), 0)
	}
	sum := sha256.Sum256(append(inner, value...))
	copy(outer[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(outer[:])
	// A key of the day may be destroyed in the next moment: nothing here leads back to it.
	clear(stack[:sha256.BlockSize])
	clear(outer[:sha256.BlockSize])
	runtime.KeepAlive(&stack) // or the compiler drops the clearing of what nobody reads
	runtime.KeepAlive(&outer)
	return sum
}
