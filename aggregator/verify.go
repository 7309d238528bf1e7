package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	offer "beckon/verify/go"
)

// verifyCmd checks an offer token as a shop does, with a page of keys from a file: nobody is asked.
type verifyCmd struct {
	JWKS     string  `name:"jwks" required:"" placeholder:"FILE" help:"The page of keys, as /.well-known/jwks.json answers it."`
	Site     string  `required:"" placeholder:"SITE" help:"The site that the offer must be for."`
	Issuer   string  `default:"https://beckon.invalid" help:"The issuer that the offer must be of."`
	Now      string  `placeholder:"TIME" help:"Check as of this time, 2026-11-22T12:00:00Z or Unix seconds. Default: this host's clock."`
	Value    float64 `name:"cart-value" default:"-1" help:"Value of the goods that the offer would be used for; with --cart-currency."`
	Currency string  `name:"cart-currency" placeholder:"EUR" help:"Currency of the cart. Default: terms of the cart are not checked."`
	JSON     bool    `name:"json" help:"Print the answer as JSON."`
	Token    string  `arg:"" help:"The token; - reads it from stdin."`
}

// refusalWords says of each refusal what it means, and with which code the command ends.
var refusalWords = map[offer.Refusal]struct {
	exit  int
	words string
}{
	offer.Malformed:      {10, "this is no offer token"},
	offer.WrongAlgorithm: {11, "it is not signed with EdDSA"},
	offer.UnknownKey:     {12, "the page of keys does not have its kid: fetch /.well-known/jwks.json again"},
	offer.BadSignature:   {13, "its signature is not that of the key: it was forged or changed"},
	offer.Incomplete:     {14, "a claim is missing or of another type"},
	offer.WrongIssuer:    {15, "it is of another issuer than --issuer"},
	offer.WrongAudience:  {16, "it is for another site than --site"},
	offer.NotYetValid:    {17, "it is not valid yet: are the clocks right?"},
	offer.Expired:        {18, "it has expired"},
	offer.UnknownKind:    {19, "its kind is not percent, amount or free_shipping"},
	offer.BadValue:       {20, "its terms are not those of its kind"},
	offer.WrongCurrency:  {21, "it is in another currency than the cart"},
	offer.MinCart:        {22, "the cart is too small for it"},
}

// refusedToken ends the command with the code of its refusal.
type refusedToken struct{ offer.Refusal }

func (r refusedToken) Error() string { return string(r.Refusal) + ": " + refusalWords[r.Refusal].words }

// ExitCode is what the command ends with.
func (r refusedToken) ExitCode() int { return refusalWords[r.Refusal].exit }

// Run prints the offer, or ends with the code of the refusal.
func (cmd *verifyCmd) Run() error {
	return cmd.run(os.Stdin, os.Stdout, time.Now())
}

func (cmd *verifyCmd) run(in io.Reader, out io.Writer, now time.Time) error {
	page, err := os.ReadFile(cmd.JWKS)
	if err != nil {
		return fmt.Errorf("--jwks: %w", err)
	}
	keys, err := offer.ParseKeys(page)
	if err != nil {
		return fmt.Errorf("--jwks: %w", err)
	}
	want := offer.Want{Issuer: cmd.Issuer, Site: cmd.Site, Now: now}
	if cmd.Now != "" {
		if want.Now, err = readTime(cmd.Now); err != nil {
			return fmt.Errorf("--now: %w", err)
		}
	}
	if (cmd.Currency != "") != (cmd.Value >= 0) {
		return errors.New("--cart-value and --cart-currency belong together")
	}
	if cmd.Currency != "" {
		want.Cart = &offer.Cart{Currency: cmd.Currency, Value: cmd.Value}
	}
	text := cmd.Token
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(in, 4*offer.MaxBytes))
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	o, err := keys.Verify(text, want)
	var refusal offer.Refusal
	if errors.As(err, &refusal) {
		if cmd.JSON {
			_ = json.NewEncoder(out).Encode(map[string]any{"valid": false, "code": refusal, "words": refusalWords[refusal].words})
		}
		return refusedToken{refusal}
	}
	if cmd.JSON {
		return json.NewEncoder(out).Encode(map[string]any{"valid": true, "offer": o})
	}
	_, err = fmt.Fprintf(out, "valid: offer %s, %s, until %s, jti %s\n", o.ID, terms(o), time.Unix(o.ExpiresAt, 0).UTC().Format(time.RFC3339), o.JTI)
	return err
}

// terms spells an offer for a person.
func terms(o *offer.Offer) string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	text := "free shipping"
	switch o.Kind {
	case "percent":
		text = number(o.Percent) + " % off"
	case "amount":
		text = number(o.Amount) + " " + o.Currency + " off"
	}
	if o.MinCartValue > 0 {
		text += ", for goods of " + number(o.MinCartValue) + " " + o.Currency + " or more"
	}
	if len(o.AppliesTo) > 0 {
		text += ", for " + strings.Join(o.AppliesTo, ", ")
	}
	return text
}

func readTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is no time: write 2026-11-22T12:00:00Z or Unix seconds", text)
	}
	return t, nil
}
