package ingest

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
)

func TestBodyIsReadStrictly(t *testing.T) {
	s := openShop(t)
	f := func(name, body string, taken bool, changes ...with) {
		t.Helper()
		got := s.post(body, changes...)
		if (got.StatusCode == 204) != taken || !taken && got.reason() != "malformed" {
			t.Errorf("%s: got %d %q", name, got.StatusCode, got.reason())
		}
	}
	contentType := func(v string) with { return func(r *http.Request) { r.Header.Set("Content-Type", v) } }
	good := batch("demo", pageView)
	f("good", good, true)
	f("json", good, true, contentType("Application/JSON"))
	f("form", good, false, contentType("application/x-www-form-urlencoded"))
	f("no type", good, false, contentType(""))
	f("without version", `{"s":"demo","e":[]}`, true)
	f("without events", `{"v":1,"s":"demo"}`, true)
	f("null for nothing", `{"v":1,"s":"demo","z":null,"c":null,"e":null}`, true)
	f("unknown names", `{"v":1,"s":"demo","x":{"y":[1,2]},"e":[{"n":"page_view","secret":"a@b.example"}]}`, true)
	f("newer version", `{"v":2,"s":"demo","e":[]}`, false)
	f("version zero", `{"v":0,"s":"demo","e":[]}`, false)
	f("empty", "", false)
	f("array", `[]`, false)
	f("two values", good+good, false)
	f("cut", good[:len(good)-2], false)
	f("bad number", `{"v":1,"s":"demo","z":1.2.3}`, false)
	f("bad escape", `{"v":1,"s":"demo","x":"\q"}`, false)
	f("control character", "{\"v\":1,\"s\":\"demo\",\"x\":\"a\nb\"}", false)
	f("control character behind an escape", "{\"s\":\"demo\",\"x\":\"\a\\b\"}", false)
	f("not UTF-8", "{\"v\":1,\"s\":\"demo\",\"x\":\"\xff\"}", false)
	f("key twice", `{"v":1,"s":"demo","s":"asks"}`, false)
	f("key twice by escape", `{"v":1,"s":"demo","\u0073":"asks"}`, false)
	f("key twice deep down", `{"v":1,"s":"demo","x":[{"y":{"a":1,"a":2}}]}`, false)
	f("deep", `{"v":1,"s":"demo","x":`+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+`}`, false)
	f("as deep as may be", `{"v":1,"s":"demo","x":`+strings.Repeat("[", maxDepth-1)+strings.Repeat("]", maxDepth-1)+`}`, true)
	f("brackets in a text are no depth", `{"v":1,"s":"demo","x":"\\\"`+strings.Repeat("[", 2*maxDepth)+`"}`, true)
	f("many keys deep down", `{"s":"demo","e":[{"n":"page_view","p":{"a":0`+manyKeys(maxKeys)+`}}]}`, false)
	f("as many events as may be", batch("demo", strings.TrimSuffix(strings.Repeat(pageView+",", event.MaxBatchEvents), ",")), true)
	f("time as late as may be", fmt.Sprintf(`{"s":"demo","z":%d}`, int64(maxMillis)), true)
	f("time beyond all", fmt.Sprintf(`{"s":"demo","z":%d}`, int64(maxMillis+1)), false)
	f("time that overflows", `{"s":"demo","z":99999999999999999999}`, false)
	f("time with a fraction", `{"s":"demo","z":1.0}`, false)
	f("time in powers", `{"s":"demo","z":1e3}`, false)
	f("time before all", `{"s":"demo","z":-1}`, false)
	f("half an emoji", `{"s":"demo","x":"\ud83d","e":[{"n":"page_view","u":"/\ud83d"}]}`, true)
	f("very deep", strings.Repeat("[", 60_000), false)
	f("many keys", `{"s":"demo"`+manyKeys(maxKeys)+`}`, false)
	f("as many keys as may be", `{"s":"demo"`+manyKeys(maxKeys-1)+`}`, true)
	f("event no object", `{"v":1,"s":"demo","e":[1]}`, false)
	f("events no array", `{"v":1,"s":"demo","e":{}}`, false)
	f("site no text", `{"v":1,"s":1,"e":[]}`, false)
	f("sent no number", `{"v":1,"s":"demo","z":"soon"}`, false)
	f("choice no object", `{"v":1,"s":"demo","c":true}`, false)
	f("half a choice", `{"v":1,"s":"demo","c":{"decide":true}}`, false)
	f("choice in words", `{"v":1,"s":"demo","c":{"decide":"yes","measure":"yes"}}`, false)
	f("long source", `{"v":1,"s":"demo","c":{"decide":true,"measure":true,"src":"`+strings.Repeat("a", event.MaxStringBytes+1)+`"}}`, false)
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":0`, i)
	}
	return b.String()
}

