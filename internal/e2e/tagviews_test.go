package e2e_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"

	"beckon/internal/storefront"
)

// usual is how a shop brings the tag, with the stub in front.
var usual = storefront.Stub + storefront.Tag("tag")

// withoutNavigation is the case in a browser that has no Navigation API, as Firefox and Safari had none until lately.
func withoutNavigation(run func(*tagPage)) func(*tagPage) {
	return func(c *tagPage) {
		c.head = `<script>Object.defineProperty(window, 'navigation', { value: undefined })</script>`
		run(c)
	}
}

// watched waits until the tag's first request is there: by then it follows the page's router, with or without the API.
func (c *tagPage) watched(p *person) {
	c.Helper()
	c.sent(1)
	if has := p.eval(`String(Boolean(window.navigation))`); has != fmt.Sprint(c.head == "") {
		c.Fatalf("the Navigation API is there: %s", has)
	}
}

// tagHistory: a page without a load is a page view when its address is another one, and only then.
func tagHistory(c *tagPage) {
	c.page("", usual)
	p := c.visitor("start")
	c.watched(p)
	p.eval(`history.pushState({}, '', 'a'); history.replaceState({ scroll: 10 }, '', location.href); ''`)
	p.eval(`history.replaceState({}, '', 'a?page=2'); history.replaceState({}, '', 'b?page=2'); location.hash = 'reviews'; ''`)
	p.eval(`history.go(-2); ''`)
	p.arrives("/" + c.name + "/start")
	p.eval(`history.forward(); ''`)
	p.arrives("/" + c.name + "/b?page=2")
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.stores("page_view start", "page_view a", "page_view a", "page_view b", "page_view start", "page_view b", "search 1")
}

// tagNavigation: a router on the Navigation API is followed as one on the history API is.
func tagNavigation(c *tagPage) {
	c.page("", usual, `<script>navigation.addEventListener('navigate', e => { if (e.canIntercept) e.intercept() })</script><a id="link" href="b">b</a>`)
	p := c.visitor("start")
	p.eval(`navigation.navigate('a').finished.then(() => navigation.navigate('a', { history: 'replace', state: 1 }).finished).then(() => '')`)
	p.follow("#link", "/navigation/b")
	p.eval(`navigation.back().finished.then(() => '')`)
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.stores("page_view start", "page_view a", "page_view b", "page_view a", "search 1")
}

// tagHash: with data-hash a router that keeps its path behind the # is followed.
func tagHash(c *tagPage) {
	c.page("", storefront.Stub, storefront.Tag("tag", `data-hash="/#/"`))
	p := c.visitor("")
	c.watched(p)
	p.eval(`location.hash = '#/one'; ''`)
	p.eval(`location.hash = '#/two'; ''`)
	p.eval(`history.back(); ''`)
	eventually(c.T, func() error {
		if at, err := p.tryEval(`location.hash`); err != nil || at != "#/one" {
			return fmt.Errorf("the page is at %q (%v)", at, err)
		}
		return nil
	})
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.stores("page_view ", "page_view one", "page_view two", "page_view one", "search 1")
}

// tagCached: a page that comes back from the browser's cache is seen again, once, and is as alive as before.
func tagCached(c *tagPage) {
	c.page("", usual)
	p := c.visitor("start")
	p.eval(`addEventListener('pageshow', e => { window.fromCache = e.persisted }); ''`)
	p.eval(`location.assign('next'); ''`)
	p.arrives("/cached/next")
	p.eval(`history.back(); ''`)
	p.arrives("/cached/start")
	if cached := p.eval(`String(window.fromCache)`); cached != "true" {
		c.Errorf("the page came back with persisted = %s: not from the back/forward cache, which the tag must not spoil", cached)
	}
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	p.eval(`history.forward(); ''`)
	p.arrives("/cached/next")
	c.stores("page_view start", "page_view next", "page_view start", "search 1", "page_view next")
}

