package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"beckon/internal/site"
)

// facts is everything that was found, before anybody judges it.
type facts struct {
	config *Config
	site   *site.Site // nil: the sites file has no such id

	page   answer
	doc    *document // nil: no HTML
	docErr error
	tags   []*script
	tag    *script  // the one that runs, which is the first; nil: none
	self   *url.URL // the page, after redirects

	endpoint *url.URL // of collector and decisions, without a slash at the end; nil: nobody said it

	script, batch, optIn, decision, jwks, gpc answer
	parts                                     []part

	plain, spoofed sighting // what the collector saw of two batches without events
	names          map[string]resolved
	counters       counters
	stored         stored
}

// visit asks everything, what does not depend on each other at once.
func visit(ctx context.Context, c Config) *facts {
	f := &facts{config: &c, site: c.Sites.Site(c.Site), names: make(map[string]resolved)}
	client := newClient(&c)
	defer client.transport.CloseIdleConnections()
	var early sync.WaitGroup
	early.Go(func() { f.counters = client.readCounters(ctx) })
	early.Go(func() { f.stored = readStored(ctx, &c) })
	defer early.Wait()

	f.page = client.ask(ctx, question{url: c.URL, follow: true, most: maxPageBytes, header: http.Header{
		"Accept":         {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"none"}, "Sec-Fetch-User": {"?1"}, "Upgrade-Insecure-Requests": {"1"},
	}})
	if f.page.err != nil {
		return f
	}
	f.self = f.page.url
	f.read()
	f.findEndpoint()

	var all sync.WaitGroup
	defer all.Wait()
	if f.tag != nil {
		all.Go(func() { f.script = client.ask(ctx, f.scriptQuestion()) })
	}
	all.Go(func() { f.gpc = client.ask(ctx, question{url: f.root("/.well-known/gpc.json"), follow: true}) })
	all.Go(func() { f.resolve(ctx, f.self.Hostname()) })
	if f.endpoint == nil {
		return f
	}
	if f.tag != nil {
		f.parts = f.wantedParts()
	}
	for i := range f.parts {
		all.Go(func() { f.parts[i].answer = client.ask(ctx, f.partQuestion(f.parts[i].name)) })
	}
	all.Go(func() { f.batch = client.ask(ctx, f.emptyBatch("")) })
	all.Go(func() { f.optIn = client.ask(ctx, f.fromPage(http.MethodPost, "optin")) })
	all.Go(func() {
		q := f.fromPage(http.MethodHead, "v1", "decision") // a head is decided for nobody and recorded nowhere
		q.url.RawQuery = url.Values{"site": {c.Site}}.Encode()
		f.decision = client.ask(ctx, q)
	})
	all.Go(func() {
		f.jwks = client.ask(ctx, question{url: f.at(".well-known", "jwks.json")})
	})
	all.Go(func() { f.plain, f.spoofed = client.probe(ctx, f, ""), client.probe(ctx, f, invented) })
	return f
}

// read finds in the page what matters.
func (f *facts) read() {
	media, _, _ := strings.Cut(f.page.header.Get("Content-Type"), ";")
	if media = strings.ToLower(strings.TrimSpace(media)); media != "text/html" && media != "application/xhtml+xml" {
		return
	}
	if f.doc, f.docErr = readPage(f.page.body, f.self); f.doc == nil {
		return
	}
	if f.tags = f.doc.tags(f.config.Site); len(f.tags) > 0 {
		f.tag = f.tags[0]
	}
}

// findEndpoint finds it as the tag does: what the element says, else the folder of the script.
func (f *facts) findEndpoint() {
	switch {
	case f.config.Endpoint != nil:
		f.endpoint = trimmed(f.config.Endpoint)
	case f.tag == nil:
	case f.tag.attr["data-endpoint"] != "":
		if u, err := f.doc.base.Parse(f.tag.attr["data-endpoint"]); err == nil && isWeb(u) {
			f.endpoint = trimmed(u)
		}
	default:
		f.endpoint = trimmed(f.tag.src.ResolveReference(&url.URL{Path: "."}))
	}
}

// trimmed is an address as a prefix.
func trimmed(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
}

// at is an address below the endpoint, which is known.
func (f *facts) at(path ...string) *url.URL {
	u := *f.endpoint
	u.Path += "/" + strings.Join(path, "/")
	return &u
}

// root is a path at the root of the shop.
func (f *facts) root(path string) *url.URL {
	return &url.URL{Scheme: f.self.Scheme, Host: f.self.Host, Path: path}
}

// sameOrigin reports whether page and endpoint are one to a browser.
func (f *facts) sameOrigin() bool { return originOf(f.self) == originOf(f.endpoint) }

