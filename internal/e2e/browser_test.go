package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// One stack and one browser serve all of these; everybody has a profile, and so a cookie, of their own.
func TestBrowser(t *testing.T) {
	dev := startDevStack(t)
	browser := startChromium(t)
	t.Run("a shopper who comes back gets the discount", func(t *testing.T) { testDiscount(t, dev, browser) })
	t.Run("a page without a load is a page view", func(t *testing.T) { testHistory(t, dev, browser) })
	t.Run("what is told on leaving arrives", func(t *testing.T) { testLeaving(t, dev, browser) })
	t.Run("who refuses is seen to be only counted", func(t *testing.T) { testRefusal(t, dev, browser) })
	t.Run("Global Privacy Control leaves no cookie and no id", func(t *testing.T) { testGPC(t, dev, browser) })
}

// testDiscount is the whole path, first as a shopper who clicks, then as an analyst who asks.
func testDiscount(t *testing.T, dev *devStack, browser context.Context) {
	p := newPerson(t, browser, dev.url(""))
	p.open("/")
	p.sees("#seen-code", "DEFAULT")
	p.picture("01-home")
	p.click("#consent [value=decide]")
	p.sees("#seen-cause", "chosen in the banner")
	p.follow(`.cards a[href="/product/harbour-mug"]`, "/product/harbour-mug")
	p.follow(`nav a[href="/shop/coffee"]`, "/shop/coffee")
	p.follow(`.cards a[href="/product/dawn-kettle"]`, "/product/dawn-kettle")
	p.picture("02-product")
	p.follow("#add-to-cart", "/cart")
	p.sees("#sum-total", "€89.00")
	p.sees("#seen-code", "DEFAULT")

	p.follow("#tomorrow", "/")
	p.sees("#offer", "10% off")
	p.sees("#seen-code", "TARGETING_MATCH, treatment")
	p.sees("#seen-fresh", "fresh as of")
	token := p.eval(`beckon.decision().then(d => d.token)`)
	eventually(t, func() error {
		if seen := string(dev.query(t, `SELECT count() FROM events WHERE kind = 'offer_shown' FORMAT TSV`)); seen != "1\n" {
			return fmt.Errorf("the offer was seen %s times", seen)
		}
		return nil
	})
	p.click("#offer-accept")
	p.sees("#offer-taken", "10% off is in your cart")
	p.picture("03-offer")
	p.eval(`document.getElementById('seen-gates').scrollIntoView(); ''`)
	p.picture("03-offer-why")
	p.eval(`document.getElementById('seen-network').scrollIntoView(); ''`)
	p.picture("03-offer-not-kept")

	friend := newPerson(t, browser, dev.url(""))
	friend.open("/")
	friend.eval(fmt.Sprintf(`fetch('/offer', { method: 'POST', body: new URLSearchParams({ token: %q }) }).then(r => r.text())`, token))

	p.follow(".cart-link", "/cart")
	p.follow("#to-checkout", "/checkout")
	p.picture("04-checkout")
	p.follow("#place-order", "/thank-you")
	p.sees("#discount", "−€8.90")
	p.sees("#sum-total", "€80.10")
	p.picture("05-thank-you")
	visitor, order, cookie := p.visitor(), p.text("#order-number"), p.cookies()["_bk_demo"]
	if cookie == nil || !cookie.HTTPOnly {
		t.Fatalf("visitor cookie %+v, want one that scripts cannot read", cookie)
	}

	t.Run("its token is good for one order", func(t *testing.T) { testSecondUse(t, friend) })
	t.Run("each event is stored once, under a hash and a network", func(t *testing.T) { testStoredEvents(t, dev, visitor) })
	decision := testDecisionRow(t, dev, visitor)
	t.Run("the order knows its decision", func(t *testing.T) { testOrderRow(t, dev, visitor, decision) })
	t.Run("nothing personal is kept anywhere", func(t *testing.T) {
		random, err := base64.RawURLEncoding.DecodeString(cookie.Value)
		if err != nil || len(random) < 18 {
			t.Fatalf("the cookie's value is no longer base64url over version, epoch and 16 random bytes: %v", err)
		}
		random = random[2:18]
		testNothingKept(t, dev, []string{
			cookie.Value, string(random), hex.EncodeToString(random), strings.ToUpper(hex.EncodeToString(random)),
			order, token, userAgent, "127.0.0.1/", "ada@example.com", "Ada Beispiel", "Seestra",
		})
	})
}

