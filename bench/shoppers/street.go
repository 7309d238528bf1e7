package shoppers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
)

// shopper is one visitor with everything it will ever send. Only one goroutine at a time holds it.
type shopper struct {
	number  int
	agent   *agent
	bot     bool
	address string // for X-Forwarded-For
	gpc     bool
	choice  []byte // "c" of its batches, nil when it said nothing
	lane    string // the same for pixels
	pixels  bool   // has no script: sends page views as images

	messages []message // still to be sent, in order
	jar      jar
	seen     bool // has sent something
}

// What sort of shoppers come, in percent. The mix is described in bench/README.md.
const (
	percentBots    = 4
	percentPixels  = 3
	percentAgree   = 35 // press "yes" in the banner
	percentDeny    = 7  // press "no"; all others say nothing
	percentRepeats = 2  // messages whose reply gets lost on the way, so that they are sent again
)

// street is where shoppers come from, one after the other. Safe for concurrent use.
type street struct {
	site, shop string
	seed       uint64
	start      int64 // Unix milliseconds
	each       int   // events of one shopper, at most; 0 = all
	networks   int   // that shoppers share; 0 = anywhere

	mu      sync.Mutex
	came    int
	left    int // events that may still be invented
	endless bool
}

func newStreet(c *Config) *street {
	shop := c.Origin
	if shop == "" {
		shop = defaultShop
	}
	return &street{
		site: c.Site, shop: shop, seed: c.Seed, start: c.Start.UnixMilli(), each: c.Each, networks: c.Networks,
		left: c.Events, endless: c.Events == 0,
	}
}

// next returns the next shopper, nil when all events have been given out. The lock is held while it is
// invented: only in this order does each run share out its events alike.
func (st *street) next() *shopper {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.endless && st.left == 0 {
		return nil
	}
	s := st.invent(st.came)
	st.came++
	if st.each > 0 {
		s.cut(st.each)
	}
	if !st.endless {
		st.left -= s.cut(st.left)
	}
	return s
}

// invent makes the shopper with this number. It depends on the street's settings and the number alone.
func (st *street) invent(number int) *shopper {
	rng := rand.New(rand.NewPCG(scramble(st.seed), scramble(uint64(number))))
	percent := func(p int) bool { return rng.IntN(100) < p }

	s := &shopper{number: number, address: address(rng).String(), bot: percent(percentBots)}
	if s.bot {
		s.agent = pick(programs, rng)
	} else {
		s.agent = pick(browsers, rng)
		s.gpc = percent(s.agent.gpc)
		s.pixels = percent(percentPixels)
	}
	s.jar.closed = s.bot

	// A device's clock is a little wrong, a few are wrong by hours. The collector corrects it.
	clock := st.start + int64(2000*rng.NormFloat64())
	if percent(1) {
		clock += rng.Int64N(6*3_600_000) - 3*3_600_000
	}
	if !s.bot {
		s.choose(rng.IntN(100), clock)
	}
	w := walk{
		s: s, rng: rng, clock: clock, shop: st.shop, order: fmt.Sprintf("%s-%d", strconv.FormatInt(st.start, 36), number),
		favourites: rand.NewZipf(rng, 1.2, 4, products-1),
	}
	w.life()
	if st.networks > 0 { // after all else, which is then the same as without
		s.address = st.shared(rng).String()
	}
	return s
}

// shared returns an address in one of the networks that this street's shoppers share. The most popular has a few
// percent of them, as the carriers of a country have.
func (st *street) shared(rng *rand.Rand) netip.Addr {
	popular := rand.NewZipf(rng, 1.1, 20, uint64(st.networks-1)).Uint64()
	home := address(rand.New(rand.NewPCG(scramble(st.seed), scramble(^popular))))
	bits := 24
	if home.Is6() {
		bits = 40
	}
	return within(netip.PrefixFrom(home, bits).Masked(), rng)
}

// choose lets a shopper answer the banner, or not. The answer travels with all it sends afterwards.
func (s *shopper) choose(chance int, clock int64) {
	switch {
	case chance < percentAgree:
		s.lane = "decide"
	case chance < percentAgree+percentDeny:
		s.lane = "count"
	default:
		return
	}
	agreed := s.lane == "decide"
	s.choice = fmt.Appendf(nil, `{"decide":%t,"measure":%t,"src":"banner","ver":"2026-11","at":%d}`, agreed, agreed, clock)
}

// cut leaves at most that many events to the shopper, and returns how many it has. Repeats are none of
// their own.
func (s *shopper) cut(most int) int {
	events := 0
	for i := range s.messages {
		m := &s.messages[i]
		if m.repeat {
			m.events = s.messages[i-1].events
			continue
		}
		if events == most {
			s.messages = s.messages[:i]
			break
		}
		m.events = m.events[:min(len(m.events), most-events)]
		events += len(m.events)
	}
	return events
}

// pick chooses one by weight.
func pick(list []agent, rng *rand.Rand) *agent {
	total := 0
	for i := range list {
		total += list[i].weight
	}
	chance := rng.IntN(total)
	for i := range list {
		if chance -= list[i].weight; chance < 0 {
			return &list[i]
		}
	}
	panic("BUG: chance is not below the sum of all weights")
}

// scramble spreads neighbouring numbers over all of uint64 (the last steps of SplitMix64), because
// generators with neighbouring seeds begin alike.
func scramble(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
