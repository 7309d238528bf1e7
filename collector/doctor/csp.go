package doctor

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A page may have several policies; each that is enforced must allow what the tag does. What follows is Content
// Security Policy Level 3 (https://www.w3.org/TR/CSP3/), as far as scripts and connections need it.

// policy is one Content-Security-Policy.
type policy struct {
	from       string // in words: where it stands
	reportOnly bool
	place      int                 // of a meta element; 0: a header, which holds for the whole page
	directives map[string][]string // by name in lower case
}

const maxPolicies = 64 // beyond it nobody reads them

// policiesOf lists the policies of a page: of its headers, each of which may hold several, and of its head.
func policiesOf(h http.Header, d *document) (all []policy) {
	for _, header := range []string{"Content-Security-Policy", "Content-Security-Policy-Report-Only"} {
		for _, line := range h.Values(header) {
			for text := range strings.SplitSeq(line, ",") {
				if p := parsePolicy(text); len(p.directives) > 0 && len(all) < maxPolicies {
					p.from, p.reportOnly = "the header "+header, header != "Content-Security-Policy"
					all = append(all, p)
				}
			}
		}
	}
	for _, m := range d.metas {
		// In a meta element these three say nothing.
		if p := parsePolicy(m.text, "report-uri", "frame-ancestors", "sandbox"); len(p.directives) > 0 && len(all) < maxPolicies {
			p.from, p.place = "the meta element with a Content-Security-Policy", m.place
			all = append(all, p)
		}
	}
	return all
}

// parsePolicy reads a policy. Of two directives with one name the first counts.
func parsePolicy(text string, without ...string) policy {
	p := policy{directives: make(map[string][]string)}
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		name := strings.ToLower(words[0])
		if _, twice := p.directives[name]; !twice && !slices.Contains(without, name) {
			p.directives[name] = words[1:]
		}
	}
	return p
}

// governs returns the directive that speaks of something: the first of names that is there.
func (p *policy) governs(names ...string) (name string, sources []string, there bool) {
	for _, name := range names {
		if sources, there := p.directives[name]; there {
			return name, sources, true
		}
	}
	return "", nil, false
}

var (
	forElements    = []string{"script-src-elem", "script-src", "default-src"}
	forConnections = []string{"connect-src", "default-src"}
	forImages      = []string{"img-src", "default-src"}
)

// allowsFile reports whether a script element of the page may load its file; by is the directive that refuses.
func (p *policy) allowsFile(s *script, self *url.URL) (by string, allowed bool) {
	by, sources, there := p.governs(forElements...)
	switch {
	case !there, nonced(sources, s.attr["nonce"]), pinned(sources, s.attr["integrity"]):
		return by, true
	case keyword(sources, "'strict-dynamic'"):
		return by, false // the parser inserted it, and then addresses count for nothing
	}
	return by, matchesAny(sources, s.src, self)
}

// allowsInline is the same for a script whose text stands in the page.
func (p *policy) allowsInline(s *script) (by string, allowed bool) {
	by, sources, there := p.governs(forElements...)
	switch {
	case !there, nonced(sources, s.attr["nonce"]), hashed(sources, s.text):
		return by, true
	}
	return by, keyword(sources, "'unsafe-inline'") && !slices.ContainsFunc(sources, disarms)
}

// allowsPart is the same for the files that the running tag loads by import(): they have its nonce, and with
// 'strict-dynamic' its trust.
func (p *policy) allowsPart(s *script, part, self *url.URL) (by string, allowed bool) {
	by, sources, there := p.governs(forElements...)
	if !there || nonced(sources, s.attr["nonce"]) || keyword(sources, "'strict-dynamic'") {
		return by, true
	}
	return by, matchesAny(sources, part, self)
}

// allowsAddress is the same for what is fetched and runs nothing.
func (p *policy) allowsAddress(u, self *url.URL, names []string) (by string, allowed bool) {
	by, sources, there := p.governs(names...)
	return by, !there || matchesAny(sources, u, self)
}

// allowsScripts reports whether a sandbox lets scripts run at all, and lets the page keep its origin.
func (p *policy) allowsScripts() (scripts, origin bool) {
	flags, there := p.directives["sandbox"]
	return !there || keyword(flags, "allow-scripts"), !there || keyword(flags, "allow-same-origin")
}

func keyword(sources []string, word string) bool {
	return slices.ContainsFunc(sources, func(s string) bool { return strings.EqualFold(s, word) })
}

// disarms reports whether a source makes browsers ignore 'unsafe-inline'.
func disarms(source string) bool {
	_, _, hash := parseHash(source)
	return hash || isNonce(source) || strings.EqualFold(source, "'strict-dynamic'")
}

func isNonce(source string) bool {
	return len(source) > len("'nonce-'") && strings.EqualFold(source[:len("'nonce-")], "'nonce-") && strings.HasSuffix(source, "'")
}

func nonced(sources []string, nonce string) bool {
	return nonce != "" && slices.ContainsFunc(sources, func(s string) bool {
		return isNonce(s) && s[len("'nonce-"):len(s)-1] == nonce
	})
}

// parseHash reads 'sha256-...'. Both alphabets of base64 are taken for one.
func parseHash(source string) (algorithm, sum string, ok bool) {
	inner, quoted := strings.CutPrefix(source, "'")
	inner, closed := strings.CutSuffix(inner, "'")
	if !quoted || !closed {
		return "", "", false
	}
	return parseSum(inner)
}

func parseSum(text string) (algorithm, sum string, ok bool) {
	algorithm, sum, ok = strings.Cut(text, "-")
	algorithm = strings.ToLower(algorithm)
	if !ok || algorithm != "sha256" && algorithm != "sha384" && algorithm != "sha512" {
		return "", "", false
	}
	return algorithm, strings.NewReplacer("-", "+", "_", "/").Replace(sum), true
}

// sumOf is the base64 of a hash of text.
func sumOf(algorithm string, text []byte) string {
	switch algorithm {
	case "sha256":
		sum := sha256.Sum256(text)
		return base64.StdEncoding.EncodeToString(sum[:])
	case "sha384":
		sum := sha512.Sum384(text)
		return base64.StdEncoding.EncodeToString(sum[:])
	case "sha512":
		sum := sha512.Sum512(text)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	return ""
}

func hashed(sources []string, text string) bool {
	return slices.ContainsFunc(sources, func(s string) bool {
		algorithm, sum, ok := parseHash(s)
		return ok && sum == sumOf(algorithm, []byte(text))
	})
}

// pinned reports whether the policy has every hash of an integrity attribute.
func pinned(sources []string, integrity string) bool {
	sums := parseIntegrity(integrity)
	for _, want := range sums {
		if !slices.ContainsFunc(sources, func(s string) bool {
			algorithm, sum, ok := parseHash(s)
			return ok && algorithm == want.algorithm && sum == want.sum
		}) {
			return false
		}
	}
	return len(sums) > 0
}

// sum is one hash of an integrity attribute.
type sum struct{ algorithm, sum string }

// parseIntegrity lists the hashes that browsers understand; options behind a question mark are none of them.
func parseIntegrity(text string) (sums []sum) {
	for word := range strings.FieldsSeq(text) {
		word, _, _ = strings.Cut(word, "?")
		if algorithm, value, ok := parseSum(word); ok && value != "" {
			sums = append(sums, sum{algorithm, value})
		}
	}
	return sums
}