// testSecondUse: the friend accepted the same token in time, but was not the first to order.
func testSecondUse(t *testing.T, friend *person) {
	friend.open("/product/dawn-kettle")
	friend.follow("#add-to-cart", "/cart")
	friend.sees(`[data-offer-code="used"]`, "")
	friend.follow("#to-checkout", "/checkout")
	friend.sees("#sum-total", "€89.00")
}

func testStoredEvents(t *testing.T, dev *devStack, visitor string) {
	want := map[string]int{
		"page_view": 10, "product_view": 2, "collection_view": 1, "cart_add": 1, "cart_view": 2, "checkout_start": 1,
		"offer_shown": 1, "offer_accepted": 1, "purchase": 1, "consent": 1,
	}
	type kindRow struct {
		Kind string
		N    int
	}
	eventually(t, func() error {
		got := make(map[string]int)
		// The table, not the view: a repeat would show.
		for _, r := range rows[kindRow](t, dev, `SELECT kind AS Kind, count() AS N FROM events WHERE startsWith(lower(hex(visitor)), '`+visitor+`') GROUP BY kind`) {
			got[r.Kind] = r.N
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("events by kind: %v, want %v", got, want)
		}
		return nil
	})
	type idRow struct {
		Visitor, Network, Lane, Browser, Os string
		Sessions, Bots                      int
	}
	got := rows[idRow](t, dev, `SELECT visitor AS Visitor, network AS Network, lane AS Lane, browser AS Browser, os AS Os, uniqExact(session) AS Sessions, countIf(bot = 1) AS Bots
		FROM v_events WHERE startsWith(visitor, '`+visitor+`') AND kind != 'consent' GROUP BY ALL`)
	if len(got) != 1 || len(got[0].Visitor) != 32 {
		t.Fatalf("rows of one visitor: %+v, want one id of 16 bytes", got)
	}
	if want := (idRow{got[0].Visitor, "127.0.0.0/24", "decide", "chrome", "linux", 2, 0}); got[0] != want {
		t.Errorf("the visitor is stored as %+v, want %+v", got[0], want)
	}
	type activityRow struct{ Pageviews, Products, Adds, Sessions int }
	eventually(t, func() error { // a view's rows are there a little after those of events
		activity := rows[activityRow](t, dev, `SELECT arrayCount(x -> bitAnd(x, 7) = 1, groupUniqArrayArray(events)) AS Pageviews, length(groupUniqArrayArray(products)) AS Products,
		arrayCount(x -> bitAnd(x, 7) = 3, groupUniqArrayArray(events)) AS Adds, length(groupUniqArrayArray(sessions)) AS Sessions FROM visitor_activity WHERE startsWith(lower(hex(visitor)), '`+visitor+`')`)
		if want := (activityRow{10, 2, 1, 2}); activity[0] != want {
			return fmt.Errorf("the visitor's activity is counted as %+v, want %+v", activity[0], want)
		}
		return nil
	})
}

// testDecisionRow returns the id of the decision that gave the discount.
func testDecisionRow(t *testing.T, dev *devStack, visitor string) (id string) {
	t.Run("the decision explains itself", func(t *testing.T) {
		type decisionRow struct {
			ID, Offer, Rule, Arm, Reason, Lane string
			Eligible, Personalised, Minutes    int
			Gates                              [][3]any
			Features                           map[string]string
		}
		var got []decisionRow
		eventually(t, func() error {
			got = rows[decisionRow](t, dev, `SELECT decision_id AS ID, offer AS Offer, rule AS Rule, arm AS Arm, reason AS Reason, lane AS Lane, eligible AS Eligible,
				personalised AS Personalised, dateDiff('minute', decided_at, valid_until) AS Minutes, arrayMap(g -> (g.gate, g.pass, g.detail), gates) AS Gates, features AS Features
				FROM v_decisions WHERE startsWith(visitor, '`+visitor+`') AND first_serve = 1`)
			if len(got) == 0 {
				return fmt.Errorf("no first serve is stored")
			}
			return nil
		})
		if len(got) != 1 {
			t.Fatalf("first serves: %+v, want one", got)
		}
		d := got[0]
		id = d.ID
		said := fmt.Sprint(d.Offer, d.Arm, d.Reason, d.Lane, d.Eligible, d.Personalised, d.Minutes)
		if want := fmt.Sprint("welcome-back", "treatment", "TARGETING_MATCH", "decide", 1, 1, 30); said != want || len(id) != 32 || !strings.HasPrefix(d.Rule, "welcome-back@") {
			t.Errorf("decision %s by %s says %s, want %s", id, d.Rule, said, want)
		}
		for name, want := range map[string]string{"sessions_7d": "2", "purchases_90d": "0"} {
			if d.Features[name] != want {
				t.Errorf("feature %s is explained as %q, want %q", name, d.Features[name], want)
			}
		}
		if len(d.Features) != 2 {
			t.Errorf("features %v are kept, want those that the rule reads", d.Features)
		}
		var gates []string
		for _, g := range d.Gates {
			if gates = append(gates, fmt.Sprint(g[0])); fmt.Sprint(g[1]) != "1" {
				t.Errorf("a gate of the offer that was given is closed: %v", g)
			}
		}
		for _, gate := range []string{"consent", "bot", "rule", "cooldown", "holdout"} {
			if !slices.ContainsFunc(gates, func(name string) bool { return strings.HasSuffix(name, gate) }) {
				t.Errorf("gates %q, none is %s", gates, gate)
			}
		}
	})
	return id
}

