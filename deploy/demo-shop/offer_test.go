package demoshop

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/site"
	"beckon/internal/token"
)

// accept hands a token to the shop as the banner does, and returns the code of the answer.
func (w *world) accept(token string) string {
	w.t.Helper()
	a := w.post("/offer", "token", token)
	var reply refusal
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil || reply.Code == "" || reply.Text == "" {
		w.t.Fatalf("POST /offer: status %d, body %s", a.StatusCode, a.body)
	}
	if (reply.Code == "accepted") != (a.StatusCode == http.StatusOK) {
		w.t.Errorf("status %d for %s", a.StatusCode, reply.Code)
	}
	return reply.Code
}

// form returns what the checkout page that is open now would send.
func (w *world) form() []string {
	w.t.Helper()
	page := w.get("/checkout")
	wantStatus(w.t, page, http.StatusOK)
	pairs := []string{"shipping", "standard"}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="(seen-[a-z]+|attempt)" value="([^"]+)">`).FindAllStringSubmatch(page.body, -1) {
		pairs = append(pairs, m[1], m[2])
	}
	for _, f := range checkoutFields() {
		pairs = append(pairs, f.Name, f.Value)
	}
	return pairs
}

func (w *world) buy() answer { w.t.Helper(); return w.post("/checkout", w.form()...) }

func TestGoodOfferTakesTheDiscountOffTheOrder(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "2")
	if code := w.accept(w.sign(w.claims())); code != "accepted" {
		t.Fatalf("refused: %s", code)
	}
	wantBody(t, w.get("/cart"), "10% off", `id="discount">−€5.60`, "€55.30")
	a := w.buy()
	wantStatus(t, a, http.StatusOK)
	if a.Request.URL.Path != "/thank-you" {
		t.Fatalf("the shopper ended on %s", a.Request.URL.Path)
	}
	// 56.00 - 5.60 + 4.90 = 55.30; 8.83 tax in it; 4.12 shipping without tax
	wantBody(t, a, "Thank you", "€55.30", `beckon("purchase", {"order":"T-`,
		`"value":42.35,"discount":5.60,"tax":8.83,"shipping":4.12,"currency":"EUR"`,
		`"items":[{"product":"harbour-mug","variant":"oat","quantity":2,"price":28.00}],"offer":"welcome-back","decision":"decision-1"})`)
	again := w.get("/thank-you")
	wantBody(t, again, "Thank you", "€55.30")
	wantNoBody(t, again, `"purchase"`) // loading the page again is not a second purchase
	if w.cookie(cartCookie) != "" || w.cookie(offerCookie) != "" {
		t.Error("cart or offer outlived the order")
	}
}

