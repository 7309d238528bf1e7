package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func checkCSP(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.doc == nil:
		return notChecked("the page is no HTML", "")
	}
	policies := policiesOf(f.page.header, f.doc)
	if len(policies) == 0 {
		return []Finding{ok("the page has no Content-Security-Policy")}
	}
	if f.tag == nil && f.endpoint == nil {
		return notChecked("the page has no tag to hold its policy against", "")
	}
	enforced := 0
	for i := range policies {
		p := &policies[i]
		if !p.reportOnly {
			enforced++
		}
		for _, refusal := range f.refusals(p) {
			found = append(found, p.finding(refusal))
		}
	}
	if len(found) == 0 {
		found = append(found, ok(fmt.Sprintf("%s enforced and %d only reported let the tag run and send", countOf(enforced, "policy", "policies"), len(policies)-enforced)))
	}
	return found
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// refusal is one thing that a policy does not allow.
type refusal struct {
	minor bool   // nothing is lost by it that matters
	by    string // the directive
	what  string
	mend  string
}

func (p *policy) finding(r refusal) Finding {
	word, verb := fault, "does not allow"
	if r.minor {
		word = warning
	}
	if p.reportOnly {
		word, verb = warning, "is only reported, and would not allow"
	}
	seen := fmt.Sprintf("%s: %s %s %s", p.from, r.by, verb, r.what)
	if bare := p.bareKeywords(r.by); bare != "" {
		r.mend = "write '" + bare + "' with its quotes: without them it is the name of a host; " + r.mend
	}
	return word(seen, r.mend)
}

// bareKeywords finds the mistake that everybody makes once.
func (p *policy) bareKeywords(directive string) string {
	for _, source := range p.directives[directive] {
		for _, word := range []string{"self", "unsafe-inline", "strict-dynamic", "none"} {
			if strings.EqualFold(source, word) {
				return word
			}
		}
	}
	return ""
}

// refusals holds what the tag does against one policy.
func (f *facts) refusals(p *policy) (all []refusal) {
	if scripts, origin := p.allowsScripts(); !scripts || !origin {
		what := "scripts at all"
		if scripts {
			what = "the page to keep its origin, so that no cookie goes along"
		}
		return []refusal{{by: "sandbox", what: what, mend: "take sandbox off the shop's pages, or add allow-scripts allow-same-origin"}}
	}
	all = append(all, f.refusedScripts(p)...)
	if f.endpoint != nil {
		for _, path := range [][]string{{"e"}, {"v1", "decision"}} {
			u := f.at(path...)
			if by, allowed := p.allowsAddress(u, f.self, forConnections); !allowed {
				all = append(all, refusal{by: by, what: "the page to send to " + u.String(), mend: addSource(by, "connect-src", f.sourceFor(u))})
				break // the other one is refused for the same reason
			}
		}
	}
	for _, u := range f.doc.pixels {
		if by, allowed := p.allowsAddress(u, f.self, forImages); !allowed {
			all = append(all, refusal{minor: true, by: by, what: "the pixel in noscript", mend: addSource(by, "img-src", f.sourceFor(u))})
		}
	}
	return all
}

// refusedScripts are the tag, the line before it, and what the tag loads later. A policy in a meta element holds for
// what comes after it.
func (f *facts) refusedScripts(p *policy) (all []refusal) {
	if f.tag == nil {
		return nil
	}
	t := f.tag
	if by, allowed := p.allowsFile(t, f.self); !allowed && p.place < t.place {
		all = append(all, refusal{by: by, what: "the tag, " + t.src.String(), mend: p.mendScript(by, t, f.sourceFor(t.src))})
	} else if len(f.parts) > 0 {
		u := f.at(partFile(f.parts[0].name)) // where the others are too
		if by, allowed := p.allowsPart(t, u, f.self); !allowed {
			only := len(f.parts) == 1 // for browsers without the Navigation API
			all = append(all, refusal{minor: only, by: by, what: "what the tag loads beside itself, such as " + u.String(), mend: p.mendScript(by, t, f.sourceFor(u))})
		}
	}
	for _, s := range f.doc.inline() {
		if !isStub.MatchString(s.text) || p.place >= s.place {
			continue
		}
		if by, allowed := p.allowsInline(s); !allowed {
			all = append(all, refusal{by: by, what: "the line before the tag that keeps early calls", mend: "give that line the nonce of the page, or add 'sha256-" + sumOf("sha256", []byte(s.text)) + "' to " + by})
		}
	}
	return all
}

// mendScript says what lets a script element pass.
func (p *policy) mendScript(by string, t *script, source string) string {
	sources := p.directives[by]
	if slices.ContainsFunc(sources, isNonce) {
		mend := "give the script element the nonce of the page: nonce=\"...\", the same as in the policy"
		if t.has("nonce") {
			mend = "the element has a nonce, and the policy another one: is the page kept in a cache, or made twice? Both must be made anew for each page"
		}
		return mend
	}
	if keyword(sources, "'strict-dynamic'") {
		return "with 'strict-dynamic' addresses count for nothing: give the element a nonce, or integrity and its hash in " + by
	}
	return addSource(by, "script-src", source)
}

// sourceFor is how a policy of this page best names an address.
func (f *facts) sourceFor(u *url.URL) string {
	if originOf(u) == originOf(f.self) {
		return "'self'"
	}
	return originOf(u)
}

func addSource(by, own, source string) string {
	if by == "default-src" {
		return fmt.Sprintf("add %s to default-src, or write %s with what default-src has and %s", source, own, source)
	}
	return fmt.Sprintf("add %s to %s", source, by)
}
