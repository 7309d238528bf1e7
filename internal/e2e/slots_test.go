package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"beckon/internal/storefront"
)

// slotCases are shops with an offer each: what it is, and for whom.
var slotCases = []struct {
	name, consent, holdout, offer string
	run                           func(*slotShop)
}{
	{"filled", "decide", "0%", personal, slotFilled},
	{"dismissed", "decide", "0%", personal, slotDismissed},
	{"withdrawn", "decide", "0%", personal, slotWithdrawn},
	{"heldout", "decide", "100%", personal, slotHeldOut},
	{"following", "decide", "0%", strings.Replace(personal, `"true"`, "visitor.cart_adds_7d > 0", 1), slotFollowing},
	{"everyone", "count", "0%", `{id: hello, title: 5% off, audience: everyone, discount: {percent: 5}, disclosure: only for you}`, slotEveryone},
	{"card", "decide", "0%", personal, slotCard},
	{"demo", "decide", "0%", personal, slotInstalled},
	{"events", "decide", "0%", personal, eventsWithoutCode},
}

const personal = `{id: welcome-back, title: 10% <b>off</b>, code: BACK10, when: "true", discount: {percent: 10}, valid_for: 30m, disclosure: You came back.}`

// slotShop is a shop, and a site of the same name, whose pages have the snippets of docs/tag.md. Its pages let no string
// become code, no inline script run and nothing else be loaded.
type slotShop struct {
	*testing.T
	name     string
	stack    *stack
	rows     *tagRows
	front    *storefront.Front
	snippets map[string]string
	newTab   func(t *testing.T, shop string) *person
}

// TestTagDocs runs what docs/tag.md shows, in a real browser, against the real services.
func TestTagDocs(t *testing.T) {
	snippets := tagSnippets(t)
	s := newStack(t)
	rows := &tagRows{stack: s, sql: `SELECT site, if(startsWith(kind, 'offer'),
			concat(kind, ' ', offer, ' by ', if(match(toString(decision), '[1-9a-f]'), 'a decision', 'itself')),
			concat(kind, ' ', product, ' ', toString(quantity), ' ', toString(ifNull(toFloat64(price), 0)), ' ', toString(ifNull(toFloat64(cart_value), 0)), ' ', toString(query_length)))
		FROM v_events WHERE kind NOT IN ('page_view', 'consent') ORDER BY occurred_at, event_id`}
	browser := startChromium(t)
	shops := make([]*slotShop, len(slotCases))
	sites := "sites:\n"
	for i, c := range slotCases {
		front, err := storefront.Listen()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = front.Close() })
		shops[i] = &slotShop{name: c.name, stack: s, rows: rows, front: front, snippets: snippets, newTab: func(t *testing.T, shop string) *person { return newPerson(t, browser, shop) }}
		sites += fmt.Sprintf("  - {id: %s, origins: [%q], currency: EUR, consent: {default: %s, allow: decide}, holdout: %s, offers: [%s]}\n", c.name, front.Origin(), c.consent, c.holdout, c.offer)
	}
	s.writeSites(sites)
	s.initKeys()
	s.start()
	var running sync.WaitGroup
	for i, c := range slotCases {
		shops[i].front.Serve(s.collector.public, s.aggregator.public)
		running.Go(func() {
			t.Run(c.name, func(t *testing.T) {
				shops[i].T = t
				c.run(shops[i])
			})
		})
	}
	running.Wait()
}

// tagSnippets are the snippets of docs/tag.md by name. All are there, and no others: each has its test.
func tagSnippets(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tag.md"))
	if err != nil {
		t.Fatal(err)
	}
	snippets := map[string]string{}
	for _, m := range testedSnippet.FindAllStringSubmatch(string(text), -1) {
		snippets[m[1]] = m[2]
	}
	tested := []string{"bigcommerce", "calls", "consent", "csp", "decision", "events", "events-ignore", "events-order", "html", "html-defer", "offer-card", "offer-slot", "react", "shopify", "woocommerce", "woocommerce-config"}
	if names := slices.Sorted(maps.Keys(snippets)); !slices.Equal(names, tested) || strings.Count(string(text), "```") != 2*len(tested) {
		t.Fatalf("docs/tag.md has the snippets %q, the tests are of %q", names, tested)
	}
	return snippets
}

// slotPage is the snippet below the fold, with more of a page on both sides.
func (s *slotShop) slotPage() string {
	return `<style>.far { height: 150vh }</style><p class="far">Far above.</p>` + s.snippet("offer-slot") + `<p id="below">Below.</p><p class="far"></p>`
}

func (s *slotShop) snippet(name string) string {
	s.Helper()
	if s.snippets[name] == "" {
		s.Fatalf("docs/tag.md has no snippet %q", name)
	}
	return s.snippets[name]
}