// fromPage is a request as a script of the page sends it, with what a browser adds by itself.
func (f *facts) fromPage(method string, path ...string) question {
	from := "cross-site"
	switch {
	case f.sameOrigin():
		from = "same-origin"
	case sameSite(f.self.Hostname(), f.endpoint.Hostname()):
		from = "same-site"
	}
	h := http.Header{
		"Origin": {originOf(f.self)}, "Referer": {originOf(f.self) + "/"},
		"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {from},
	}
	return question{method: method, url: f.at(path...), header: h}
}

// emptyBatch is a batch without events: the collector passes it through all its checks of a request, and has nothing
// to store. It sets no cookie for it either.
func (f *facts) emptyBatch(probe string) question {
	q := f.fromPage(http.MethodPost, "e")
	body, err := json.Marshal(map[string]any{"v": 1, "s": f.config.Site, "z": f.config.Now().UnixMilli(), "e": []int{}})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	q.body = string(body)
	q.header.Set("Content-Type", "text/plain")
	if probe != "" {
		q.header.Set("Beckon-Probe", probe)
	}
	return q
}

// scriptQuestion asks for the tag as the element does.
func (f *facts) scriptQuestion() question {
	h := http.Header{"Referer": {originOf(f.self) + "/"}, "Sec-Fetch-Dest": {"script"}, "Sec-Fetch-Mode": {"no-cors"}}
	if f.tag.has("crossorigin") {
		h.Set("Sec-Fetch-Mode", "cors")
		h.Set("Origin", originOf(f.self))
	}
	return question{url: f.tag.src, header: h, follow: true}
}

// resolved is what the DNS says of a host.
type resolved struct {
	err   error
	cname string // the last of the chain, without the dot at the end; "" = the host itself
	addrs []netip.Addr
}

// resolve looks up the page's host, and the endpoint's where it is another.
func (f *facts) resolve(ctx context.Context, page string) {
	f.names[page] = lookUp(ctx, f.config, page)
	if f.endpoint != nil && f.endpoint.Hostname() != page {
		f.names[f.endpoint.Hostname()] = lookUp(ctx, f.config, f.endpoint.Hostname())
	}
}

func lookUp(ctx context.Context, c *Config, host string) (r resolved) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if addr, err := netip.ParseAddr(host); err == nil {
		return resolved{addrs: []netip.Addr{addr.Unmap().WithZone("")}}
	}
	addrs, err := c.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return resolved{err: err}
	}
	for _, a := range addrs {
		r.addrs = append(r.addrs, a.Unmap().WithZone(""))
	}
	name, err := c.Resolver.LookupCNAME(ctx, host)
	if name = strings.ToLower(strings.TrimSuffix(name, ".")); err == nil && !strings.EqualFold(name, host) {
		r.cname = name // without an answer there is an address and no chain, as for a name of the hosts file
	}
	return r
}

// sighting is what the collector saw of a probe.
type sighting struct {
	err error
	saw struct {
		Network                        string
		Proxied, Forwarded, Own, HTTPS bool
	}
}

// invented is an address of a network that is kept for documentation: whoever is taken to come from there
// chose it.
const invented = "192.0.2.66"

// probe sends a batch without events through the public side and asks the private one how it arrived; claim is an
// X-Forwarded-For that a visitor might invent.
func (c *client) probe(ctx context.Context, f *facts, claim string) (s sighting) {
	if c.config.Admin == "" {
		return s
	}
	var opened struct{ Probe string }
	if s.err = c.askAdmin(ctx, "/probe", &opened); s.err != nil {
		return s
	}
	q := f.emptyBatch(opened.Probe)
	if claim != "" {
		q.header.Set("X-Forwarded-For", claim)
	}
	if a := c.ask(ctx, q); !a.ok() || a.header.Get("Beckon-Lane") == "" {
		s.err = errNotTaken
		return s
	}
	s.err = c.askAdmin(ctx, "/probe?id="+opened.Probe, &s.saw)
	return s
}

var errNotTaken = fmt.Errorf("the batch was not taken, see collector")

// askAdmin reads a page of the collector's private port.
func (c *client) askAdmin(ctx context.Context, path string, into any) error {
	u, err := url.Parse(adminAddress(c.config.Admin) + path)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	a := c.ask(ctx, question{url: u, most: maxPageBytes})
	switch {
	case a.err != nil:
		seen, _ := inWords(a.err, u, c.config.Timeout)
		return fmt.Errorf("%s", seen)
	case a.status != http.StatusOK:
		return &adminStatus{path: u.Path, status: a.status}
	}
	if text, ok := into.(*string); ok {
		*text = string(a.body)
		return nil
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("%s of the private port is not the collector's", u.Path)
	}
	return nil
}

// adminStatus is a page of the private port that is not there.
type adminStatus struct {
	path   string
	status int
}

func (e *adminStatus) Error() string {
	return fmt.Sprintf("the private port answers %s with %d", e.path, e.status)
}

func adminAddress(text string) string {
	if strings.Contains(text, "://") {
		return strings.TrimRight(text, "/")
	}
	return "http://" + text
}
