// Package demoshop is Tarn, a small shop to click through: the storefront and the shop back end of a
// Beckon installation, done the way we recommend it.
//
// Its one idea: everything a shop has to do for Beckon is here once, readable, and nothing else is
// needed. One script tag with calls for what the tag cannot see (templates/layout.html, calls.go),
// a consent banner (consent.go), one host for shop and collector (proxy.go), and a checkout that
// checks a signed offer offline before it takes the discount off (offer.go, jwks.go).
//
// It promises that a page, a cart and an order never depend on Beckon: with the collector and the
// aggregator down the shop sells at full price. It keeps no customer data: what is typed at the
// checkout is checked and forgotten, and orders live in memory.
//
// In the path of the data it stands at both ends: it sends the events, and it honours the decision.
package demoshop

import (
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Config is all that the shop is told. Site, Collector, Aggregator and Issuer are required.
type Config struct {
	Site            string           // site id in the sites file, for example "demo"; also the audience of its offers
	Collector       *url.URL         // where /px/ goes, for example http://127.0.0.1:8080
	Aggregator      *url.URL         // where decisions, OFREP and the key set are; a path is the aggregator's prefix
	AggregatorAdmin *url.URL         // the aggregator's private port, for the panel in dev mode; nil = the panel does without
	Issuer          string           // who must have signed an offer (claim "iss")
	ConsentDefault  string           // the site's consent.default, told to the visitor: "count", "measure" or "decide"; "" = "decide"
	Dev             bool             // the panel may ask what Beckon knows, and come back tomorrow; loopback peers only
	Now             func() time.Time // nil = time.Now
	Log             *slog.Logger     // nil = discarded
}

// maxFormBytes bounds what a shopper may post; the longest honest form is the checkout's, under 2 KiB.
const maxFormBytes = 16 << 10

// shop holds what lives longer than a request. All of it is safe for concurrent use.
type shop struct {
	Config
	assets    assets
	pages     map[string]*template.Template
	offers    *verifier
	orders    *orders
	collector http.Handler
	admin     *http.Client
}

// New returns the shop. It starts nothing and opens no connection; the caller's http.Server sets the
// timeouts towards browsers. The error lists every wrong setting.
func New(c Config) (http.Handler, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.ConsentDefault == "" {
		c.ConsentDefault = choiceDecide
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	all, err := loadAssets()
	if err != nil {
		return nil, err
	}
	pages, err := loadPages()
	if err != nil {
		return nil, err
	}
	s := &shop{
		Config:    c,
		assets:    all,
		pages:     pages,
		offers:    newVerifier(c.Site, c.Issuer, newKeySet(c.Aggregator, c.Now, c.Log), c.Now),
		orders:    newOrders(),
		collector: newProxy(c.Collector, c.Log),
		admin:     newClient(),
	}
	return s.routes(newProxy(c.Aggregator, c.Log)), nil
}

func (c Config) validate() error {
	var faults []error
	if c.Site == "" {
		faults = append(faults, errors.New("demo shop: Site is empty; set the site id of the sites file"))
	}
	if c.Issuer == "" {
		faults = append(faults, errors.New("demo shop: Issuer is empty; set the aggregator's token issuer"))
	}
	if _, known := defaultSentences[c.ConsentDefault]; c.ConsentDefault != "" && !known {
		faults = append(faults, fmt.Errorf("demo shop: ConsentDefault is %q; set count, measure or decide", c.ConsentDefault))
	}
	upstream := func(name string, u *url.URL) {
		if u == nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, fmt.Errorf("demo shop: %s is not an http(s) URL; set, for example, http://127.0.0.1:8080", name))
		}
	}
	upstream("Collector", c.Collector)
	upstream("Aggregator", c.Aggregator)
	if c.AggregatorAdmin != nil {
		upstream("AggregatorAdmin", c.AggregatorAdmin)
	}
	return errors.Join(faults...)
}

// routes is the shop's table of contents.
func (s *shop) routes(aggregator http.Handler) http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.home)
	pages.HandleFunc("GET /shop/{category}", s.category)
	pages.HandleFunc("GET /product/{product}", s.product)
	pages.HandleFunc("GET /cart", s.cart)
	pages.HandleFunc("POST /cart/add", s.cartAdd)
	pages.HandleFunc("POST /cart/set", s.cartSet)
	pages.HandleFunc("GET /checkout", s.checkout)
	pages.HandleFunc("POST /checkout", s.placeOrder)
	pages.HandleFunc("GET /thank-you", s.thankYou)
	pages.HandleFunc("POST /offer", s.offerAccept)
	pages.HandleFunc("POST /offer/remove", s.offerRemove)
	pages.HandleFunc("POST /consent", s.consent)
	pages.Handle("GET /static/", s.assets)
	pages.Handle("GET /dev/seen", s.onlyDev(http.HandlerFunc(s.seen)))
	pages.HandleFunc("GET /", s.notFound)

	all := http.NewServeMux()
	all.Handle("/px/", s.collector)
	all.Handle("/px/dev/", s.onlyDev(s.collector))
	all.Handle("/px/v1/decision", aggregator)
	all.Handle("/px/ofrep/", aggregator)
	all.Handle("/px/.well-known/jwks.json", aggregator)
	all.Handle("/.well-known/gpc.json", s.collector) // belongs to the root of the host
	// Forms of other sites must not fill a cart or place an order. /px/ does without this guard: the
	// collector checks origins itself, by the site's own list.
	all.Handle("/", http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(pages, maxFormBytes)))
	return all
}

// onlyDev hides what is not for the public: it answers 404 unless the shop runs in dev mode and the
// request comes from this machine.
func (s *shop) onlyDev(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Dev || !fromThisMachine(r) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromThisMachine judges the TCP peer. A request that says it was forwarded is refused as well:
// behind a local tunnel or proxy every visitor of the world is a loopback peer.
func fromThisMachine(r *http.Request) bool {
	if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	return peer(r).IsLoopback()
}

// peer is the address at the other end of the connection; zero when it has none.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}
