package decision

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
	"beckon/internal/token"
)

const (
	shopOrigin = "https://shop.example"
	serverKey  = "test"
	// A browser's own words, or it is a bot.
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

const sitesText = `
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: count, allow: decide}
    retention: {events: 395d, profiles: 90d}
    server_keys: ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0
        discount: {percent: 10}
        valid_for: 30m
        cooldown: 7d
        priority: 10
        disclosure: You came back.
  - id: open
    origins: [https://open.example]
    currency: EUR
    consent: {default: count, allow: decide}
    offers:
      - id: winter
        title: Free shipping
        audience: everyone
        discount: {free_shipping: true}
        valid_for: 1d
        code: WINTER26
  - id: held
    origins: [https://held.example]
    currency: EUR
    consent: {default: count, allow: decide}
    holdout: 100%
    offers:
      - id: five
        title: 5 off
        when: visitor.pageviews_30d >= 1
        discount: {amount: 5.00}
        min_cart_value: 20.00
        valid_for: 1h
        cooldown: 1d
  - id: split
    origins: [https://split.example]
    currency: EUR
    consent: {default: count, allow: decide}
    holdout: 50%
    offers:
      - id: ten
        title: 10% off
        when: visitor.pageviews_30d >= 1
        discount: {percent: 10}
        experiment: 3
`

// setup is what several replicas share: sites, rules, keys.
type setup struct {
	dir    string
	sites  *site.Registry
	rules  *eligibility.Program
	keys   *keyring.Ring
	issuer *token.Issuer
}

func newSetup(t testing.TB) *setup {
	t.Helper()
	s := &setup{dir: t.TempDir()}
	path := filepath.Join(s.dir, "sites.yaml")
	if err := os.WriteFile(path, []byte(sitesText), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	s.sites, err = site.Open(path, func(f *site.File) (faults site.Faults) {
		s.rules, faults = eligibility.Compile(f)
		return faults
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Init(filepath.Join(s.dir, "keyring"), []string{"demo", "open", "held", "split"}); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = keyring.Open(filepath.Join(s.dir, "keyring")); err != nil {
		t.Fatal(err)
	}
	if s.issuer, err = token.NewIssuer(s.keys.Issuer, time.Now); err != nil {
		t.Fatal(err)
	}
	return s
}

// use puts other sites in force than those of sitesText, for replicas that are started after it.
func (s *setup) use(t *testing.T, sites string) {
	t.Helper()
	f, err := site.Parse("sites.yaml", []byte(sites))
	if err != nil {
		t.Fatal(err)
	}
	var faults site.Faults
	if s.rules, faults = eligibility.Compile(f); len(faults) > 0 {
		t.Fatal(faults)
	}
}

// replica is a decision server on a loopback port whose ClickHouse is down: what it knows is what a
// test puts into its store.
type replica struct {
	*testing.T
	*setup
	server     *Server
	store      *feature.Store
	decisions  *spool.Spool
	suppressed *suppress.List
	url        string
	clock      atomic.Int64 // Unix milliseconds
	completeAt atomic.Int64
}

func (r *replica) now() time.Time { return time.UnixMilli(r.clock.Load()) }

func (r *replica) pass(d time.Duration) { r.clock.Add(d.Milliseconds()) }

func startReplica(t *testing.T, s *setup, change ...func(*Config)) *replica {
	t.Helper()
	r := &replica{T: t, setup: s}
	r.clock.Store(time.Now().UnixMilli())
	r.completeAt.Store(r.clock.Load())
	var err error
	if r.store, err = feature.NewStore(1000); err != nil {
		t.Fatal(err)
	}
	if r.decisions, err = spool.Open(t.TempDir(), spool.Options{Sync: spool.SyncOS}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.decisions.Close() })
	if r.suppressed, err = suppress.Open(filepath.Join(t.TempDir(), "suppressed"), suppress.Options{OnNew: r.store.Drop, Now: r.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.suppressed.Close() })
	r.store.Refuse(feature.SuppressedBy(s.keys, r.suppressed))
	reg, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	down := func(context.Context) (driver.Conn, error) { return nil, errors.New("connection refused") }
	cold := feature.NewCold(feature.NewReader("beckon", down), r.store, log)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go cold.Run(ctx)
	c := Config{
		Program: func() *eligibility.Program { return s.rules }, Keys: s.keys, Suppressed: r.suppressed, Tokens: s.issuer,
		Issuer: "https://shop.example/px", Store: r.store, Cold: cold, CompleteAt: func() time.Time { return time.UnixMilli(r.completeAt.Load()) },
		Recorder: NewRecorder(r.decisions, r.now, log, reg), Agents: privacy.NewAgents(100),
		ColdDeadline: 20 * time.Millisecond, StaleAfter: time.Hour, Now: r.now, Log: log, Registerer: reg,
	}
	for _, f := range change {
		f(&c)
	}
	r.server = New(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := r.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// visitor is somebody with a valid cookie, whose choice is decide.
func (r *replica) visitor(siteID string) (cookie string, key feature.Key) {
	r.Helper()
	k, err := r.keys.Site(siteID)
	if err != nil {
		r.Fatal(err)
	}
	choice := &privacy.Choice{Decide: true, Measure: true, Source: privacy.NewLabel([]byte("banner")), At: r.now()}
	v := privacy.NewVisit(k, r.now(), privacy.LaneDecide, choice)
	return string(v.AppendTo(nil, k)), feature.Key{Site: siteID, Visitor: v.ID(k).Bytes()}
}

// returning puts the profile of somebody who came back into the store: eligible for welcome-back.
func (r *replica) returning(key feature.Key) {
	hour := r.now().Truncate(time.Hour).Unix()
	r.store.Put(key, &feature.Profile{
		ReadAt: r.now(), Hours: []feature.Hour{{Start: hour, Pageviews: 2, Sessions: []uint64{1, 2}}}, LastSeen: r.now().UnixMilli(),
	}, r.now())
}

// request is what a test asks with; the zero value is a browser without a cookie.
type request struct {
	method  string // GET
	site    string // demo
	visit   string // value of the visitor cookie
	cookies map[string]string
	headers map[string]string
	agent   string // firefox
	path    string // /v1/decision?site=
	body    string
}

// reply is an answer, read to its end and held against openapi.json.
type reply struct {
	*http.Response
	body []byte
	Reply
}

func (r *replica) ask(q request) reply {
	r.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.site == "" {
		q.site = "demo"
	}
	if q.path == "" {
		q.path = "/v1/decision?site=" + q.site
	}
	req, err := http.NewRequest(q.method, r.url+q.path, strings.NewReader(q.body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("User-Agent", firefox)
	if q.agent != "" {
		req.Header.Set("User-Agent", q.agent)
	}
	if q.visit != "" {
		req.AddCookie(&http.Cookie{Name: privacy.CookieName(q.site, false), Value: q.visit})
	}
	for name, value := range q.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for name, value := range q.headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	out := reply{Response: resp}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		r.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(out.body)))
	if (q.method == http.MethodGet || q.body != "") && resp.Header.Get("Beckon-Reason") != notFound.reason && resp.StatusCode != http.StatusMethodNotAllowed {
		conforms(r.T, req, resp)
	}
	if resp.StatusCode == http.StatusOK && strings.HasPrefix(q.path, "/v1/decision") && !strings.Contains(q.path, "explain") && q.method == http.MethodGet {
		if err := json.Unmarshal(out.body, &out.Reply); err != nil {
			r.Fatal(err)
		}
	}
	return out
}

// grantCookie is the grant that a reply set, "" if none.
func (r reply) grantCookie() string {
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, "_bk_d_") {
			return c.Value
		}
	}
	return ""
}

// rows reads what is durable in the decision spool.
func (r *replica) rows() []Row {
	r.Helper()
	if err := r.decisions.Seal(); err != nil {
		r.Fatal(err)
	}
	var rows []Row
	for r.decisions.Stats().Segments > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		b, err := r.decisions.Next(ctx)
		cancel()
		if err != nil {
			r.Fatal(err)
		}
		if err := b.Records(func(_ uint64, payload []byte) error {
			var row Row
			rows = append(rows, row)
			return json.Unmarshal(payload, &rows[len(rows)-1])
		}); err != nil {
			r.Fatal(err)
		}
		if err := r.decisions.Done(b.ID); err != nil {
			r.Fatal(err)
		}
	}
	return rows
}

// contract is openapi.json, parsed once.
var contract = func() validator.Validator {
	doc, err := libopenapi.NewDocument(openAPI)
	if err != nil {
		panic(err)
	}
	v, faults := validator.NewValidator(doc)
	if len(faults) > 0 {
		panic(faults)
	}
	return v
}()

// conforms fails the test when a reply is not as openapi.json says.
func conforms(t *testing.T, req *http.Request, resp *http.Response) {
	t.Helper()
	if ok, faults := contract.ValidateHttpResponse(req, resp); !ok {
		for _, f := range faults {
			text, _ := json.Marshal(f)
			t.Errorf("%s %s: reply %d is not as described: %s", req.Method, req.URL.Path, resp.StatusCode, text)
		}
	}
}

// counted is the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