// visitor is a new one, on a page with this body.
func (s *slotShop) visitor(body string) *person {
	s.Helper()
	s.front.Page("/", `<!doctype html><html lang="en"><meta charset="utf-8"><title>`+s.name+`</title><link rel="icon" href="data:,">`+
		strings.ReplaceAll(storefront.Tag(s.name, `data-use="card ack"`), "<script", `<script nonce="`+nonce+`"`)+body,
		"Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'nonce-"+nonce+
			"' 'strict-dynamic'; connect-src 'self'; form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'")
	p := s.newTab(s.T, s.front.Origin())
	p.open("/")
	return p
}

// stores waits until the site's events, but for page views and choices, are these.
func (s *slotShop) stores(want ...string) {
	s.Helper()
	eventually(s.T, func() error {
		got, err := s.rows.of(s.name)
		if err != nil {
			return err
		}
		got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)) // batches race, and bring their times with them
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: stored is\n%s\nwant\n%s", s.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
}

const slotText = `document.querySelector('[data-beckon-offer]').innerText.trim()`

// decided waits until the visitor's decision has that reason: a new visitor has to be known first.
func decided(p *person, reason string) {
	p.t.Helper()
	eventually(p.t, func() error {
		if got := p.eval(`beckon.decision().then(d => d.reason)`); got != reason {
			return fmt.Errorf("the decision is %s, want %s", got, reason)
		}
		return nil
	})
}

// isEmpty fails when the slot shows something now.
func isEmpty(p *person, when string) {
	p.t.Helper()
	if shown := p.eval(slotText); shown != "" {
		p.t.Errorf("%s the slot shows %q", when, shown)
	}
}

// slotFilled: what is out of view is not seen; what was seen is told once.
func slotFilled(s *slotShop) {
	p := s.visitor(s.slotPage())
	decided(p, "TARGETING_MATCH")
	p.sees("[data-beckon-offer]", "10% <b>off</b>")
	for _, part := range []string{"Yours until ", "BACK10", "You came back.", "No, thanks"} {
		p.sees("[data-beckon-offer]", part)
	}
	if token := p.eval(`document.querySelector('[name=token]').value`); strings.Count(token, ".") != 2 {
		s.Errorf("the form takes %q along, want a token", token)
	}
	p.eval(`new Promise(done => setTimeout(() => done(''), 1200))`) // long enough to be seen, were it in view
	scrolled := p.eval(`document.querySelector('[data-beckon-offer]').scrollIntoView({ behavior: 'instant' }); String(Date.now())`)
	s.stores("offer_shown welcome-back by a decision")
	if early := s.stack.number(`SELECT count() FROM v_events WHERE site = 'filled' AND kind = 'offer_shown' AND toUnixTimestamp64Milli(occurred_at) < ` + scrolled + ` + 900`); early != 0 {
		s.Errorf("it was seen before it had been in view for a second")
	}
	p.eval(`document.querySelector('[data-beckon-tell=offer_accepted]').closest('form').addEventListener('submit', e => e.preventDefault()); ''`)
	p.click(`[data-beckon-tell=offer_accepted]`)
	p.click(`[data-beckon-tell=offer_accepted]`)
	s.stores("offer_shown welcome-back by a decision", "offer_accepted welcome-back by a decision")
}

// slotDismissed: it moves nothing of what is in view when it comes, and does not come back, with the next page neither.
func slotDismissed(s *slotShop) {
	p := s.visitor(s.snippet("offer-slot") + `<p>Below.</p>`)
	decided(p, "TARGETING_MATCH")
	p.sees("[data-beckon-offer]", "BACK10")
	if moved := p.eval(`new Promise(done => {
		let sum = 0;
		new PerformanceObserver(list => { for (const shift of list.getEntries()) sum += shift.value }).observe({ type: 'layout-shift', buffered: true });
		requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(String(sum)), 100))); // painted, and listed
	})`); moved != "0" {
		s.Errorf("cumulative layout shift is %s", moved)
	}
	p.click(`[data-beckon-tell=offer_dismissed]`)
	isEmpty(p, "after the dismissal")
	p.open("/")
	decided(p, "TARGETING_MATCH")
	isEmpty(p, "on the next page")
	s.stores("offer_dismissed welcome-back by a decision")
}

