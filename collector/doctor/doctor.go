// Package doctor is about what an operator asks on the day of the installation and on every bad day after it: does
// this shop's page bring events, and if not, what has to be changed?
//
// It looks at a page of the shop from outside, as a browser does, and at the sites file, and answers with a list of
// named checks in a fixed order. Each has an outcome, a sentence of what was seen, and one of how to mend it.
//
// Promises. It stores nothing and changes nothing: it sends a batch without events, asks for the head of a decision,
// and takes away an opt-out that it does not have. What it reads of others is bounded in size and time. A check that
// could not be made says why and is no success. It never says that a page works: it runs no script, so what a tag
// manager puts into the page is out of its sight.
//
// Place in the path: in front of everything, on nobody's way. visit.go fetches, all the other files judge what was
// fetched; a judgement asks nobody.
package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/admin"
	"beckon/internal/site"
)

// Outcome is the word for a finding.
type Outcome string

// The outcomes, the worst last.
const (
	OK         Outcome = "ok"
	NotChecked Outcome = "not checked"
	Warning    Outcome = "warning" // it works, and less well than it could
	Fault      Outcome = "fault"   // something that the shop pays for does not work
)

func (o Outcome) rank() int {
	switch o {
	case Fault:
		return 3
	case Warning:
		return 2
	case NotChecked:
		return 1
	}
	return 0
}

// Finding is one thing that was seen, and how to mend it where there is something to mend.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	Seen    string  `json:"seen"`
	Mend    string  `json:"mend,omitempty"`
}

// Result is a check with what it found; its outcome is that of its worst finding.
type Result struct {
	Name     string    `json:"name"`
	Outcome  Outcome   `json:"outcome"`
	Findings []Finding `json:"findings"`
}

// Report is the answer: every check in its order.
type Report struct {
	Site     string   `json:"site"`
	URL      string   `json:"url"`
	Version  string   `json:"version"` // of the doctor, and of the tag that it takes for the current one
	Outcome  Outcome  `json:"outcome"` // the worst of all
	Reached  bool     `json:"reached"` // the page was there to be looked at
	Checks   []Result `json:"checks"`
	Warnings int      `json:"warnings"`
	Faults   int      `json:"faults"`
}

// check is a name and a judgement.
type check struct {
	name  string
	about string // for the documentation: what is looked at
	judge func(*facts) []Finding
}

// checks is the list, in the order in which an operator mends: what comes first spoils what comes later.
var checks = []check{
	{"site", "the sites file knows the site, and lists the origin of the page", checkSite},
	{"page", "the page answers; where its address leads", checkPage},
	{"tls", "the connection is encrypted, the certificate will last two weeks", checkTLS},
	{"clock", "the server's clock beside this one", checkClock},
	{"tag", "one script element, a classic one, of this site, that browsers will load", checkTag},
	{"stub", "calls that come before the tag are kept, or there are none", checkStub},
	{"tag-file", "what the element loads: is it the tag, which release, type, coding, caching, CORS", checkTagFile},
	{"integrity", "the hash of the element fits the bytes that are served", checkIntegrity},
	{"parts", "what the tag loads on this page beside itself: is there such a part, does it arrive as a module", checkParts},
	{"csp", "each Content-Security-Policy, in headers and in the page, lets the tag run and send", checkCSP},
	{"collector", "a batch without events, sent as the page sends it, is taken, and the page may read the answer", checkCollector},
	{"decision", "the decision service answers under the same prefix, and the page may read it", checkDecision},
	{"proxy", "the collector knows the visitor's address and https through whatever stands in front of it, and nobody can choose an address", checkProxy},
	{"cookie", "name, scope and attributes that the visitor cookie gets, and whether browsers keep it", checkCookie},
	{"safari", "how long Safari lets the cookie live, by the names and addresses of page and collector", checkSafari},
	{"consent", "the lane of visitors who have not chosen, and whether the page tells choices", checkConsent},
	{"gpc", "`/.well-known/gpc.json` at the root of the shop", checkGPC},
	{"jwks", "the page of keys with which the shop checks offers", checkJWKS},
	{"events", "the first and the last event, and the lanes of the last hour", checkEvents},
}

// Names lists the checks and what each looks at, in their order.
func Names() (names, about []string) {
	for _, c := range checks {
		names, about = append(names, c.name), append(about, c.about)
	}
	return names, about
}

// Resolver is what is asked of the DNS.
type Resolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is one visit. Site, Sites and URL are needed.
type Config struct {
	Site     string // id
	Sites    *site.File
	URL      *url.URL                                    // a page of the shop
	Endpoint *url.URL                                    // of collector and decisions; nil: as the page's tag has it
	Admin    string                                      // the collector's private port; "": it is not asked
	Connect  func(context.Context) (driver.Conn, error)  // to ClickHouse; nil: it is not asked
	Database string                                      // of ClickHouse
	Timeout  time.Duration                               // of each question
	Resolver Resolver                                    // nil: the system's
	Dial     func(network, addr string) (string, string) // where to connect to instead; nil: there. For tests
	RootCAs  *x509.CertPool                              // nil: the system's
	Now      func() time.Time

	released func(hash string) bool // whether a core was published, of which nobody has any before the first release
}

// Run visits and judges. It fails for nothing but a Config that cannot be: what goes wrong is in the report.
func Run(ctx context.Context, c Config) Report {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.released == nil {
		c.released = released
	}
	f := visit(ctx, c)
	r := Report{Site: c.Site, URL: c.URL.String(), Version: admin.Version, Outcome: OK, Reached: f.page.err == nil, Checks: make([]Result, 0, len(checks))}
	for _, c := range checks {
		result := Result{Name: c.name, Outcome: OK, Findings: c.judge(f)}
		for _, found := range result.Findings {
			switch found.Outcome {
			case Warning:
				r.Warnings++
			case Fault:
				r.Faults++
			}
			if found.Outcome.rank() > result.Outcome.rank() {
				result.Outcome = found.Outcome
			}
		}
		if result.Outcome.rank() > r.Outcome.rank() {
			r.Outcome = result.Outcome
		}
		r.Checks = append(r.Checks, result)
	}
	return r
}

func ok(seen string) Finding            { return Finding{Outcome: OK, Seen: seen} }
func warning(seen, mend string) Finding { return Finding{Outcome: Warning, Seen: seen, Mend: mend} }
func fault(seen, mend string) Finding   { return Finding{Outcome: Fault, Seen: seen, Mend: mend} }

// notChecked is the only finding of a check that could not be made.
func notChecked(because, mend string) []Finding {
	return []Finding{{Outcome: NotChecked, Seen: "because " + because, Mend: mend}}
}
