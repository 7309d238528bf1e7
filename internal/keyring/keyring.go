// Package keyring is about the secrets of each site: one file per site in one folder, and beside
// them the issuer file that signs offers.
//
//	keyring/          0750
//	  demo.json       0640  MAC, order, link and decision keys, and the visitor keys by epoch
//	  issuer.key      0640  Ed25519 seeds; read by the aggregator alone
//
// Promises. Init creates files and never overwrites one; RotateIssuer and ReplaceIssuer put a new
// issuer file in the place of the old one, when an operator says so. Nothing else in the project writes
// here, so a service that finds no keys says how to make them instead of inventing new ones (new keys
// would turn every visitor into a stranger). A file that others may read, or that the group may write,
// is refused. Keys never print: Key hides itself from fmt, slog and JSON, and a test keeps it out of unexported
// fields, where fmt would not ask it. Destroying a site's file makes
// the ids in ClickHouse meaningless, because nothing else can lead from a cookie to its id.
//
// Place in the path: internal/privacy makes ids and cookies with these keys, internal/token signs
// with the issuer's. No key is ever sent to ClickHouse.
package keyring

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"time"
)

// Key is 32 secret random bytes. However it is printed, it prints as "[key]".
type Key [32]byte

const redacted = "[key]"

// Format keeps a key out of every fmt verb, also as a field of another struct. (Only %p of a value goes
// past it; go vet reports that.)
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText keeps a key out of JSON and of slog's handlers.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Wipe overwrites a key that its holder is through with.
func (k *Key) Wipe() {
	clear(k[:])
	runtime.KeepAlive(k) // or the compiler drops the clearing of what nobody reads
}

// Epoch is one generation of the key under which visitor ids are made. A cookie keeps the epoch of
// its creation, so its id stays the same when a newer epoch begins.
type Epoch struct {
	Number  uint8 // 1 and on, rising
	Created time.Time
	Key     Key
}

// Site holds the keys of one site. It is read-only after Open and safe for concurrent use.
type Site struct {
	ID       string
	MAC      Key     // signs cookies
	Order    Key     // hashes order numbers, coupons and customers; never rotates, so that a refund finds its order
	Link     Key     // seals link tokens
	Decision Key     // decision ids and the draw of arms
	Decide   []Epoch // visitor ids; the newest is the last
}

// Epoch returns the key of an epoch, nil when it is not known (or was destroyed).
func (s *Site) Epoch(number uint8) *Key {
	for i := range s.Decide {
		if s.Decide[i].Number == number {
			return &s.Decide[i].Key
		}
	}
	return nil
}

// Newest returns the epoch that new cookies get.
func (s *Site) Newest() *Epoch { return &s.Decide[len(s.Decide)-1] }

// IssuerKey signs offer tokens. It is published as soon as it is in the file.
type IssuerKey struct {
	ID      string // opaque; the "kid" of tokens and of the JWKS page
	Created time.Time
	From    time.Time // it signs from here on; zero: at once
	Until   time.Time // from here on it is not published any more; zero: it has no end yet
	Seed    Key       // Ed25519 seed (RFC 8032)
}

// ended reports whether nobody may believe k any more.
func (k *IssuerKey) ended(now time.Time) bool { return !k.Until.IsZero() && !now.Before(k.Until) }

// Published returns the keys of an issuer that have not ended.
func Published(keys []IssuerKey, now time.Time) []IssuerKey {
	var published []IssuerKey
	for i := range keys {
		if !keys[i].ended(now) {
			published = append(published, keys[i])
		}
	}
	return published
}

// Signing returns the key that signs now: of those whose time has come the latest. Where the time of
// none has come, as on a host whose clock is far behind, it is the one that comes first: whoever fetches
// the page of keys finds it there. It is nil when all have ended.
func Signing(keys []IssuerKey, now time.Time) *IssuerKey {
	var best *IssuerKey
	for i := range keys {
		k := &keys[i]
		if k.ended(now) {
			continue
		}
		switch waits := k.From.After(now); {
		case best == nil,
			waits && best.From.After(now) && k.From.Before(best.From),
			!waits && (best.From.After(now) || k.From.After(best.From)):
			best = k
		}
	}
	return best
}

// Private returns the signing key. Unlike Seed it does print: do not keep it in a struct.
func (k IssuerKey) Private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Seed[:]) }

// Public returns the verifying key.
func (k IssuerKey) Public() ed25519.PublicKey {
	return k.Private().Public().(ed25519.PublicKey)
}

// siteShape is what a site id looks like (the sites file has the same rule); it also keeps an id
// from a request from naming a file elsewhere.
var siteShape = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