func testOrderRow(t *testing.T, dev *devStack, visitor, decision string) {
	type orderRow struct {
		Offer, Decision, By, Currency  string
		Value, Discount, Tax, Shipping float64
		Units                          int
	}
	want := orderRow{"welcome-back", decision, "browser", "EUR", 67.31, 8.90, 12.79, 0, 1}
	eventually(t, func() error {
		got := rows[orderRow](t, dev, `SELECT offer AS Offer, decision AS Decision, reported_by AS By, currency AS Currency, value AS Value, discount AS Discount,
			tax AS Tax, shipping AS Shipping, units AS Units FROM v_orders WHERE startsWith(visitor, '`+visitor+`')`)
		if len(got) != 1 || got[0] != want {
			return fmt.Errorf("orders %+v, want %+v", got, want)
		}
		return nil
	})
}

// testNothingKept looks for the secrets in every column of every table, in the spools and in the logs.
func testNothingKept(t *testing.T, dev *devStack, secrets []string) {
	places := make(map[string][]byte)
	for table := range strings.FieldsSeq(string(dev.query(t, `SELECT name FROM system.tables WHERE database = 'beckon' AND engine LIKE '%MergeTree' FORMAT TSV`))) {
		places["table "+table] = dev.query(t, "SELECT * FROM `"+table+"` FORMAT RowBinary")
	}
	for _, folder := range []string{"spool", "spool-decisions", "log"} {
		files, err := filepath.Glob(filepath.Join(dev.state, folder, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing in %s (%v)", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) { // a segment goes when it is loaded
				t.Fatal(err)
			}
			places[file] = text
		}
	}
	if !bytes.Contains(places["table events"], []byte("harbour-mug")) {
		t.Fatalf("the search does not find what is stored, in %d bytes of events", len(places["table events"]))
	}
	for place, text := range places {
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds %q", place, secret)
			}
		}
	}
}

// viewsOf polls until the visitor's page views, in order, are want.
func viewsOf(t *testing.T, dev *devStack, visitor string, want ...string) {
	t.Helper()
	eventually(t, func() error {
		got := strings.Fields(string(dev.query(t, `SELECT path FROM events WHERE startsWith(lower(hex(visitor)), '`+visitor+`') AND kind = 'page_view' ORDER BY occurred_at FORMAT TSV`)))
		if !slices.Equal(got, want) {
			return fmt.Errorf("page views %q, want %q", got, want)
		}
		return nil
	})
}

func testHistory(t *testing.T, dev *devStack, browser context.Context) {
	p := newPerson(t, browser, dev.url(""))
	p.open("/")
	visitor := p.visitor()
	p.eval(`history.pushState({}, '', '/product/harbour-mug?q=secret'); ''`)
	p.eval(`history.replaceState({ scroll: 10 }, '', location.href); ''`) // routers do this; nobody went anywhere
	p.eval(`history.back(); ''`)
	p.arrives("/")
	p.eval(`addEventListener('pageshow', e => { window.fromCache = e.persisted }); ''`)
	p.follow(`nav a[href="/shop/coffee"]`, "/shop/coffee")
	p.eval(`history.back(); ''`)
	p.arrives("/")
	if cached := p.eval(`String(window.fromCache)`); cached != "true" {
		t.Errorf("the page came back with persisted = %s: not from the back/forward cache, which the tag must not spoil", cached)
	}
	viewsOf(t, dev, visitor, "/", "/product/harbour-mug", "/", "/shop/coffee", "/")
}

