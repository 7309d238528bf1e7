// Package token is about the signed offer: what a shop's checkout can verify without asking us.
//
// A token is a JWT (RFC 7519) signed with EdDSA over Ed25519 (RFC 8037) under one of the issuer's
// keys, which its opaque `kid` names and the JWKS document publishes. It says which offer of which
// site, on which terms and until when. It names no visitor and holds no visitor data: `sub` is the
// decision id, a keyed hash.
//
// Promises. The same key and claims give the same token, so that every replica signs one grant
// alike. Verify accepts no other algorithm, no token without expiry, audience and issuer, and terms
// only in the shape that Sign gives them. A second use of a `jti` is refused by whoever takes the
// money: that needs a memory, which this package has not.
//
// Place in the path: aggregator/decision signs, the shop verifies.
package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/site"
)

// Skew is how far the clock of a verifier may be off. Who remembers a used `jti` does so until the
// token's expiry plus Skew.
const Skew = time.Minute

// maxTokenBytes is far above what Sign makes, and keeps hostile text from the parser.
const maxTokenBytes = 8 << 10

// ErrInvalid is the cause of every refusal by Verify.
var ErrInvalid = errors.New("offer token is not valid")

// Claims are what a token says.
type Claims struct {
	Issuer  string // `iss`
	Site    string // `aud`: the site's id
	Subject string // `sub`: the decision id
	ID      string // `jti`: what may be used once. Of a grant it is always the same, however often it is signed
	// Offer holds the terms. Sign reads, and Verify fills, its ID, Kind, Percent, Amount, Currency,
	// MinCartValue, Code, AppliesTo and Combinable; nothing else of an offer is in a token.
	Offer *site.Offer

	IssuedAt  time.Time // whole seconds, like ExpiresAt; fractions are cut
	ExpiresAt time.Time
}

// wire is the claims set as it is written.
type wire struct {
	Issuer       string      `json:"iss"`
	Audience     string      `json:"aud"`
	Subject      string      `json:"sub"`
	ID           string      `json:"jti"`
	IssuedAt     int64       `json:"iat"`
	ExpiresAt    int64       `json:"exp"`
	Offer        string      `json:"offer"`
	Kind         site.Kind   `json:"kind"`
	Percent      float64     `json:"percent,omitempty"`
	Amount       json.Number `json:"amount,omitempty"`
	Currency     string      `json:"currency,omitempty"`
	MinCartValue json.Number `json:"min_cart_value,omitempty"`
	Code         string      `json:"code,omitempty"`
	AppliesTo    []string    `json:"applies_to,omitempty"`
	Combinable   bool        `json:"combinable"`
}