func TestFormOfTheSlotIsAnsweredByAPage(t *testing.T) {
	w := newWorld(t)
	send := func(token string) answer {
		r := w.request("POST", "/offer", url.Values{"token": {token}, "back": {"/shop/coffee"}}.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		return w.do(r)
	}
	a := send("no token")
	wantStatus(t, a, http.StatusUnprocessableEntity)
	wantBody(t, a, "That offer does not count", refusedMalformed.Text, `data-beckon-offer`)

	a = send(w.sign(w.claims()))
	wantStatus(t, a, http.StatusOK)
	wantBody(t, a, "10% off is in your cart")
	wantNoBody(t, a, `data-beckon-offer`) // it is taken, and not made again
	if a.Request.URL.Path != "/shop/coffee" {
		t.Errorf("the shopper ended on %s", a.Request.URL.Path)
	}
	wantNoBody(t, w.get("/cart"), `id="offer-taken"`) // which has the sums

	w.now = w.now.Add(time.Hour)
	a = w.get("/")
	wantBody(t, a, `data-beckon-offer`)
	wantNoBody(t, a, `id="offer-taken"`)
}

func TestOfferThatIsNotOursIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(claim string, value any) string {
		c := w.claims()
		c[claim] = value
		return w.sign(c)
	}
	without := func(claim string) string {
		c := w.claims()
		delete(c, claim)
		return w.sign(c)
	}
	good := w.sign(w.claims())
	parts := strings.Split(good, ".")
	f := func(name, token, want string) {
		t.Helper()
		if got := w.accept(token); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if w.cookie(offerCookie) != "" {
			t.Fatalf("%s: the token was kept", name)
		}
	}
	f("signed by a stranger", w.signWith(jwt.SigningMethodEdDSA, stranger, w.claims()), "bad-signature")
	f("alg none", w.signWith(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, w.claims()), "bad-signature")
	f("HMAC under our public key", w.signWith(jwt.SigningMethodHS256, []byte(w.key.Public().(ed25519.PublicKey)), w.claims()), "bad-signature")
	f("a changed claim", parts[0]+"."+strings.Split(with("percent", 90), ".")[1]+"."+parts[2], "bad-signature")
	f("a cut signature", parts[0]+"."+parts[1]+".AAAA", "bad-signature")
	f("not a token", "hello", "malformed")
	f("three dots", "...", "malformed")
	f("nothing", "", "malformed")
	f("too long", strings.Repeat("a", maxTokenBytes+1), "malformed")
	f("another shop", with("aud", "other"), "wrong-audience")
	f("no audience", without("aud"), "incomplete")
	f("another issuer", with("iss", "https://evil.example"), "wrong-issuer")
	f("expired", with("exp", w.now.Add(-clockSkew-time.Second).Unix()), "expired")
	f("no expiry", without("exp"), "incomplete")
	f("from tomorrow", with("iat", w.now.Add(24*time.Hour).Unix()), "not-yet-valid")
	f("no id", without("jti"), "incomplete")
	f("no decision", without("sub"), "incomplete")
	f("no offer", without("offer"), "incomplete")
	f("a strange kind", with("kind", "yacht"), "unknown-kind")
	f("0 %", with("percent", 0), "bad-value")
	f("101 %", with("percent", 101), "bad-value")
	f("-10 %", with("percent", -10), "malformed")
	f("a huge exponent", with("percent", json.Number("1e999999999")), "malformed")
	f("an amount of nothing", with("kind", "amount"), "bad-value")
	f("dollars", with("currency", "USD"), "wrong-currency")
	f("a minimum in no currency", with("min_cart_value", 50), "wrong-currency")
}

func TestOfferIsAcceptedWithinTheClockSkewAfterItsEnd(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.claims())
	w.now = w.now.Add(30*time.Minute + clockSkew - time.Second)
	if code := w.accept(token); code != "accepted" {
		t.Fatalf("refused: %s", code)
	}
}

func TestOfferCountsOnce(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.claims())
	w.add("harbour-mug", "oat", "1")
	w.accept(token)
	wantBody(t, w.buy(), "−€2.80")
	wantNoBody(t, w.get("/"), `data-beckon-offer`) // Beckon, which may not have heard of the order, would fill it again

	w.add("harbour-mug", "lake", "1")
	if code := w.accept(token); code != "used" {
		t.Fatalf("second use: %s", code)
	}
	w.setCookie(offerCookie, token) // around the banner
	a := w.get("/cart")
	wantBody(t, a, `data-offer-code="used"`, "already used")
	wantNoBody(t, a, `id="discount"`)
	if a.Header.Get("Offer-Refused") != "used" {
		t.Errorf("Offer-Refused %q", a.Header.Get("Offer-Refused"))
	}
	w.now = w.now.Add(30*time.Minute + clockSkew - time.Second) // the last moment at which it would be accepted
	if code := w.accept(token); code != "used" {
		t.Fatalf("second use at its end: %s", code)
	}
}

