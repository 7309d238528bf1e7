package privacy

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

// patternsTSV is the condensed crawler-user-agents list (MIT, see crawlers/LICENSE): reason, kind
// (contains, prefix, suffix, regexp) and text, with tabs between them.
//
//go:embed crawlers/patterns.tsv
var patternsTSV string

var crawlers = parseCrawlers(patternsTSV)

// crawlerIndex finds the list's strings in one pass over a user agent: the three bytes at each position
// are looked up in a bitmap that fits the cache, and only where a string begins with them it is compared.
type crawlerIndex struct {
	begins  [1 << 16 / 64]uint64 // bit set: some string begins with three bytes of this hash
	strings map[[3]byte][]crawlerString
	regexps []crawlerRegexp // the few that are no fixed strings
}

type crawlerString struct {
	text           string
	reason         Bucket
	prefix, suffix bool // where it must stand
}

type crawlerRegexp struct {
	re     *regexp.Regexp
	reason Bucket
}

func parseCrawlers(tsv string) *crawlerIndex {
	x := &crawlerIndex{strings: make(map[[3]byte][]crawlerString)}
	for line := range strings.Lines(tsv) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.SplitN(line, "\t", 3)
		if len(field) != 3 || len(field[2]) < 3 {
			panic(fmt.Sprintf("BUG: crawlers/patterns.tsv has the line %q", line))
		}
		reason, kind, text := NewBucket(field[0]), field[1], field[2]
		if kind == "regexp" {
			x.regexps = append(x.regexps, crawlerRegexp{regexp.MustCompile(text), reason})
			continue
		}
		x.add(crawlerString{text, reason, kind == "prefix", kind == "suffix"})
	}
	return x
}

func (x *crawlerIndex) add(s crawlerString) {
	key := [3]byte([]byte(s.text))
	h := hash3(key)
	x.begins[h/64] |= 1 << (h % 64)
	x.strings[key] = append(x.strings[key], s)
}

func hash3(k [3]byte) uint32 {
	return (uint32(k[0]) | uint32(k[1])<<8 | uint32(k[2])<<16) * 0x9e3779b1 >> 16
}

// match returns why ua is a crawler, or an empty bucket.
func (x *crawlerIndex) match(ua []byte) Bucket {
	for i := 0; i+3 <= len(ua); i++ {
		key := [3]byte(ua[i:])
		if h := hash3(key); x.begins[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, s := range x.strings[key] {
			if len(ua)-i >= len(s.text) && string(ua[i:i+len(s.text)]) == s.text &&
				(!s.prefix || i == 0) && (!s.suffix || i+len(s.text) == len(ua)) {
				return s.reason
			}
		}
	}
	for _, r := range x.regexps {
		if r.re.Match(ua) {
			return r.reason
		}
	}
	return Bucket{}
}