// Sign makes the token for c under key.
func Sign(key keyring.IssuerKey, c Claims) (string, error) {
	w := wire{
		Issuer: c.Issuer, Audience: c.Site, Subject: c.Subject, ID: c.ID,
		IssuedAt: c.IssuedAt.Unix(), ExpiresAt: c.ExpiresAt.Unix(),
	}
	if o := c.Offer; o != nil {
		w.Offer, w.Kind, w.Percent, w.Amount = o.ID, o.Kind, o.Percent, number(o.Amount)
		w.Currency, w.MinCartValue = o.Currency, number(o.MinCartValue)
		w.Code, w.AppliesTo, w.Combinable = o.Code, o.AppliesTo, o.Combinable
	}
	if _, err := w.claims(); err != nil {
		return "", fmt.Errorf("sign offer token: %w", err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, w)
	t.Header["kid"] = key.ID
	text, err := t.SignedString(key.Private())
	if err != nil {
		return "", fmt.Errorf("sign offer token under key %s: %w", key.ID, err)
	}
	return text, nil
}

// Expect is what a verifier knows without the token.
type Expect struct {
	Issuer string
	Site   string
	Now    time.Time // from the platform's input where the verifier has no clock
}

// Verify returns what the token says, when it was signed by one of keys for this site and has not
// expired. The error wraps ErrInvalid and does not quote the token.
func (keys Keys) Verify(text string, want Expect) (Claims, error) {
	if want.Issuer == "" || want.Site == "" || want.Now.IsZero() {
		return Claims{}, fmt.Errorf("%w: the verifier must name issuer, site and time", ErrInvalid)
	}
	if len(text) > maxTokenBytes {
		return Claims{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxTokenBytes)
	}
	var w wire
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithIssuer(want.Issuer),
		jwt.WithAudience(want.Site),
		jwt.WithLeeway(Skew),
		jwt.WithTimeFunc(func() time.Time { return want.Now }),
	).ParseWithClaims(text, &w, keys.choose)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c, err := w.claims()
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

// choose finds the key that the token's header names.
func (keys Keys) choose(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	if key, ok := keys[kid]; ok {
		return key, nil
	}
	return nil, errors.New("unknown kid")
}

// claims checks that nothing is missing and that the terms are those of one kind.
func (w *wire) claims() (Claims, error) {
	for _, c := range []struct{ name, value string }{
		{"iss", w.Issuer}, {"aud", w.Audience}, {"sub", w.Subject}, {"jti", w.ID}, {"offer", w.Offer},
	} {
		if c.value == "" {
			return Claims{}, fmt.Errorf("claim %q is missing", c.name)
		}
	}
	if w.ExpiresAt <= w.IssuedAt {
		return Claims{}, errors.New(`claim "exp" is not after "iat"`)
	}
	amount, okAmount := amountOf(w.Amount)
	minimum, okMinimum := amountOf(w.MinCartValue)
	if !okAmount || !okMinimum || (amount.Set || minimum.Set) && w.Currency == "" {
		return Claims{}, errors.New("money without amount or currency")
	}
	ok := false
	switch w.Kind {
	case site.Percent:
		ok = w.Percent > 0 && w.Percent <= 100 && !amount.Set
	case site.FixedAmount:
		ok = amount.Units > 0 && w.Percent == 0
	case site.FreeShipping:
		ok = !amount.Set && w.Percent == 0
	}
	if !ok {
		return Claims{}, errors.New("terms do not fit their kind")
	}
	return Claims{
		Issuer: w.Issuer, Site: w.Audience, Subject: w.Subject, ID: w.ID,
		IssuedAt: time.Unix(w.IssuedAt, 0), ExpiresAt: time.Unix(w.ExpiresAt, 0),
		Offer: &site.Offer{
			ID: w.Offer, Kind: w.Kind, Percent: w.Percent, Amount: amount, Currency: w.Currency,
			MinCartValue: minimum, Code: w.Code, AppliesTo: w.AppliesTo, Combinable: w.Combinable,
		},
	}, nil
}

// number spells money as a JSON number, "5" or "5.25", and nothing as "".
func number(a event.Amount) json.Number {
	if !a.Set {
		return ""
	}
	whole, rest := a.Units/event.AmountScale, a.Units%event.AmountScale
	text := strconv.FormatInt(whole, 10)
	if rest != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%04d", rest), "0")
	}
	return json.Number(text)
}

func amountOf(n json.Number) (event.Amount, bool) {
	if n == "" {
		return event.Amount{}, true
	}
	return event.ParseAmount([]byte(n))
}

// The methods below are what the parser asks of a claims set.

// GetExpirationTime returns `exp`, nil when it is missing.
func (w wire) GetExpirationTime() (*jwt.NumericDate, error) { return date(w.ExpiresAt) }

// GetIssuedAt returns `iat`, nil when it is missing.
func (w wire) GetIssuedAt() (*jwt.NumericDate, error) { return date(w.IssuedAt) }

// GetNotBefore is nil: a token is good from its making.
func (w wire) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuer returns `iss`.
func (w wire) GetIssuer() (string, error) { return w.Issuer, nil }

// GetSubject returns `sub`.
func (w wire) GetSubject() (string, error) { return w.Subject, nil }

// GetAudience returns `aud`.
func (w wire) GetAudience() (jwt.ClaimStrings, error) { return jwt.ClaimStrings{w.Audience}, nil }

// maxDate keeps seconds within what time.Time can compare without overflow.
const maxDate = math.MaxInt32 * 100

func date(seconds int64) (*jwt.NumericDate, error) {
	if seconds == 0 {
		return nil, nil
	}
	if seconds < 0 || seconds > maxDate {
		return nil, errors.New("time is out of range")
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0)), nil
}