func TestOfTwoOrdersThatRaceWithOneOfferOneGetsIt(t *testing.T) {
	v := newVerifier("demo", issuer, nil, time.Now)
	offer := &Offer{jti: "j", Expires: time.Now().Add(time.Minute)}
	var all sync.WaitGroup
	got := make(chan *refusal, 50)
	for range 50 {
		all.Go(func() { got <- v.use(offer) })
	}
	all.Wait()
	close(got)
	won := 0
	for refused := range got {
		if refused == nil {
			won++
		}
	}
	if won != 1 {
		t.Fatalf("%d orders got the offer, want 1", won)
	}
}

func TestUsedOffersAreForgottenWhenNoClockAcceptsThem(t *testing.T) {
	var used usedTokens
	start := time.Now()
	for i := range 100 {
		used.claim(fmt.Sprint(i), start.Add(time.Minute), start)
	}
	used.claim("last", start.Add(time.Hour), start.Add(time.Minute+time.Second))
	if len(used.until) != 1 {
		t.Fatalf("%d ids are kept, want 1", len(used.until))
	}
}

func TestOrderIsNotPlacedAtAPriceTheShopperDidNotSee(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "1")
	w.accept(w.sign(w.claims()))
	form := w.form()
	w.now = w.now.Add(time.Hour) // the offer ends while the shopper types
	a := w.post("/checkout", form...)
	wantStatus(t, a, http.StatusConflict)
	wantBody(t, a, "This offer has ended.", `data-offer-code="expired"`, "€32.90")
	wantNoBody(t, a, `id="discount"`)
	wantBody(t, w.buy(), "Thank you", "€32.90")

	w.add("harbour-mug", "oat", "1")
	form = w.form()
	w.add("harbour-mug", "oat", "1") // in another tab
	a = w.post("/checkout", form...)
	wantStatus(t, a, http.StatusConflict)
	wantBody(t, a, "The price has changed")
}

func TestFormSentTwiceIsOneOrder(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "1")
	form := w.form()
	number := regexp.MustCompile(`T-[A-Z2-7]{12}`)
	first := number.FindString(w.post("/checkout", form...).body)
	w.add("harbour-mug", "oat", "1")
	second := number.FindString(w.post("/checkout", form...).body)
	if first == "" || first != second {
		t.Fatalf("orders %q and %q, want one", first, second)
	}
}

func TestFormSentTwiceAtOnceUsesOneOffer(t *testing.T) {
	s := newOrders()
	used := 0
	use := func(*Offer) *refusal { used++; return nil }
	first, _ := s.place(&Order{Offer: &Offer{}}, "attempt", use)
	second, _ := s.place(&Order{Offer: &Offer{}}, "attempt", use) // had passed byAttempt before the first was placed
	if first != second || used != 1 || len(s.number) != 1 {
		t.Fatalf("orders %p and %p, %d uses, %d numbers; want one of each", first, second, used, len(s.number))
	}
}

func TestMinimumCartIsCheckedAndExplained(t *testing.T) {
	w := newWorld(t)
	c := w.claims()
	c["min_cart_value"], c["currency"] = "50.00", "EUR"
	w.add("harbour-mug", "oat", "1")
	w.accept(w.sign(c))
	a := w.get("/cart")
	wantBody(t, a, `data-offer-code="min-cart"`, "goods for €22.00 more")
	wantNoBody(t, a, `id="discount"`)
	w.add("harbour-mug", "oat", "1") // the offer was kept
	wantBody(t, w.get("/cart"), `id="discount">−€5.60`)
}

func TestEveryKindOfOfferLowersTheRightSum(t *testing.T) {
	f := func(name string, claims jwt.MapClaims, want ...string) {
		t.Helper()
		w := newWorld(t)
		c := w.claims()
		for k, v := range claims {
			c[k] = v
		}
		w.add("first-light-coffee", "beans-250", "1")
		if code := w.accept(w.sign(c)); code != "accepted" {
			t.Fatalf("%s: %s", name, code)
		}
		wantBody(t, w.get("/cart"), want...)
	}
	f("12.5 %", jwt.MapClaims{"percent": 12.5}, "12.5% off", "−€1.81", "€17.59")
	f("100 %", jwt.MapClaims{"percent": "100"}, "100% off", "−€14.50", "€4.90")
	f("an amount", jwt.MapClaims{"kind": "amount", "amount": "5.00", "currency": "EUR"}, "€5.00 off", "−€5.00", "€14.40")
	f("more than the goods", jwt.MapClaims{"kind": "amount", "amount": 50, "currency": "EUR"}, "−€14.50", "€4.90")
	f("free shipping", jwt.MapClaims{"kind": "free_shipping"}, "Free shipping", `id="sum-shipping">free`, "€14.50")
}

