package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"

	"beckon/bench/contest"
	"beckon/bench/rig"
	"beckon/internal/chromium"
	"beckon/internal/storefront"
)

// shopPage is one with enough on it to have a layout that can shift.
const shopPage = `<!doctype html><meta charset="utf-8"><title>cost</title><link rel="icon" href="data:,"><style>
	body { font: 16px/1.5 sans-serif; margin: 2em } .slot { height: 4em } .cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1em }
</style><script>
	seen = { shift: 0, long: 0 };
	new PerformanceObserver(list => { for (const e of list.getEntries()) seen.shift += e.value }).observe({ type: 'layout-shift', buffered: true });
	new PerformanceObserver(list => { for (const e of list.getEntries()) seen.long++ }).observe({ type: 'longtask', buffered: true });
</script>%s<h1>A shop</h1>%s<div class="cards">%s</div>`

// pages are what is compared: each load has its turn in each round.
var pages = []struct{ name, head, slot string }{
	{"without the tag", "", `<div class="slot"></div>`},
	{"with the tag", storefront.Stub + storefront.Tag(rig.Site), `<div class="slot"></div>`},
	{
		"with the tag and an offer in a slot", storefront.Stub + storefront.Tag(rig.Site),
		`<div class="slot" data-beckon-offer role="status"><template><p><b data-beckon-text="title"></b> for you</p></template></div>`,
	},
}

// costFigures are the medians over all loads of a page, and the worst.
type costFigures struct {
	Page                string
	Script, WorstScript float64 // ms of processor time for compiling and running files of the tag
	Core                float64 // ms of b.js alone, until it has run
	LongTasks           int     // of all loads
	Shift               float64 // the worst
	Before              int     // requests of the tag beside b.js that had begun when the load event came, the worst load
	Requests            float64
	Bytes               float64 // of those, transferred
	FirstBatch          float64 // ms after b.js had come
	Shown               int     // loads in which the offer was there
}

// load is what one load of a page has cost.
type load struct {
	script, core float64
	seen         struct {
		Shift  float64
		Long   int
		Before int
		Count  int
		Bytes  int
		First  float64
		Shown  bool
	}
}

// ask is what the page is asked when the tag has done what it does.
const ask = `new Promise(async done => {
	const end = performance.now() + 8000, wanted = %d;
	const ours = () => performance.getEntriesByType('resource').filter(e => e.name.includes('/px/'));
	const there = () => wanted < 1 || ours().some(e => e.name.endsWith('/px/e') && e.responseEnd) && (wanted < 2 || document.querySelector('.slot b'));
	while (!there() && performance.now() < end) await new Promise(next => setTimeout(next, 50));
	await new Promise(next => setTimeout(next, 300));
	const at = performance.getEntriesByType('navigation')[0].loadEventStart, all = ours(), core = all.find(e => e.name.endsWith('/b.js')), first = all.find(e => e.name.endsWith('/px/e'));
	done(JSON.stringify({ ...seen, before: all.filter(e => e !== core && e.startTime < at).length, count: all.length, bytes: all.reduce((n, e) => n + e.transferSize, 0),
		first: first && core ? first.startTime - core.responseEnd : 0, shown: !!document.querySelector('.slot b') }));
})`

