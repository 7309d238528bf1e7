package privacy

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	maxAgentBytes    = 512 // parsing costs time by length, and no browser sends more
	maxBrandsBytes   = 256
	maxPlatformBytes = 32
)

// Agent is what is kept of a user agent: words of closed lists.
type Agent struct {
	Device  Bucket // desktop, mobile, tablet, tv, console, other
	Browser Bucket // the family in lower case ("chrome", "samsung-internet"); other
	OS      Bucket // windows, macos, ios, android, linux, chromeos, other
	Bot     Bucket // empty for people, else crawler, tool, headless, no-user-agent, prefetch, webdriver
}

// Hints are the request headers that describe the sender. They are only read during Parse.
type Hints struct {
	UserAgent []byte
	Brands    []byte // Sec-CH-UA
	Mobile    []byte // Sec-CH-UA-Mobile
	Platform  []byte // Sec-CH-UA-Platform
	Purpose   []byte // Sec-Purpose, Purpose or X-Moz
}

// The names of the headers that Hints are read from, in the spelling that fasthttp keeps them in: seven names to be
// spelled anew for each request would cost more than all that is done with their values.
var (
	nameUserAgent = []byte("User-Agent")
	nameBrands    = []byte("Sec-Ch-Ua")
	nameMobile    = []byte("Sec-Ch-Ua-Mobile")
	namePlatform  = []byte("Sec-Ch-Ua-Platform")
	namesPurpose  = [...][]byte{[]byte("Sec-Purpose"), []byte("Purpose"), []byte("X-Moz")} // today's, and those before it
)

// HintsOf takes the hints out of a request; peek returns a header's value by its name, as PeekCanonical of
// fasthttp does.
func HintsOf(peek func(name []byte) []byte) Hints {
	h := Hints{UserAgent: peek(nameUserAgent), Brands: peek(nameBrands), Mobile: peek(nameMobile), Platform: peek(namePlatform)}
	for _, name := range namesPurpose {
		if h.Purpose = peek(name); len(h.Purpose) > 0 {
			break
		}
	}
	return h
}

// Agents turns headers into buckets and remembers the results. Its memory is bounded: a table of fixed
// size in which a new result takes the place of an older one. The table is keyed by a hash under a
// random seed of this process, so that it holds no user agent and nobody outside can aim at a place.
// It is safe for concurrent use.
type Agents struct {
	seed  maphash.Seed
	table []atomic.Pointer[agentEntry] // length is a power of two
}

type agentEntry struct {
	hash  uint64
	agent Agent
}

// NewAgents returns a parser that remembers about size results (rounded up to a power of two).
func NewAgents(size int) *Agents {
	size = 1 << bits.Len(uint(max(size, 1)-1))
	return &Agents{seed: maphash.MakeSeed(), table: make([]atomic.Pointer[agentEntry], size)}
}

// Parse returns the buckets of a request. Client Hints win over the user agent, whose string says less
// with every release.
func (a *Agents) Parse(h Hints) Agent {
	h.UserAgent = cut(h.UserAgent, maxAgentBytes)
	h.Brands = cut(h.Brands, maxBrandsBytes)
	h.Mobile = cut(h.Mobile, maxPlatformBytes)
	h.Platform = cut(h.Platform, maxPlatformBytes)

	sum := a.hash(h)
	place := &a.table[sum&uint64(len(a.table)-1)]
	e := place.Load()
	if e == nil || e.hash != sum {
		e = &agentEntry{hash: sum, agent: describe(h)}
		place.Store(e)
	}
	agent := e.agent
	if agent.Bot == (Bucket{}) && isPrefetch(h.Purpose) {
		agent.Bot = botPrefetch
	}
	return agent
}

// Drive notes that a browser said of itself that a program drives it (navigator.webdriver), if nothing else gave
// it away.
func (a *Agent) Drive() {
	if a.Bot == (Bucket{}) {
		a.Bot = botDriven
	}
}

// hash is over all headers that describe reads, each with its length before it.
func (a *Agents) hash(h Hints) uint64 {
	var mh maphash.Hash
	mh.SetSeed(a.seed)
	for _, b := range [...][]byte{h.UserAgent, h.Brands, h.Mobile, h.Platform} {
		var n [2]byte
		binary.BigEndian.PutUint16(n[:], uint16(len(b)))
		_, _ = mh.Write(n[:])
		_, _ = mh.Write(b)
	}
	return mh.Sum64()
}

func cut(b []byte, n int) []byte { return b[:min(len(b), n)] }

// isPrefetch knows the words for a page that nobody has looked at yet.
func isPrefetch(purpose []byte) bool {
	var stack [64]byte
	low := appendLower(stack[:0], cut(purpose, len(stack)))
	return bytes.Contains(low, []byte("prefetch")) || bytes.Contains(low, []byte("prerender")) || bytes.Contains(low, []byte("preview"))
}

// describe is Parse without memory.
func describe(h Hints) Agent {
	if len(bytes.TrimSpace(h.UserAgent)) == 0 {
		return Agent{Device: other, Browser: other, OS: other, Bot: botNoAgent}
	}
	ua := string(h.UserAgent) // a copy, which lives no longer than this call
	agent := Agent{Browser: browserOf(ua), OS: osOf(ua)}
	agent.Device = deviceOf(ua, agent.OS)
	agent.Bot = botReason(h.UserAgent)
	if agent.Bot == (Bucket{}) && bytes.Contains(h.Brands, headlessBrand) {
		agent.Bot = botHeadless // also where the user agent was changed, as scripts do first
	}
	applyHints(&agent, h)
	return agent
}

// applyHints corrects agent by the low-entropy Client Hints. What is missing or malformed says nothing.
func applyHints(agent *Agent, h Hints) {
	// An app names itself in its user agent only: its brand is that of the engine it uses.
	if family, ok := brandFamily(h.Brands); ok && (!isGeneric(family) || isGeneric(agent.Browser) || agent.Browser == other) {
		agent.Browser = family
	}
	platform, ok := parseString(h.Platform)
	if os, known := platforms[string(platform)]; ok && known {
		if os != agent.OS && agent.Device != deviceTV && agent.Device != deviceConsole {
			agent.Device = deviceDesktop
			if os == osAndroid || os == osIOS {
				agent.Device = deviceMobile
			}
		}
		agent.OS = os
	}
	if agent.Device == deviceTV || agent.Device == deviceConsole {
		return // both say ?0, as a desktop does
	}
	switch string(h.Mobile) {
	case "?1":
		agent.Device = deviceMobile
	case "?0":
		if agent.Device == deviceMobile {
			agent.Device = deviceTablet
		}
	}
}
