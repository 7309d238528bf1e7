package demoshop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/shopspring/decimal"
)

// clockSkew is by how much the aggregator's clock and ours may differ.
const clockSkew = 60 * time.Second

// A refusal says why an offer does not count: Code for machines, Text for the shopper.
type refusal struct {
	Code string `json:"code"`
	Text string `json:"message"`
}

func (r *refusal) Error() string { return "offer refused: " + r.Code }

// Every way an offer can be refused.
var (
	refusedMalformed   = &refusal{"malformed", "This offer is not readable. Nothing was changed."}
	refusedForged      = &refusal{"bad-signature", "This offer was not signed by us, so we cannot honour it."}
	refusedKey         = &refusal{"unknown-key", "This offer was signed with a key we do not know, so we cannot honour it."}
	refusedUnavailable = &refusal{"keys-unavailable", "We cannot check your offer at the moment. You can order without it, or try again in a minute."}
	refusedIssuer      = &refusal{"wrong-issuer", "This offer was not made by us, so we cannot honour it."}
	refusedAudience    = &refusal{"wrong-audience", "This offer belongs to another shop."}
	refusedExpired     = &refusal{"expired", "This offer has ended."}
	refusedEarly       = &refusal{"not-yet-valid", "This offer has not started yet."}
	refusedIncomplete  = &refusal{"incomplete", "This offer lacks a part that we need. Nothing was changed."}
	refusedUsed        = &refusal{"used", "This offer was already used for an order."}
	refusedCurrency    = &refusal{"wrong-currency", "This offer is in another currency than our prices."}
	refusedKind        = &refusal{"unknown-kind", "We do not know this kind of offer."}
	refusedOther       = &refusal{"not-in-cart", "Your offer is for other things than those in your cart."}
	refusedValue       = &refusal{"bad-value", "This offer promises something that we cannot give."}
)

// refusedMinCart needs a sum, so it is made for the cart at hand.
func refusedMinCart(missing Money) *refusal {
	return &refusal{"min-cart", fmt.Sprintf("Your offer starts to count when you add goods for %s more.", missing)}
}

// hundredths is a decimal number of a claim, as a JSON number or a string: cents, or hundredths of
// a percent.
type hundredths int64

// UnmarshalJSON refuses what no offer needs: exponents, more than four decimals, large numbers.
func (h *hundredths) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		return nil
	}
	d, err := decimal.NewFromString(text)
	if err != nil || len(text) > 20 || strings.ContainsAny(text, "eE") || d.Exponent() < -4 {
		return errors.New("not a plain decimal number")
	}
	d = d.Shift(2).Round(0)
	if d.GreaterThan(decimal.New(1, 12)) || d.IsNegative() {
		return errors.New("number out of range")
	}
	*h = hundredths(d.IntPart())
	return nil
}

// claims are those of the design's section 4.4.
type claims struct {
	jwt.RegisteredClaims            // iss, aud, sub (the decision), exp, iat, jti
	Offer                string     `json:"offer"`
	Kind                 string     `json:"kind"`
	Percent              hundredths `json:"percent"`
	Amount               hundredths `json:"amount"`
	Currency             string     `json:"currency"`
	MinCartValue         hundredths `json:"min_cart_value"`
	AppliesTo            []string   `json:"applies_to"` // products or categories in our words; none = everything
}

// An Offer is a token that was found good: signed by the aggregator, for this shop, in time, unused.
type Offer struct {
	ID, Decision string // what the purchase event names
	Expires      time.Time

	jti     string
	kind    string
	percent int64 // hundredths of a percent, 1 to 10,000
	amount  Money
	minCart Money
	applies []string // product and category ids; none = every line of the cart
}

// Label names the offer in the summary: "10% off".
func (o *Offer) Label() string {
	switch o.kind {
	case "percent":
		return decimal.New(o.percent, -2).String() + "% off"
	case "amount":
		return o.amount.String() + " off"
	default:
		return "Free shipping"
	}
}

// A discount is what an offer is worth for one cart. The zero discount is none.
type discount struct {
	off          Money
	freeShipping bool
}

