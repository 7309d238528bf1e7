// Package verify_test holds every verifier to one table of tokens.
package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/verify/checkers"
)

var update = flag.Bool("update", false, "write hostile.json anew")

// The table is one file, so that a verifier in a fifth language can be held to it too.
func TestHostileTableIsTheFile(t *testing.T) {
	want := pretty(hostileTable())
	if *update {
		if err := os.WriteFile("hostile.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("hostile.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("hostile.json is another table: run go test ./verify -update")
	}
}

func TestEveryVerifierAgreesOnEveryHostileToken(t *testing.T) {
	table := hostileTable()
	for _, c := range checkers.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			for i, got := range c.Check(t, table) {
				line := table.Lines[i]
				if got.Code != line.Want {
					t.Errorf("%s: %s, want %s", line.Name, got.Code, line.Want)
				}
				if line.Offer != nil && !reflect.DeepEqual(got.Offer, line.Offer) {
					t.Errorf("%s: got %+v, want %+v", line.Name, got.Offer, line.Offer)
				}
			}
		})
	}
}

// lines is a table of the same shop with other lines.
func lines(lines ...checkers.Line) checkers.Table {
	t := hostileTable()
	t.Lines = lines
	return t
}

func codes(results []checkers.Result) string {
	var codes []string
	for _, r := range results {
		codes = append(codes, r.Code)
	}
	return strings.Join(codes, " ")
}

