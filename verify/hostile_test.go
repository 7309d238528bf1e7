package verify_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"beckon/internal/keyring"
	"beckon/internal/token"
	"beckon/verify/checkers"
	offer "beckon/verify/go"
)

// The keys of the table are known to everybody: no shop may ever have them on its page.
var (
	first  = keyring.IssuerKey{ID: "first", Seed: keyring.Key{1}}
	second = keyring.IssuerKey{ID: "second", Seed: keyring.Key{2}}
	absent = keyring.IssuerKey{ID: "absent", Seed: keyring.Key{3}}
)

const (
	noon    = 1_795_348_800 // 2026-11-22 12:00 UTC
	header  = `{"alg":"EdDSA","kid":"first","typ":"JWT"}`
	issuer  = "https://shop.example/px"
	percent = `{"iss":"https://shop.example/px","aud":"demo","sub":"0123456789abcdef0123456789abcdef","jti":"0123456789abcdef0123456789abcdef",` +
		`"iat":1795348800,"exp":1795350600,"offer":"welcome-back","kind":"percent","percent":12.5,"combinable":false}`
	amount = `{"iss":"https://shop.example/px","aud":"demo","sub":"d","jti":"j","iat":1795348800,"exp":1795350600,"offer":"o","kind":"amount",` +
		`"amount":15.5,"currency":"EUR","min_cart_value":100.01,"code":"WINTER","applies_to":["shoes","Schuhe für \u00e4lt\ud83d\ude00"],"combinable":true}`
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signed signs any header and payload with a real key.
func signed(k keyring.IssuerKey, header, payload string) string {
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	return text + "." + b64(ed25519.Sign(k.Private(), []byte(text)))
}

// with is the percent offer with one part of its text replaced.
func with(old, new string) string { return signed(first, header, swap(percent, old, new)) }

func swap(text, old, new string) string {
	if strings.Count(text, old) != 1 {
		panic("BUG: a line of the table replaces " + old)
	}
	return strings.Replace(text, old, new, 1)
}

// hostileTable makes the table anew.
func hostileTable() checkers.Table {
	t := checkers.Table{Issuer: issuer, Site: "demo", JWKS: token.JWKS([]keyring.IssuerKey{second, first})}
	add := func(want, name, token string) *checkers.Line {
		t.Lines = append(t.Lines, checkers.Line{Name: name, Token: token, Now: noon + 60, Want: want})
		return &t.Lines[len(t.Lines)-1]
	}
	good := signed(first, header, percent)
	fine := &offer.Offer{
		ID: "welcome-back", Decision: "0123456789abcdef0123456789abcdef", JTI: "0123456789abcdef0123456789abcdef", Kind: "percent", Percent: 12.5,
		AppliesTo: []string{}, IssuedAt: noon, ExpiresAt: noon + 1800,
	}
	add("ok", "a good one", good).Offer = fine
	add("ok", "under the other key of a rotation", signed(second, swap(header, "first", "second"), percent)).Offer = fine
	add("ok", "an amount, with every term", signed(first, header, amount)).Offer = &offer.Offer{
		ID: "o", Decision: "d", JTI: "j", Kind: "amount", Amount: 15.5, Currency: "EUR", MinCartValue: 100.01, Code: "WINTER",
		AppliesTo: []string{"shoes", "Schuhe für ält😀"}, Combinable: true, IssuedAt: noon, ExpiresAt: noon + 1800,
	}
	add("ok", "free shipping", with(`"kind":"percent","percent":12.5`, `"kind":"free_shipping"`))
	add("ok", "a claim of a later version", with(`"combinable"`, `"later":["x"],"flag":true,"n":-1.5e3,"combinable"`)).Offer = fine
	add("ok", "white space between claims", with(`,"kind":`, ",\n\t \"kind\" : ")).Offer = fine

	// What is no token of ours.
	add("malformed", "nothing", "")
	add("malformed", "two parts", good[:strings.LastIndex(good, ".")])
	add("malformed", "no signature", good[:strings.LastIndex(good, ".")+1])
	add("malformed", "four parts", good+".AAAA")
	add("malformed", "dots alone", "..")
	add("malformed", "text after it", good+" ")
	add("malformed", "a line feed after it", good+"\n")
	add("malformed", "a line feed in it", good[:40]+"\n"+good[40:])
	add("malformed", "padding", good+"==")
	add("malformed", "bytes after the signature, in bits that base64 leaves over", good[:len(good)-1]+string(good[len(good)-1]+1))
	add("malformed", "a letter that base64 has not", good[:50]+"é"+good[51:])
	add("malformed", "standard base64", strings.NewReplacer("-", "+", "_", "/").Replace(with(`"welcome-back"`, `"????>>>>~~~~????>>>>"`)))
	add("malformed", "huge", strings.Repeat("A", 8193))
	add("malformed", "huge and well signed", with(`"combinable"`, `"later":"`+strings.Repeat("x", 8192)+`","combinable"`))
	add("bad-signature", "bytes after the signature", good[:strings.LastIndex(good, ".")+1]+b64(append(signatureOf(good), 0)))
	add("bad-signature", "a short signature", good[:strings.LastIndex(good, ".")+1]+b64(signatureOf(good)[:63]))

	// Another algorithm or key than ours.
	text := good[strings.Index(good, "."):]
	none := b64([]byte(swap(header, "EdDSA", "none"))) + text
	add("wrong-algorithm", "alg none, signature kept", none)
	add("malformed", "alg none, no signature", none[:strings.LastIndex(none, ".")+1])
	add("wrong-algorithm", "alg None", b64([]byte(swap(header, "EdDSA", "None")))+text)
	add("wrong-algorithm", "alg in small letters", signed(first, swap(header, "EdDSA", "eddsa"), percent))
	add("wrong-algorithm", "alg with a Cyrillic A", signed(first, swap(header, "EdDSA", "EdDS\u0410"), percent))
	add("wrong-algorithm", "alg of another type", signed(first, swap(header, `"EdDSA"`, `["EdDSA"]`), percent))
	add("wrong-algorithm", "no alg", signed(first, swap(header, `"alg":"EdDSA",`, ``), percent))
	for _, secret := range [][]byte{first.Public(), []byte(b64(first.Public()))} {
		signing := b64([]byte(swap(header, "EdDSA", "HS256"))) + "." + b64([]byte(percent))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signing))
		add("wrong-algorithm", "HS256 with the public key as its secret", signing+"."+b64(mac.Sum(nil)))
	}
	add("unknown-key", "a key that is not on the page", signed(absent, swap(header, "first", "absent"), percent))
	add("unknown-key", "kid in other letters", signed(first, swap(header, `"first"`, `"First"`), percent))
	add("unknown-key", "kid of another type", signed(first, swap(header, `"first"`, `1`), percent))
	add("unknown-key", "kid as a list", signed(first, swap(header, `"first"`, `["first"]`), percent))
	add("unknown-key", "no kid", signed(first, swap(header, `"kid":"first",`, ``), percent))
	add("unknown-key", "kid that every object has", signed(first, swap(header, `"first"`, `"__proto__"`), percent))
	add("unknown-key", "kid and a key of its own", signed(absent, swap(header, `"kid":"first"`, `"kid":"absent","x5u":"https://evil.example","jku":"https://evil.example"`), percent))
	add("malformed", "a key in the header", signed(absent, swap(header, `"kid":"first"`, `"kid":"first","jwk":{"kty":"OKP","crv":"Ed25519","x":"`+b64(absent.Public())+`"}`), percent))
	add("malformed", "a critical extension", signed(first, swap(header, `"typ"`, `"crit":["b64"],"b64":false,"typ"`), percent))
	add("malformed", "another type of token", signed(first, swap(header, `"JWT"`, `"at+jwt"`), percent))
	add("malformed", "alg twice", signed(first, swap(header, `"kid"`, `"alg":"EdDSA","kid"`), percent))
	add("malformed", "alg twice, once none", signed(first, swap(header, `{`, `{"alg":"none",`), percent))
	add("malformed", "header is a list", signed(first, `["EdDSA"]`, percent))
	add("malformed", "header is no JSON", signed(first, `EdDSA`, percent))

	// Signatures.
	add("bad-signature", "signed with another key", signed(second, header, percent))
	add("bad-signature", "tampered terms", b64([]byte(header))+"."+b64([]byte(swap(percent, "12.5", "92.5")))+good[strings.LastIndex(good, "."):])
	add("bad-signature", "the signature of another offer", good[:strings.LastIndex(good, ".")]+signed(first, header, amount)[strings.LastIndex(signed(first, header, amount), "."):])
	add("bad-signature", "S is the good one plus the order of the group", good[:strings.LastIndex(good, ".")+1]+b64(unreduced(good)))
	add("bad-signature", "all zeros", good[:strings.LastIndex(good, ".")+1]+b64(make([]byte, 64)))
	identity := make([]byte, 64)
	identity[0] = 1
	add("bad-signature", "R is the neutral point, S is zero", good[:strings.LastIndex(good, ".")+1]+b64(identity))

	hostileClaims(add)
	hostileTerms(add)
	return t
}