func TestPropsAreReadOrTheEventIsDropped(t *testing.T) {
	s := openShop(t)
	long := strings.Repeat("a", event.MaxStringBytes+1)
	f := func(props string, good bool) {
		t.Helper()
		got := s.post(batch("demo", `{"n":"purchase","p":`+props+`}`))
		if good != (got.StatusCode == 204) || !good && got.reason() != "bad-value" {
			t.Errorf("%s: got %d %q", props, got.StatusCode, got.reason())
		}
	}
	f(`{}`, true)
	f(`null`, true)
	f(`{"product":null,"price":null,"items":null}`, true)
	f(`{"product":42,"category":"","variant":"7"}`, true)
	f(`{"price":"12.50","value":1e3,"tax":0}`, true)
	f(`{"unknown":{"a":[true]},"customer":"c-1"}`, true)
	f(`[]`, false)
	f(`"text"`, false)
	f(`{"product":true}`, false)
	f(`{"product":"`+long[1:]+`"}`, true)
	f(`{"product":"`+long+`"}`, false)
	f(`{"order":"`+long+`"}`, false)
	f(`{"price":-0.01}`, false)
	f(`{"price":"12,50"}`, false)
	f(`{"price":1e99}`, false)
	f(`{"price":true}`, false)
	f(`{"quantity":-1}`, false)
	f(`{"quantity":1.5}`, false)
	f(fmt.Sprintf(`{"quantity":%d}`, event.MaxQuantity), true)
	f(fmt.Sprintf(`{"quantity":%d}`, event.MaxQuantity+1), false)
	f(fmt.Sprintf(`{"query_length":%d}`, math.MaxUint16), true)
	f(fmt.Sprintf(`{"query_length":%d}`, math.MaxUint16+1), false)
	f(`{"currency":"eur"}`, true)
	f(`{"currency":"EURO"}`, false)
	f(`{"currency":5}`, false)
	f(`{"items":[{"product":"a","quantity":1,"price":2}]}`, true)
	f(`{"items":[{"price":-2}]}`, false)
	f(`{"items":[1]}`, false)
	f(`{"items":{}}`, false)
	f(`{"items":[`+strings.Repeat("{},", event.MaxItems-1)+`{}]}`, true)
	f(`{"items":[`+strings.Repeat("{},", event.MaxItems)+`{}]}`, false)
	// Outside "p".
	if got := s.post(batch("demo", `{"n":"page_view","u":"`+long+`"}`)); got.reason() != "bad-value" {
		t.Errorf("long address: %q", got.reason())
	}
	if got := s.post(batch("demo", `{"n":"page_view","t":1.5}`)); got.reason() != "bad-value" {
		t.Errorf("time with a fraction: %q", got.reason())
	}
}

func TestPurchaseKeepsMoneyAndHashesWhatNamesPeople(t *testing.T) {
	s := openShop(t)
	const props = `{"order":"A-1","coupon":"WELCOME","value":52.4,"currency":"usd","discount":"5.82","tax":9.31,"shipping":4.9,"cart_value":60,
		"offer":"welcome-back","decision":"d1","items":[{"product":"mug","variant":"large","quantity":2,"price":12.5}]}`
	purchase := `{"n":"purchase","u":"https://shop.example/thanks/jane@example.org?utm_source=mail&utm_medium=email&utm_campaign=spring&token=abc","r":"https://search.example/?q=x","p":` + props + `}`
	s.post(batch("demo", purchase))
	e := s.one()
	if e.Currency != "USD" || e.Rate != event.RateScale*92/100 || e.Value.Units != 524_000 || e.Discount.Units != 58_200 ||
		e.Tax.Units != 93_100 || e.Shipping.Units != 49_000 || e.CartValue.Units != 600_000 || e.Price.Set {
		t.Errorf("money: %+v", e)
	}
	if len(e.Items) != 1 || e.Items[0] != (event.StoredItem{Product: "mug", Variant: "large", Quantity: 2, Price: event.Amount{Units: 125_000, Set: true}}) {
		t.Errorf("items: %+v", e.Items)
	}
	if e.Offer != "welcome-back" || e.Decision != "d1" || e.UTMSource != "mail" || e.UTMMedium != "email" || e.UTMName != "spring" || e.Referrer != "search.example" {
		t.Errorf("words: %+v", e)
	}
	if strings.Contains(e.Path, "jane") || strings.Contains(e.Path, "token") {
		t.Errorf("path %q", e.Path)
	}
	none := [16]byte{}
	if e.Order == none || e.Coupon == none || e.Order == e.Coupon || e.Customer != none {
		t.Errorf("order %x, coupon %x, customer %x", e.Order, e.Coupon, e.Customer)
	}
	order := e.Order
	s.post(batch("demo", purchase))
	if e := s.one(); e.Order != order {
		t.Error("the same order has another key")
	}
	s.post(batch("demo", purchase), header("Sec-GPC", "1"))
	if e := s.one(); e.Order != none || e.Coupon != none || e.Visitor != none || e.Value.Units != 524_000 {
		t.Errorf("in lane count: order %x, visitor %x, value %+v", e.Order, e.Visitor, e.Value)
	}
}