func TestOfferForSomeThingsCountsForThoseOnly(t *testing.T) {
	f := func(appliesTo, want string) {
		t.Helper()
		w := newWorld(t)
		c := w.claims()
		c["applies_to"] = []string{appliesTo}
		w.add("harbour-mug", "oat", "1")
		w.add("dawn-kettle", "ink", "1")
		w.accept(w.sign(c))
		wantBody(t, w.get("/cart"), want)
	}
	f("dawn-kettle", "−€8.90")
	f("ceramics", "−€2.80")
	f("outdoors", `data-offer-code="not-in-cart"`)
}

func TestTokenOfTheAggregatorIsUnderstood(t *testing.T) {
	w := newWorld(t)
	key := keyring.IssuerKey{ID: "k7"}
	copy(key.Seed[:], w.key.Seed())
	w.aggregator.answer = func(out http.ResponseWriter, _ *http.Request) { out.Write(token.JWKS([]keyring.IssuerKey{key})) }
	amount := func(text string) event.Amount {
		a, ok := event.ParseAmount([]byte(text))
		if !ok {
			t.Fatalf("%q is no amount", text)
		}
		return a
	}
	f := func(o site.Offer, want string) {
		t.Helper()
		o.ID, o.Currency = "welcome-back", "EUR"
		signed, err := token.Sign(key, token.Claims{
			Issuer: issuer, Site: "demo", Subject: "decision-1", ID: "token-1", Offer: &o,
			IssuedAt: w.now, ExpiresAt: w.now.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		if code := w.accept(signed); code != "accepted" {
			t.Fatalf("%+v: %s", o, code)
		}
		wantBody(t, w.get("/cart"), want)
	}
	w.add("harbour-mug", "oat", "2")
	f(site.Offer{Kind: site.Percent, Percent: 12.5}, "−€7.00")
	f(site.Offer{Kind: site.FixedAmount, Amount: amount("5.50")}, "−€5.50")
	f(site.Offer{Kind: site.FreeShipping}, `id="sum-shipping">free`)
	f(site.Offer{Kind: site.Percent, Percent: 10, MinCartValue: amount("60")}, "goods for €4.00 more")
	f(site.Offer{Kind: site.Percent, Percent: 10, AppliesTo: []string{"coffee"}}, `data-offer-code="not-in-cart"`)
}

func TestRemovedOfferIsGone(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "1")
	w.accept(w.sign(w.claims()))
	wantNoBody(t, w.post("/offer/remove"), `id="discount"`)
}

func TestUnknownKeyIsFetchedAgainButNotForEveryToken(t *testing.T) {
	w := newWorld(t)
	w.accept(w.sign(w.claims()))
	w.accept(w.sign(w.claims()))
	if w.fetches != 1 {
		t.Fatalf("%d fetches for a known key, want 1", w.fetches)
	}
	w.now = w.now.Add(keysPause)
	w.keyID = "k2" // the aggregator rotates
	if code := w.accept(w.sign(w.claims())); code != "accepted" || w.fetches != 2 {
		t.Fatalf("after a rotation: %s, %d fetches", code, w.fetches)
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodEdDSA, w.claims())
	for i := range 20 {
		forged.Header["kid"] = fmt.Sprint("invented-", i)
		token, err := forged.SignedString(w.key)
		if err != nil {
			t.Fatal(err)
		}
		if code := w.accept(token); code != "unknown-key" {
			t.Fatalf("invented key: %s", code)
		}
	}
	if w.fetches != 2 {
		t.Fatalf("invented keys made the shop fetch: %d, want 2", w.fetches)
	}
}

func TestKeysOutliveAnOutageOfTheAggregator(t *testing.T) {
	w := newWorld(t)
	w.accept(w.sign(w.claims()))
	w.aggregator.Close()
	w.now = w.now.Add(2 * keysFresh)
	if code := w.accept(w.sign(w.claims())); code != "accepted" {
		t.Fatalf("refused: %s", code)
	}
}

func TestWithoutKeysAnOfferIsKeptAndTheShopSellsAtFullPrice(t *testing.T) {
	w := newWorld(t)
	w.aggregator.answer = func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusServiceUnavailable) }
	token := w.sign(w.claims())
	if code := w.accept(token); code != "keys-unavailable" {
		t.Fatalf("code %s", code)
	}
	w.setCookie(offerCookie, token) // accepted before the shop was restarted
	w.add("harbour-mug", "oat", "1")
	wantBody(t, w.get("/cart"), `data-offer-code="keys-unavailable"`, "€32.90")
	if w.cookie(offerCookie) == "" {
		t.Fatal("the offer was forgotten though it may be good")
	}
	w.aggregator.mu.Lock()
	w.aggregator.answer = w.jwks
	w.aggregator.mu.Unlock()
	w.now = w.now.Add(keysPause)
	wantBody(t, w.get("/cart"), `id="discount">−€2.80`)
}

