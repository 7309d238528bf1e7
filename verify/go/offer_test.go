package offer_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	offer "beckon/verify/go"
)

// keyAndToken makes an issuer of its own: this folder is copied without the rest.
func keyAndToken(t *testing.T) (offer.Keys, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	text := b64([]byte(`{"alg":"EdDSA","kid":"k","typ":"JWT"}`)) + "." + b64(fmt.Appendf(nil,
		`{"iss":"https://shop.example/px","aud":"demo","sub":"d","jti":"j","iat":%d,"exp":%d,"offer":"o","kind":"amount","amount":5,"currency":"EUR","min_cart_value":50,"combinable":false}`, now, now+1800))
	keys, err := offer.ParseKeys(fmt.Appendf(nil, `{"keys":[{"kty":"RSA","kid":"r"},{"kty":"OKP","crv":"Ed25519","kid":"k","x":"%s"}]}`, b64(public)))
	if err != nil {
		t.Fatal(err)
	}
	return keys, text + "." + b64(ed25519.Sign(private, []byte(text)))
}

func TestExampleGivesADiscountForOneOrder(t *testing.T) {
	keys, token := keyAndToken(t)
	if _, word := discountFor(keys, token, offer.Cart{Currency: "EUR", Value: 49.99}); word != "min-cart" {
		t.Fatalf("a small cart: %s", word)
	}
	o, word := discountFor(keys, token, offer.Cart{Currency: "EUR", Value: 50})
	if word != "" || o.Amount != 5 {
		t.Fatalf("%+v, %s", o, word)
	}
	uses, orders := &offer.Memory{Now: time.Now}, 0
	write := func() error { orders++; return nil }
	if status, err := placeOrder(o, uses, write); status != http.StatusCreated || err != nil {
		t.Fatalf("first order: %d, %v", status, err)
	}
	if status, err := placeOrder(o, uses, write); status != http.StatusConflict || !errors.Is(err, offer.Used) {
		t.Fatalf("second order: %d, %v", status, err)
	}
	if orders != 1 {
		t.Fatalf("%d orders", orders)
	}
	if status, _ := placeOrder(o, broken{}, write); status != http.StatusServiceUnavailable || orders != 1 {
		t.Fatalf("without a store: %d, %d orders", status, orders)
	}
}

type broken struct{}

func (broken) Claim(string, time.Time) (bool, error) { return false, errors.New("no database") }

func TestMemoryForgetsWhatNobodyAcceptsAnyMore(t *testing.T) {
	now := time.Unix(1_000, 0)
	m := offer.Memory{Now: func() time.Time { return now }}
	f := func(jti string, want bool) {
		t.Helper()
		if got, _ := m.Claim(jti, now.Add(time.Minute)); got != want {
			t.Errorf("%s at %d: %t", jti, now.Unix(), got)
		}
	}
	f("a", true)
	f("a", false)
	f("b", true)
	now = now.Add(61 * time.Second)
	f("a", true)
}

func TestParseKeysRefusesWhatIsNoPageOfKeys(t *testing.T) {
	for _, page := range []string{`x`, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 43) + `"}]}`} {
		if _, err := offer.ParseKeys([]byte(page)); err == nil {
			t.Errorf("accepted %s", page)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys, err := offer.ParseKeys([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"` + strings.Repeat("A", 43) + `"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("eyJhbGciOiJFZERTQSIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.e30.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		o, err := keys.Verify(token, offer.Want{Issuer: "i", Site: "s", Now: time.Unix(1, 0)})
		var refusal offer.Refusal
		if o != nil || !errors.As(err, &refusal) {
			t.Fatalf("%+v, %v", o, err)
		}
	})
}
