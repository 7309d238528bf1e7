package visits

import (
	"fmt"
	"math/rand/v2"
	"time"

	"beckon/internal/storefront"
)

// Ending is how a visit ends.
type Ending int

// A tab is closed with the network up, or the visitor goes to another site first. The others are no fault of a tag, and
// are counted apart: a page of the visit was left while the network was down, or the tab was closed while the browser was
// offline. The last one is never planned: Chromium waits half a second for a page to take leave, and on a machine that is too
// busy for that it ends a page which has heard nothing of its end.
const (
	Closed Ending = iota
	Away
	Down
	Offline
	Killed
)

// Endings are all of them, by name.
var Endings = [...]string{"closed", "another site, then closed", "a page left while the network was down", "closed while offline", "killed without a page's end"}

// Counts says whether the bars hold for it: the network was up whenever a page ended.
func (e Ending) Counts() bool { return e == Closed || e == Away }

// trouble is what is wrong with the network for a while, over when the visit ends.
type trouble int

const (
	none trouble = iota
	cut          // the browser is offline
	lost         // requests arrive, their replies do not
	dead         // connections end before anything has arrived
	busy         // 503, a proxy in trouble
)

// plan is what somebody will do, drawn from the seed and the number of the visit alone.
type plan struct {
	pages []planned
	late  bool // an event is told in the page's last moment, by its own listener

	trouble  trouble
	from, to time.Duration // of the trouble, since the visit began
	end      time.Duration
	ending   Ending
	polite   bool // the tab is closed as its button does, with beforeunload, not as the window's
}

// planned is a page: when its events are told, and when and how the next one comes.
type planned struct {
	Events []int `json:"events"` // ms
	Stay   int   `json:"stay"`   // ms
	Push   bool  `json:"push"`   // the next page comes without a load
}

func newPlan(seed, number uint64) *plan {
	r := rand.New(rand.NewPCG(seed, number))
	between := func(from, to int) int { return from + r.IntN(to-from) }
	p := &plan{late: r.IntN(5) == 0, polite: r.IntN(4) == 0}
	for range 6 { // more than anybody sees
		page := planned{Stay: between(100, 900), Push: r.IntN(3) == 0}
		for range r.IntN(4) {
			page.Events = append(page.Events, r.IntN(page.Stay))
		}
		p.pages = append(p.pages, page)
	}
	p.end = time.Duration(between(150, 2200)) * time.Millisecond
	switch n := r.IntN(20); {
	case n < 3:
		p.ending = Offline
	case n < 5:
		p.ending = Away
	}
	if r.IntN(4) == 0 {
		p.trouble = trouble(between(int(cut), int(busy)+1))
		p.from = time.Duration(r.Int64N(int64(p.end)))
		p.to = p.from + time.Duration(r.Int64N(int64(p.end-p.from)))
	}
	return p
}

// String is what is worth knowing when something of the visit is missing.
func (p *plan) String() string {
	said := fmt.Sprintf("%s after %s", Endings[p.ending], p.end)
	if p.trouble != none {
		said += fmt.Sprintf(", trouble %d from %s to %s", p.trouble, p.from.Round(time.Millisecond), p.to.Round(time.Millisecond))
	}
	if p.late {
		said += ", an event at the last moment of each page"
	}
	return said
}

// fate is that of a request in the trouble.
func (t trouble) fate() storefront.Fate {
	switch t {
	case lost:
		return storefront.Fate{LoseReply: true}
	case dead:
		return storefront.Fate{Cut: true}
	case busy:
		return storefront.Fate{Status: 503}
	}
	return storefront.Fate{}
}

// page is the HTML of all pages of the visit: it does what is planned, and notes what it has told the tag in the same
// breath. ?search_3 = told to the stub, !search_3 = the tag has it.
func (p *plan) page(site string) string {
	late := ""
	if p.late {
		late = `tell();`
	}
	return fmt.Sprintf(`<!doctype html><meta charset="utf-8"><title>visit</title><link rel="icon" href="data:,">%s<script>
const pages = %s, notes = [], load = location.pathname.split('/')[2];
let page = Number(load), told = page * 1000, live = false, end = '';
function note(what) {
	if (what) notes.push((live ? '!' : '?') + what);
	document.cookie = 'truth' + load + '=' + notes.join('/') + end + ';path=/truth';
}
function tell() { beckon('search', { query_length: ++told }); note('search_' + told) }
function stay() {
	const { events, stay: time, push } = pages[page %% pages.length];
	for (const at of events ?? []) setTimeout(tell, at);
	setTimeout(() => {
		if (!push) return location.assign(page + 1);
		history.pushState({}, '', ++page);
		if (live) note('page_view_' + page);
		stay();
	}, time);
}
function taken() {
	live = true;
	notes.forEach((what, i) => { notes[i] = what.replace('?', '!') });
	note('page_view_' + page);
}
addEventListener('pagehide', () => { %s end = '/.' + Date.now(); note() });
stay();
</script>%s`, storefront.Stub, asJSON(p.pages), late, storefront.Tag(site, `onload="taken()"`))
}