func testLeaving(t *testing.T, dev *devStack, browser context.Context) {
	p := newPerson(t, browser, dev.url(""))
	p.open("/")
	visitor := p.visitor()
	p.eval(`beckon('search', { query_length: 7 }); location.assign('/shop/outdoors'); ''`)
	p.arrives("/shop/outdoors")
	p.eval(`beckon('search', { query_length: 11 }); ''`)
	command(p, page.Close, cdp.Empty{})
	eventually(t, func() error {
		got := strings.Fields(string(dev.query(t, `SELECT query_length FROM events WHERE startsWith(lower(hex(visitor)), '`+visitor+`') AND kind = 'search' ORDER BY occurred_at FORMAT TSV`)))
		if !slices.Equal(got, []string{"7", "11"}) {
			return fmt.Errorf("searches of length %v, want 7 before the page went and 11 before the tab did", got)
		}
		return nil
	})
}

// testRefusal: the panel goes by the collector's answers. The aggregator sees no cookie any more, and
// would speak of the site's default.
func testRefusal(t *testing.T, dev *devStack, browser context.Context) {
	p := newPerson(t, browser, dev.url(""))
	p.open("/")
	p.click("#consent [value=decide]")
	p.follow(`.cards a[href="/product/harbour-mug"]`, "/product/harbour-mug")
	p.sees("#seen-features", "page views")
	p.visitor()

	p.do(chromedp.DoubleClick(chromedp.CSS("#consent-open")))
	p.sees("#consent:not([inert])", "Reject") // the second click has chosen nothing
	p.sees("#seen-cause", "chosen")
	p.click("#consent [value=count]")
	refused := func() {
		t.Helper()
		p.sees("#seen-cause", "rejected in the banner")
		looks := `String(performance.getEntriesByType('resource').filter(e => e.name.endsWith('/dev/seen')).length)`
		before := p.eval(looks)
		eventually(t, func() error { // what the aggregator says now changes nothing
			if now := p.eval(looks); now == before {
				return fmt.Errorf("the panel has looked %s times, want once more", now)
			}
			return nil
		})
		for selector, want := range map[string]string{
			"#seen-lane": "count: in the totals, no id, no cookie", "#seen-code": "NO_CONSENT", "#seen-visitor": "none",
			"#seen-session": "none", "#seen-features": "none", "#seen-gates": "none",
		} {
			if got := p.text(selector); got != want {
				t.Errorf("%s shows %q, want %q", selector, got, want)
			}
		}
	}
	refused()
	p.picture("refused")
	p.follow(`nav a[href="/shop/coffee"]`, "/shop/coffee")
	refused()
	if answer := p.eval(`beckon.decision().then(d => d.eligible + ' ' + d.offer)`); answer != "false null" {
		t.Errorf("after the refusal the decision is %s, want false null", answer)
	}
}

func testGPC(t *testing.T, dev *devStack, browser context.Context) {
	p := newPerson(t, browser, dev.url(""))
	command(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Sec-GPC": "1"}})
	p.open("/")
	p.sees("#seen-lane", "count")
	p.sees("#seen-cause", "Global Privacy Control")
	p.sees("#consent", "Your browser sends Global Privacy Control")
	p.click("#consent [value=decide]") // counts less than what the browser says
	p.follow(`.cards a[href="/product/ember-lantern"]`, "/product/ember-lantern")
	p.sees("#seen-lane", "count")
	p.sees("#seen-code", "NO_CONSENT")
	p.picture("gpc")
	for name := range p.cookies() {
		if strings.HasPrefix(name, "_bk_") {
			t.Errorf("cookie %s was set", name)
		}
	}
	type gpcRow struct {
		Kind, Lane, Visitor, Session string
		N                            int
	}
	want := []gpcRow{{"page_view", "count", "", "", 2}, {"product_view", "count", "", "", 1}}
	eventually(t, func() error {
		got := rows[gpcRow](t, dev, `SELECT kind AS Kind, lane AS Lane, visitor AS Visitor, session AS Session, count() AS N FROM v_events
			WHERE cause = 'gpc' AND kind != 'consent' GROUP BY ALL ORDER BY kind`)
		if !slices.Equal(got, want) {
			return fmt.Errorf("events %+v, want %+v", got, want)
		}
		return nil
	})
}
