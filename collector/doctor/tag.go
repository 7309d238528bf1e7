package doctor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	pixeljs "beckon/pixel-js"
)

const example = `<script async src="/px/b.js" data-site="%s" data-endpoint="/px"></script>`

func checkTag(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.doc == nil:
		return notChecked("the page is no HTML", "")
	case f.tag == nil && f.config.Endpoint != nil:
		return []Finding{warning("the page's own HTML has no tag; a tag manager or a script of the shop's own may bring one, which a program without scripts cannot see",
			"look in a browser whether window.beckon is there, or put this into the head: "+fmt.Sprintf(example, f.config.Site))}
	case f.tag == nil:
		return []Finding{fault("the page's own HTML has no script element with b.js or b.HASH.js",
			"put this into the head: "+fmt.Sprintf(example, f.config.Site)+"; if a tag manager or a script of the shop's own brings it, name its endpoint with --endpoint, so that the rest is checked")}
	}
	t := f.tag
	found = append(found, f.checkKind(t)...)
	found = append(found, f.checkAttributes(t)...)
	if len(f.tags) > 1 {
		found = append(found, warning(fmt.Sprintf("the page has %d tags; the first that runs counts, the others are loaded and do nothing", len(f.tags)), "keep one: two are mostly a theme's and a tag manager's"))
	}
	if len(found) == 0 {
		found = append(found, ok(fmt.Sprintf("%s with data-site %q, endpoint %s", t.attr["src"], t.attr["data-site"], f.endpoint)))
	}
	return found
}

// checkKind asks whether a browser runs the element at all.
func (f *facts) checkKind(t *script) (found []Finding) {
	switch t.kind() {
	case module:
		found = append(found, fault("the tag is loaded as a module, and then does not find its own attributes: it has no site", `take type="module" off the element`))
	case data:
		found = append(found, warning(fmt.Sprintf("the element has type %s, which no browser runs; a consent tool may change that later", quote(t.attr["type"])),
			"take the type off: the tag keeps the consent by itself, and counts without a cookie until there is one"))
	}
	if t.has("nomodule") {
		found = append(found, fault("the element has nomodule, so that only browsers of before 2018 run it", "take nomodule off"))
	}
	if !t.has("async") && !t.has("defer") {
		found = append(found, warning("the tag is loaded without async: the page waits for it", "add async"))
	}
	if f.self.Scheme == "https" && t.src.Scheme == "http" {
		found = append(found, fault("the page is https and the tag http: browsers refuse that as mixed content", "write https://, or an address without a host, such as /px/b.js"))
	}
	if !strings.EqualFold(t.src.Hostname(), f.self.Hostname()) {
		found = append(found, warning(fmt.Sprintf("the tag comes from another host, %s", t.src.Host), "publish it under a path of the shop, such as /px: blockers and browsers treat other hosts worse, see also safari"))
	}
	return found
}

// checkAttributes asks whether the element says the right things.
func (f *facts) checkAttributes(t *script) (found []Finding) {
	id, there := t.attr["data-site"]
	want := fmt.Sprintf("write data-site=%q", f.config.Site)
	switch {
	case !there || id == "":
		found = append(found, fault("the element has no data-site, so that the collector refuses its events", want))
	case id == f.config.Site:
	case f.config.Sites.Site(id) == nil:
		found = append(found, fault(fmt.Sprintf("data-site is %s, and %s has no such site", quote(id), f.config.Sites.Name), want))
	default:
		found = append(found, fault(fmt.Sprintf("data-site is %s, which is another site of %s: its events come, and count there", quote(id), f.config.Sites.Name), want+", or ask with --site "+id))
	}
	endpoint := t.attr["data-endpoint"]
	if f.endpoint == nil {
		found = append(found, fault(fmt.Sprintf("data-endpoint is %s, which is no address of the web", quote(endpoint)), `write data-endpoint="/px", with the prefix that leads to the collector`))
	}
	if relative := endpoint != "" && !strings.HasPrefix(endpoint, "/") && !strings.Contains(endpoint, "://"); relative {
		found = append(found, fault(fmt.Sprintf("data-endpoint is %s without a slash in front, which leads elsewhere from each folder of the shop", quote(endpoint)), fmt.Sprintf("write data-endpoint=%q", "/"+endpoint)))
	}
	if strings.HasSuffix(endpoint, "/") {
		found = append(found, fault(fmt.Sprintf("data-endpoint is %s, and the tag puts a slash behind it", quote(endpoint)), fmt.Sprintf("write data-endpoint=%q", strings.TrimRight(endpoint, "/"))))
	}
	if f.endpoint != nil && f.self.Scheme == "https" && f.endpoint.Scheme == "http" {
		found = append(found, fault("the page is https and data-endpoint http: browsers refuse that as mixed content", "write https://, or an address without a host, such as /px"))
	}
	return found
}

