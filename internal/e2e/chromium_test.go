package e2e_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"beckon/internal/chromium"
)

const userAgent = chromium.UserAgent

// startChromium returns the context of a running browser, which ends with the test.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	browser, stop, err := chromium.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop Chromium: %v", err)
		}
	})
	return browser
}

// person is somebody with a browser profile of their own, in the shop. What goes wrong unseen, an error
// in the console or a request to another host, is kept and fails the test at its end.
type person struct {
	t    *testing.T
	ctx  context.Context
	shop *url.URL

	mu     sync.Mutex
	faults []string
	bears  []string // words of faults that the test brings about itself
	also   string   // a host that may be asked too, see goesTo
}

// newPerson opens an empty tab.
func newPerson(t *testing.T, browser context.Context, shop string) *person {
	t.Helper()
	at, err := url.Parse(shop)
	if err != nil {
		t.Fatal(err)
	}
	return openTab(t, browser, at, chromedp.WithNewBrowserContext())
}

// tab opens another one of the same person: in the same window it hides the first.
func (p *person) tab(ownWindow bool) *person {
	p.t.Helper()
	return openTab(p.t, p.ctx, p.shop, chromedp.WithNewWindow(ownWindow))
}

func openTab(t *testing.T, parent context.Context, shop *url.URL, option chromedp.ContextOption) *person {
	t.Helper()
	p := &person{t: t, shop: shop}
	ctx, cancel := chromedp.NewContext(parent, option, chromedp.WithListener(p.watch))
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.picture("failed")
		}
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Error(fault)
		}
	})
	command(p, network.Enable, network.EnableParams{})
	return p
}

// watch hears all that the browser tells of the tab.
func (p *person) watch(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.fault("console: %s", asJSON(e.Args))
		}
	case *runtime.EventExceptionThrown:
		p.fault("uncaught: %s", asJSON(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.fault("console: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.mu.Lock()
		also := p.also
		p.mu.Unlock()
		if to, err := url.Parse(e.Request.URL); err != nil || to.Host != p.shop.Host && (to.Host != also || also == "") {
			p.fault("a request to another host: %s", e.Request.URL)
		}
	}
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *person) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(p.bears, func(word string) bool { return strings.Contains(fault, word) }) {
		p.faults = append(p.faults, fault)
	}
}

// open types an address.
func (p *person) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.shop.JoinPath("/").String() + strings.TrimPrefix(path, "/")))
	p.arrives(path)
}

// follow clicks what brings another page.
func (p *person) follow(selector, path string) {
	p.t.Helper()
	p.click(selector)
	p.arrives(path)
}

// click waits for the element to be visible first.
func (p *person) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// arrives waits until the page with that path and query has loaded, scripts included. A page that is
// about to go away cannot be asked, so a failed question is asked again.
func (p *person) arrives(path string) {
	p.t.Helper()
	eventually(p.t, func() error {
		at, err := p.tryEval(`document.readyState + ' ' + location.pathname + location.search`)
		if want := "complete " + path; err != nil || at != want {
			return fmt.Errorf("the page is %q (%v), want %q", at, err, want)
		}
		return nil
	})
}

// sees waits until the element is visible and its text holds want.
func (p *person) sees(selector, want string) {
	p.t.Helper()
	eventually(p.t, func() error {
		text, err := p.tryEval(fmt.Sprintf(`(e => e?.checkVisibility() ? e.innerText : '(nothing)')(document.querySelector(%q))`, selector))
		if err != nil || !strings.Contains(text, want) {
			return fmt.Errorf("%s shows %q (%v), want %q", selector, text, err, want)
		}
		return nil
	})
}

// text is what the element shows now.
func (p *person) text(selector string) string {
	p.t.Helper()
	return p.eval(fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

// visitor is the start of the person's id, 16 hexadecimal digits, as the panel shows it.
func (p *person) visitor() (id string) {
	p.t.Helper()
	eventually(p.t, func() error {
		if id = p.text("#seen-visitor"); len(id) != 16 {
			return fmt.Errorf("the panel shows the visitor as %q", id)
		}
		return nil
	})
	return id
}

// eval returns the text that a script of the page's own gives, or promises.
func (p *person) eval(script string) string {
	p.t.Helper()
	text, err := p.tryEval(script)
	if err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
	return text
}

func (p *person) tryEval(script string) (string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, factLimit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
}

// cookies are those that the browser would send to the shop, by name, those included that scripts cannot see.
func (p *person) cookies() map[string]*network.Cookie {
	p.t.Helper()
	found, err := chromedp.Call(p.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{p.shop.String()}})
	if err != nil {
		p.t.Fatalf("read cookies: %v", err)
	}
	all := make(map[string]*network.Cookie)
	for _, c := range found.Cookies {
		all[c.Name] = c
	}
	return all
}

// picture keeps what the person sees, for `go test -artifacts`.
func (p *person) picture(name string) {
	p.t.Helper()
	if kept := flag.Lookup("test.artifacts"); kept == nil || kept.Value.String() != "true" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, factLimit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Logf("no picture %s: %v", name, err)
	}
}

func (p *person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, factLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

// command is one of the browser's own, without an answer.
func command[P any](p *person, c cdp.Command[P, cdp.Empty], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatalf("browser: %s: %v", c.Method, err)
	}
}
