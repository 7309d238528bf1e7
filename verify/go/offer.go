// Package offer checks a signed offer at checkout, offline: the keys of the issuer are all it needs.
// It is one file of the standard library alone, so that a shop may copy it; verify/README.md has the
// rules, and the same in JavaScript, PHP and Rust. All refuse the same tokens with the same words.
package offer

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	Skew     = time.Minute // by how much the clocks of issuer and shop may differ
	MaxBytes = 8192        // a token has about 500
)

// Refusal says why an offer does not count. The words are the same in every language.
type Refusal string

func (r Refusal) Error() string { return "offer refused: " + string(r) }

const (
	Malformed      Refusal = "malformed"       // no token at all, or not as we write it
	WrongAlgorithm Refusal = "wrong-algorithm" // not EdDSA
	UnknownKey     Refusal = "unknown-key"     // fetch the page of keys again, once, and try again
	BadSignature   Refusal = "bad-signature"
	Incomplete     Refusal = "incomplete" // a claim is missing, or of another type
	WrongIssuer    Refusal = "wrong-issuer"
	WrongAudience  Refusal = "wrong-audience" // the offer of another shop
	NotYetValid    Refusal = "not-yet-valid"
	Expired        Refusal = "expired"
	UnknownKind    Refusal = "unknown-kind"
	BadValue       Refusal = "bad-value" // terms that no offer has
	WrongCurrency  Refusal = "wrong-currency"
	MinCart        Refusal = "min-cart" // the cart is too small
	Used           Refusal = "used"     // this jti was in an order before
)

// Offer is what a token promises. What an offer does not have is zero.
type Offer struct {
	ID           string   `json:"id"`
	Decision     string   `json:"decision"` // names no visitor; report it with the order
	JTI          string   `json:"jti"`      // counts once
	Kind         string   `json:"kind"`     // percent, amount or free_shipping
	Percent      float64  `json:"percent"`
	Amount       float64  `json:"amount"`
	Currency     string   `json:"currency"`
	MinCartValue float64  `json:"min_cart_value"`
	Code         string   `json:"code"`
	AppliesTo    []string `json:"applies_to"` // products or categories; none: everything
	Combinable   bool     `json:"combinable"`
	IssuedAt     int64    `json:"issued_at"` // Unix seconds
	ExpiresAt    int64    `json:"expires_at"`
}

// Want is what the shop knows without the token.
type Want struct {
	Issuer, Site string
	Now          time.Time
	Cart         *Cart // nil: terms of the cart are not checked
}

// Cart is what the offer would be used for: goods before the discount.
type Cart struct {
	Currency string  `json:"currency"`
	Value    float64 `json:"value"`
}

// Keys are the issuer's public keys by kid.
type Keys map[string]ed25519.PublicKey

// ParseKeys reads /.well-known/jwks.json. Keys of other kinds are left out.
func ParseKeys(page []byte) (Keys, error) {
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X string } `json:"keys"`
	}
	if err := json.Unmarshal(page, &set); err != nil {
		return nil, fmt.Errorf("read JWKS: %w", err)
	}
	keys := Keys{}
	for i, k := range set.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" {
			continue
		}
		x, err := base64url.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.Kid == "" {
			return nil, fmt.Errorf("read JWKS: key %d has no kid or no Ed25519 public key", i)
		}
		if keys[k.Kid] != nil {
			return nil, fmt.Errorf("read JWKS: two keys with the kid %q", k.Kid)
		}
		keys[k.Kid] = x
	}
	return keys, nil
}

// Verify returns the offer, or a Refusal. It does not use the offer up: see Redeem.
func (keys Keys) Verify(token string, want Want) (*Offer, error) {
	if len(token) > MaxBytes || !shape.MatchString(token) {
		return nil, Malformed
	}
	parts := strings.Split(token, ".")
	header, ok := flat(parts[0])
	if _, critical := header["crit"]; !ok || critical || header["typ"] != "JWT" {
		return nil, Malformed
	}
	if header["alg"] != "EdDSA" { // neither "none" nor a HMAC under the public key
		return nil, WrongAlgorithm
	}
	kid, _ := header["kid"].(string)
	key, known := keys[kid]
	if !known {
		return nil, UnknownKey
	}
	signature, err := base64url.DecodeString(parts[2])
	if err != nil {
		return nil, Malformed
	}
	if !ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), signature) {
		return nil, BadSignature
	}
	claims, ok := flat(parts[1])
	if !ok {
		return nil, Malformed
	}
	return check(claims, want)
}

