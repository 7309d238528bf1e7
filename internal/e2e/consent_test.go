package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// vendors are consent platforms as a page has them, reduced to what their documentation promises: each is a
// script for the head of the page that makes answer(true) and answer(false), as its banner's buttons would.
var vendors = map[string]string{
	"google": `window.dataLayer = []; function gtag() { dataLayer.push(arguments) }
		const all = value => Object.fromEntries(['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage'].map(word => [word, value]));
		gtag('consent', 'default', { ...all('denied'), wait_for_update: 100 });
		window.answer = yes => gtag('consent', 'update', all(yes ? 'granted' : 'denied'));`,
	"shopify": `const said = { marketing: '', analytics: '', preferences: '', sale_of_data: '' };
		window.Shopify = { loadFeatures(features, done) { setTimeout(() => {
			const ask = name => () => said[name] === 'yes' || name === 'sale_of_data' && said[name] === '';
			Shopify.customerPrivacy = { currentVisitorConsent: () => said, analyticsProcessingAllowed: ask('analytics'),
				marketingAllowed: ask('marketing'), preferencesProcessingAllowed: ask('preferences'), saleOfDataAllowed: ask('sale_of_data') };
			done();
		}) } };
		window.answer = yes => {
			said.marketing = said.analytics = said.preferences = yes ? 'yes' : 'no';
			document.dispatchEvent(new CustomEvent('visitorConsentCollected', { detail: { marketingAllowed: yes, analyticsAllowed: yes } }));
		};`,
	"tcf": `let heard = [], data = { eventStatus: 'cmpuishown', purpose: { consents: {} } };
		const tell = run => run({ tcString: 'CQt-4cAQt-4cAAGABCENB5FsAP_gAEPgAAAALxNX', tcfPolicyVersion: 5, cmpId: 10, cmpVersion: 3, gdprApplies: true, ...data }, true);
		window.__tcfapi = (command, version, run) => { if (command === 'addEventListener') { heard.push(run); tell(run) } };
		const made = (eventStatus, yes) => ({ eventStatus, purpose: { consents: Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(id => [id, yes])) } });
		if (location.pathname.endsWith('/again')) data = made('tcloaded', true);
		window.answer = yes => { data = made('useractioncomplete', yes); heard.forEach(tell) };`,
	"gpp": `let heard = [], ping = { gppVersion: '1.1', cmpId: 31, signalStatus: 'not ready', cmpDisplayStatus: 'visible', applicableSections: [], parsedSections: {} };
		const fire = (eventName, data) => heard.forEach((run, i) => run({ eventName, listenerId: i + 1, data, pingData: ping }, true));
		window.__gpp = (command, run) => { if (command === 'addEventListener') { heard.push(run);
			run({ eventName: 'listenerRegistered', listenerId: heard.length, data: true, pingData: ping }, true) } };
		window.answer = yes => {
			const out = yes ? 2 : 1;
			ping = { ...ping, signalStatus: 'ready', cmpDisplayStatus: 'hidden', applicableSections: [7], parsedSections: { usnat: [
				{ Version: 1, SaleOptOut: out, SharingOptOut: out, TargetedAdvertisingOptOut: out, KnownChildSensitiveDataConsents: [0, 0] }, { SubsectionType: 1, Gpc: false }] } };
			fire('signalStatus', 'ready');
		};`,
}

// dataLayer is what a shop has for GA4: an event from before the tag, and a function for those after it.
const dataLayer = `window.dataLayer = [{ event: 'view_item', ecommerce: { currency: 'EUR', items: [{ item_id: 'mug', price: 12.5 }] } }];
	window.gtag = function () { dataLayer.push(arguments) };`

// startAskingShop serves a page for each vendor from one host with the services, as a proxy of the shop does.
func startAskingShop(t *testing.T) (*stack, string) {
	t.Helper()
	var s *stack
	through := func(pick func() *service) http.Handler {
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: pick().public})
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/px")
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		}}
	}
	mux := http.NewServeMux()
	mux.Handle("/px/v1/", through(func() *service { return s.aggregator }))
	mux.Handle("/px/", through(func() *service { return s.collector }))
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		vendor := strings.Split(r.URL.Path, "/")[1]
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		script, attribute := vendors[vendor], fmt.Sprintf("data-consent=%q", vendor)
		if vendor == "ga4" {
			script, attribute = dataLayer, `data-use="ga4 names"`
		}
		fmt.Fprintf(w, `<!doctype html><head><script>{ %s }</script><script async src="/px/b.js" data-site="asks" %s></script></head>`, script, attribute)
	})
	shop := httptest.NewServer(mux)
	t.Cleanup(shop.Close)
	s = newStack(t)
	s.writeSites(fmt.Sprintf(`sites:
  - id: asks
    origins: [%q]
    currency: EUR
    consent: {default: count, allow: decide}
`, shop.URL))
	s.initKeys()
	s.start()
	return s, shop.URL
}