func signatureOf(token string) []byte {
	sig, _ := base64.RawURLEncoding.DecodeString(token[strings.LastIndex(token, ".")+1:]) // of a token made here
	return sig
}

// unreduced is the signature of a token with the order of the group added to S: the same equation holds.
func unreduced(token string) []byte {
	sig := signatureOf(token)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(sig[32:])
	slices.Reverse(s)
	b := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return append(slices.Clone(sig[:32]), b...)
}

// hostileClaims: the issuer has signed, and what it says is not for this shop now, or has two readings.
func hostileClaims(add func(want, name, token string) *checkers.Line) {
	good := signed(first, header, percent)
	add("ok", "in the last second of the skew", good).Now = noon + 1800 + 59
	add("expired", "after the skew", good).Now = noon + 1800 + 60
	add("ok", "a clock 60 s behind", good).Now = noon - 60
	add("not-yet-valid", "a clock 61 s behind", good).Now = noon - 61
	add("wrong-issuer", "another issuer", with(issuer, "https://evil.example/px"))
	add("wrong-issuer", "issuer with a slash", with(issuer, issuer+"/"))
	add("wrong-issuer", "issuer with an invisible letter", with(issuer, issuer+"\u200b"))
	add("wrong-audience", "another site", with(`"demo"`, `"other"`))
	add("wrong-audience", "site in other letters", with(`"demo"`, `"Demo"`))
	add("wrong-audience", "site with a NUL", with(`"demo"`, `"demo\u0000"`))
	add("wrong-audience", "site in full-width letters", with(`"demo"`, `"ｄｅｍｏ"`))
	add("incomplete", "several sites", with(`"demo"`, `["demo","other"]`))
	add("incomplete", "one site as a list", with(`"demo"`, `["demo"]`))
	for _, claim := range []string{
		`"iss":"https://shop.example/px",`, `"aud":"demo",`, `"sub":"0123456789abcdef0123456789abcdef",`, `"jti":"0123456789abcdef0123456789abcdef",`,
		`"iat":1795348800,`, `"exp":1795350600,`, `"offer":"welcome-back",`, `"kind":"percent",`,
	} {
		add("incomplete", "without "+claim[1:4], with(claim, ""))
	}
	add("incomplete", "empty jti", with(`"jti":"0123456789abcdef0123456789abcdef"`, `"jti":""`))
	add("incomplete", "jti is a number", with(`"jti":"0123456789abcdef0123456789abcdef"`, `"jti":7`))
	add("incomplete", "exp as text", with(`1795350600`, `"1795350600"`))
	add("incomplete", "exp is true", with(`1795350600`, `true`))
	add("incomplete", "exp with a fraction", with(`1795350600`, `1795350600.5`))
	add("incomplete", "exp below zero", with(`1795350600`, `-1`))
	add("incomplete", "exp never comes", with(`1795350600`, `9e15`))
	add("ok", "exp spelled with an exponent", with(`1795350600`, `17953506E2`))
	add("bad-value", "exp is not after iat", signed(first, header, swap(swap(percent, `1795350600`, `1795348860`), `1795348800`, `1795348860`)))
	add("malformed", "a number beyond all", with(`1795350600`, `1e999`))
	add("malformed", "no claim at all is an object", signed(first, header, `"percent"`))
	add("incomplete", "no claims", signed(first, header, `{}`))
	add("malformed", "a list", signed(first, header, `[`+percent+`]`))
	add("malformed", "a list of one claim", signed(first, header, `[{"iss":"`+issuer+`"}]`))
	add("malformed", "null", signed(first, header, `null`))
	add("malformed", "claims cut off", signed(first, header, percent[:len(percent)-1]))
	add("malformed", "text after the claims", signed(first, header, percent+`{}`))
	add("malformed", "a comma too much", with(`false}`, `false,}`))
	add("malformed", "a comment", with(`"combinable"`, `/*x*/"combinable"`))
	add("malformed", "a byte order mark", signed(first, header, "\ufeff"+percent))
	add("malformed", "a claim twice, the same", with(`"percent":12.5`, `"percent":12.5,"percent":12.5`))
	add("malformed", "a claim twice, the better one last", with(`"percent":12.5`, `"percent":12.5,"percent":92.5`))
	add("malformed", "a claim twice, once in escapes", with(`"aud":"demo"`, `"aud":"other","\u0061ud":"demo"`))
	add("malformed", "a later claim twice", with(`"combinable"`, `"later":1,"later":1,"combinable"`))
	add("malformed", "an object within", with(`"combinable"`, `"later":{},"combinable"`))
	add("malformed", "an object in a list", with(`"combinable"`, `"later":[{}],"combinable"`))
	add("malformed", "a list of numbers", with(`"combinable"`, `"later":[1],"combinable"`))
	add("malformed", "a list in a list", with(`"combinable"`, `"later":[["x"]],"combinable"`))
	add("malformed", "lists in lists", with(`"combinable"`, `"later":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`,"combinable"`))
	add("malformed", "null for a claim", with(`"combinable":false`, `"combinable":null`))
	add("malformed", "FALSE", with(`"combinable":false`, `"combinable":FALSE`))
	add("malformed", "falsE", with(`"combinable":false`, `"combinable":falsE`))
	add("malformed", "NaN", with(`"percent":12.5`, `"percent":NaN`))
	add("malformed", "a number that begins with 0", with(`"percent":12.5`, `"percent":012.5`))
	add("malformed", "a hexadecimal number", with(`"percent":12.5`, `"percent":0x10`))
	add("malformed", "half a character in escapes", with(`"welcome-back"`, `"\ud83d"`))
	add("malformed", "half a character in a name", with(`"combinable"`, `"\udc00":1,"combinable"`))
	add("malformed", "the sign of a lost character", with(`"welcome-back"`, "\"\ufffd\""))
	add("malformed", "bytes that are no UTF-8", with(`"welcome-back"`, "\"\xff\""))
	add("malformed", "an overlong character", with(`"welcome-back"`, "\"\xc0\xaf\""))
	add("malformed", "half a character in UTF-8", with(`"welcome-back"`, "\"\xed\xa0\xbd\""))
	add("malformed", "a line feed in a string", with(`"welcome-back"`, "\"welcome\nback\""))
	add("incomplete", "a claim in capitals", with(`"aud"`, `"AUD"`))
	add("incomplete", "a claim with a long s", with(`"iss"`, `"i\u017fs"`))
	add("incomplete", "a claim with a Kelvin sign", with(`"kind"`, `"\u212aind"`))
	add("ok", "what only looks like claims, within a string", with(`"welcome-back"`, `"\\\",{:\"exp\":1\\"`))
	add("ok", "names that objects have", with(`"combinable"`, `"__proto__":"x","constructor":"x","length":1,"0":"x","":"x","combinable"`))
}

// hostileTerms: what a bug of the issuer could promise, and carts that an offer is not for.
func hostileTerms(add func(want, name, token string) *checkers.Line) {
	add("unknown-kind", "another kind", with(`"kind":"percent"`, `"kind":"gift"`))
	add("unknown-kind", "a kind in capitals", with(`"kind":"percent"`, `"kind":"Percent"`))
	for _, p := range []string{"0", "-10", "100.01", "1e300", `"12.5"`, "true", `["12.5"]`} {
		add("bad-value", "percent "+p, with(`12.5`, p))
	}
	add("ok", "everything off", with(`12.5`, `100`))
	add("bad-value", "no percent", with(`"percent":12.5,`, ``))
	add("bad-value", "percent and amount", with(`12.5`, `12.5,"amount":5,"currency":"EUR"`))
	add("bad-value", "free shipping and percent", with(`"kind":"percent"`, `"kind":"free_shipping"`))
	change := func(old, new string) string { return signed(first, header, swap(amount, old, new)) }
	for _, a := range []string{"0", "-5", "0.00001", "1e12", `"15.5"`, "true"} {
		add("bad-value", "amount "+a, change(`15.5`, a))
	}
	for _, c := range []string{`""`, `"eur"`, `"EURO"`, `"EU\u0420"`, `"EUR\n"`, `7`} {
		add("bad-value", "currency "+c, change(`"EUR"`, c))
	}
	add("bad-value", "amount without currency", change(`"currency":"EUR",`, ``))
	add("bad-value", "amount and percent", change(`15.5`, `15.5,"percent":5`))
	add("bad-value", "a least value below zero", change(`100.01`, `-1`))
	add("bad-value", "a least value without currency", with(`12.5`, `12.5,"min_cart_value":5`))
	add("bad-value", "applies_to is text", change(`["shoes","Schuhe für \u00e4lt\ud83d\ude00"]`, `"shoes"`))
	add("bad-value", "combinable is text", change(`true`, `"true"`))
	add("bad-value", "code is a number", change(`"WINTER"`, `1`))

	large := signed(first, header, amount)
	add("ok", "a cart that is just large enough", large).Cart = &offer.Cart{Currency: "EUR", Value: 100.01}
	add("min-cart", "a cart that lacks a cent", large).Cart = &offer.Cart{Currency: "EUR", Value: 100}
	add("ok", "a sum with the dust of fractions", large).Cart = &offer.Cart{Currency: "EUR", Value: 33.33 + 33.34 + 33.34 - 1e-12}
	add("wrong-currency", "a cart in another currency", large).Cart = &offer.Cart{Currency: "USD", Value: 500}
	add("ok", "a percent for any currency", signed(first, header, percent)).Cart = &offer.Cart{Currency: "USD", Value: 1}
}

func pretty(t checkers.Table) []byte {
	b, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}