var (
	isStub = regexp.MustCompile(`\bbeckon\s*(?:\.\s*q\b|\[\s*["']q["']\s*\])`)
	isCall = regexp.MustCompile(`\bbeckon\s*(?:\.\s*(?:consent|decision)\s*)?\(`)
)

const stub = "<script>window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}</script>"

func checkStub(f *facts) []Finding {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.doc == nil || f.tag == nil:
		return notChecked("the page has no tag", "")
	}
	var before, after, calls *script
	for _, s := range f.doc.inline() {
		switch {
		case isStub.MatchString(s.text) && s.place < f.tag.place:
			before = s
		case isStub.MatchString(s.text):
			after = s
		case isCall.MatchString(s.text) && calls == nil:
			calls = s
		}
	}
	switch {
	case before != nil && calls != nil && calls.place < before.place:
		return []Finding{fault("a script of the page calls beckon before the line that keeps early calls: it ends with an error there", "move that line up, above everything that calls beckon")}
	case before != nil:
		return []Finding{ok("calls that come before the tag are kept")}
	case after != nil && calls != nil && calls.place < after.place:
		return []Finding{fault("the line that keeps early calls stands behind the tag and behind a call of beckon, which can end with an error", "move it above both: "+stub)}
	case after != nil:
		return []Finding{warning("the line that keeps early calls stands behind the tag", "move it above the tag: "+stub)}
	case calls != nil:
		return []Finding{fault("a script of the page calls beckon, and nothing keeps calls that come before the tag: on most loads it ends with an error", "put this above the tag: "+stub)}
	}
	return []Finding{ok("nothing in the page's own HTML calls beckon, so nothing has to keep early calls")}
}

func checkTagFile(f *facts) (found []Finding) {
	a := &f.script
	switch {
	case f.page.err != nil:
		return notReached(f)
	case !a.asked:
		return notChecked("the page has no tag", "")
	case a.err != nil:
		seen, mend := inWords(a.err, f.tag.src, f.config.Timeout)
		return []Finding{fault(seen, mend)}
	case a.status == http.StatusNotFound && strings.Count(f.tag.src.Path, ".") > 1:
		return []Finding{fault(fmt.Sprintf("%s answers 404: no release that the collector knows has this hash", f.tag.src), "use b.js, or the name with the hash of this release: b."+pixeljs.Core().Hash()+".js")}
	case a.status != http.StatusOK:
		return []Finding{fault(fmt.Sprintf("%s answers %d", f.tag.src, a.status), "is the prefix passed on to the collector, and is it the collector's --path-prefix? See docs/operations.md, Behind a proxy")}
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media = strings.TrimSpace(media)
	if looksLikeHTML(a.body) {
		return []Finding{fault(fmt.Sprintf("%s answers with a page of HTML", f.tag.src), "the shop's server answers in the collector's place: pass the prefix on before its rule for unknown paths")}
	}
	found = append(found, f.checkRelease()...)
	if !javaScript.MatchString(media) {
		outcome := warning
		if strings.EqualFold(a.header.Get("X-Content-Type-Options"), "nosniff") {
			outcome = fault
		}
		found = append(found, outcome(fmt.Sprintf("the Content-Type is %s, which browsers refuse under nosniff", orNone(quote(media), "absent")), "pass the collector's Content-Type on: text/javascript"))
	}
	if a.coding == "" {
		found = append(found, warning(fmt.Sprintf("the tag is sent without compression, %d bytes", len(a.body)), "pass Accept-Encoding on to the collector, which has it ready in gzip and brotli"))
	}
	found = append(found, f.checkCaching()...)
	if allowed := a.header.Values("Access-Control-Allow-Origin"); f.tag.has("crossorigin") && !strings.EqualFold(originOf(f.tag.src), originOf(f.self)) && (len(allowed) != 1 || allowed[0] != "*" && allowed[0] != originOf(f.self)) {
		found = append(found, fault(fmt.Sprintf("the element has crossorigin, and the file comes without a fitting Access-Control-Allow-Origin (%s)", orNone(strings.Join(allowed, ", "), "none")), "pass the collector's header on: Access-Control-Allow-Origin: *"))
	}
	return found
}

func looksLikeHTML(body []byte) bool {
	start := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 256)]))
	return bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html")) || bytes.HasPrefix(start, []byte("<head"))
}

