package demoshop

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const issuer = "https://shop.example/px"

// A world is a shop with stand-ins for Beckon's services, its clock, and one shopper's browser.
type world struct {
	t       *testing.T
	shop    *httptest.Server
	browser *http.Client
	now     time.Time

	collector, aggregator, admin *upstream

	key     ed25519.PrivateKey
	keyID   string
	fetches int // of the key set; guarded by aggregator.mu
}

// An upstream is one of Beckon's services: it remembers what it was asked.
type upstream struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []*http.Request
	answer http.HandlerFunc
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.asked = append(u.asked, r)
		u.answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) address() *url.URL {
	parsed, err := url.Parse(u.URL)
	if err != nil {
		panic(err)
	}
	return parsed
}

// last returns the newest request, or fails.
func (u *upstream) last(t *testing.T) *http.Request {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.asked) == 0 {
		t.Fatal("the upstream was not asked")
	}
	return u.asked[len(u.asked)-1]
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), key: key, keyID: "k1",
		collector: newUpstream(t), aggregator: newUpstream(t), admin: newUpstream(t),
	}
	w.aggregator.answer = w.jwks
	c := Config{
		Site: "demo", Collector: w.collector.address(), Aggregator: w.aggregator.address(), AggregatorAdmin: w.admin.address(),
		Issuer: issuer, Dev: true, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w.shop = httptest.NewServer(h)
	t.Cleanup(w.shop.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar}
	return w
}

func (w *world) jwks(out http.ResponseWriter, _ *http.Request) {
	w.fetches++
	x := base64.RawURLEncoding.EncodeToString(w.key.Public().(ed25519.PublicKey))
	json.NewEncoder(out).Encode(map[string]any{"keys": []any{
		map[string]string{"kty": "EC", "crv": "P-256", "kid": "other"},
		map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": w.keyID, "x": x},
	}})
}

// claims of a good offer of 10 %; each field can be changed by the test.
func (w *world) claims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "aud": "demo", "sub": "decision-1", "jti": "token-1",
		"iat": w.now.Unix(), "exp": w.now.Add(30 * time.Minute).Unix(),
		"offer": "welcome-back", "kind": "percent", "percent": 10, "currency": nil, "min_cart_value": nil,
	}
}

func (w *world) sign(c jwt.MapClaims) string { return w.signWith(jwt.SigningMethodEdDSA, w.key, c) }

func (w *world) signWith(m jwt.SigningMethod, key any, c jwt.MapClaims) string {
	w.t.Helper()
	token := jwt.NewWithClaims(m, c)
	token.Header["kid"] = w.keyID
	signed, err := token.SignedString(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// A page as the browser has it after redirects.
type answer struct {
	*http.Response
	body string
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	resp, err := w.browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

func (w *world) request(method, path, body string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.shop.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) get(path string) answer { w.t.Helper(); return w.do(w.request("GET", path, "")) }

// post sends a form as the shop's own pages do. Pairs are names and values.
func (w *world) post(path string, pairs ...string) answer {
	w.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := w.request("POST", path, form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r)
}

func (w *world) add(product, variant, quantity string) answer {
	w.t.Helper()
	return w.post("/cart/add", "product", product, "variant", variant, "quantity", quantity)
}

func (w *world) cookie(name string) string {
	u, _ := url.Parse(w.shop.URL)
	for _, c := range w.browser.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (w *world) setCookie(name, value string) {
	u, _ := url.Parse(w.shop.URL)
	w.browser.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d; body:\n%.600s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
}

func wantBody(t *testing.T, a answer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("%s: the page lacks %q", a.Request.URL.Path, part)
		}
	}
}

func wantNoBody(t *testing.T, a answer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(a.body, part) {
			t.Errorf("%s: the page has %q, which it should not", a.Request.URL.Path, part)
		}
	}
}

func TestNewListsEveryWrongSetting(t *testing.T) {
	_, err := New(Config{Collector: &url.URL{Scheme: "ftp", Host: "x"}, ConsentDefault: "all", AggregatorAdmin: &url.URL{Path: "/x"}})
	if err == nil {
		t.Fatal("a config without anything was taken")
	}
	for _, part := range []string{"Site", "Issuer", "Collector", "Aggregator is", "AggregatorAdmin", "ConsentDefault"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %s:\n%v", part, err)
		}
	}
}
