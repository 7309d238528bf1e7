package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	pixeljs "beckon/pixel-js"
)

// part is a file that the tag loads on this page beside itself, by import(), and what came when it was asked for.
type part struct {
	name string // such as consent-tcf
	from string // what in the page asks for it
	answer
}

const maxParts = 16 // there are fewer

// partsOfParts is the part that loads the others, and that browsers without the Navigation API load on every page.
const partsOfParts = "parts"

// wantedParts lists them as the tag does, see pixel-js/src/start.ts and pixel-js/src/parts/parts.ts.
func (f *facts) wantedParts() (all []part) {
	add := func(name, from string) {
		if name != "" && len(all) < maxParts && !slices.ContainsFunc(all, func(p part) bool { return p.name == name }) {
			all = append(all, part{name: name, from: from})
		}
	}
	add(partsOfParts, "the tag")
	for name := range strings.FieldsSeq(f.tag.attr["data-use"]) {
		add(name, "data-use")
	}
	if name := f.tag.attr["data-consent"]; name != "" {
		add("consent-"+name, "data-consent")
	}
	if f.tag.has("data-debug") {
		add("debug", "data-debug")
	}
	for _, name := range []string{"offer", "event"} {
		if slices.Contains(f.doc.beckon, "data-beckon-"+name) {
			add(name, "data-beckon-"+name)
		}
	}
	if slices.ContainsFunc(all, func(p part) bool { return p.name == "offer" }) {
		add("refresh", "an offer slot")
	}
	return all
}

// partFile is the name of a part of this release.
func partFile(name string) string { return "b." + name + "." + pixeljs.Release() + ".js" }

// partQuestion asks for a part as import() does.
func (f *facts) partQuestion(name string) question {
	q := f.fromPage(http.MethodGet, partFile(name))
	q.header.Set("Sec-Fetch-Dest", "script")
	q.follow = true
	return q
}

func checkParts(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.tag == nil || f.endpoint == nil || !f.script.ok():
		return notChecked("there is no tag that could load them", "")
	case !slices.Equal(f.script.body, pixeljs.Core().Script):
		return notChecked("the tag is of another release, and its parts are called otherwise", "ask the doctor of the same release")
	}
	var good []string
	for i := range f.parts {
		p := &f.parts[i]
		where := f.at(partFile(p.name))
		if _, known := pixeljs.Immutable()[partFile(p.name)]; !known {
			found = append(found, fault(fmt.Sprintf("%s asks for %s, and there is no such part", p.from, quote(p.name)), "there are "+list(partNames())+"; data-consent names one without its consent-"))
			continue
		}
		seen, mend := f.judgePart(p, where)
		if seen == "" {
			good = append(good, p.name)
			continue
		}
		found = append(found, fault(seen, mend))
	}
	switch {
	case len(f.parts) == 1 && len(good) == 1:
		found = append(found, ok("nothing in the page makes the tag load more, and what browsers without the Navigation API load arrives"))
	case len(good) > 0:
		found = append(found, ok("the page makes the tag load "+list(good)))
	}
	return found
}

// judgePart says why a part will not run; nothing where it will.
func (f *facts) judgePart(p *part, where *url.URL) (seen, mend string) {
	if p.err != nil {
		return inWords(p.err, where, f.config.Timeout)
	}
	media, _, _ := strings.Cut(p.header.Get("Content-Type"), ";")
	switch {
	case p.status != http.StatusOK:
		return fmt.Sprintf("%s answers %d", where, p.status), "pass everything under the prefix on to the collector, not b.js alone"
	case !javaScript.MatchString(strings.TrimSpace(media)):
		return fmt.Sprintf("%s has the Content-Type %s, with which browsers run no module", where, orNone(quote(media), "absent")), "pass the collector's Content-Type on: text/javascript"
	}
	if allowed := p.header.Values("Access-Control-Allow-Origin"); !f.sameOrigin() && (len(allowed) != 1 || allowed[0] != "*" && allowed[0] != originOf(f.self)) {
		return fmt.Sprintf("%s comes without a fitting Access-Control-Allow-Origin (%s)", where, orNone(strings.Join(allowed, ", "), "none")), "pass the collector's header on: Access-Control-Allow-Origin: *"
	}
	return "", ""
}

// partNames are those of this release that a page can ask for.
func partNames() (names []string) {
	for file := range pixeljs.Immutable() {
		name, cut := strings.CutSuffix(file, "."+pixeljs.Release()+".js")
		if name, is := strings.CutPrefix(name, "b."); cut && is && name != partsOfParts {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
