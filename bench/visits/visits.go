// Package visits counts what a tag loses: people go through a shop in a real browser, each with a plan drawn from a seed,
// have trouble with the network, and leave in the midst of it. A ground truth that the page keeps is held against what is stored.
//
// # What counts as told
//
// The page notes every event in the same task in which it tells the tag: in a cookie of its own that no request carries,
// whose writing needs no network and outlives the tab. (What a debugger is told by a page in its last moment can be lost: that was
// tried first.) What was called before the tag had loaded counts from the moment in which the tag takes it over; when the tab is closed
// before that, no tag could know of it, and the calls are counted apart. An event that is stored and was never noted would show
// that the truth is not one.
//
// # How tabs are closed
//
// By Page.close (what Playwright's page.close({runBeforeUnload: true}) sends) or by Target.closeTarget (its page.close()), drawn by
// the plan. In both Chromium runs the page's own ending: seen with version 156, pagehide comes while the page is still visible, then
// visibilitychange with "hidden"; Page.close runs beforeunload first. Nothing waits for requests: those that are to outlive
// the page must do so by themselves. The browser itself runs on, as it does on a phone or a desk.
//
// # How one visitor is told from another
//
// Each has a host name of their own, vN.localhost, and so a cookie of their own, in one profile: a profile for each would cost four times
// the processor time. All names lead to this machine.
package visits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"beckon/internal/storefront"
)

// Flags make the browser cheap: small windows, few processes. What pages see of their end is not changed by them.
var Flags = []chromedp.ExecAllocatorOption{
	chromedp.WindowSize(300, 200),
	chromedp.Flag("renderer-process-limit", "4"),
	chromedp.Flag("disable-site-isolation-trials", true),
	chromedp.Flag("disable-features", "IsolateOrigins,site-per-process,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"),
	chromedp.Flag("disable-renderer-backgrounding", true),
	chromedp.Flag("disable-backgrounding-occluded-windows", true),
	chromedp.Flag("disable-background-timer-throttling", true),
}

// Config says who comes.
type Config struct {
	Front  *storefront.Front
	Site   string
	Seed   uint64 // the same seed makes the same plans
	Visits int
	AtOnce int
}

// Visit is one that is over.
type Visit struct {
	Number uint64
	Ending Ending
	Told   []string // what the tag has taken: "page_view 0", "search 1"
	Early  int      // calls to the stub that no tag has ever taken
	Plan   string
}

// Run makes the visits and returns when the last tab is closed. Requests may still be on their way.
func Run(ctx context.Context, browser context.Context, c Config) ([]Visit, error) {
	r := &run{Config: c, browser: browser, troubles: map[string]trouble{}, down: map[string][2]time.Time{}}
	c.Front.Fate(r.fate)
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		faults error
	)
	numbers := make(chan uint64)
	for range c.AtOnce {
		wait.Go(func() {
			for n := range numbers {
				if err := r.visit(ctx, n); err != nil {
					mu.Lock()
					faults = errors.Join(faults, fmt.Errorf("visit %d: %w", n, err))
					mu.Unlock()
				}
			}
		})
	}
	for n := range uint64(c.Visits) {
		mu.Lock()
		failed := faults != nil
		mu.Unlock()
		if failed || ctx.Err() != nil {
			break
		}
		numbers <- n + 1
	}
	close(numbers)
	wait.Wait()
	if err := errors.Join(faults, ctx.Err()); err != nil {
		return nil, err
	}
	if err := r.closeRest(); err != nil {
		return nil, err
	}
	return r.truth()
}

type run struct {
	Config
	browser context.Context

	mu       sync.Mutex
	troubles map[string]trouble      // by host name
	down     map[string][2]time.Time // from when to when nothing arrived, by host name
}

func (r *run) fate(a *storefront.Attempt) storefront.Fate {
	if a.Number == 0 {
		return storefront.Fate{} // only events have trouble: without a tag nothing is told
	}
	host, _, _ := strings.Cut(a.Host, ".")
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.troubles[host].fate()
}

func (r *run) set(host string, t trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t == none {
		delete(r.troubles, host)
	} else {
		r.troubles[host] = t
	}
}

