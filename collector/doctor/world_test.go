package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/collector/ingest"
	"beckon/internal/admin"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/site"
	"beckon/internal/spool"
)

const sitesText = `
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: decide, allow: decide}
    offers:
      - {id: welcome, title: 10% off, when: visitor.sessions_7d >= 2, discount: {percent: 10}, valid_for: 30m, cooldown: 7d}
  - id: other
    origins: [https://other.example]
    currency: EUR
`

const page = `<!doctype html><html><head><title>Shop</title>
<script>window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}</script>
<script async src="/px/b.js" data-site="demo" data-endpoint="/px"></script>
</head><body><script>beckon('cart_view')</script></body></html>`

// world is a shop on https with a real collector behind its proxy, and everything that can be wrong with them. A
// test changes it before it is opened.
type world struct {
	t *testing.T

	sites, serverSites string // of the doctor and of the collector
	site, url          string
	endpoint           string // --endpoint
	html               string
	header             http.Header // of the page
	trusted            string      // --trusted-proxy
	forwarded          string      // the X-Forwarded-For of the proxy; "" = it writes none, "keep" = the visitor's own
	proto              string      // the X-Forwarded-Proto, "" = none
	collectorSkew      time.Duration
	names              map[string][]string // what the DNS knows: addresses, or a name of a chain
	certificate        tls.Certificate
	before             func(w http.ResponseWriter, r *http.Request) bool // stands in front of everything; true: it has answered
	after              func(r *http.Response)                            // changes what the proxy brings back
	noAdmin            bool
	admin              string // another private port
	timeout            time.Duration
	released           string // hash of a core that was published

	collector  http.Handler
	records    *memory
	decision   http.HandlerFunc
	jwks, gpc  string
	underneath *httptest.Server
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, sites: sitesText, serverSites: sitesText, site: "demo", url: "https://shop.example/", html: page, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		trusted: "127.0.0.0/8", forwarded: "127.0.0.1", proto: "https", certificate: authority.issue(t, "shop.example", time.Now().Add(90*24*time.Hour)), timeout: 10 * time.Second,
		names: map[string][]string{
			"shop.example": {"198.51.100.10", "2001:db8:1:1::10"}, "www.shop.example": {"198.51.100.10", "2001:db8:1:1::10"},
		},
		jwks: `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AA"}]}`, gpc: `{"gpc":true,"lastUpdate":"2026-11-22"}`,
		decision: func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			if r.Method != http.MethodHead || r.URL.Query().Get("site") != "demo" || len(r.Cookies()) > 0 {
				http.Error(w, "the doctor asks for more than it may", http.StatusTeapot)
				return
			}
			h.Set("Cache-Control", "private, no-store")
			h.Set("Beckon-Lane", "decide; default")
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", "Beckon-Reason, Beckon-Lane, Beckon-Visitor, ETag, Retry-After")
		},
	}
}

// examine opens the world and lets the doctor look at it.
func (w *world) examine() Report {
	w.t.Helper()
	file, err := site.Parse("sites.yaml", []byte(w.sites))
	if err != nil {
		w.t.Fatal(err)
	}
	private := w.openCollector()
	w.underneath = httptest.NewUnstartedServer(w)
	w.underneath.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &w.certificate, nil }}
	w.underneath.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.underneath.StartTLS()
	w.t.Cleanup(w.underneath.Close)
	plain := httptest.NewServer(w)
	w.t.Cleanup(plain.Close)

	c := Config{
		Site: w.site, Sites: file, URL: mustParse(w.t, w.url), Timeout: w.timeout, RootCAs: authority.pool(), Resolver: w, Database: "beckon",
		released: func(hash string) bool { return hash == w.released },
		Dial: func(network, addr string) (string, string) {
			switch _, port, _ := net.SplitHostPort(addr); {
			case strings.HasPrefix(addr, "127.0.0.1:"):
				return network, addr
			case port == "443":
				return network, w.underneath.Listener.Addr().String()
			case port == "80":
				return network, plain.Listener.Addr().String()
			}
			return network, "127.0.0.1:1" // nobody
		},
	}
	if w.endpoint != "" {
		c.Endpoint = mustParse(w.t, w.endpoint)
	}
	if !w.noAdmin {
		c.Admin = private.Listener.Addr().String()
	}
	if w.admin != "" {
		c.Admin = w.admin
	}
	r := Run(w.t.Context(), c)
	if n := w.records.count.Load(); n > 0 {
		w.t.Errorf("the doctor stored %d records", n)
	}
	return r
}

