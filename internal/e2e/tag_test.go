package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"beckon/internal/storefront"
)

// tagCases are what the tag promises to a page, each on a shop of its own, with its own origin and network.
var tagCases = []tagCase{
	{"history", tagHistory},
	{"navigation", tagNavigation},
	{"hash", tagHash},
	{"oldhistory", withoutNavigation(tagHistory)},
	{"oldhash", withoutNavigation(tagHash)},
	{"cached", tagCached},
	{"prerender", tagPrerender},
	{"tabs", tagTabs},
	{"stub", tagStub},
	{"firstreply", tagFirstReply},
	{"hidden", tagHidden},
	{"closed", tagClosed},
	{"offline", tagOffline},
	{"lostreply", tagLostReply},
	{"retryafter", tagRetryAfter},
	{"reload", tagReload},
	{"denied", tagDenied},
	{"refused", tagRefused},
	{"blocked", tagBlocked},
	{"noscript", tagNoScript},
	{"nostorage", tagNoStorage},
	{"twice", tagTwice},
	{"frames", tagFrames},
	{"hostile", tagHostile},
	{"policy", tagPolicy},
	{"integrity", tagIntegrity},
	{"trusted", tagTrusted},
	{"tidy", tagTidy},
	{"undelayed", tagUndelayed},
}

// atOnce is how many of them run at the same time: they mostly wait for the path into ClickHouse.
const atOnce = 8

// TestTag is for each line of the tag's promises, in a real browser, against the real services.
func TestTag(t *testing.T) {
	s := newStack(t)
	rows := &tagRows{stack: s, sql: `SELECT splitByChar('/', path)[2], if(kind = 'search', concat('search ', toString(query_length)), concat(kind, ' ', splitByChar('/', path)[3]))
		FROM events WHERE kind != 'consent' ORDER BY occurred_at, event_id`}
	cases := make([]*tagPage, len(tagCases))
	origins := make([]string, len(tagCases))
	for i, c := range tagCases {
		front, err := storefront.Listen()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = front.Close() })
		cases[i], origins[i] = &tagPage{name: c.name, stack: s, rows: rows, front: front}, fmt.Sprintf("%q, %q", front.Origin(), otherName(front))
	}
	s.writeSites(fmt.Sprintf(`sites:
  - id: tag
    origins: [%s]
    currency: EUR
    consent: {default: decide, allow: decide}
    holdout: 0%%
    offers:
      - {id: hello, title: 5%% off, audience: everyone, discount: {percent: 5}, valid_for: 30m}
`, strings.Join(origins, ", ")))
	s.initKeys()
	s.start()
	browser := startChromium(t)
	for _, c := range cases {
		c.browser = browser
		c.front.Serve(s.collector.public, s.aggregator.public)
	}
	var running sync.WaitGroup
	free := make(chan bool, atOnce)
	for i, c := range tagCases {
		running.Go(func() {
			free <- true
			defer func() { <-free }()
			t.Run(c.name, func(t *testing.T) { c.run(cases[i].in(t)) })
		})
	}
	running.Wait()
	killed := &tagPage{name: "killed", stack: s, rows: rows, front: cases[0].front, browser: browser}
	t.Run("killed", func(t *testing.T) { tagKilled(killed.in(t)) })

	// All tabs are closed by now, and have said what they had to say: nothing of it was new.
	for _, c := range append(cases, killed) {
		eventually(t, func() error { return c.has(c.want) })
	}
}

// otherName is the origin of the same shop for who calls it by another name.
func otherName(front *storefront.Front) string {
	return strings.Replace(front.Origin(), "127.0.0.1", "localhost", 1)
}

type tagCase struct {
	name string
	run  func(*tagPage)
}

// tagPage is a case under way: its pages are below /NAME/.
type tagPage struct {
	*testing.T
	name    string
	stack   *stack
	front   *storefront.Front
	browser context.Context
	rows    *tagRows
	head    string // of each page, ahead of all else
	want    []string
}

func (c *tagPage) in(t *testing.T) *tagPage {
	c.T = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%g records wait in the spool; came to /e:", c.stack.collector.metric(t, "beckon_spool_records"))
			for _, r := range c.front.Requests() {
				t.Logf("%s: %d %s", r.At.Format(time.StampMilli), r.Status, r.Body)
			}
		}
	})
	return c
}

// page puts a page below the case's folder, made of these elements. "" is the folder itself, and all below it.
func (c *tagPage) page(path string, elements ...string) {
	c.pageWith(nil, path, elements...)
}

func (c *tagPage) pageWith(headers []string, path string, elements ...string) {
	c.front.Page("/"+c.name+"/"+path, `<!doctype html><meta charset="utf-8"><title>`+c.name+`</title><link rel="icon" href="data:,">`+c.head+strings.Join(elements, "\n"), headers...)
}

// visitor is a new one, on a page of the case, who bears these faults of the network.
func (c *tagPage) visitor(path string, bears ...string) *person {
	c.Helper()
	p := newPerson(c.T, c.browser, c.front.Origin())
	p.bears = bears
	p.open("/" + c.name + "/" + path)
	return p
}

// has returns nil when these events are stored, no others, and none twice. An event is its kind and the rest of its path;
// a search has its length instead, by which cases tell their events apart.
func (c *tagPage) has(want []string) error {
	got, err := c.rows.of(c.name)
	if err != nil {
		return err
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		return fmt.Errorf("%s: stored is %q, want %q", c.name, got, want)
	}
	return nil
}

// tagRows is what is stored, read for all cases at once: each asking for itself would keep ClickHouse from storing.
type tagRows struct {
	stack *stack
	sql   string // gives the name of a case and what to say of an event
	mu    sync.Mutex
	read  time.Time
	all   map[string][]string
}

func (r *tagRows) of(name string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.read) > 200*time.Millisecond {
		lines, err := r.stack.query(r.sql)
		if err != nil {
			return nil, err
		}
		r.all, r.read = map[string][]string{}, time.Now()
		for _, line := range lines {
			r.all[line[0]] = append(r.all[line[0]], line[1])
		}
	}
	return r.all[name], nil
}

// stores waits until just these events are stored. When all cases are over they are looked at again.
func (c *tagPage) stores(want ...string) {
	c.Helper()
	c.want = want
	eventually(c.T, func() error { return c.has(want) })
}

// sent waits until n requests have come to /e, and returns them.
func (c *tagPage) sent(n int) (all []storefront.Request) {
	c.Helper()
	eventually(c.T, func() error {
		if all = c.front.Requests(); len(all) < n {
			return fmt.Errorf("%d requests have come, want %d", len(all), n)
		}
		return nil
	})
	return all
}

// answered waits until n requests have had that answer.
func (c *tagPage) answered(n, status int) {
	c.Helper()
	eventually(c.T, func() error {
		got := 0
		for _, r := range c.front.Requests() {
			if r.Status == status {
				got++
			}
		}
		if got < n {
			return fmt.Errorf("%d requests were answered %d, want %d: %+v", got, status, n, c.front.Requests())
		}
		return nil
	})
}

// first is a fate for the first n requests to /e; the later ones pass.
func first(n int, fate storefront.Fate) func(*storefront.Attempt) storefront.Fate {
	return func(a *storefront.Attempt) storefront.Fate {
		if a.Number > 0 && a.Number <= n {
			return fate
		}
		return storefront.Fate{}
	}
}

// offline takes the network away from the tab, and gives it back.
func (p *person) offline(is bool) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}},
	}); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	command(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: is, DownloadThroughput: -1, UploadThroughput: -1})
}