// visit is one, from the opening of the tab to its end.
func (r *run) visit(ctx context.Context, number uint64) error {
	p, host := newPlan(r.Seed, number), hostOf(number)
	r.Front.Page("/"+host+"/", p.page(r.Site))
	opened, err := chromedp.CallBrowser(r.browser, target.CreateTarget, target.CreateTargetParams{
		URL: "http://" + host + ".localhost:" + r.Front.Port() + "/" + host + "/0",
	})
	if err != nil {
		return err
	}
	t := &tab{id: opened.TargetID, browser: r.browser}
	defer t.release()
	began := time.Now()
	if p.ending != Closed || p.trouble == cut || p.polite {
		if err := t.attach(); err != nil {
			return err
		}
	}
	steps := []step{{p.end, func() error { return r.leave(t, p) }}}
	if p.trouble != none {
		steps = []step{
			{p.from, func() error { return r.change(t, host, p.trouble, true) }},
			{p.to, func() error { return r.change(t, host, p.trouble, false) }},
			steps[0],
		}
	}
	for _, s := range steps {
		select {
		case <-time.After(time.Until(began.Add(s.at))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

func hostOf(number uint64) string { return "v" + strconv.FormatUint(number, 10) }

type step struct {
	at time.Duration
	do func() error
}

// soon is how long a page's last request may be under way on a busy machine: until then trouble that begins can meet it.
const soon = 500 * time.Millisecond

// change begins or ends the trouble.
func (r *run) change(t *tab, host string, what trouble, begins bool) error {
	if what != lost { // there only the replies are
		r.mu.Lock()
		span := r.down[host]
		if begins {
			span[0] = time.Now().Add(-soon)
		}
		span[1] = time.Now().Add(soon)
		r.down[host] = span
		r.mu.Unlock()
	}
	if what == cut {
		return t.offline(begins)
	}
	if !begins {
		what = none
	}
	r.set(host, what)
	return nil
}

// leave ends the visit.
func (r *run) leave(t *tab, p *plan) error {
	switch p.ending {
	case Offline:
		if err := t.offline(true); err != nil {
			return err
		}
	case Away:
		if err := t.navigate("http://elsewhere.localhost:" + r.Front.Port() + "/"); err != nil {
			return err
		}
	}
	if err := t.close(p.polite); err != nil {
		return err
	}
	return t.gone()
}

// closeRest closes tabs that were about to change pages when they were told to close, and have not heard it.
func (r *run) closeRest() error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		open, err := chromedp.CallBrowser(r.browser, target.GetTargets, target.GetTargetsParams{})
		if err != nil {
			return err
		}
		rest := 0
		for _, t := range open.TargetInfos {
			if t.Type == "page" && strings.Contains(t.URL, ".localhost:") {
				rest++
				_ = (&tab{id: t.TargetID, browser: r.browser}).close(false)
			}
		}
		if rest == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d tabs do not close", rest)
		}
	}
}

// truth reads what the pages have noted.
func (r *run) truth() ([]Visit, error) {
	all := make([]Visit, r.Visits)
	for i := range all {
		p := newPlan(r.Seed, uint64(i+1))
		all[i] = Visit{Number: uint64(i + 1), Ending: p.ending, Plan: p.String()}
	}
	kept, err := chromedp.CallBrowser(r.browser, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		return nil, fmt.Errorf("read the truth: %w", err)
	}
	for _, c := range kept.Cookies {
		if !strings.HasPrefix(c.Name, "truth") {
			continue
		}
		number, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(c.Domain, "v"), ".localhost"))
		if err != nil || number < 1 || number > len(all) {
			return nil, fmt.Errorf("a truth of %s, where no visit was", c.Domain)
		}
		v := &all[number-1]
		value, ended, _ := strings.Cut(c.Value, "/.")
		if at, err := strconv.ParseInt(ended, 10, 64); err != nil {
			v.Ending = Killed
		} else if span := r.down[hostOf(v.Number)]; v.Ending.Counts() && time.UnixMilli(at).After(span[0]) && time.UnixMilli(at).Before(span[1]) {
			v.Ending = Down
		}
		if value == "" {
			continue
		}
		for what := range strings.SplitSeq(value, "/") {
			if what, taken := strings.CutPrefix(what, "!"); taken {
				v.Told = append(v.Told, eventOf(what))
			} else {
				v.Early++
			}
		}
	}
	return all, nil
}

// eventOf is the event as Query names it, of one that a page has noted: "page_view 1" of page_view_1.
func eventOf(note string) string {
	i := strings.LastIndexByte(note, '_')
	return note[:i] + " " + note[i+1:]
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a plan that is no JSON: " + err.Error())
	}
	return string(text)
}