// discount applies the offer to a cart, or refuses a cart that is too small or holds other things.
func (o *Offer) discount(c Cart) (discount, *refusal) {
	if goods := c.Goods(); goods < o.minCart {
		return discount{}, refusedMinCart(o.minCart - goods)
	}
	var fitting Money
	for _, l := range c.Lines {
		if len(o.applies) == 0 || slices.Contains(o.applies, l.Product.ID) || slices.Contains(o.applies, l.Product.Category) {
			fitting += l.Sum()
		}
	}
	if fitting == 0 {
		return discount{}, refusedOther
	}
	switch o.kind {
	case "percent":
		return discount{off: fitting.part(o.percent, 10_000)}, nil
	case "amount":
		return discount{off: min(o.amount, fitting)}, nil
	default:
		return discount{freeShipping: true}, nil
	}
}

// A verifier checks offers without asking the aggregator: the public keys are enough.
type verifier struct {
	keys   *keySet
	used   usedTokens
	parser *jwt.Parser
	now    func() time.Time
}

func newVerifier(site, issuer string, keys *keySet, now func() time.Time) *verifier {
	return &verifier{keys: keys, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), // neither "none" nor a HMAC under our public key
		jwt.WithIssuer(issuer),
		jwt.WithAudience(site),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew),
		jwt.WithTimeFunc(now),
		jwt.WithStrictDecoding(),
	)}
}

// verify reads a token. It does not use it up: a cart page may verify as often as it likes.
func (v *verifier) verify(ctx context.Context, token string) (*Offer, *refusal) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return v.keys.key(ctx, kid)
	})
	if err != nil {
		return nil, asRefusal(err)
	}
	if c.ID == "" || c.Subject == "" || c.Offer == "" {
		return nil, refusedIncomplete
	}
	o := &Offer{
		ID: c.Offer, Decision: c.Subject, Expires: c.ExpiresAt.Time,
		jti: c.ID, kind: c.Kind, percent: int64(c.Percent), amount: Money(c.Amount), minCart: Money(c.MinCartValue), applies: c.AppliesTo,
	}
	if r := c.promise(); r != nil {
		return nil, r
	}
	if v.used.contains(o.jti) {
		return nil, refusedUsed
	}
	return o, nil
}

// promise checks that what is offered can be given.
func (c *claims) promise() *refusal {
	inMoney := c.MinCartValue > 0
	switch c.Kind {
	case "percent":
		if c.Percent < 1 || c.Percent > 10_000 {
			return refusedValue
		}
	case "amount":
		if c.Amount < 1 {
			return refusedValue
		}
		inMoney = true
	case "free_shipping":
	default:
		return refusedKind
	}
	if c.Currency != currency && (inMoney || c.Currency != "") {
		return refusedCurrency
	}
	return nil
}

// use takes the offer for an order: once. Of two orders that race with one token, one gets it.
func (v *verifier) use(o *Offer) *refusal {
	if !v.used.claim(o.jti, o.Expires.Add(clockSkew), v.now()) {
		return refusedUsed
	}
	return nil
}

// asRefusal turns the parser's error, which joins several causes, into the one that explains most.
func asRefusal(err error) *refusal {
	for _, known := range []struct {
		cause error
		as    *refusal
	}{
		{errUnknownKey, refusedKey},
		{errNoKeys, refusedUnavailable},
		{jwt.ErrTokenMalformed, refusedMalformed},
		{jwt.ErrTokenSignatureInvalid, refusedForged},
		{jwt.ErrTokenInvalidIssuer, refusedIssuer},
		{jwt.ErrTokenInvalidAudience, refusedAudience},
		{jwt.ErrTokenRequiredClaimMissing, refusedIncomplete},
		{jwt.ErrTokenExpired, refusedExpired},
		{jwt.ErrTokenNotValidYet, refusedEarly},
		{jwt.ErrTokenUsedBeforeIssued, refusedEarly},
	} {
		if errors.Is(err, known.cause) {
			return known.as
		}
	}
	return refusedMalformed
}

// usedTokens remembers the ids of used tokens until no clock within the skew accepts them any more.
// It holds at most one id an order, and only of tokens that the aggregator signed.
//
// Memory is enough for a demo: a restart within an offer's half hour would let one token count
// twice. A real shop keeps the jti with the order, in a column with a unique index.
type usedTokens struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (u *usedTokens) contains(jti string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, used := u.until[jti]
	return used
}

// claim reports whether the id was free, and takes it.
func (u *usedTokens) claim(jti string, until, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, end := range u.until {
		if now.After(end) {
			delete(u.until, id)
		}
	}
	if _, used := u.until[jti]; used {
		return false
	}
	if u.until == nil {
		u.until = make(map[string]time.Time)
	}
	u.until[jti] = until
	return true
}