func TestKeySetIsReadWithCare(t *testing.T) {
	f := func(name, body string) {
		t.Helper()
		if keys, err := parseKeys([]byte(body)); err == nil {
			t.Errorf("%s: %d keys, want an error", name, len(keys))
		}
	}
	f("not JSON", "<html>")
	f("no keys", `{"keys":[]}`)
	f("a short key", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}`)
	f("no id", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`)
	f("another curve", `{"keys":[{"kty":"OKP","crv":"X25519","kid":"a","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`)
}

func TestCheckoutSaysWhatIsWrongAndKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "1")
	f := func(name, value, fault string) {
		t.Helper()
		form := w.form()
		for i := 0; i < len(form); i += 2 {
			if form[i] == name {
				form[i+1] = value
			}
		}
		a := w.post("/checkout", form...)
		wantStatus(t, a, http.StatusUnprocessableEntity)
		wantBody(t, a, fault, `aria-invalid="true" aria-describedby="`+name+`-fault"`)
	}
	f("email", "not an address", "Enter an e-mail address")
	f("email", "Ada <ada@example.com>", "Enter an e-mail address")
	f("name", "  ", "Enter a name.")
	f("street", strings.Repeat("x", 101), "Enter a street")
	f("postcode", "1011", "five digits")
	f("postcode", `"><b>`, `&#34;&gt;&lt;b&gt;`)
	f("city", "", "Enter a town.")

	form := w.form()
	form[1] = "by-swan"
	wantStatus(t, w.post("/checkout", form...), http.StatusBadRequest)
	wantStatus(t, w.post("/checkout", "shipping", "standard"), http.StatusBadRequest)
}

func TestOrdersAreBoundedAndTheOldestGoFirst(t *testing.T) {
	s := newOrders()
	var first *Order
	for i := range maxOrders + 10 {
		o, refused := s.place(&Order{}, fmt.Sprint(i), nil)
		if refused != nil {
			t.Fatal(refused)
		}
		if first == nil {
			first = o
		}
	}
	if len(s.number) != maxOrders || len(s.attempts) != maxOrders || len(s.oldest) != maxOrders {
		t.Fatalf("%d orders, %d attempts, %d in line, want %d", len(s.number), len(s.attempts), len(s.oldest), maxOrders)
	}
	if o, _ := s.show(first.Number); o != nil {
		t.Fatal("the oldest order is still there")
	}
}