// tagPrerender: a page that is rendered ahead of time asks and tells nothing until somebody comes to see it. The pages
// drive themselves: Chromium renders nothing ahead for a tab that a debugger is attached to.
func tagPrerender(c *tagPage) {
	c.page("start", usual, `<script type="speculationrules">{"prerender":[{"source":"list","urls":["/prerender/ahead"],"eagerness":"immediate"}]}</script><script>
		const look = async () => (await fetch('go')).ok ? location.assign('ahead') : setTimeout(look, 50);
		look();
	</script>`)
	c.page("ahead", `<script>
		addEventListener('load', () => setTimeout(() => fetch(document.prerendering ? 'ready' : 'late'), 500)); // the tag would have sent by then
		document.addEventListener('prerenderingchange', () => fetch('activated'));
	</script>`, usual, `<script>beckon('search', { query_length: 1 }); beckon('decision', () => fetch('decided'))</script>`)
	for _, said := range []string{"ready", "late", "activated", "decided"} {
		c.page(said)
	}
	served := func(path string) {
		c.Helper()
		eventually(c.T, func() error {
			if c.front.Served("/prerender/"+path) == 0 {
				return fmt.Errorf("no page has asked for %s", path)
			}
			return nil
		})
	}
	profile, err := chromedp.CallBrowser(c.browser, target.CreateBrowserContext, target.CreateBrowserContextParams{})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		_, _ = chromedp.CallBrowser(c.browser, target.DisposeBrowserContext, target.DisposeBrowserContextParams(profile))
	})
	if _, err := chromedp.CallBrowser(c.browser, target.CreateTarget, target.CreateTargetParams{
		URL: c.front.Origin() + "/prerender/start", BrowserContextID: profile.BrowserContextID,
	}); err != nil {
		c.Fatal(err)
	}
	served("ready")
	c.stores("page_view start")
	for _, r := range c.front.Requests() {
		if strings.Contains(r.Body, "ahead") {
			c.Errorf("a page that nobody sees has sent %s", r.Body)
		}
	}
	if c.front.Served("/prerender/decided") != 0 {
		c.Error("a page that nobody sees has asked for a decision")
	}
	c.page("go")
	served("activated")
	served("decided")
	c.stores("page_view start", "page_view ahead", "search 1")
}

// tagTabs: two tabs are one visitor in one session, and tell everything once.
func tagTabs(c *tagPage) {
	c.page("", usual)
	p := c.visitor("one")
	c.answered(1, 204) // two tabs without a cookie would be two visitors, as the tag's page says
	other := p.tab(true)
	other.open("/tabs/two")
	for i, tab := range []*person{p, other, p, other} {
		tab.eval(fmt.Sprintf(`beckon('search', { query_length: %d }); ''`, i+1))
	}
	other.eval(`location.assign('three'); ''`)
	other.arrives("/tabs/three")
	c.stores("page_view one", "page_view two", "page_view three", "search 1", "search 2", "search 3", "search 4")
	who, err := c.stack.query(`SELECT uniqExact(visitor), uniqExact(session), min(lane) FROM events WHERE startsWith(path, '/tabs/')`)
	if err != nil {
		c.Fatal(err)
	}
	if want := []string{"1", "1", "decide"}; !slices.Equal(who[0], want) {
		c.Errorf("visitors, sessions and lane of two tabs are %q, want %q", who[0], want)
	}
}

// tagHidden: a page that goes out of sight tells what it has not brought yet, though its first request hangs.
func tagHidden(c *tagPage) {
	c.page("", usual)
	held := make(chan struct{})
	c.front.Fate(first(1, storefront.Fate{Hold: held, Cut: true}))
	p := c.visitor("start")
	c.sent(1)
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	p.tab(false).open("/hidden/other") // with a tag of its own
	c.stores("page_view start", "search 1", "page_view other")
	close(held)
}

// tagClosed: what is told in a tab's last moment arrives, whoever closes it.
func tagClosed(c *tagPage) {
	c.page("", usual)
	c.page("early", usual, `<script>addEventListener('pagehide', () => beckon('search', { query_length: 3 }))</script>`)
	p := c.visitor("start")
	leaving := p.tab(true)
	leaving.open("/closed/leaving")
	leaving.eval(`beckon('search', { query_length: 1 }); location.assign('early'); ''`)
	leaving.arrives("/closed/early")
	leaving.eval(`beckon('search', { query_length: 2 }); ''`)
	command(leaving, page.Close, cdp.Empty{})
	c.stores("page_view start", "page_view leaving", "search 1", "page_view early", "search 2", "search 3")
}
