package e2e_test

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/chromedp/chromedp"

	"beckon/internal/storefront"
	pixeljs "beckon/pixel-js"
)

// tagBlocked: with an endpoint that something on the way blocks, the page works and an answer is there.
func tagBlocked(c *tagPage) {
	c.page("", usual)
	c.front.Fate(func(a *storefront.Attempt) storefront.Fate {
		return storefront.Fate{Cut: !strings.HasSuffix(a.URL.Path, "/b.js")}
	})
	p := c.visitor("start", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
	if reason := p.eval(`beckon('search', { query_length: 1 }); beckon.consent({ decide: true }); beckon.decision().then(d => d.eligible + ' ' + d.reason)`); reason != "false ERROR" {
		c.Errorf("the decision without a service is %q, want false ERROR", reason)
	}
	c.front.Fate(nil)
	c.stores("page_view start", "search 1") // the block was lifted in time
}

// tagNoScript: with the tag itself blocked, the calls to the stub do nothing, and nothing fails.
func tagNoScript(c *tagPage) {
	c.page("", usual, `<script>beckon('search', { query_length: 1 }); beckon('consent', { decide: true }); beckon('decision', d => { throw d })</script>`)
	c.front.Fate(func(*storefront.Attempt) storefront.Fate { return storefront.Fate{Cut: true} })
	p := c.visitor("start", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
	if is := p.eval(`typeof beckon + ' ' + typeof beckon.decision`); is != "function undefined" {
		c.Errorf("beckon is %s, want the stub", is)
	}
	c.stores()
}

// tagNoStorage: storage that throws at a glance is as good as none.
func tagNoStorage(c *tagPage) {
	c.page("", `<script>
		for (const name of ['sessionStorage', 'localStorage', 'indexedDB', 'caches']) {
			Object.defineProperty(window, name, { get() { throw new DOMException('Access is denied for this document.', 'SecurityError') } });
		}
	</script>`, usual)
	p := c.visitor("start")
	p.eval(`beckon('search', { query_length: 1 }); location.assign('next'); ''`)
	p.arrives("/nostorage/next")
	c.stores("page_view start", "search 1", "page_view next")
}

// tagTwice: a second tag on the page is ignored, one of another address too.
func tagTwice(c *tagPage) {
	c.page("", usual, usual, strings.Replace(usual, "b.js", "b.js?again", 1))
	p := c.visitor("start")
	p.eval(`beckon('search', { query_length: 1 }); history.pushState({}, '', 'next'); ''`)
	c.stores("page_view start", "search 1", "page_view next")
}

// tagFrames: in a frame the tag counts the frame's page and leaves the page around it alone. A sandboxed frame has no
// origin, and the collector takes nothing from there.
func tagFrames(c *tagPage) {
	c.page("inner", usual)
	c.page("other", usual)
	elsewhere := otherName(c.front) // another site: cookies are not sent
	c.page("start", `<iframe src="inner"></iframe><iframe src="`+elsewhere+`/frames/other"></iframe>
		<iframe sandbox="allow-scripts" src="lonely"></iframe>`)
	c.page("lonely", usual)
	p := newPerson(c.T, c.browser, c.front.Origin())
	p.bears = []string{"CORS", "ERR_FAILED", "status of 403"} // of the sandboxed frame
	p.also = strings.TrimPrefix(elsewhere, "http://")
	p.open("/frames/start")
	if is := p.eval(`typeof window.beckon + ' ' + typeof frames[0].beckon.decision`); is != "undefined function" {
		c.Errorf("beckon is %s, want nothing around the frame and the tag in it", is)
	}
	c.answered(1, http.StatusForbidden)
	for _, r := range c.front.Requests() {
		if lonely := strings.Contains(r.Body, "/frames/lonely"); r.Status != 0 && lonely != (r.Status == http.StatusForbidden) {
			c.Errorf("answered %d: %s", r.Status, r.Body)
		}
	}
	c.stores("page_view inner", "page_view other")
}

// tagHostile: a page that has filled the prototypes of all objects is told of as any other.
func tagHostile(c *tagPage) {
	c.page("", `<script>
		const evil = { n: 'evil', i: 'evil', r: 'https://evil.example/', p: 'evil', w: true, c: 'evil', at: 1, method: 'DELETE', body: 'evil',
			mode: 'no-cors', headers: { evil: 'evil' }, signal: 'evil', decide: true, site: 'evil', endpoint: 'https://evil.example', use: 'evil', consent: 'evil', hash: 'evil', debug: 'evil' };
		for (const name in evil) Object.prototype[name] = evil[name];
		for (const of of [Object, Array, String]) Object.defineProperty(of.prototype, 'toJSON', { configurable: true, enumerable: true, value: () => 'evil' });
		Object.defineProperty(Object.prototype, 'unheard', { enumerable: true, set() { throw new Error('evil') }, get() { throw new Error('evil') } });
		Array.prototype.evil = 'evil';
	</script>`, usual)
	p := c.visitor("start")
	p.eval(`beckon('search', { query_length: 1 }); history.pushState(null, '', 'next'); ''`)
	c.stores("page_view start", "search 1", "page_view next")
	for _, r := range c.front.Requests() {
		if strings.Contains(r.Body, "evil") {
			c.Errorf("the page's prototypes were sent: %s", r.Body)
		}
	}
}

const nonce = "c2VjcmV0LW9mLW9uZS1yZXBseQ"

// nonced is usual, with the nonce that the page's policy asks for.
var nonced = strings.ReplaceAll(usual, "<script", `<script nonce="`+nonce+`"`)

// tagPolicy: a policy that allows scripts by nonce alone, nothing inline and no eval, needs no exception for the tag.
func tagPolicy(c *tagPage) {
	policy := []string{"Content-Security-Policy", "default-src 'none'; img-src data:; script-src 'nonce-" + nonce + "' 'strict-dynamic'; connect-src 'self'; base-uri 'none'; form-action 'none'; report-uri /policy/report"}
	c.pageWith(policy, "", nonced, `<script nonce="`+nonce+`">beckon('search', { query_length: 1 }); addEventListener('securitypolicyviolation', e => console.error(e.violatedDirective))</script>`)
	p := c.visitor("start")
	if reason := p.eval(`beckon.decision().then(d => d.reason)`); reason == "ERROR" {
		c.Errorf("no decision under the policy")
	}
	c.stores("page_view start", "search 1")
}

// tagTrusted: a page that lets no string become code finds none in the tag.
func tagTrusted(c *tagPage) {
	c.pageWith([]string{"Content-Security-Policy", "require-trusted-types-for 'script'; trusted-types 'none'"}, "", usual)
	p := c.visitor("start")
	p.eval(`beckon('search', { query_length: 1 }); beckon.decision().then(() => '')`)
	c.stores("page_view start", "search 1")
}

// tagIntegrity: the immutable file may be pinned by its hash, and is served for other origins too.
func tagIntegrity(c *tagPage) {
	core := pixeljs.Core()
	sum := sha512.Sum384(core.Script)
	immutable := "b." + core.Hash() + ".js"
	pinned := strings.Replace(storefront.Tag("tag", `crossorigin="anonymous" integrity="sha384-`+base64.StdEncoding.EncodeToString(sum[:])+`"`), "b.js", immutable, 1)
	c.page("", storefront.Stub, pinned)
	c.page("broken", storefront.Stub, strings.Replace(pinned, "sha384-", "sha384-AAAA", 1))
	p := c.visitor("start")
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	c.stores("page_view start", "search 1")
	reply, err := http.Get(c.front.Origin() + "/px/" + immutable)
	if err != nil {
		c.Fatal(err)
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, reply.Body)
	if got := reply.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		c.Errorf("Access-Control-Allow-Origin of the pinned file is %q, want *", got)
	}
	p.bears = []string{"integrity"}
	p.open("/integrity/broken")
	if is := p.eval(`typeof beckon.decision`); is != "undefined" {
		c.Errorf("a tag with another hash has run")
	}
}

// tagTidy: one global, no cookie that scripts see, nothing kept in the browser before the lane allows it.
func tagTidy(c *tagPage) {
	c.page("", `<script>before = new Set(Object.getOwnPropertyNames(window))</script>`, storefront.Tag("tag"))
	held := make(chan struct{})
	c.front.Fate(first(1, storefront.Fate{Hold: held}))
	p := c.visitor("start")
	c.sent(1)
	p.eval(`beckon('search', { query_length: 1 }); ''`)
	if kept := p.eval(`String(sessionStorage.length)`); kept != "0" {
		c.Errorf("%s things are in the tab's storage before the collector has told a lane", kept)
	}
	close(held)
	p.eval(`beckon.decision().then(() => '')`)
	c.stores("page_view start", "search 1")
	eventually(c.T, func() error { // in this lane what waits may be kept: nothing does
		if kept := p.eval(`JSON.stringify(sessionStorage)`); kept != "{}" {
			return fmt.Errorf("the tab's storage still has %s", kept)
		}
		return nil
	})
	if names := p.eval(`Object.getOwnPropertyNames(window).filter(n => !before.has(n) && n !== 'before').join()`); names != "beckon" {
		c.Errorf("new globals are %s, want beckon alone", names)
	}
	if kept := p.eval(`indexedDB.databases().then(d => [document.cookie, localStorage.length, d.length, document.scripts.length, document.querySelectorAll('body *').length].join('|'))`); kept != "|0|0|2|0" {
		c.Errorf("cookie, local storage, databases, scripts and elements are %s, want none but the page's two scripts", kept)
	}
	if cookie := p.cookies()["_bk_tag"]; cookie == nil || !cookie.HTTPOnly {
		c.Errorf("visitor cookie %+v, want one that scripts cannot read", cookie)
	}
}

// tagUndelayed: a collector that hangs for ever holds up no click and no form.
func tagUndelayed(c *tagPage) {
	c.page("", usual, `<a id="link" href="linked">link</a><form action="sent"><button id="button">send</button></form><script>
		for (const type of ['click', 'submit']) addEventListener(type, e => { beckon('search', { query_length: 1 }); localStorage.seen = (localStorage.seen || '') + type + ' ' + e.defaultPrevented + ', ' });
	</script>`)
	held := make(chan struct{})
	c.front.Fate(func(a *storefront.Attempt) storefront.Fate {
		if a.Number == 0 {
			return storefront.Fate{}
		}
		return storefront.Fate{Hold: held}
	})
	p := c.visitor("start")
	c.sent(1)
	p.follow("#link", "/undelayed/linked")
	p.do(chromedp.Click(chromedp.CSS("#button")))
	p.arrives("/undelayed/sent")
	if seen := p.eval(`localStorage.seen`); seen != "click false, click false, submit false, " {
		c.Errorf("what the visitor did, and whether it was prevented: %s", seen)
	}
	for _, r := range c.front.Requests() {
		if r.Status != 0 {
			c.Errorf("a request was answered meanwhile: %+v", r)
		}
	}
	close(held)
	c.front.Fate(nil)
	c.stores("page_view start", "search 1", "page_view linked", "search 1", "search 1", "page_view sent")
}
