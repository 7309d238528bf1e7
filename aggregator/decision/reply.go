package decision

import (
	"encoding/hex"
	"strconv"
	"time"

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

// appendReply appends the answer, a Reply, as JSON. Nothing in it needs to be escaped but what the shop's own words are, and
// those are spelled once for each sites file.
func (ans *answer) appendReply(b []byte) []byte {
	v := &ans.verdict
	b = append(append(append(b, `{"site":"`...), ans.site.ID...), `","eligible":`...)
	b = strconv.AppendBool(b, v.Eligible)
	w := noWording
	if v.Eligible {
		w = ans.shop.offers[v.Offer]
	}
	b = append(append(b, `,"offer":`...), w.offer...)
	b = appendText(append(b, `,"arm":`...), string(v.Arm))
	b = appendText(append(b, `,"reason":`...), v.Reason.String())
	b = appendText(append(b, `,"rule":`...), v.Rule)
	token, end := "", time.Time{}
	if v.Eligible {
		token, end = ans.token, v.ValidUntil
	}
	b = appendText(append(b, `,"token":`...), token)
	b = appendInstant(append(b, `,"expires_at":`...), end)
	b = appendInstant(append(b, `,"fresh_at":`...), ans.freshAt)
	b = strconv.AppendBool(append(b, `,"personalised":`...), v.Personalised)
	b = append(append(b, `,"disclosure":`...), w.disclosure...)
	b = append(b, `,"decision_id":`...)
	if v.DecisionID.IsZero() {
		return append(b, "null}"...)
	}
	id := v.DecisionID.Bytes()
	return append(hex.AppendEncode(append(b, '"'), id[:]), `"}`...)
}

var noWording = wording{[]byte("null"), []byte("null")}

// appendText appends a word of ours, null for none.
func appendText(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return append(append(append(b, '"'), s...), '"')
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

const instantForm = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

// appendInstant appends t as RFC 3339 in UTC with milliseconds, null for the zero time. time.AppendFormat reads its layout
// anew each time, and takes three times as long.
func appendInstant(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(append(b, '"'), year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/1e6, 3)
	return append(b, `Z"`...)
}

// appendDigits appends the last digits of a number that is not negative.
func appendDigits(b []byte, n, digits int) []byte {
	b = append(b, "0000"[:digits]...)
	for i := len(b) - 1; digits > 0; i, n, digits = i-1, n/10, digits-1 {
		b[i] += byte(n % 10)
	}
	return b
}

// instant spells t as RFC 3339 in UTC with milliseconds, null for the zero time.
func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(instantForm)
	return &s
}
