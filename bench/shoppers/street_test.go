package shoppers

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

var someDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// everybody returns all shoppers of a run with that many events.
func everybody(seed uint64, events int) []*shopper {
	st := newStreet(&Config{Site: "demo", Seed: seed, Events: events, Start: someDay})
	var all []*shopper
	for s := st.next(); s != nil; s = st.next() {
		all = append(all, s)
	}
	return all
}

// firstTries returns the messages that bring new events.
func firstTries(all []*shopper) []message {
	var list []message
	for _, s := range all {
		for _, m := range s.messages {
			if !m.repeat {
				list = append(list, m)
			}
		}
	}
	return list
}

func TestOneSeedAlwaysInventsTheSameShoppers(t *testing.T) {
	first, second := everybody(3, 2000), everybody(3, 2000)
	if !reflect.DeepEqual(first, second) {
		t.Error("the same seed invented other shoppers")
	}
	if other := everybody(4, 2000); reflect.DeepEqual(first, other) {
		t.Error("another seed invented the same shoppers")
	}
}

func TestShoppersBringExactlyTheEventsAskedFor(t *testing.T) {
	for _, want := range []int{1, 2, 99, 5000} {
		got := 0
		for _, m := range firstTries(everybody(1, want)) {
			if len(m.events) == 0 {
				t.Fatal("a message is empty")
			}
			got += len(m.events)
		}
		if got != want {
			t.Errorf("%d events were invented, want %d", got, want)
		}
	}
}

func TestEveryEventHasAnIDOfItsOwn(t *testing.T) {
	seen := map[event.UUID]bool{}
	for _, m := range firstTries(everybody(1, 50_000)) {
		for _, e := range m.events {
			if seen[e.id] {
				t.Fatalf("%v came twice", e.id)
			}
			seen[e.id] = true
			if id, ok := event.ParseUUID([]byte(e.id.String())); !ok || id != e.id {
				t.Fatalf("%v is no UUIDv7", e.id)
			}
		}
	}
}

func TestRepeatsBringTheEventsOfTheMessageBefore(t *testing.T) {
	repeats := 0
	for _, s := range everybody(1, 20_000) {
		for i, m := range s.messages {
			if !m.repeat {
				continue
			}
			repeats++
			if before := s.messages[i-1]; len(m.events) != len(before.events) || &m.events[0] != &before.events[0] {
				t.Fatal("a repeat has events of its own")
			}
		}
	}
	if repeats < 50 {
		t.Errorf("%d repeats of 20000 events, want some hundred", repeats)
	}
}

func TestMessagesStayWithinTheLimitsOfTheContract(t *testing.T) {
	fattest, most := 0, 0
	for _, s := range everybody(1, 40_000) {
		for _, m := range s.messages {
			body := appendBody(nil, []byte(`"demo"`), s.choice, m.at, m.events)
			fattest, most = max(fattest, len(body)), max(most, len(m.events))
			if len(body) > event.MaxBodyBytes || len(m.events) > event.MaxBatchEvents || m.pixel && len(m.events) != 1 {
				t.Fatalf("a message of %d events and %d bytes", len(m.events), len(body))
			}
			checkBody(t, body, &m)
		}
	}
	if most < 40 || fattest < 10_000 {
		t.Errorf("the fattest batches have %d events and %d bytes, want some that come near the limits", most, fattest)
	}
}

