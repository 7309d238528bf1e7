package decision

import (
	"time"

	"beckon/aggregator/eligibility"
	"beckon/internal/event"
	"beckon/internal/site"
)

// Reply is the answer of GET /v1/decision (docs/design.md). Every field is always there, null when it
// says nothing, so that an eligible and a refused answer have one shape.
type Reply struct {
	Site         string  `json:"site"`
	Eligible     bool    `json:"eligible"`
	Offer        *Offer  `json:"offer"`
	Arm          *string `json:"arm"`
	Reason       string  `json:"reason"`
	Rule         *string `json:"rule"`
	Token        *string `json:"token"`
	ExpiresAt    *string `json:"expires_at"`
	FreshAt      *string `json:"fresh_at"`
	Personalised bool    `json:"personalised"`
	Disclosure   *string `json:"disclosure"`
	DecisionID   *string `json:"decision_id"`
}

// Offer is the part of an offer that a shopper may see.
type Offer struct {
	ID           string   `json:"id"`
	Kind         string   `json:"kind"`
	Percent      *float64 `json:"percent"`
	Currency     *string  `json:"currency"`
	Amount       *float64 `json:"amount"`
	Title        string   `json:"title"`
	Code         *string  `json:"code"`
	MinCartValue *float64 `json:"min_cart_value"`
	AppliesTo    []string `json:"applies_to"`
	Combinable   bool     `json:"combinable"`
}

func newReply(siteID string, v *eligibility.Verdict, token string, freshAt time.Time) Reply {
	r := Reply{
		Site: siteID, Eligible: v.Eligible, Reason: v.Reason.String(), Personalised: v.Personalised,
		Arm: textOrNull(string(v.Arm)), Rule: textOrNull(v.Rule), FreshAt: instant(freshAt),
	}
	if !v.DecisionID.IsZero() {
		r.DecisionID = textOrNull(v.DecisionID.Hex())
	}
	if v.Eligible {
		r.Offer = newOffer(v.Offer)
		r.Token, r.ExpiresAt = textOrNull(token), instant(v.ValidUntil)
		r.Disclosure = textOrNull(v.Offer.Disclosure)
	}
	return r
}

func newOffer(o *site.Offer) *Offer {
	out := &Offer{
		ID: o.ID, Kind: string(o.Kind), Title: o.Title, Code: textOrNull(o.Code), Currency: textOrNull(o.Currency),
		MinCartValue: amountOrNull(o.MinCartValue), Amount: amountOrNull(o.Amount),
		AppliesTo: o.AppliesTo, Combinable: o.Combinable,
	}
	if o.Kind == site.Percent {
		out.Percent = &o.Percent
	}
	if out.AppliesTo == nil {
		out.AppliesTo = []string{}
	}
	return out
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func amountOrNull(a event.Amount) *float64 {
	if !a.Set {
		return nil
	}
	f := float64(a.Units) / event.AmountScale
	return &f
}

// instant spells t as RFC 3339 in UTC with milliseconds, null for the zero time.
func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return &s
}