// check reads claims that the issuer has signed.
func check(claims map[string]any, want Want) (*Offer, error) {
	r := reader{claims: claims}
	issuer, audience := r.text("iss"), r.text("aud")
	o := &Offer{
		ID: r.text("offer"), Decision: r.text("sub"), JTI: r.text("jti"), Kind: r.text("kind"),
		IssuedAt: r.seconds("iat"), ExpiresAt: r.seconds("exp"),
	}
	if r.failed {
		return nil, Incomplete
	}
	o.Percent, o.Amount, o.MinCartValue = optional(&r, "percent", 0.0), optional(&r, "amount", 0.0), optional(&r, "min_cart_value", 0.0)
	o.Currency, o.Code, o.Combinable = optional(&r, "currency", ""), optional(&r, "code", ""), optional(&r, "combinable", false)
	o.AppliesTo = optional(&r, "applies_to", []string{})
	now, skew := want.Now.Unix(), int64(Skew/time.Second)
	switch {
	case issuer != want.Issuer:
		return nil, WrongIssuer
	case audience != want.Site:
		return nil, WrongAudience
	case now+skew < o.IssuedAt:
		return nil, NotYetValid
	case now >= o.ExpiresAt+skew:
		return nil, Expired
	case o.Kind != "percent" && o.Kind != "amount" && o.Kind != "free_shipping":
		return nil, UnknownKind
	case r.failed || !o.possible():
		return nil, BadValue
	case want.Cart != nil && o.Currency != "" && want.Cart.Currency != o.Currency:
		return nil, WrongCurrency
	case want.Cart != nil && !(units(want.Cart.Value) >= units(o.MinCartValue)): // what is no number buys nothing
		return nil, MinCart
	}
	return o, nil
}

// possible reports whether the terms are those of the offer's kind.
func (o *Offer) possible() bool {
	for _, money := range []float64{o.Amount, o.MinCartValue} {
		if money < 0 || money > 1e11 || money > 0 && !currency.MatchString(o.Currency) {
			return false
		}
	}
	switch {
	case o.ExpiresAt <= o.IssuedAt:
		return false
	case o.Kind == "percent":
		return o.Percent > 0 && o.Percent <= 100 && o.Amount == 0
	case o.Kind == "amount":
		return units(o.Amount) > 0 && o.Percent == 0
	default:
		return o.Percent == 0 && o.Amount == 0
	}
}

// units is money in ten-thousandths, the smallest that an offer knows: whole numbers compare exactly.
func units(money float64) float64 { return math.Floor(money*10_000 + 0.5) }

var (
	base64url = base64.RawURLEncoding.Strict() // one spelling for the same bytes
	shape     = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
	currency  = regexp.MustCompile(`^[A-Z]{3}$`)
	quoted    = regexp.MustCompile(`"[^"\\]*(?:\\.[^"\\]*)*"`)
)

// flat reads a JSON object of strings, numbers, truth values and lists of strings that names nothing
// twice: on anything else the parsers of two languages may disagree.
func flat(part string) (map[string]any, bool) {
	text, err := base64url.DecodeString(part)
	if err != nil || !utf8.Valid(text) {
		return nil, false
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, false
	}
	if object == nil || strings.Count(quoted.ReplaceAllString(string(text), ""), ":") != len(object) { // null, or a name comes twice
		return nil, false
	}
	for name, value := range object {
		texts := []any{name}
		switch v := value.(type) {
		case float64, bool:
		case string:
			texts = append(texts, v)
		case []any:
			texts = append(texts, v...)
		default:
			return nil, false
		}
		for _, t := range texts {
			if s, ok := t.(string); !ok || strings.ContainsRune(s, utf8.RuneError) { // stands for half a character
				return nil, false
			}
		}
	}
	return object, true
}

// reader takes claims one by one and remembers whether one was missing or of another type.
type reader struct {
	claims map[string]any
	failed bool
}

func (r *reader) text(name string) string {
	s, _ := r.claims[name].(string)
	r.failed = r.failed || s == ""
	return s
}

func (r *reader) seconds(name string) int64 {
	n, _ := r.claims[name].(float64)
	if n != math.Trunc(n) || n < 1 || n > 1e11 {
		r.failed = true
		return 0
	}
	return int64(n)
}

func optional[T any](r *reader, name string, none T) T {
	value, there := r.claims[name]
	if list, ok := value.([]any); ok {
		texts := make([]string, len(list))
		for i := range list {
			texts[i] = list[i].(string) // flat has seen to it
		}
		value = texts
	}
	if v, ok := value.(T); ok {
		return v
	}
	r.failed = r.failed || there
	return none
}