// slotWithdrawn: before the network knows of it, the offer is gone.
func slotWithdrawn(s *slotShop) {
	p := s.visitor(s.snippet("offer-slot"))
	decided(p, "TARGETING_MATCH")
	p.sees("[data-beckon-offer]", "BACK10")
	s.front.Fate(func(*storefront.Attempt) storefront.Fate { return storefront.Fate{Status: 503, RetryAfter: 1} })
	p.bears = []string{"503"}
	if kept := p.eval(`typeof sessionStorage['_bk.offer']`); kept != "string" {
		s.Errorf("with consent the tab keeps %s, so nothing is there to go", kept)
	}
	if shown := p.eval(`beckon.consent({ measure: true }); ` + slotText); shown != "" {
		s.Errorf("after the withdrawal the slot shows %q", shown)
	}
	if kept := p.eval(`typeof sessionStorage['_bk.offer']`); kept != "undefined" {
		s.Errorf("after the withdrawal the tab keeps a %s", kept)
	}
	s.front.Fate(nil)
	if lane := p.eval(`new Promise(done => document.addEventListener('beckon:ack', e => done(e.detail.lane)))`); !strings.HasPrefix(lane, "measure") {
		s.Errorf("the lane is %q", lane)
	}
	eventually(s.T, func() error { // what was asked before the collector knew may have been answered for the old lane
		if shown := p.eval(slotText); shown != "" {
			return fmt.Errorf("in the lower lane the slot shows %q", shown)
		}
		return nil
	})
	if kept := p.eval(`typeof sessionStorage['_bk.offer']`); kept != "undefined" {
		s.Errorf("in the lower lane the tab keeps a %s", kept)
	}
}

// slotFollowing: an offer comes by what is done on the page, which asks for nothing and stays.
func slotFollowing(s *slotShop) {
	p := s.visitor(s.snippet("offer-slot"))
	decided(p, "DEFAULT")
	isEmpty(p, "before anything is in the cart")
	p.eval(`window.stayed = true; window.added = 0; ''`)
	eventually(s.T, func() error { // on a machine that is slow today the answer may be too early: then a shopper adds another one
		shown := p.eval(`if (Date.now() - added > 6000) { added = Date.now(); beckon('cart_add', { product: 'mug-blue', quantity: 1 }) } ` + slotText)
		if !strings.Contains(shown, "BACK10") {
			return fmt.Errorf("the slot shows %q", shown)
		}
		return nil
	})
	if stayed := p.eval(`String(window.stayed)`); stayed != "true" {
		s.Error("the page was loaded anew")
	}
}

func slotHeldOut(s *slotShop) {
	p := s.visitor(s.snippet("offer-slot"))
	decided(p, "HOLDOUT")
	isEmpty(p, "in the comparison group")
	p.eval(`new Promise(done => setTimeout(done, 1200)).then(() => beckon('search', { query_length: 1 })).then(() => '')`)
	s.stores("search  0 0 0 1")
}

// slotEveryone: without consent there is the offer that everybody has, and nothing is said to be personal or is kept.
func slotEveryone(s *slotShop) {
	p := s.visitor(s.snippet("offer-slot"))
	p.sees("[data-beckon-offer]", "5% off")
	if shown := p.eval(slotText); strings.Contains(shown, "only for you") {
		s.Errorf("the slot shows %q", shown)
	}
	s.stores("offer_shown hello by itself")
	p.click(`[data-beckon-tell=offer_dismissed]`)
	s.stores("offer_shown hello by itself", "offer_dismissed hello by itself")
	if kept := p.eval(`String(sessionStorage.length)`); kept != "0" {
		s.Errorf("the tab keeps %s things without consent", kept)
	}
}

// slotCard: a slot without a template has ours.
func slotCard(s *slotShop) {
	p := s.visitor(s.snippet("offer-card"))
	decided(p, "TARGETING_MATCH")
	for _, part := range []string{"10% <b>off</b>", "BACK10", "until ", "You came back.", "No, thanks"} {
		p.sees("[data-beckon-offer]", part)
	}
	p.click(`[data-beckon-tell=offer_dismissed]`)
	isEmpty(p, "after the dismissal")
	s.stores("offer_dismissed welcome-back by a decision")
}

// eventsWithoutCode: the page stops its own events, and goes away with them. A visitor's review tells nothing.
func eventsWithoutCode(s *slotShop) {
	const view, add, search, start = "product_view mug-blue 0 12.5 0 0", "cart_add mug-blue 2 12.5 0 0", "search  0 0 0 9", "checkout_start mug-blue 0 12.5 25 0"
	p := s.visitor(s.snippet("events") + s.snippet("events-ignore"))
	s.stores(view) // so the part is there
	p.click(".review a")
	p.eval(`for (const type of ['click', 'submit']) document.querySelector('article').addEventListener(type, e => e.stopPropagation()); ''`)
	p.click("article button")
	p.arrives("/cart?quantity=2") // which looks the same
	s.stores(view, add, view)
	p.eval(`const form = document.querySelector('form[action="/search"]'); form.addEventListener('submit', e => e.preventDefault()); form.requestSubmit(); ''`)
	p.click("article a")
	p.arrives("/checkout")
	s.stores(view, add, view, search, start, view)
	const order = "purchase  0 0 0 0"
	s.visitor(s.snippet("events-order"))
	s.stores(view, add, view, search, start, view, order)
	eventually(s.T, func() error { // orders are a view's, which comes after the event
		if bought := s.stack.number(`SELECT count() FROM v_orders WHERE site = 'events' AND value = 25 AND units = 2`); bought != 1 {
			return fmt.Errorf("%d orders are as the page says", bought)
		}
		return nil
	})
}