// openCollector starts the real one, with its private port.
func (w *world) openCollector() (private *httptest.Server) {
	w.t.Helper()
	file, err := site.Parse("sites.yaml", []byte(w.serverSites))
	if err != nil {
		w.t.Fatal(err)
	}
	keys := keysOf(w.t, file)
	trusted, err := proxy.Read(strings.Fields(w.trusted), "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.records = new(memory)
	reg, probes := admin.NewRegistry("collector"), new(ingest.Probes)
	s, err := ingest.New(ingest.Config{
		Spool: w.records, Sites: fixed{file}, Keys: keys, Agents: privacy.NewAgents(10), Proxies: trusted, Probes: probes, Registerer: reg, PathPrefix: "/px",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			w.t.Error(err)
		}
	})
	w.collector = &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(&url.URL{Scheme: "http", Host: ln.Addr().String()})
			pr.Out.Host = pr.In.Host
			switch w.forwarded {
			case "":
			case "keep":
				pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			default:
				pr.Out.Header.Set("X-Forwarded-For", w.forwarded)
			}
			if w.proto != "" {
				pr.Out.Header.Set("X-Forwarded-Proto", w.proto)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if w.collectorSkew != 0 {
				r.Header.Set("Date", time.Now().Add(w.collectorSkew).UTC().Format(http.TimeFormat))
			}
			if w.after != nil {
				w.after(r)
			}
			return nil
		},
	}
	ledger := http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		io.WriteString(out, `[{"site":"demo","minute":"2026-11-27T12:00:00Z","reason":"stored","n":3},{"site":"other","minute":"2026-11-27T12:00:00Z","reason":"stored","n":5}]`)
	})
	events(reg).WithLabelValues("demo", "stored").Add(7)
	private = httptest.NewServer(admin.New(reg, nil, map[string]http.Handler{"/probe": probes, "/ledger": ledger}))
	w.t.Cleanup(private.Close)
	return private
}

var (
	keysMu   sync.Mutex
	allKeys  *keyring.Ring
	keyNames = []string{"demo", "demos", "other"} // of every site that a test has
)

// keysOf makes keys once for all tests: each key file waits for the disk.
func keysOf(t *testing.T, file *site.File) *keyring.Ring {
	t.Helper()
	keysMu.Lock()
	defer keysMu.Unlock()
	if allKeys == nil {
		dir := filepath.Join(t.TempDir(), "keyring")
		if _, err := keyring.Init(dir, keyNames); err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range keyNames { // read now: the folder goes with this test
			if _, err := ring.Site(id); err != nil {
				t.Fatal(err)
			}
		}
		allKeys = ring
	}
	for _, s := range file.Sites {
		if !slices.Contains(keyNames, s.ID) {
			t.Fatalf("no test keys for %s", s.ID)
		}
	}
	return allKeys
}

// events is the collector's own counter, which is there already.
func events(reg prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "beckon_ingest_events_total", Help: "Events by site and outcome: stored, or why not."}, []string{"site", "outcome"})
	var there prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &there) {
		return there.ExistingCollector.(*prometheus.CounterVec)
	}
	return c
}

// ServeHTTP is the shop's server with its proxy.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	switch {
	case w.before != nil && w.before(out, r):
	case r.URL.Path == "/px/v1/decision":
		w.decision(out, r)
	case r.URL.Path == "/px/.well-known/jwks.json":
		io.WriteString(out, w.jwks)
	case r.URL.Path == "/.well-known/gpc.json" && w.gpc != "":
		io.WriteString(out, w.gpc)
	case strings.HasPrefix(r.URL.Path, "/px/"):
		w.collector.ServeHTTP(out, r)
	case r.URL.Path == "/":
		for name, values := range w.header {
			out.Header()[name] = values
		}
		io.WriteString(out, w.html)
	default:
		http.NotFound(out, r)
	}
}

// LookupNetIP and LookupCNAME are the DNS of the world.
func (w *world) LookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	known, there := w.names[host]
	if !there {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for _, text := range known {
		if a, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

func (w *world) LookupCNAME(_ context.Context, host string) (string, error) {
	for _, text := range w.names[host] {
		if _, err := netip.ParseAddr(text); err != nil {
			host = text
		}
	}
	return host + ".", nil
}

// memory is a spool that only counts.
type memory struct{ count atomic.Int64 }

func (m *memory) Append(entries []spool.Entry, counts []spool.Count) error {
	m.count.Add(int64(len(entries) + len(counts)))
	return nil
}

type fixed struct{ file *site.File }

func (f fixed) File() *site.File { return f.file }

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ca signs the certificates of these tests.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var authority, stranger = newCA(), newCA()

func newCA() ca {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return ca{key, cert}
}

func (a ca) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for a domain and its hosts.
func (a ca) issue(t *testing.T, domain string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{domain, "*." + domain, "tracker.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	if until.Before(time.Now()) {
		template.NotBefore = until.Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// of returns the findings of a check.
func (r Report) of(t *testing.T, name string) Result {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check is called %s", name)
	return Result{}
}

// says is a finding in one line, for comparison.
func (f Finding) says() string { return fmt.Sprintf("%s: %s -> %s", f.Outcome, f.Seen, f.Mend) }
