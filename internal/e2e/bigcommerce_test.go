package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type bigcommerceStage struct {
	Scripts        []map[string]any
	All, Analytics map[string]string // page by path
	Storefront     map[string]json.RawMessage
	Personal       []string
}

// A shopper of a BigCommerce store: pages that the platform's own renderer made of the two scripts, in a real
// browser, with the Storefront API as its reference describes it.
func TestBigCommerceScriptsTellWhatAPageIs(t *testing.T) {
	s := newStack(t)
	f := newShopFront(t, s)
	s.writeSites(strings.Replace(strings.Replace(sitesText, shopOrigin, f.url, 1), "{default: decide, allow: decide}", "{default: count, allow: decide}", 1))
	s.start()
	t.Setenv("BECKON_ENDPOINT", f.url+"/px")
	var staged bigcommerceStage
	stage(t, "stageBigcommerce", &staged)

	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(platformsDir, "test", "bigcommerce.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range staged.Scripts {
		if err := schema.Validate(map[string]any(script)); err != nil {
			t.Errorf("the Scripts API would refuse it: %v", err)
		}
	}

	f.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if said, ok := staged.Storefront[r.URL.Path]; ok {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(said)
			return
		}
		pages := staged.All
		if c, err := r.Cookie("bc_consent"); err == nil && c.Value == "analytics" {
			pages = staged.Analytics
		}
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(page))
	})

	f.HandleFunc("/blank", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<!doctype html><title>Shop</title><link rel="icon" href="data:,">`))
	})

	browser := startChromium(t)
	p := newPerson(t, browser, f.url)
	told := func(n int) { // so that no page is left before it has told all
		t.Helper()
		eventually(t, func() error {
			if got := s.number(`SELECT count() FROM events WHERE kind != 'consent'`); got != n {
				return fmt.Errorf("%d events, want %d", got, n)
			}
			return nil
		})
	}
	p.open("/")
	told(1)
	if err := s.answers(`SELECT lane, count() FROM events GROUP BY lane`, [][]string{{"count", "1"}}); err != nil {
		t.Errorf("scripts that ran in a store without an answer were taken for one: %v", err)
	}
	p.eval(`document.cookie = 'bc_consent=all; path=/'; ''`)
	for i, path := range []string{"/lantern/", "/lamps/", "/search.php?search_query=lantern+for+my+wife", "/cart.php", "/checkout", "/checkout/order-confirmation"} {
		p.open(path)
		// The first answer sets the cookie; the checkout asks the Storefront API first. What is told at once outlives its page.
		if i == 0 || strings.HasPrefix(path, "/checkout") {
			told(3 + 2*i)
		}
	}
	p.open("/lantern/")
	p.click("form button")
	told(16)

	eventually(t, func() error {
		return s.answers(`SELECT kind, count(), any(product), any(category), any(price), any(cart_value), any(query_length), any(quantity) FROM events
			WHERE kind NOT IN ('page_view', 'consent', 'purchase') GROUP BY kind ORDER BY kind`, [][]string{
			{"cart_add", "1", "77", "", `\N`, `\N`, "0", "2"},
			{"cart_view", "1", "", "", `\N`, "84.04", "0", "0"},
			{"checkout_start", "1", "", "", `\N`, "107.55", "0", "0"},
			{"collection_view", "1", "", `Lamps </script><script>alert("x")</script> & more`, `\N`, `\N`, "0", "0"},
			{"product_view", "2", "77", "", "42.02", `\N`, "0", "0"},
			{"search", "1", "", "", `\N`, `\N`, "19", "0"},
		})
	})
	order := [][]string{{"90.3822", "17.95", "4.1178", "12", "EUR", "3", "1"}}
	eventually(t, func() error {
		return s.answers(`SELECT value, tax, shipping, discount, currency, units, visitor != '' FROM v_orders`, order)
	})
	if err := s.answers(`SELECT choice, source, count() FROM consents GROUP BY 1, 2`, [][]string{{"decide", "bigcommerce", "1"}}); err != nil {
		t.Error(err)
	}

	t.Run("a confirmation that is loaded again is no second order", func(t *testing.T) {
		p.open("/checkout/order-confirmation")
		told(18) // somebody came back to it: the order is known by its number
		p.eval(`location.reload(); ''`)
		p.arrives("/checkout/order-confirmation")
		told(19) // its page view only
		if err := s.answers(`SELECT value, tax, shipping, discount, currency, units, visitor != '' FROM v_orders`, order); err != nil {
			t.Error(err)
		}
	})
	t.Run("analytics alone is lane measure", func(t *testing.T) {
		q := newPerson(t, browser, f.url)
		q.open("/blank")
		q.eval(`document.cookie = 'bc_consent=analytics; path=/'; ''`)
		q.open("/lantern/")
		eventually(t, func() error {
			return s.answers(`SELECT kind FROM events WHERE lane = 'measure' ORDER BY kind`, [][]string{{"page_view"}, {"product_view"}})
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