// checkRelease tells the tag of this release from another one, and both from what somebody changed on the way.
func (f *facts) checkRelease() []Finding {
	a := &f.script
	digest := sha256.Sum256(a.body)
	hash := hex.EncodeToString(digest[:6])
	named := strings.Contains(f.tag.src.Path, "/b."+hash+".js")
	switch {
	case bytes.Equal(a.body, pixeljs.Core().Script):
		return []Finding{ok(fmt.Sprintf("%s is the tag of this release, %s, %s", f.tag.src.Path, hash, orNone(a.coding, "not compressed")))}
	case f.config.released(hash) && named:
		return []Finding{ok(fmt.Sprintf("%s is the tag of an older release, which stays served", f.tag.src.Path))}
	case f.config.released(hash):
		return []Finding{warning(fmt.Sprintf("%s is the tag of an older release than this program's, %s", f.tag.src.Path, hash), "upgrade the collector; if it is of this release already, something in between keeps the old file: empty its cache")}
	case named || strings.Contains(a.header.Get("ETag"), hash):
		return []Finding{ok(fmt.Sprintf("%s is the tag of another release than this program's, %s", f.tag.src.Path, hash))}
	case tagName.MatchString(f.tag.src.Path) && bytes.Contains(a.body, []byte("beckon")):
		return []Finding{warning(fmt.Sprintf("%s is a tag that was changed on its way, or of a release that this program does not know: its hash is %s", f.tag.src.Path, hash),
			"switch off what rewrites scripts between collector and shop (minifying, optimising, injecting); if you upgraded, run the doctor of the same release")}
	}
	return []Finding{fault(fmt.Sprintf("%s is a script, and not Beckon's", f.tag.src), "is it another product's file of that name? Give Beckon a prefix of its own")}
}

// released reports whether this program knows a core by its hash.
func released(hash string) bool {
	_, known := pixeljs.Immutable()["b."+hash+".js"]
	return known
}

// checkCaching asks whether something in between makes another promise than the collector.
func (f *facts) checkCaching() (found []Finding) {
	cache := f.script.header.Get("Cache-Control")
	age, bounded := maxAge(cache)
	immutable := tagName.FindStringSubmatch(f.tag.src.Path)
	switch hashed := immutable != nil && immutable[1] != ""; {
	case hashed && (!bounded || age < 24*time.Hour || strings.Contains(cache, "no-store")):
		found = append(found, warning(fmt.Sprintf("the name has a hash, so that the file never changes, and Cache-Control is %s: browsers load it again and again", quote(cache)), "pass the collector's Cache-Control on: public, max-age=31536000, immutable"))
	case hashed:
	case strings.Contains(cache, "no-store"), !bounded:
		found = append(found, warning(fmt.Sprintf("Cache-Control is %s: each page loads the tag anew", quote(cache)), "pass the collector's Cache-Control on: public, max-age=3600"))
	case age > 24*time.Hour || strings.Contains(cache, "immutable"):
		found = append(found, warning(fmt.Sprintf("Cache-Control is %s: browsers keep this tag long after an upgrade", quote(cache)), "pass the collector's Cache-Control on (public, max-age=3600): a rule of a CDN for scripts mostly replaced it"))
	}
	if f.script.header.Get("ETag") == "" {
		found = append(found, warning("the file has no ETag: browsers load it whole where a short answer would do", "pass the collector's ETag on"))
	}
	return found
}

func maxAge(cache string) (age time.Duration, bounded bool) {
	for part := range strings.SplitSeq(cache, ",") {
		if value, is := strings.CutPrefix(strings.ToLower(strings.TrimSpace(part)), "max-age="); is {
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			return time.Duration(seconds) * time.Second, err == nil
		}
	}
	return 0, false
}

func checkIntegrity(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case !f.script.asked:
		return notChecked("the page has no tag", "")
	case !f.script.ok():
		return notChecked("the tag could not be loaded", "")
	case !f.tag.has("integrity"):
		return []Finding{ok("the element pins no hash")}
	}
	sums := parseIntegrity(f.tag.attr["integrity"])
	if len(sums) == 0 {
		return []Finding{warning(fmt.Sprintf("integrity is %s, which browsers ignore", quote(f.tag.attr["integrity"])), "write integrity=\"sha384-"+sumOf("sha384", f.script.body)+"\"")}
	}
	strongest := ""
	for _, s := range sums {
		strongest = max(strongest, s.algorithm)
	}
	fits := false
	for _, s := range sums {
		fits = fits || s.algorithm == strongest && s.sum == sumOf(strongest, f.script.body)
	}
	if !fits {
		found = append(found, fault("integrity does not fit the file that is served: browsers refuse to run it", "write integrity=\""+strongest+"-"+sumOf(strongest, f.script.body)+"\" if the file is what you mean to run, see tag-file"))
	}
	if originOf(f.tag.src) != originOf(f.self) && !f.tag.has("crossorigin") {
		found = append(found, fault("the element has integrity without crossorigin, and the file comes from another origin: browsers refuse to run it", `add crossorigin="anonymous"`))
	}
	if match := tagName.FindStringSubmatch(f.tag.src.Path); match != nil && match[1] == "" {
		found = append(found, warning("the element pins the hash of b.js, which changes with each release: from the next one on the tag will not run", "load b."+pixeljs.Core().Hash()+".js, which stays as it is"))
	}
	if len(found) == 0 {
		found = append(found, ok("the hash fits the bytes that are served"))
	}
	return found
}
