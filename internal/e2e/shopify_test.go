package e2e_test

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var platformsDir = filepath.Join("..", "..", "platforms")

// stage runs a script of platforms/test that prints, as JSON, what a browser is to be given.
func stage(t *testing.T, name string, out any) {
	t.Helper()
	run := func(name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Dir = platformsDir
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, said)
		}
		return said
	}
	run("npm", "run", "--silent", "stage")
	if said := run("node", ".test/"+name+".mjs"); json.Unmarshal(said, out) != nil {
		t.Fatalf("%s printed %.200s", name, said)
	}
}

// shopFront is a shop's host: pages of the test's own, and the collector below /px as in docs/operations.md. It
// remembers which origins sent batches.
type shopFront struct {
	*http.ServeMux
	url string

	mu      sync.Mutex
	batches map[string]int // answered well, by Origin
}

// newShopFront needs a stack that runs, whose sites file it replaces so that it lists the shop's origin.
func newShopFront(t *testing.T, s *stack) *shopFront {
	t.Helper()
	f := &shopFront{ServeMux: http.NewServeMux(), batches: make(map[string]int)}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.collector.public})
	proxy.ModifyResponse = func(reply *http.Response) error {
		if r := reply.Request; r.Method == http.MethodPost && r.URL.Path == "/e" && reply.StatusCode < 300 {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.batches[r.Header.Get("Origin")]++
		}
		return nil
	}
	f.Handle("/px/", http.StripPrefix("/px", proxy))
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *shopFront) answered(origin string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.batches[origin]
}

// sandboxed is how Shopify runs a pixel, as far as it can be seen from outside: in a frame that has no origin,
// no cookies and no page, with events that come as messages.
var sandboxed = template.Must(template.New("").Parse(`<!doctype html><html><head><title>Shop</title><link rel="icon" href="data:,">
<script>
let attributes = {{.Attributes}}; // of the cart, as the pixel is told
const pixel = (message) => document.querySelector('iframe').contentWindow.postMessage(message, '*');
let allowed = true; // in Shopify's banner
const permission = () => allowed;
window.Shopify = { loadFeatures: (features, done) => done(), customerPrivacy: { currentVisitorConsent: () => ({ marketing: allowed ? 'yes' : 'no' }),
  analyticsProcessingAllowed: () => true, marketingAllowed: permission, preferencesProcessingAllowed: permission, saleOfDataAllowed: permission },
routes: { root: '/' }, analytics: { publish: (name, customData) => { early.push({ name, customData }); return true } } };
const early = []; // Shopify keeps what is published before pixels run
addEventListener('message', () => { Shopify.analytics.publish = (name, customData) => pixel({ name, customData }); early.forEach(pixel); window.pixelRuns = true });
</script>
{{.Head}}
</head><body><h1>Shop</h1><iframe hidden sandbox="allow-scripts" srcdoc="{{.Frame}}"></iframe></body></html>`))

const sandboxScript = `<script>
const heard = {}, privacy = [];
self.shopify = { extend: (point, start) => start({ init: %s, settings: { endpoint: %q, site: 'demo' }, browser: {},
  analytics: { subscribe: (name, f) => (heard[name] ??= []).push(f) }, customerPrivacy: { subscribe: (name, f) => privacy.push(f) } }) };
addEventListener('message', ({ data }) => (data.customerPrivacy ? privacy : heard[data.name] ?? []).forEach((f) => f(data)));
</script><script>%s</script><script>parent.postMessage('ready', '*')</script>`

type shopifyStage struct {
	Pixel, Head, LinkedHead string
	Init, NoLinkInit        json.RawMessage
	Events                  []json.RawMessage
	Personal                []string
}

