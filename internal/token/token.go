// Package token is about the signed offer: what a shop's checkout can verify without asking us.
//
// A token is a JWT (RFC 7519) signed with EdDSA over Ed25519 (RFC 8037) under one of the issuer's
// keys, which its opaque `kid` names and the JWKS document publishes. It says which offer of which
// site, on which terms and until when. It names no visitor and holds no visitor data: `sub` is the
// decision id, a keyed hash.
//
// Promises. The same key and claims give the same token, so that every replica signs one grant
// alike. Sign makes nothing that a verifier would refuse. Verify is that of beckon/verify/go, which
// shops copy. A second use of a `jti` is refused by whoever takes the money: that needs a memory,
// which this package has not.
//
// Place in the path: aggregator/decision signs, the shop verifies.
package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/site"
	offer "beckon/verify/go"
)

// maxMoney is what verifiers accept, in units: their numbers are exact up to there.
const maxMoney = 100_000_000_000 * event.AmountScale

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

type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
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
	if err := c.check(); err != nil {
		return "", fmt.Errorf("sign offer token: %w", err)
	}
	o := c.Offer
	w := wire{
		Issuer: c.Issuer, Audience: c.Site, Subject: c.Subject, ID: c.ID, IssuedAt: c.IssuedAt.Unix(), ExpiresAt: c.ExpiresAt.Unix(),
		Offer: o.ID, Kind: o.Kind, Percent: o.Percent, Amount: number(o.Amount), Currency: o.Currency, MinCartValue: number(o.MinCartValue),
		Code: o.Code, AppliesTo: o.AppliesTo, Combinable: o.Combinable,
	}
	text := part(header{Algorithm: "EdDSA", KeyID: key.ID, Type: "JWT"}) + "." + part(w)
	text += "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key.Private(), []byte(text)))
	if len(text) > offer.MaxBytes {
		return "", fmt.Errorf("sign offer token: %d bytes, and no verifier reads over %d: shorten applies_to", len(text), offer.MaxBytes)
	}
	return text, nil
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a part of a token does not marshal: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Expect is what a verifier knows without the token.
type Expect struct {
	Issuer string
	Site   string
	Now    time.Time // from the platform's input where the verifier has no clock
}

// Verify returns what the token says, when it was signed by one of keys for this site and has not
// expired. The error wraps ErrInvalid and an offer.Refusal, and does not quote the token.
func (keys Keys) Verify(text string, want Expect) (Claims, error) {
	if want.Issuer == "" || want.Site == "" || want.Now.IsZero() {
		return Claims{}, fmt.Errorf("%w: the verifier must name issuer, site and time", ErrInvalid)
	}
	o, err := offer.Keys(keys).Verify(text, offer.Want{Issuer: want.Issuer, Site: want.Site, Now: want.Now})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c := Claims{
		Issuer: want.Issuer, Site: want.Site, Subject: o.Decision, ID: o.JTI,
		IssuedAt: time.Unix(o.IssuedAt, 0), ExpiresAt: time.Unix(o.ExpiresAt, 0),
		Offer: &site.Offer{
			ID: o.ID, Kind: site.Kind(o.Kind), Percent: o.Percent, Amount: amountOf(o.Amount), Currency: o.Currency,
			MinCartValue: amountOf(o.MinCartValue), Code: o.Code, Combinable: o.Combinable,
		},
	}
	if len(o.AppliesTo) > 0 {
		c.Offer.AppliesTo = o.AppliesTo
	}
	return c, nil
}

// check reports what a verifier would refuse: nothing is missing, and the terms are those of one kind.
func (c *Claims) check() error {
	o := c.Offer
	if o == nil {
		return errors.New("no offer")
	}
	for _, claim := range []struct{ name, value string }{
		{"iss", c.Issuer}, {"aud", c.Site}, {"sub", c.Subject}, {"jti", c.ID}, {"offer", o.ID},
	} {
		if claim.value == "" {
			return fmt.Errorf("claim %q is missing", claim.name)
		}
	}
	if c.ExpiresAt.Unix() <= c.IssuedAt.Unix() {
		return errors.New(`claim "exp" is not after "iat"`)
	}
	for _, money := range []event.Amount{o.Amount, o.MinCartValue} {
		if money.Set && (o.Currency == "" || money.Units < 0 || money.Units > maxMoney) {
			return errors.New("money without currency, or out of range")
		}
	}
	ok := false
	switch o.Kind {
	case site.Percent:
		ok = o.Percent > 0 && o.Percent <= 100 && !o.Amount.Set
	case site.FixedAmount:
		ok = o.Amount.Units > 0 && o.Percent == 0
	case site.FreeShipping:
		ok = !o.Amount.Set && o.Percent == 0
	}
	if !ok {
		return errors.New("terms do not fit their kind")
	}
	return nil
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

func amountOf(money float64) event.Amount {
	units := int64(math.Round(money * event.AmountScale))
	return event.Amount{Units: units, Set: units > 0}
}