// cost loads pages on a slowed processor.
func (b *bench) cost(ctx context.Context) (err error) {
	browser, stop, err := chromium.Start(b.rig.Path("profile-cost"), chromedp.Flag("disable-features", "WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b.front.Fate(nil)
	for i, p := range pages {
		b.front.Page(fmt.Sprintf("/cost/%d", i), fmt.Sprintf(shopPage, p.head, p.slot, strings.Repeat("<p>A mug, a kettle and a lantern.</p>", 40)))
	}
	loads := make([][]load, len(pages))
	for range b.c.Loads {
		for i := range pages {
			l, err := b.loadOnce(ctx, browser, i)
			if err != nil {
				return err
			}
			loads[i] = append(loads[i], l)
		}
	}
	b.printf("\n## What a page pays\n\nProcessor slowed %g times, %d loads of each page in turns, each with an empty cache. Processor time of the page's thread, slowing included: median, and the worst in brackets.\n\n"+
		"| page | b.js, ms | all scripts of the tag, ms | long tasks | worst CLS | requests, of them before `load` beside b.js | bytes | first batch after b.js, ms |\n|---|---|---|---|---|---|---|---|\n", b.c.Throttle, b.c.Loads)
	for i, p := range pages {
		f := sum(p.name, loads[i])
		b.figures.Cost = append(b.figures.Cost, f)
		b.printf("| %s | %.2f | %.2f (%.2f) | %d | %.4f | %.0f, %d | %.0f | %.1f |\n", f.Page, f.Core, f.Script, f.WorstScript, f.LongTasks, f.Shift, f.Requests, f.Before, f.Bytes, f.FirstBatch)
	}
	plain, tag, offer := b.figures.Cost[0], b.figures.Cost[1], b.figures.Cost[2]
	b.bars.Under("script evaluation on a processor slowed 4 times, ms (median)", tag.Script, 5)
	b.bars.Under("long tasks that come with the tag", float64(max(tag.LongTasks, offer.LongTasks)-plain.LongTasks), 1)
	b.bars.Under("layout shift with an offer in its slot, worst load", offer.Shift, 0.0001)
	b.bars.AtLeast("loads in which the offer was in its slot", float64(offer.Shown), float64(b.c.Loads))
	b.bars.Under("requests before `load` beside b.js, worst load", float64(tag.Before), 1)
	return nil
}

func sum(name string, loads []load) costFigures {
	f := costFigures{Page: name}
	var script, core, bytes, requests, first []float64
	for _, l := range loads {
		script, core = append(script, l.script), append(core, l.core)
		bytes, requests, first = append(bytes, float64(l.seen.Bytes)), append(requests, float64(l.seen.Count)), append(first, l.seen.First)
		f.LongTasks += l.seen.Long
		f.Shift, f.Before = max(f.Shift, l.seen.Shift), max(f.Before, l.seen.Before)
		if l.seen.Shown {
			f.Shown++
		}
	}
	f.Script, f.Core, f.Bytes, f.Requests, f.FirstBatch = contest.Median(script), contest.Median(core), contest.Median(bytes), contest.Median(requests), contest.Median(first)
	f.WorstScript = slices.Max(script)
	return f
}

// loadOnce loads a page in a profile of its own.
func (b *bench) loadOnce(ctx context.Context, browser context.Context, page int) (l load, err error) {
	tab, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer cancel()
	tab, stop := context.WithTimeout(tab, 30*time.Second)
	defer stop()
	if _, err := chromedp.Call(tab, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: b.c.Throttle}); err != nil {
		return l, err
	}
	trace, err := startTrace(browser)
	if err != nil {
		return l, err
	}
	if err := chromedp.Do(tab, chromedp.Navigate(fmt.Sprintf("%s/cost/%d", b.front.Origin(), page))); err != nil {
		return l, err
	}
	text, err := chromedp.Run(tab, chromedp.Evaluate[string](fmt.Sprintf(ask, page), chromedp.EvalAwaitPromise))
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal([]byte(text), &l.seen); err != nil {
		return l, err
	}
	l.core, l.script, err = trace.stop(browser)
	return l, errors.Join(err, ctx.Err())
}

// trace gathers what the browser says of its work.
type trace struct {
	mu     sync.Mutex
	events []traced
	done   chan struct{}
	end    context.CancelFunc
}

// traced is one event of a trace, as far as it matters here.
type traced struct {
	Name   string  `json:"name"`
	Thread float64 `json:"tdur"` // microseconds of processor time, in which the slowing is: a busy machine adds nothing
	Args   struct {
		Data struct {
			URL      string `json:"url"`
			FileName string `json:"fileName"`
		} `json:"data"`
	} `json:"args"`
}

func startTrace(browser context.Context) (*trace, error) {
	t := &trace{done: make(chan struct{})}
	listening, end := context.WithCancel(browser)
	t.end = end
	if err := chromedp.ListenBrowser(listening, t.listen); err != nil {
		return nil, err
	}
	_, err := chromedp.CallBrowser(browser, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{
		IncludedCategories: []string{"devtools.timeline", "v8", "disabled-by-default-v8.compile"},
	}})
	return t, err
}

func (t *trace) listen(event any) {
	switch e := event.(type) {
	case *tracing.EventDataCollected:
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, raw := range e.Value {
			var one traced
			if json.Unmarshal(raw, &one) == nil && one.Thread > 0 {
				t.events = append(t.events, one)
			}
		}
	case *tracing.EventTracingComplete:
		close(t.done)
	}
}

// stop returns the milliseconds of b.js, and of all that is the tag's: compiled, evaluated, and called later.
func (t *trace) stop(browser context.Context) (core, all float64, err error) {
	defer t.end()
	if _, err := chromedp.CallBrowser(browser, tracing.End, cdp.Empty{}); err != nil {
		return 0, 0, err
	}
	select {
	case <-t.done:
	case <-time.After(20 * time.Second):
		return 0, 0, errors.New("the trace does not end")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		from := e.Args.Data.URL + e.Args.Data.FileName
		if !strings.Contains(from, "/px/b.") {
			continue
		}
		switch e.Name {
		case "EvaluateScript", "v8.evaluateModule": // compiling is in the first
			all += e.Thread / 1000
			if strings.HasSuffix(from, "/b.js") {
				core += e.Thread / 1000
			}
		case "FunctionCall", "v8.compileModule":
			all += e.Thread / 1000
		}
	}
	return core, all, nil
}
