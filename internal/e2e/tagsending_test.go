package e2e_test

import (
	"strings"
	"time"

	"beckon/internal/storefront"
)

// tagStub: what is called before the tag is there, consent included, goes with the first request.
func tagStub(c *tagPage) {
	c.page("", storefront.Stub, `<script>
		beckon('consent', { decide: true, measure: true, src: 'early' });
		beckon('search', { query_length: 1 });
		beckon('decision', d => { window.decided = d.reason });
		window.early = beckon;
	</script>`, storefront.Tag("tag"))
	p := c.visitor("start")
	p.eval(`early('search', { query_length: 2 }); ''`) // a page that has kept the stub
	c.stores("page_view start", "search 1", "search 2")
	if body := c.front.Requests()[0].Body; !strings.Contains(body, `"page_view"`) || !strings.Contains(body, `"search"`) || !strings.Contains(body, `"src":"early"`) {
		c.Errorf("the first request is %s, want the page view, the early event and the early choice", body)
	}
	p.eval(`new Promise(done => { const look = () => window.decided ? done(decided) : setTimeout(look, 20); look() })`)
}

// tagFirstReply: nothing follows the first request until its reply has set the cookie.
func tagFirstReply(c *tagPage) {
	c.page("", usual)
	held := make(chan struct{})
	c.front.Fate(first(1, storefront.Fate{Hold: held}))
	p := c.visitor("start")
	c.sent(1)
	p.eval(`for (let i = 1; i <= 25; i++) beckon('search', { query_length: 7 }); ''`)
	p.eval(`new Promise(done => setTimeout(done, 600, ''))`) // twice the time in which a batch is gathered
	if n := len(c.front.Requests()); n != 1 {
		c.Errorf("%d requests before the first reply", n)
	}
	close(held)
	all := c.sent(2)
	if all[0].Cookie != "" || !strings.Contains(all[1].Cookie, "_bk_tag=") {
		c.Errorf("cookies of the first two requests are %q and %q, want none and the visitor's", all[0].Cookie, all[1].Cookie)
	}
	want := []string{"page_view start"}
	for range 25 {
		want = append(want, "search 7")
	}
	c.stores(want...)
	if n := c.stack.number(`SELECT uniqExact(visitor) FROM events WHERE startsWith(path, '/firstreply/')`); n != 1 {
		c.Errorf("one visitor was taken for %d", n)
	}
}

// tagOffline: what happens without a network is told when it is there again.
func tagOffline(c *tagPage) {
	c.page("", usual)
	p := c.visitor("start", "ERR_INTERNET_DISCONNECTED")
	c.answered(1, 204)
	p.offline(true)
	p.eval(`beckon('search', { query_length: 1 }); history.pushState({}, '', 'away'); ''`)
	p.eval(`new Promise(done => setTimeout(done, 600, ''))`) // a request has failed
	if n := len(c.front.Requests()); n != 1 {
		c.Errorf("%d requests came from a browser without a network", n-1)
	}
	p.offline(false)
	c.stores("page_view start", "search 1", "page_view away")
}

// tagLostReply: a request that was taken and whose reply was lost is sent again and counted once.
func tagLostReply(c *tagPage) {
	c.page("", usual)
	c.front.Fate(first(2, storefront.Fate{LoseReply: true}))
	p := c.visitor("start", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.sent(3)
	c.stores("page_view start", "search 1")
}

// tagRetryAfter: 429 and 503 are sat out for as long as they ask, and nothing is lost.
func tagRetryAfter(c *tagPage) {
	c.page("", usual)
	c.front.Fate(func(a *storefront.Attempt) storefront.Fate {
		switch a.Number {
		case 1:
			return storefront.Fate{Status: 503, RetryAfter: 2}
		case 2:
			return storefront.Fate{Status: 429, RetryAfter: 3}
		}
		return storefront.Fate{}
	})
	p := c.visitor("start", "status of 503", "status of 429")
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	all := c.sent(3)
	for i, pause := range []time.Duration{2 * time.Second, 3 * time.Second} {
		if waited := all[i+1].At.Sub(all[i].At); waited < pause {
			c.Errorf("request %d came %s after one that was to be left alone for %s", i+2, waited, pause)
		}
	}
	c.stores("page_view start", "search 1")
}

// tagReload: in lane decide what could not be brought survives a reload, and is told by the next page.
func tagReload(c *tagPage) {
	c.page("", usual)
	p := c.visitor("start", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
	c.answered(1, 204)
	c.front.Fate(dead)
	p.eval(`beckon('search', { query_length: 1 }); location.assign('next'); ''`)
	p.arrives("/reload/next")
	c.front.Fate(nil)
	c.stores("page_view start", "search 1", "page_view next")
}

// tagDenied: who has denied leaves nothing behind in the browser, whatever could not be brought.
func tagDenied(c *tagPage) {
	c.page("", usual)
	c.page("bare")
	p := c.visitor("start", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
	c.answered(1, 204)
	p.eval(`beckon('consent', { decide: false, measure: false }); ''`)
	c.answered(2, 204)
	c.front.Fate(dead)
	p.eval(`beckon('search', { query_length: 1 }); location.assign('bare'); ''`)
	p.arrives("/denied/bare")
	if kept := p.eval(`[sessionStorage.length, localStorage.length, document.cookie].join()`); kept != "0,0," {
		c.Errorf("kept after a denial: %s", kept)
	}
	for name := range p.cookies() {
		if strings.HasPrefix(name, "_bk_") {
			c.Errorf("cookie %s is there after a denial", name)
		}
	}
	c.stores("page_view start")
}

// dead ends every connection that brings events.
func dead(a *storefront.Attempt) storefront.Fate { return storefront.Fate{Cut: a.Number > 0} }

// tagRefused: what the collector refuses for good is not sent again.
func tagRefused(c *tagPage) {
	c.page("", usual)
	c.front.Fate(first(1, storefront.Fate{Status: 400}))
	p := c.visitor("start", "status of 400")
	c.answered(1, 400)
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.stores("search 1")
}

// tagKilled: the collector dies in mid-session, with replies on their way, and comes back.
func tagKilled(c *tagPage) {
	c.front.Fate(nil)
	c.page("", usual)
	p := c.visitor("start", "status of 502")
	before := len(c.sent(1))
	c.answered(before, 204)
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.sent(before + 1) // perhaps it was taken, perhaps not
	c.stack.collector.kill()
	p.eval(`beckon('search', { query_length: 2 }); history.pushState({}, '', 'down'); ''`)
	c.answered(1, 502)
	c.stack.collector.start()
	p.eval(`beckon('search', { query_length: 3 }); ''`)
	c.stores("page_view start", "search 1", "search 2", "page_view down", "search 3")
}
