package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

const (
	shopOrigin = "https://shop.example"
	// A browser's own words, or it is a bot.
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// sitesText has one site for each way of dealing with consent and cookies.
const sitesText = `
sites:
  - id: demo
    origins: [https://shop.example, https://www.shop.example]
    currency: EUR
    rates: {USD: 0.92}
    consent: {default: decide, allow: decide}
    retention: {events: 395d, profiles: 90d}
    server_keys: ["sha256:78b0076c390f93b20851bcbc631943e7f2adeb60fc5c22d3ea5a502463fe4f78"]
  - id: asks
    origins: [https://shop.example]
    currency: EUR
    server_keys: ["sha256:ade9c3a6001a64fb60f5b765efc2078d1be354419231db76e1e39560c400c3b6"]
    consent: {default: count, allow: decide}
  - id: wide
    origins: [https://a.shop.example]
    currency: EUR
    cookie_domain: shop.example
    consent: {default: decide, allow: decide}
  - id: reports
    origins: [https://shop.example]
    currency: EUR
    consent: {default: measure, allow: decide, gpc: measure}
`

// siteIDs are the sites of sitesText.
var siteIDs = []string{"demo", "asks", "wide", "reports"}

// fixedSites is a sites file that does not change by itself.
type fixedSites struct{ file atomic.Pointer[site.File] }

func (f *fixedSites) File() *site.File { return f.file.Load() }

func parseSites(t testing.TB, text string) *site.File {
	t.Helper()
	f, err := site.Parse("sites.yaml", []byte(text))
	if err != nil {
		t.Fatalf("parse sites: %v", err)
	}
	return f
}

// shop is a server on a loopback port with a real spool behind it, and the clock it goes by.
type shop struct {
	testing.TB
	server     *Server
	spool      *spool.Spool
	keys       *keyring.Ring
	days       *daykey.Keys // turned by the tests
	suppressed *suppress.List
	sites      *fixedSites
	reg        *prometheus.Registry
	dir        string // of the spool

	volatile string // the folder of the day keys
	addr     string
	client   *http.Client
	clock    atomic.Int64 // Unix milliseconds
}

func (s *shop) now() time.Time { return time.UnixMilli(s.clock.Load()) }

func (s *shop) pass(d time.Duration) { s.clock.Add(d.Milliseconds()) }

// openShop starts a server; change may adjust its settings first.
func openShop(t testing.TB, change ...func(*Config)) *shop {
	t.Helper()
	s := &shop{TB: t, sites: &fixedSites{}, reg: prometheus.NewRegistry()}
	s.clock.Store(time.Date(2026, 11, 22, 12, 0, 30, 0, time.UTC).UnixMilli())
	file := parseSites(t, sitesText)
	s.sites.file.Store(file)
	dir := filepath.Join(t.TempDir(), "keyring")
	if _, err := keyring.Init(dir, siteIDs); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.keys, err = keyring.Open(dir); err != nil {
		t.Fatal(err)
	}
	s.volatile = filepath.Join(t.TempDir(), "volatile")
	if s.days, err = daykey.Open(daykey.Config{Dir: s.volatile, Now: s.now, Registerer: s.reg}); err != nil {
		t.Fatal(err)
	}
	s.dir = filepath.Join(t.TempDir(), "spool")
	if s.spool, err = spool.Open(s.dir, spool.Options{Sync: spool.SyncOS, Now: s.now}); err != nil {
		t.Fatal(err)
	}
	s.spool.Sealing(0)
	if s.suppressed, err = suppress.Open(suppress.Dir(dir), suppress.Options{Now: s.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.suppressed.Close() })
	c := Config{Spool: s.spool, Sites: s.sites, Keys: s.keys, DayKeys: s.days, Suppressed: s.suppressed, Agents: privacy.NewAgents(100), Now: s.now, Registerer: s.reg}
	for _, f := range change {
		f(&c)
	}
	if s.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	transport := &http.Transport{DisableCompression: true}
	s.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ln) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		s.spool.Close()
	})
	return s
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body string
}

func (r reply) reason() string { return r.Header.Get("Beckon-Reason") }
func (r reply) lane() string   { return r.Header.Get("Beckon-Lane") }