// checkBody reads a body as a stranger would, and looks at its values.
func checkBody(t *testing.T, body []byte, m *message) {
	t.Helper()
	var batch struct {
		Version int    `json:"v"`
		Site    string `json:"s"`
		At      int64  `json:"z"`
		Events  []struct {
			Kind     string `json:"n"`
			ID       string `json:"i"`
			At       int64  `json:"t"`
			URL      string `json:"u"`
			Referrer string `json:"r"`
			Props    struct {
				Items []json.RawMessage `json:"items"`
			} `json:"p"`
		} `json:"e"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		t.Fatal(err)
	}
	if batch.Version != 1 || batch.Site != "demo" || batch.At != m.at || len(batch.Events) != len(m.events) {
		t.Fatalf("not the batch that was meant: %s", body)
	}
	for i, e := range batch.Events {
		if e.ID != m.events[i].id.String() || e.At > batch.At || event.ParseKind([]byte(e.Kind), false) == event.KindNone {
			t.Fatalf("not the event that was meant: %s", m.events[i].json)
		}
		if len(e.URL) > event.MaxStringBytes || len(e.Referrer) > event.MaxStringBytes {
			t.Fatalf("too long: %s", m.events[i].json)
		}
		if len(e.Props.Items) > event.MaxItems {
			t.Fatalf("an order with %d items", len(e.Props.Items))
		}
	}
}

func TestFittingStopsBeforeEitherLimit(t *testing.T) {
	f := func(events, bytes, want int) {
		t.Helper()
		list := slices.Repeat([]told{{json: make([]byte, bytes)}}, events)
		if got := fitting(list); got != want {
			t.Errorf("of %d events with %d bytes %d fit, want %d", events, bytes, got, want)
		}
	}
	f(1, 300, 1)
	f(100, 300, 100)
	f(101, 300, 100)
	f(100, 4096, 15) // 16 would be the 64 KiB without anything around them
}

func TestTheMixIsThatOfAShop(t *testing.T) {
	all := everybody(1, 50_000)
	kinds := map[string]int{}
	var sizes []int
	var bots, gpc, pixels, agreed, denied, six int
	for _, s := range all {
		size := 0
		for _, m := range s.messages {
			if m.repeat {
				continue
			}
			size += len(m.events)
			for _, e := range m.events {
				kinds[e.kind]++
			}
		}
		sizes = append(sizes, size)
		bots += count(s.bot)
		gpc += count(s.gpc)
		pixels += count(s.pixels)
		agreed += count(s.lane == "decide")
		denied += count(s.lane == "count")
		six += count(netip.MustParseAddr(s.address).Is6())
	}
	share := func(what string, n, of int, low, high float64) {
		t.Helper()
		if got := float64(n) / float64(of); got < low || got > high {
			t.Errorf("%s: %.3f, want between %v and %v", what, got, low, high)
		}
	}
	share("bots", bots, len(all), 0.02, 0.06)
	share("GPC", gpc, len(all), 0.02, 0.08)
	share("pixels", pixels, len(all), 0.01, 0.05)
	share("agreed", agreed, len(all), 0.28, 0.40)
	share("denied", denied, len(all), 0.04, 0.10)
	share("IPv6", six, len(all), 0.28, 0.39)
	for _, kind := range []string{
		"page_view", "product_view", "collection_view", "search", "cart_view", "cart_add", "cart_remove",
		"checkout_start", "purchase",
	} {
		share(kind, kinds[kind], 50_000, 0.001, 0.65)
	}

	// Heavy-tailed: most shoppers do little, and the busiest twentieth does a third of everything.
	slices.Sort(sizes)
	if median := sizes[len(sizes)/2]; median > 10 {
		t.Errorf("the middle shopper has %d events, want at most 10", median)
	}
	busiest := 0
	for _, size := range sizes[len(sizes)*19/20:] {
		busiest += size
	}
	share("events of the busiest twentieth", busiest, 50_000, 0.33, 0.8)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestBrowsersArePeopleAndProgramsAreNot(t *testing.T) {
	agents := privacy.NewAgents(0)
	parse := func(a *agent) privacy.Agent {
		return agents.Parse(privacy.Hints{
			UserAgent: []byte(a.name), Brands: []byte(a.brands), Mobile: []byte(a.mobile), Platform: []byte(a.platform),
		})
	}
	for i := range browsers {
		got := parse(&browsers[i])
		if got.Bot.String() != "" || got.Browser.String() == "other" || got.OS.String() == "other" || got.Device.String() == "other" {
			t.Errorf("%s is taken for %s %s %s %s", browsers[i].name, got.Device, got.Browser, got.OS, got.Bot)
		}
	}
	for i := range programs {
		if got := parse(&programs[i]); got.Bot.String() == "" {
			t.Errorf("%s is taken for a person", programs[i].name)
		}
	}
}

func TestAddressesAreOfTheirNetworks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	networks := slices.Concat(documentation4, documentation6, public4, public6)
	met := map[netip.Prefix]int{}
	for range 10_000 {
		a := address(rng)
		i := slices.IndexFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
		if i < 0 || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() {
			t.Fatalf("%v is nobody's address", a)
		}
		met[networks[i]]++
	}
	if len(met) != len(networks) {
		t.Errorf("addresses of %d networks, want all %d", len(met), len(networks))
	}
}