// A visitor of a Shopify shop: the tag in the theme knows who it is, the pixel in its sandbox what happens, the
// collector joins them, and nothing counts twice.
func TestShopifyPixelIsJoinedToTheVisitorOfTheTheme(t *testing.T) {
	s := newStack(t)
	f := newShopFront(t, s)
	s.writeSites(strings.Replace(sitesText, shopOrigin, f.url, 1))
	s.start()
	// Shopify hosts the shop, so the collector is another host of the same site, as px.shop.example is.
	t.Setenv("BECKON_ENDPOINT", "http://"+s.collector.public)
	var staged shopifyStage
	stage(t, "stageShopify", &staged)

	var mu sync.Mutex
	cart := map[string]string{} // its attributes
	attribute := func() string {
		mu.Lock()
		defer mu.Unlock()
		return cart["_beckon"]
	}
	f.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		head, init := staged.Head, staged.NoLinkInit
		if attribute() != "" {
			head, init = staged.LinkedHead, staged.Init
		}
		frame := fmt.Sprintf(sandboxScript, strings.ReplaceAll(string(init), "@LINK@", attribute()), f.url+"/px", staged.Pixel)
		if err := sandboxed.Execute(w, map[string]any{"Attributes": cart, "Head": template.HTML(head), "Frame": frame}); err != nil {
			t.Error(err)
		}
	})
	f.HandleFunc("/beckon-link.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(platformsDir, "shopify/extensions/beckon-theme/assets/beckon-link.js"))
	})
	f.HandleFunc("POST /cart/update.js", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var update struct{ Attributes map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&update); err != nil {
			t.Errorf("cart/update.js: %v", err)
		}
		cart = update.Attributes
	})

	p := newPerson(t, startChromium(t), f.url)
	p.also = s.collector.public
	p.open("/")
	eventually(t, func() error {
		if runs, err := p.tryEval(`String(window.pixelRuns)`); attribute() == "" || runs != "true" {
			return fmt.Errorf("the cart has the token %q, the pixel runs: %s (%v)", attribute(), runs, err)
		}
		return nil
	})
	happens := func() {
		for _, e := range staged.Events {
			p.eval(`pixel(` + strings.ReplaceAll(string(e), "@LINK@", attribute()) + `); ''`)
		}
	}
	happens()
	counted := func() error {
		return s.answers(`SELECT kind, count(), uniqExact(visitor), any(lane), countIf(session = toFixedString('', 16)) FROM events WHERE kind != 'consent' GROUP BY kind ORDER BY kind`, [][]string{
			{"cart_add", "1", "1", "decide", "0"},
			{"cart_remove", "1", "1", "decide", "0"},
			{"cart_view", "1", "1", "decide", "0"},
			{"checkout_start", "1", "1", "decide", "0"},
			{"collection_view", "1", "1", "decide", "0"},
			{"page_view", "2", "1", "decide", "0"}, // of the shop by the tag, of the checkout by the pixel
			{"product_view", "1", "1", "decide", "0"},
			{"purchase", "1", "1", "decide", "0"},
			{"search", "1", "1", "decide", "0"},
		})
	}
	eventually(t, counted)
	if n := s.number(`SELECT uniqExact(visitor) FROM events`); n != 1 {
		t.Errorf("%d visitors, want one: the pixel's events are not those of the tag's visitor", n)
	}
	eventually(t, func() error {
		return s.answers(`SELECT value, tax, shipping, discount, currency, offer, decision, reported_by FROM v_orders`, [][]string{{"90.3822", "17.95", "4.1178", "11.95", "EUR", "welcome-back", "4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5", "browser"}})
	})

	t.Run("what is delivered again is counted once", func(t *testing.T) {
		before := f.answered("null")
		happens()
		eventually(t, func() error {
			if n := f.answered("null"); n < before+len(staged.Events) {
				return fmt.Errorf("%d of %d batches of the repeat are answered", n-before, len(staged.Events))
			}
			return nil
		})
		p.eval(`beckon('offer_shown', { offer: 'welcome-back' }); ''`) // stored after the repeats would be
		eventually(t, func() error {
			if n := s.number(`SELECT count() FROM events WHERE kind = 'offer_shown'`); n != 1 {
				return fmt.Errorf("%d events after the repeats", n)
			}
			return nil
		})
		if n := s.number(`SELECT count() FROM events WHERE kind NOT IN ('offer_shown', 'consent')`); n != 10 {
			t.Errorf("%d events after the repeats, want 10", n)
		}
	})
	t.Run("a withdrawal in Shopify's banner ends the visitor", func(t *testing.T) {
		p.eval(`pixel({ customerPrivacy: { analyticsProcessingAllowed: true, marketingAllowed: false, preferencesProcessingAllowed: false, saleOfDataAllowed: false } }); ''`)
		eventually(t, func() error {
			return s.answers(`SELECT choice, source FROM consents ORDER BY at`, [][]string{{"decide", "shopify"}, {"measure", "shopify"}})
		})
		p.eval(`allowed = false; document.dispatchEvent(new CustomEvent('visitorConsentCollected')); ''`) // the same answer, as the theme hears it
		eventually(t, func() error {
			if k := attribute(); k != "" {
				return fmt.Errorf("the cart still has the token %s", k)
			}
			return nil
		})
	})
	dump, err := s.query(`SELECT * FROM events FORMAT JSONEachRow`)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range staged.Personal {
		if strings.Contains(fmt.Sprint(dump), word) {
			t.Errorf("%s is stored", word)
		}
	}
}

// answers returns nil when the answer to sql is these lines.
func (s *stack) answers(sql string, want [][]string) error {
	got, err := s.query(sql)
	if err != nil {
		return err
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s\nis  %v,\nwant %v", sql, got, want)
	}
	return nil
}