// cookie returns the Set-Cookie of that name, nil without one.
func (r reply) cookie(name string) *http.Cookie {
	for _, c := range r.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with { return func(r *http.Request) { r.Header.Add(name, value) } }

func withCookie(name, value string) with {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: name, Value: value}) }
}

// do sends a request and holds the reply against openapi.json.
func (s *shop) do(method, path, body string, changes ...with) reply {
	s.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("User-Agent", firefox)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	for _, change := range changes {
		change(req)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatalf("%s %s: read reply: %v", method, path, err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	conforms(s.TB, req, resp)
	return reply{resp, string(b)}
}

// status asks for a path that openapi.json need not know: one under a prefix, or spelled in another way.
func (s *shop) status(path string) int {
	s.Helper()
	resp, err := s.client.Get("http://" + s.addr + path)
	if err != nil {
		s.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (s *shop) get(path string, changes ...with) reply { return s.do("GET", path, "", changes...) }

func (s *shop) post(body string, changes ...with) reply { return s.do("POST", "/e", body, changes...) }

// tell sends a batch as the site's own server does: "bks_" and its id is the key of a site that has one.
func (s *shop) tell(site, body string, changes ...with) reply {
	return s.do("POST", "/v1/events", body, append([]with{func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer bks_"+site)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "curl/8.0")
	}}, changes...)...)
}

// stored takes everything out of the spool, oldest first.
func (s *shop) stored() []event.Stored {
	s.Helper()
	if err := s.spool.Seal(); err != nil {
		s.Fatal(err)
	}
	var all []event.Stored
	for s.spool.Stats().Segments > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		b, err := s.spool.Next(ctx)
		cancel()
		if err != nil {
			s.Fatal(err)
		}
		err = b.Records(func(_ uint64, payload []byte) error {
			var e event.Stored
			if err := e.Decode(payload); err != nil {
				return err
			}
			all = append(all, e)
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
		if err := s.spool.Done(b.ID); err != nil {
			s.Fatal(err)
		}
	}
	return all
}

// one is stored when exactly one event has to be there.
func (s *shop) one() event.Stored {
	s.Helper()
	all := s.stored()
	if len(all) != 1 {
		s.Fatalf("stored %d events, want 1: %+v", len(all), all)
	}
	return all[0]
}

// batch builds a body. events are JSON objects.
func batch(site string, events ...string) string {
	return fmt.Sprintf(`{"v":1,"s":%q,"e":[%s]}`, site, strings.Join(events, ","))
}

const pageView = `{"n":"page_view","u":"https://shop.example/"}`

// contract is openapi.json, parsed once.
var contract = func() validator.Validator {
	doc, err := libopenapi.NewDocument(openAPI)
	if err != nil {
		panic(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		panic(errs)
	}
	return v
}()

// conforms fails the test when a reply is not as openapi.json says. Two refusals have no operation that
// could describe them: those of unknown paths and of other methods.
func conforms(t testing.TB, req *http.Request, resp *http.Response) {
	t.Helper()
	switch reason := resp.Header.Get("Beckon-Reason"); {
	case resp.StatusCode == http.StatusMethodNotAllowed && reason == "method-not-allowed":
		if resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", req.Method, req.URL.Path)
		}
		return
	case resp.StatusCode == http.StatusNotFound && reason == "not-found":
		return
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	if ok, errs := contract.ValidateHttpResponse(req, resp); !ok {
		for _, e := range errs {
			text, _ := json.Marshal(e)
			t.Errorf("%s %s: reply %d is not as described: %s", req.Method, req.URL.Path, resp.StatusCode, text)
		}
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// metric returns the sum of a metric over its labels, or of those with the label values that are given: name, value and so on
func (s *shop) metric(name string, labels ...string) float64 {
	s.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				wanted := 0
				for _, l := range m.GetLabel() {
					for i := 0; i < len(labels); i += 2 {
						if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
							wanted += 2
						}
					}
				}
				if wanted == len(labels) {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// quick makes slow senders run into their limit within the test's time.
func quick(c *Config) { c.ReadTimeout = 300 * time.Millisecond }

// trusting makes a network's forwarding headers count.
func trusting(cidr string) func(*Config) {
	return func(c *Config) { c.Proxies.Networks = append(c.Proxies.Networks, netip.MustParsePrefix(cidr)) }
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be within 10 s")
		}
	}
}
