package demoshop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestMoneyIsWrittenForPeopleAndForTheWire(t *testing.T) {
	f := func(m Money, people, wire string) {
		t.Helper()
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if m.String() != people || string(b) != wire {
			t.Errorf("%d cents: %s and %s, want %s and %s", int64(m), m, b, people, wire)
		}
	}
	f(0, "€0.00", "0.00")
	f(5, "€0.05", "0.05")
	f(2800, "€28.00", "28.00")
	f(118000, "€1,180.00", "1180.00")
	f(123456789, "€1,234,567.89", "1234567.89")
	f(-490, "−€4.90", "-4.90")
}

func TestTotalsAddUpToTheCent(t *testing.T) {
	f := func(cart, shipping string, d discount, want Totals) {
		t.Helper()
		if got := parseCart(cart).total(findShipping(shipping), d); got != want {
			t.Errorf("%s by %s: %+v, want %+v", cart, shipping, got, want)
		}
	}
	// 28.00 + 4.90 = 32.90, of which 19/119 are tax: 5.2529...
	f("harbour-mug.oat.1", "standard", discount{}, Totals{Goods: 2800, Shipping: 490, Tax: 525, Total: 3290})
	f("harbour-mug.oat.1", "express", discount{}, Totals{Goods: 2800, Shipping: 990, Tax: 605, Total: 3790})
	f("dawn-kettle.copper.1", "standard", discount{}, Totals{Goods: 11900, Tax: 1900, Total: 11900}) // free from 75.00
	f("harbour-mug.oat.3", "standard", discount{off: 840}, Totals{8400, 840, 0, 1207, 7560})         // still free
	f("harbour-mug.oat.1", "standard", discount{off: 99999}, Totals{2800, 2800, 490, 78, 490})       // never below nothing
	f("harbour-mug.oat.1", "express", discount{freeShipping: true}, Totals{2800, 0, 0, 447, 2800})
	f("", "standard", discount{}, Totals{Shipping: 490, Tax: 78, Total: 490})
}

func TestPartRoundsHalfUp(t *testing.T) {
	f := func(m Money, of, whole int64, want Money) {
		t.Helper()
		if got := m.part(of, whole); got != want {
			t.Errorf("%d of %d of %d = %d, want %d", of, whole, m, got, want)
		}
	}
	f(1450, 1000, 10_000, 145)
	f(1455, 1000, 10_000, 146) // 145.5
	f(1454, 1000, 10_000, 145) // 145.4
	f(1, 5000, 10_000, 1)
	f(0, 1000, 10_000, 0)
}

func TestCartCookieKeepsWhatTheCatalogueHoldsAndNothingElse(t *testing.T) {
	f := func(cookie, want string) {
		t.Helper()
		if got := parseCart(cookie).String(); got != want {
			t.Errorf("parseCart(%q) = %q, want %q", cookie, got, want)
		}
	}
	f("harbour-mug.oat.2~dawn-kettle.ink.1", "harbour-mug.oat.2~dawn-kettle.ink.1")
	f("", "")
	f("~~~", "")
	f("yacht.oat.1~harbour-mug.oat.1", "harbour-mug.oat.1")
	f("harbour-mug.gold.1", "")
	f("harbour-mug.oat.0", "")
	f("harbour-mug.oat.-3", "")
	f("harbour-mug.oat.10", "")
	f("harbour-mug.oat.99999999999999999999", "")
	f("harbour-mug.oat.1e3", "")
	f("harbour-mug.oat.1.1", "")
	f("harbour-mug.oat", "")
	f("harbour-mug.oat.1~harbour-mug.oat.9", "harbour-mug.oat.1") // twice would be over the limit
	f(strings.Repeat("harbour-mug.oat.1~", 5000), "harbour-mug.oat.1")
}

func TestHostileCartFormsAreRefusedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	f := func(path, product, variant, quantity string) {
		t.Helper()
		wantStatus(t, w.post(path, "product", product, "variant", variant, "quantity", quantity), http.StatusBadRequest)
		if got := w.cookie(cartCookie); got != "" {
			t.Fatalf("the cart holds %q", got)
		}
	}
	for _, quantity := range []string{"", "0", "-1", "10", "1.5", "1e1", "NaN", " 1", "٣", "9223372036854775808", strings.Repeat("9", 400)} {
		f("/cart/add", "harbour-mug", "oat", quantity)
	}
	for _, quantity := range []string{"", "-1", "10", "x"} {
		f("/cart/set", "harbour-mug", "oat", quantity)
	}
	f("/cart/add", "", "", "1")
	f("/cart/add", "harbour-mug", "ink", "1") // another product's variant
	f("/cart/add", "harbour-mug.oat.9~dawn-kettle", "ink", "1")
	f("/cart/add", "../../etc/passwd", "oat", "1")
	f("/cart/add", "<script>", "oat", "1")
	wantStatus(t, w.post("/cart/add", "product", strings.Repeat("x", maxFormBytes+1)), http.StatusBadRequest)
}

func TestCartHoldsAtMostNineOfOneThingAndTellsOnlyWhatFitted(t *testing.T) {
	w := newWorld(t)
	w.add("harbour-mug", "oat", "6")
	wantBody(t, w.add("harbour-mug", "oat", "6"), `"quantity":3`, `"cart_value":252.00`)
	a := w.add("harbour-mug", "oat", "1")
	wantBody(t, a, "at most 9")
	wantNoBody(t, a, `"cart_add"`)
}

func TestRemovingTheLastLineEmptiesTheCart(t *testing.T) {
	w := newWorld(t)
	w.add("ember-lantern", "pine", "2")
	a := w.post("/cart/set", "product", "ember-lantern", "variant", "pine", "quantity", "0")
	wantBody(t, a, "Nothing in here yet", `beckon("cart_remove", {"product":"ember-lantern","variant":"pine","category":"outdoors","quantity":2,`, `"cart_value":0.00`)
	a = w.post("/cart/set", "product", "ember-lantern", "variant", "pine", "quantity", "3") // a stale second tab
	wantBody(t, a, "Nothing in here yet")
	if got := w.get("/checkout").Request.URL.Path; got != "/cart" {
		t.Fatalf("an empty cart reached %s", got)
	}
}

func TestCatalogueIsWhole(t *testing.T) {
	all, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	if len(catalogue) != 6 {
		t.Errorf("%d products, want 6", len(catalogue))
	}
	for i := range catalogue {
		p := &catalogue[i]
		if findCategory(p.Category) == nil || len(p.Variants) == 0 {
			t.Errorf("%s has no category or no variant", p.ID)
		}
		for j := range p.Variants {
			v := &p.Variants[j]
			if v.Price <= 0 {
				t.Errorf("%s %s costs %s", p.ID, v.ID, v.Price)
			}
			if picture := string(all.files[pictureName(p, v)]); !strings.Contains(picture, v.Tint.Base) || strings.Contains(picture, "no value") {
				t.Errorf("%s %s has no picture in its colour", p.ID, v.ID)
			}
			if text := fmt.Sprintf("%s.%s.1", p.ID, v.ID); parseCart(text).String() != text {
				t.Errorf("%s does not survive the cart's cookie", text)
			}
		}
	}
}