func TestMoneyIsInTheSitesCurrencyUnlessItSaysSo(t *testing.T) {
	s := openShop(t)
	f := func(props, currency string, rate int64) {
		t.Helper()
		s.post(batch("demo", `{"n":"cart_view","p":`+props+`}`))
		if e := s.one(); e.Currency != currency || e.Rate != rate {
			t.Errorf("%s: %q at %d, want %q at %d", props, e.Currency, e.Rate, currency, rate)
		}
	}
	f(`{"cart_value":10}`, "EUR", event.RateScale)
	f(`{"items":[{"price":1}]}`, "EUR", event.RateScale)
	f(`{"cart_value":10,"currency":"EUR"}`, "EUR", event.RateScale)
	f(`{"cart_value":10,"currency":"USD"}`, "USD", 92_000_000)
	f(`{"cart_value":10,"currency":"CHF"}`, "CHF", 0) // no rate configured: left out of sums
	f(`{}`, "", event.RateScale)
}

func TestPixelWithoutAddressIsOfItsReferer(t *testing.T) {
	s := openShop(t)
	s.get("/p.gif?s=demo&n=page_view", header("Referer", "https://shop.example/mugs?x=1"))
	s.get("/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2Fteapots", header("Referer", "https://shop.example/mugs"))
	s.get("/p.gif?s=demo&n=page_view&r=https://search.example/", header("Referer", "https://shop.example/mugs?"+strings.Repeat("a", 2*event.MaxStringBytes)))
	all := s.stored()
	if len(all) != 3 || all[0].Path != "/mugs" || all[1].Path != "/teapots" || all[2].Path != "/mugs" || all[2].Referrer != "search.example" || all[0].Source != event.SourcePixel {
		t.Errorf("stored %+v", all)
	}
}

func TestOccurredIsOnOurClock(t *testing.T) {
	const received = 1_000_000_000_000
	day, hour := (24 * time.Hour).Milliseconds(), time.Hour.Milliseconds()
	f := func(sent, at, want int64) {
		t.Helper()
		got, ok := occurred(received, sent, at)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("sent %d, at %d: got %d %v, want %d", sent, at, got, ok, want)
		}
	}
	f(-1, -1, received)
	f(received, -1, received)
	f(received, received-hour, received-hour)
	f(received+9*day, received+9*day-hour, received-hour) // a clock nine days ahead
	f(received-9*day, received-9*day-hour, received-hour) // a clock nine days behind
	f(received, received-day, received-day)
	f(received, received-day-1, -1)
	f(received, received+hour, received+5*60_000) // after it was sent
	f(-1, received-hour, received-hour)           // a pixel's time is taken as it is
	f(-1, received+hour, received+5*60_000)
	f(-1, received-2*day, -1)
	f(0, maxMillis, received+5*60_000)
	f(maxMillis, 0, -1)
}

func TestLedgerOfABatchCloses(t *testing.T) {
	s := openShop(t)
	const id = `{"n":"page_view","i":"019df26e-2d00-75af-89e3-8d27c16b05af"}`
	s.post(batch("demo", id, pageView, `{"n":"nothing"}`, `{"n":"page_view","i":"x"}`))
	s.post(batch("demo", id))
	s.get("/p.gif?s=demo&n=nothing") // refused, not accepted
	got := map[string]uint64{}
	for _, line := range s.spool.Ledger() {
		got[line.Reason] += line.N
	}
	want := map[string]uint64{"accepted": 5, "stored": 2, "duplicate": 1, "dropped:unknown-kind": 1, "dropped:bad-id": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ledger %v, want %v", got, want)
	}
}

func TestBotsAreStoredAndMarked(t *testing.T) {
	s := openShop(t)
	s.post(batch("demo", pageView), func(r *http.Request) { r.Header.Set("User-Agent", "curl/8.5.0") })
	s.post(batch("demo", pageView), header("Sec-Purpose", "prefetch;prerender"))
	s.post(batch("demo", pageView), func(r *http.Request) { r.Header.Set("User-Agent", "") })
	driven := func(w string) string { return strings.Replace(batch("demo", pageView), `"v":1`, `"v":1,"w":`+w, 1) }
	s.post(driven("true"))
	s.post(driven("true"), func(r *http.Request) { r.Header.Set("User-Agent", "Googlebot/2.1") })
	s.post(driven("false"))
	s.post(driven("null"))
	var got []string
	for _, e := range s.stored() {
		got = append(got, e.Bot)
	}
	if want := []string{"tool", "prefetch", "no-user-agent", "webdriver", "crawler", "", ""}; !slices.Equal(got, want) {
		t.Errorf("stored with the reasons %q, want %q", got, want)
	}
	if refused := s.post(driven("1")); refused.StatusCode != 400 || refused.reason() != "malformed" {
		t.Errorf("a number instead of yes or no: %d %s", refused.StatusCode, refused.reason())
	}
}
