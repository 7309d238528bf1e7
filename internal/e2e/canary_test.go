package e2e_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// canary is one value that must be found nowhere, and how it may be spelled there.
type canary struct {
	name, value string
	needles     []needle
}

type needle struct {
	encoding string
	bytes    []byte
	exact    bool // base64 tells cases apart, the others are sought in lower case
}

// newCanary makes the spellings of a text. alone lists parts of it that name somebody by themselves.
func newCanary(name, value string, alone ...string) *canary {
	c := &canary{name: name, value: value}
	for _, text := range append([]string{value}, alone...) {
		c.add("raw", []byte(text), false)
		c.add("percent", []byte(url.QueryEscape(text)), false)
		c.add("percent", percentAll(text), false)
		c.addEncoded([]byte(text))
	}
	return c
}

// shortest is the length of a needle below which it is found by chance in what we search.
const shortest = 6

func (c *canary) add(encoding string, b []byte, exact bool) {
	if len(b) < shortest {
		return
	}
	if !exact {
		b = bytes.ToLower(b)
	}
	c.needles = append(c.needles, needle{encoding, b, exact})
}

// addEncoded adds hex, and base64 at each of the three places where a text can begin in its groups.
func (c *canary) addEncoded(b []byte) {
	c.add("hex", []byte(hex.EncodeToString(b)), false)
	for shift := range 3 {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := e.EncodeToString(append(make([]byte, shift), b...))
			// The characters at both ends also hold bits of the neighbours.
			text = text[(shift*8+5)/6 : (shift+len(b))*8/6]
			c.add(fmt.Sprintf("base64+%d", shift), []byte(text), true)
		}
	}
}

// addBinary adds a value that may also stand as its bytes.
func (c *canary) addBinary(b []byte) {
	if len(b) >= 8 { // fewer bytes are found by chance
		c.needles = append(c.needles, needle{"bytes", b, true})
	}
	c.addEncoded(b)
}

func percentAll(text string) (out []byte) {
	for _, b := range []byte(text) {
		out = fmt.Appendf(out, "%%%02x", b)
	}
	return out
}

// in returns the encodings in which the canary stands in content.
func (c *canary) in(content, lower []byte) (found []string) {
	for _, n := range c.needles {
		if n.exact && bytes.Contains(content, n.bytes) || !n.exact && bytes.Contains(lower, n.bytes) {
			found = append(found, n.encoding)
		}
	}
	return found
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// ipCanary is an address of a network for examples whose last part is random. Of IPv4 the four bytes alone are
// too few to be sought: lookIntoTables looks at numbers by their value.
func ipCanary(name, prefix string) *canary {
	p := netip.MustParsePrefix(prefix)
	b := p.Addr().AsSlice()
	for i := p.Bits() / 8; i < len(b); i++ {
		for b[i] < 10 || b[i] == 0xff {
			b[i] = byte(randomInt(256))
		}
	}
	addr, _ := netip.AddrFromSlice(b)
	c := newCanary(name, addr.String())
	c.addBinary(b)
	if addr.Is4() {
		mapped := addr.As16()
		c.addBinary(mapped[:])
	} else {
		c.add("raw", []byte(addr.StringExpanded()), false)
	}
	return c
}

func randomInt(n int) int {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return int(binary.BigEndian.Uint32(b[:]) % uint32(n))
}

// places is everything that outlives a request, by where it is.
type places map[string][][]byte

func (p places) add(name string, content []byte) { p[name] = append(p[name], content) }

// addFolder adds every file below dir. Files may come and go meanwhile; what cannot be read otherwise is an error.
func (p places) addFolder(name, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var content []byte
		if err == nil && d.Type().IsRegular() {
			p.add(name+" (names)", []byte(path))
			content, err = os.ReadFile(path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("look into %s: %w", path, err)
		case content != nil:
			p.add(name, content)
		}
		return nil
	})
}

// table is the result: canary x place -> the encodings found.
type table struct {
	places   places
	canaries []*canary
	hits     map[[2]string][]string
}

func search(p places, canaries []*canary) *table {
	t := &table{p, canaries, map[[2]string][]string{}}
	for place, contents := range p {
		for _, content := range contents {
			lower := bytes.ToLower(content)
			for _, c := range canaries {
				if found := c.in(content, lower); len(found) > 0 {
					t.hits[[2]string{c.name, place}] = append(t.hits[[2]string{c.name, place}], found...)
				}
			}
		}
	}
	return t
}

// String prints a line for each place and a column of hits for each canary.
func (t *table) String() string {
	var b strings.Builder
	names := make([]string, 0, len(t.places))
	for place := range t.places {
		names = append(names, place)
	}
	sort.Strings(names)
	spellings := 0
	for _, c := range t.canaries {
		spellings += len(c.needles)
	}
	fmt.Fprintf(&b, "%d canaries in %d spellings (raw, percent-encoded, base64 in three alignments, hex, bytes)\n", len(t.canaries), spellings)
	fmt.Fprintf(&b, "%-46s %7s %12s  %s\n", "place", "parts", "bytes", "hits")
	for _, place := range names {
		size := 0
		for _, content := range t.places[place] {
			size += len(content)
		}
		said := "0"
		for _, c := range t.canaries {
			if found := t.hits[[2]string{c.name, place}]; len(found) > 0 {
				said += fmt.Sprintf(", %s (%s)", c.name, strings.Join(found, " "))
			}
		}
		fmt.Fprintf(&b, "%-46s %7d %12d  %s\n", place, len(t.places[place]), size, strings.TrimPrefix(said, "0, "))
	}
	return b.String()
}
