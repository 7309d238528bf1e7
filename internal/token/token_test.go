package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/site"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	oldKey = keyring.IssuerKey{ID: "k1", Seed: keyring.Key{1}}
	newKey = keyring.IssuerKey{ID: "k2", Seed: keyring.Key{2}}
	expect = Expect{Issuer: "https://shop.example/px", Site: "demo", Now: noon.Add(time.Minute)}
)

func euros(cents int64) event.Amount { return event.Amount{Units: cents * 100, Set: true} }

func claims() Claims {
	return Claims{
		Issuer: "https://shop.example/px", Site: "demo", Subject: "0123456789abcdef0123456789abcdef", ID: "0123456789abcdef0123456789abcdef",
		Offer:    &site.Offer{ID: "welcome-back", Kind: site.Percent, Percent: 12.5},
		IssuedAt: noon, ExpiresAt: noon.Add(30 * time.Minute),
	}
}

func keysOf(t testing.TB, keys ...keyring.IssuerKey) Keys {
	t.Helper()
	k, err := ParseJWKS(JWKS(keys))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, c Claims) string {
	t.Helper()
	text, err := Sign(newKey, c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forge signs any header and claims with a real key.
func forge(t testing.TB, method jwt.SigningMethod, header, claims map[string]any, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	for k, v := range header {
		token.Header[k] = v
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifyReturnsWhatWasSigned(t *testing.T) {
	f := func(o site.Offer) {
		t.Helper()
		c := claims()
		c.Offer = &o
		got, err := keysOf(t, newKey, oldKey).Verify(sign(t, c), expect)
		if err != nil {
			t.Fatal(err)
		}
		if !got.IssuedAt.Equal(c.IssuedAt) || !got.ExpiresAt.Equal(c.ExpiresAt) {
			t.Fatalf("got %s to %s", got.IssuedAt, got.ExpiresAt)
		}
		got.IssuedAt, got.ExpiresAt = c.IssuedAt, c.ExpiresAt
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("got %+v %+v", got, got.Offer)
		}
	}
	f(site.Offer{ID: "a", Kind: site.Percent, Percent: 12.5})
	f(site.Offer{ID: "a", Kind: site.FixedAmount, Amount: euros(500), Currency: "EUR"})
	f(site.Offer{ID: "a", Kind: site.FixedAmount, Amount: event.Amount{Units: 1, Set: true}, Currency: "KWD", MinCartValue: euros(123456)})
	f(site.Offer{ID: "a", Kind: site.FreeShipping, MinCartValue: euros(5050), Currency: "EUR", Code: "WINTER", AppliesTo: []string{"shoes"}, Combinable: true})
}

func TestTokenSaysWhatTheWireContractSays(t *testing.T) {
	c := claims()
	c.Offer = &site.Offer{ID: "large-cart", Title: "not in it", When: "not in it", Kind: site.FixedAmount, Amount: euros(1550), Currency: "EUR", MinCartValue: euros(10000), AppliesTo: []string{"shoes"}}
	parts := strings.Split(sign(t, c), ".")
	f := func(part, want string) {
		t.Helper()
		got, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || string(got) != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
	f(parts[0], `{"alg":"EdDSA","kid":"k2","typ":"JWT"}`)
	f(parts[1], `{"iss":"https://shop.example/px","aud":"demo","sub":"0123456789abcdef0123456789abcdef","jti":"0123456789abcdef0123456789abcdef",`+
		`"iat":1795348800,"exp":1795350600,"offer":"large-cart","kind":"amount","amount":15.5,"currency":"EUR","min_cart_value":100,"applies_to":["shoes"],"combinable":false}`)
}

func TestSameGrantHasTheSameTokenOnEveryReplica(t *testing.T) {
	first, second := sign(t, claims()), sign(t, claims())
	if first != second {
		t.Fatal("two tokens for one grant")
	}
}

func TestVerifyAcceptsTheOldKeyDuringARotation(t *testing.T) {
	text, err := Sign(oldKey, claims())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keysOf(t, newKey, oldKey).Verify(text, expect); err != nil {
		t.Fatal(err)
	}
	if _, err := keysOf(t, newKey).Verify(text, expect); !errors.Is(err, ErrInvalid) {
		t.Fatalf("after the rotation: %v", err)
	}
}

func TestVerifyRefusesWhatIsNotForThisShopNow(t *testing.T) {
	keys, text := keysOf(t, newKey), sign(t, claims())
	f := func(want string, change func(*Expect)) {
		t.Helper()
		e := expect
		change(&e)
		if _, err := keys.Verify(text, e); want == "" && err != nil || want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Fatalf("got %v, want %s", err, want)
		}
	}
	f("", func(e *Expect) { e.Now = noon.Add(31*time.Minute - time.Second) })
	f("expired", func(e *Expect) { e.Now = noon.Add(31 * time.Minute) })
	f("", func(e *Expect) { e.Now = noon.Add(-time.Minute) })
	f("not-yet-valid", func(e *Expect) { e.Now = noon.Add(-61 * time.Second) })
	f("audience", func(e *Expect) { e.Site = "other" })
	f("issuer", func(e *Expect) { e.Issuer = "https://evil.example" })
	f("must name", func(e *Expect) { e.Site = "" })
	f("must name", func(e *Expect) { e.Issuer = "" })
	f("must name", func(e *Expect) { e.Now = time.Time{} })
}

func TestVerifyRefusesForgedTokens(t *testing.T) {
	keys := keysOf(t, newKey)
	good := func() map[string]any {
		return map[string]any{
			"iss": expect.Issuer, "aud": "demo", "sub": "d", "jti": "j", "iat": noon.Unix(), "exp": noon.Unix() + 1800,
			"offer": "o", "kind": "percent", "percent": 10, "combinable": false,
		}
	}
	kid := map[string]any{"kid": "k2"}
	private := newKey.Private()
	if _, err := keys.Verify(forge(t, jwt.SigningMethodEdDSA, kid, good(), private), expect); err != nil {
		t.Fatalf("the unchanged one: %v", err)
	}
	f := func(what, text string) {
		t.Helper()
		if _, err := keys.Verify(text, expect); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	with := func(claim string, value any) string {
		c := good()
		if c[claim] = value; value == nil {
			delete(c, claim)
		}
		return forge(t, jwt.SigningMethodEdDSA, kid, c, private)
	}
	f("no algorithm", forge(t, jwt.SigningMethodNone, kid, good(), jwt.UnsafeAllowNoneSignatureType))
	f("the public key as a secret", forge(t, jwt.SigningMethodHS256, kid, good(), []byte(newKey.Public())))
	f("another key", forge(t, jwt.SigningMethodEdDSA, kid, good(), oldKey.Private()))
	f("unknown kid", forge(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "k3"}, good(), private))
	f("no kid", forge(t, jwt.SigningMethodEdDSA, nil, good(), private))
	f("kid of another type", forge(t, jwt.SigningMethodEdDSA, map[string]any{"kid": 2}, good(), private))
	for _, claim := range []string{"iss", "aud", "sub", "jti", "exp", "offer", "kind", "percent"} {
		f("without "+claim, with(claim, nil))
	}
	f("more than everything off", with("percent", 101))
	f("nothing off", with("percent", 0))
	f("something on top", with("percent", -10))
	f("two kinds", with("amount", 5))
	f("unknown kind", with("kind", "gift"))
	f("kind without its terms", with("kind", "amount"))
	f("money without currency", with("min_cart_value", 5))
	f("negative money", with("min_cart_value", -5))
	f("money as text", with("min_cart_value", "a lot"))
	f("several audiences", with("aud", []string{"demo", "other"}))
	f("endless", with("exp", int64(1)<<62))
	f("expiry as text", with("exp", "never"))
	f("expired before issued", with("exp", noon.Unix()-1))

	text := sign(t, claims())
	f("flipped bit", text[:len(text)/2]+string(text[len(text)/2]^1)+text[len(text)/2+1:])
	f("another spelling of the signature", text[:len(text)-1]+string(text[len(text)-1]+1)) // its last character has four bits to spare
	f("no signature", text[:strings.LastIndex(text, ".")+1])
	f("two parts", text[:strings.LastIndex(text, ".")])
	f("trailing text", text+"A")
	f("nothing", "")
	f("huge", strings.Repeat("A", 8193))
}

func TestErrorsDoNotQuoteTheToken(t *testing.T) {
	for _, secret := range []string{"canary", "eyJjYW5hcnk", strings.Repeat("canary", 2000)} {
		if _, err := keysOf(t, newKey).Verify(secret+"."+secret+"."+secret, expect); err == nil || strings.Contains(err.Error(), secret) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestSignRefusesClaimsThatVerifyWouldRefuse(t *testing.T) {
	f := func(what string, change func(*Claims)) {
		t.Helper()
		c := claims()
		change(&c)
		if text, err := Sign(newKey, c); err == nil {
			t.Errorf("%s: %s", what, text)
		}
	}
	f("no offer", func(c *Claims) { c.Offer = nil })
	f("no issuer", func(c *Claims) { c.Issuer = "" })
	f("no site", func(c *Claims) { c.Site = "" })
	f("no subject", func(c *Claims) { c.Subject = "" })
	f("no jti", func(c *Claims) { c.ID = "" })
	f("no expiry", func(c *Claims) { c.ExpiresAt = time.Time{} })
	f("percent without percent", func(c *Claims) { c.Offer = &site.Offer{ID: "a", Kind: site.Percent} })
}

func TestJWKSHoldsPublicKeysOnly(t *testing.T) {
	doc := JWKS([]keyring.IssuerKey{newKey, oldKey})
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(doc, &set); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k2",
		"x": base64.RawURLEncoding.EncodeToString(newKey.Public()),
	}
	if len(set.Keys) != 2 || !reflect.DeepEqual(set.Keys[0], want) || set.Keys[1]["kid"] != "k1" {
		t.Fatalf("got %s", doc)
	}
	for _, k := range []keyring.IssuerKey{newKey, oldKey} {
		if strings.Contains(string(doc), base64.RawURLEncoding.EncodeToString(k.Seed[:])) {
			t.Fatal("a private key is in the document")
		}
	}
	if string(JWKS([]keyring.IssuerKey{newKey, oldKey})) != string(doc) {
		t.Fatal("the same keys give another document: no ETag would hold")
	}
	if string(JWKS(nil)) != `{"keys":[]}` {
		t.Fatalf("without keys: %s", JWKS(nil))
	}
}

func TestParseJWKSRefusesWhatIsNoKeySet(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		if _, err := ParseJWKS([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: got %v", doc, err)
		}
	}
	x := base64.RawURLEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize))
	f(`not JSON`, "read JWKS")
	f(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}`, "no Ed25519 public key")
	f(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"`+x+`"}]}`, "no kid")
	f(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"`+x+`"},{"kty":"OKP","crv":"Ed25519","kid":"a","x":"`+x+`"}]}`, "two keys")
	if keys, err := ParseJWKS([]byte(`{"keys":[{"kty":"RSA","kid":"r"}]}`)); err != nil || len(keys) != 0 {
		t.Fatalf("a key of another type: %v, %v", keys, err)
	}
}

func FuzzVerify(f *testing.F) {
	keys := keysOf(f, newKey)
	good := sign(f, claims())
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := keys.Verify(text, expect)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || c.Offer != nil {
				t.Fatalf("got %+v, %v", c, err)
			}
			return
		}
		if text != good { // nobody can sign but us
			t.Fatalf("accepted %q", text)
		}
	})
}