func TestConsentPlatformsAreFollowed(t *testing.T) {
	s, shop := startAskingShop(t)
	browser := startChromium(t)
	says := func(t *testing.T, want, sql string) {
		t.Helper()
		eventually(t, func() error {
			lines, err := s.query(sql)
			if got := fmt.Sprint(lines); err == nil && got != want {
				err = fmt.Errorf("%s\nis %s, want %s", sql, got, want)
			}
			return err
		})
	}
	for vendor := range vendors {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel() // most of it is waiting until something is loaded
			testVendor(t, newPerson(t, browser, shop), vendor, says)
		})
	}
	t.Run("a choice of an earlier page", func(t *testing.T) {
		t.Parallel()
		newPerson(t, browser, shop).open("/tcf/again?utm_campaign=later")
		says(t, "[[page_view decide later]]", "SELECT kind, lane, utm_campaign FROM events WHERE path = '/tcf/again' AND kind != 'consent'")
		says(t, "[[5/10.3 2026-11-20]]", "SELECT policy, toDate(at) FROM consents WHERE toDate(at) < '2026-11-21'") // as the TC string says
	})
	t.Run("what the shop tells GA4", func(t *testing.T) {
		t.Parallel()
		p := newPerson(t, browser, shop)
		p.open("/ga4/mug")
		views := "SELECT kind, product, price FROM events WHERE path = '/ga4/mug' ORDER BY kind"
		says(t, "[[page_view  \\N] [product_view mug 12.5]]", views)
		p.eval(`gtag('event', 'add_to_cart', { currency: 'EUR', items: [{ item_id: 'pot', price: '3' }] }); beckon('product_removed_from_cart', { product: 'lid', price: 1 }); ''`)
		says(t, "[[cart_add pot 3] [cart_remove lid 1] [page_view  \\N] [product_view mug 12.5]]", views)
	})
}

// testVendor: a visitor lands from a campaign, is asked, goes on to a second page without a load, says yes there,
// and takes it back. Each page is viewed once, in lane count, and the visit comes from the campaign.
func testVendor(t *testing.T, p *person, vendor string, says func(t *testing.T, want, sql string)) {
	landing, second := "/"+vendor+"/landing", "/"+vendor+"/second"
	views := "SELECT path, lane FROM events WHERE kind = 'page_view' AND path IN ('" + landing + "', '" + second + "') ORDER BY path"
	viewed := "[[" + landing + " count] [" + second + " count]]"
	p.open(landing + "?utm_source=spring&utm_medium=email&utm_campaign=" + vendor)
	p.eval(`history.pushState({}, '', '` + second + `'); ''`)
	says(t, viewed, views)
	if cookies := p.cookies(); len(cookies) > 0 {
		t.Errorf("before anybody chose there are cookies: %v", cookies)
	}
	cookie := func(want bool) {
		t.Helper()
		eventually(t, func() error {
			if got := p.cookies()["_bk_asks"] != nil; got != want {
				return fmt.Errorf("the visitor has a cookie: %v, want %v", got, want)
			}
			return nil
		})
	}
	p.eval(`answer(true); ''`)
	cookie(true)
	p.eval(`beckon('product_view', { product: '` + vendor + `' }); ''`)
	from := " WHERE utm_campaign = '" + vendor + "'"
	says(t, "[[0 1 spring email email]]", "SELECT pageviews, product_views, utm_source, utm_medium, channel FROM v_sessions"+from)
	says(t, "[[0 1 spring email]]", "SELECT pageviews, product_views, utm_source, utm_medium FROM v_visitors"+from)
	p.eval(`answer(false); ''`)
	cookie(false)
	p.eval(`beckon('search', { query_length: 4 }); ''`)
	says(t, "[[count denied]]", "SELECT lane, cause FROM events WHERE kind = 'search' AND path = '"+second+"'")
	says(t, "[[count] [decide]]", "SELECT DISTINCT choice FROM consents WHERE source = '"+vendor+"' ORDER BY choice")
	says(t, viewed, views)
}