func TestSecondUseOfOneOfferIsRefused(t *testing.T) {
	good, another := signed(first, header, percent), signed(first, header, amount)
	resigned := signed(second, swap(header, "first", "second"), percent) // the same grant under the next key
	at := func(now int64, token string) checkers.Line {
		return checkers.Line{Token: token, Now: now, Redeem: true}
	}
	table := lines(at(noon, good), at(noon+1, good), at(noon+1, resigned), at(noon+2, another), at(noon+3, another), at(noon+1800+59, good))
	for _, c := range checkers.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			check, want := c.Check, "ok used used ok used used"
			if c.Stateless { // it gives each cart the discount, and the second order is caught when it is made
				if got := codes(check(t, table)); got != "ok ok ok ok ok ok" {
					t.Fatalf("at checkout: %s", got)
				}
				check = inOrder
			}
			if got := codes(check(t, table)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func inOrder(t testing.TB, table checkers.Table) (results []checkers.Result) {
	checkers.Run(t, table, &results, "node", "order.mjs")
	return results
}

// An order that was finished just after the offer's end: docs/decisions.md says what a shop does.
func TestOrderMadeJustAfterTheEndOfItsOffer(t *testing.T) {
	good := signed(first, header, percent)
	short := with("1795350600", "1795349400") // ten minutes, less than the grace
	f := func(want, token string, madeAt ...int64) {
		t.Helper()
		var orders []checkers.Line
		for _, at := range madeAt {
			orders = append(orders, checkers.Line{Token: token, Now: at})
		}
		if got := codes(inOrder(t, lines(orders...))); got != want {
			t.Errorf("made %d s after noon: %s, want %s", madeAt[0]-noon, got, want)
		}
	}
	f("ok", good, noon+1800+60+1800-1)
	f("expired", good, noon+1800+60+1800)
	f("not-yet-valid", good, noon-61)
	f("wrong-audience", with(`"demo"`, `"other"`), noon+1800+61)
	f("ok", short, noon+600+120)
	f("ok", short, noon+600+60+1800-1)
	f("expired", short, noon+600+60+1800)
	f("not-yet-valid", short, noon-61)
	f("ok used used", short, noon+600+30, noon+600+120, noon+600+60+1800-1) // remembered for as long as it counts

	table, results := lines(), []checkers.Result{}
	orders := []any{map[string]any{"token": good, "now": "2026-11-22T12:01:00Z"}} // as platforms write it
	checkers.Run(t, map[string]any{"jwks": table.JWKS, "issuer": issuer, "site": "demo", "lines": orders}, &results, "node", "order.mjs")
	if got := codes(results); got != "not-yet-valid" {
		t.Errorf("made at a time that is no number: %s", got)
	}
}

func TestFunctionAnswersWithOperations(t *testing.T) {
	table := lines()
	config := map[string]any{"metafield": map[string]any{"jsonValue": map[string]any{"jwks": table.JWKS, "issuer": issuer, "site": "demo"}}}
	input := func(token string, extra map[string]any) map[string]any {
		in := map[string]any{
			"discount": config, "now": noon,
			"cart": map[string]any{
				"offer": map[string]any{"value": token},
				"cost":  map[string]any{"subtotalAmount": map[string]any{"amount": "120.0", "currencyCode": "EUR"}},
				"lines": []any{line("gid://1", "shoes"), line("gid://2", "hats")},
			},
		}
		for k, v := range extra {
			if in[k] = v; v == nil {
				delete(in, k)
			}
		}
		return in
	}
	day := func(date string) map[string]any {
		return map[string]any{"now": nil, "shop": map[string]any{"localTime": map[string]any{"date": date}}}
	}
	good := signed(first, header, percent)
	const order = `[{"orderDiscountsAdd":{"candidates":[{"message":"Your offer","targets":[{"orderSubtotal":{"excludedCartLineIds":[]}}],"value":{"percentage":{"value":12.5}}}],"selectionStrategy":"FIRST"}}]`
	cases := []struct {
		name       string
		input      any
		code, want string
	}{
		{"a percent", input(good, nil), "ok", order},
		{"an amount for shoes", input(signed(first, header, amount), nil), "ok", `[{"productDiscountsAdd":{"candidates":[{"message":"Your offer","targets":[{"cartLine":{"id":"gid://1"}}],"value":{"fixedAmount":{"amount":15.5}}}],"selectionStrategy":"FIRST"}}]`},
		{"shoes, and none in the cart", input(signed(first, header, swap(amount, `"shoes"`, `"socks"`)), nil), "ok", `[]`},
		{"free shipping is for another function", input(with(`"kind":"percent","percent":12.5`, `"kind":"free_shipping"`), nil), "ok", `[]`},
		{"no token", input("", nil), "malformed", `[]`},
		{"no input", "nothing", "not-yet-valid", `[]`},
		{"no time", input(good, map[string]any{"now": nil}), "not-yet-valid", `[]`},
		{"no settings", input(good, map[string]any{"discount": nil}), "unknown-key", `[]`},
		{"the day of the offer", input(good, day("2026-11-22")), "ok", order},
		{"the day before, where it is late", input(good, day("2026-11-21")), "ok", order},
		{"the day after, where it is early", input(good, day("2026-11-23")), "ok", order},
		{"two days after", input(good, day("2026-11-24")), "expired", `[]`},
		{"two days before", input(good, day("2026-11-20")), "not-yet-valid", `[]`},
		{"a day that is none", input(good, day("tomorrow")), "not-yet-valid", `[]`},
	}
	inputs := make([]any, len(cases))
	for i, c := range cases {
		inputs[i] = c.input
	}
	var got []struct {
		Operations json.RawMessage `json:"operations"`
		Log        checkers.Result `json:"log"`
	}
	checkers.Run(t, map[string]any{"inputs": inputs}, &got, "node", "wasm.mjs", checkers.Wasm(t))
	if file, err := os.Stat(checkers.Wasm(t)); err != nil || file.Size() > 256_000 {
		t.Errorf("the function has %d bytes, more than a platform takes: %v", file.Size(), err)
	}
	for i, c := range cases {
		if got[i].Log.Code != c.code || !sameJSON(t, got[i].Operations, c.want) {
			t.Errorf("%s: %s, %s, want %s, %s", c.name, got[i].Log.Code, got[i].Operations, c.code, c.want)
		}
	}
}

func line(id, handle string) map[string]any {
	return map[string]any{"id": id, "merchandise": map[string]any{"product": map[string]any{"handle": handle}}}
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(a, b)
}

// The plugin runs with stand-ins for what it calls of WordPress and WooCommerce.
func TestWooCommercePluginGivesTheDiscountOnce(t *testing.T) {
	now := time.Now().Unix() // the plugin has the server's clock
	fresh := func(text string) string {
		return swap(swap(text, "1795348800", strconv.FormatInt(now, 10)), "1795350600", strconv.FormatInt(now+1800, 10))
	}
	forProducts := func(list string) string {
		return signed(first, header, swap(fresh(percent), `"combinable"`, `"applies_to":`+list+`,"combinable"`))
	}
	table := lines(
		checkers.Line{Name: "forged", Token: signed(second, header, fresh(percent))},
		checkers.Line{Name: "over", Token: signed(first, header, swap(swap(percent, "1795348800", "1000000000"), "1795350600", "1000001800"))},
		checkers.Line{Name: "for shoes", Token: forProducts(`["shoes"]`)},
		checkers.Line{Name: "for 12 and shoes", Token: forProducts(`["12","shoes"]`)},
		checkers.Line{Name: "for 0", Token: forProducts(`["0"]`)},
		checkers.Line{Name: "for 12 and a line feed", Token: forProducts(`["12\n"]`)},
		checkers.Line{Name: "for -12", Token: forProducts(`["-12"]`)},
		checkers.Line{Name: "for 12x", Token: forProducts(`["12x"]`)},
		checkers.Line{Name: "for nothing that has a name", Token: forProducts(`[""]`)},
		checkers.Line{Name: "other money", Token: signed(first, header, swap(swap(fresh(amount), "EUR", "USD"), `["shoes","Schuhe für \u00e4lt\ud83d\ude00"]`, `[]`))},
		checkers.Line{Name: "for 12 and 7", Token: forProducts(`["12","7"]`)},
		checkers.Line{Name: "free", Token: signed(first, header, swap(fresh(percent), `"kind":"percent","percent":12.5`, `"kind":"free_shipping"`))},
		checkers.Line{Name: "good", Token: signed(first, header, fresh(percent))},
	)
	var said map[string]json.RawMessage
	checkers.Run(t, table, &said, "php", "-d", "display_errors=stderr", "woocommerce.php")
	f := func(step, want string) {
		t.Helper()
		if !sameJSON(t, said[step], strings.ReplaceAll(want, "END", strconv.FormatInt(now+1860, 10))) {
			t.Errorf("%s: %s, want %s", step, said[step], want)
		}
	}
	const none = `"product_ids":[],"date_expires":END`
	f("no offer", `[false,"ok"]`)
	f("forged", `[false,[],"offer refused: bad-signature"]`)
	f("over", `[false,[],"offer refused: expired"]`)
	const noID = `[false,[],"offer refused: applies_to names what is no product id"]`
	for _, name := range []string{"for shoes", "for 12 and shoes", "for 0", "for 12 and a line feed", "for -12", "for 12x", "for nothing that has a name"} {
		f(name, noID) // to drop the entry would give the discount for the whole cart
	}
	const stays = `["beckon-offer"],"offer refused: applies_to names what is no product id"]` // the log says no more
	f("other money", `[false,`+stays)
	f("for 12 and 7", `[{"discount_type":"percent","amount":12.5,"free_shipping":false,"minimum_amount":"","individual_use":true,"product_ids":[12,7],"date_expires":END},`+stays)
	f("free", `[{"discount_type":"fixed_cart","amount":0,"free_shipping":true,"minimum_amount":"","individual_use":true,`+none+`},`+stays)
	f("good", `[{"discount_type":"percent","amount":12.5,"free_shipping":false,"minimum_amount":"","individual_use":true,`+none+`},`+stays)
	f("another coupon", `false`)
	f("first order", `"ok"`)
	f("decision", `"0123456789abcdef0123456789abcdef"`)
	f("first order, after its payment failed", `"ok"`)
	f("second order, from blocks", `"Your offer does not count any more (used). The sum has changed; please look at it again."`)
	f("then", `[false,[]]`)
}
