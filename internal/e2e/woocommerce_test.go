package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startWooShop lets PHP serve the plugin, packed as an operator packs it, within stand-ins for WordPress and
// WooCommerce, at the root of the front.
func startWooShop(t *testing.T, f *shopFront) {
	t.Helper()
	dir := t.TempDir()
	if said, err := exec.Command(filepath.Join(platformsDir, "woocommerce", "pack.sh"), dir).CombinedOutput(); err != nil {
		t.Fatalf("pack the plugin: %v\n%s", err, said)
	}
	addr := freeAddresses(t, 1)[0]
	said := newTranscript()
	php := exec.Command("php", "-d", "display_errors=stderr", "-d", "error_reporting=-1", "-S", addr, filepath.Join(platformsDir, "test", "woocommerce", "shop.php"))
	php.Env = append(os.Environ(), "BECKON_SHOP_PLUGIN="+filepath.Join(dir, "beckon"), "BECKON_SHOP_STATE="+filepath.Join(dir, "state"),
		`BECKON_SHOP_OPTIONS={"beckon_endpoint":"/px/","beckon_site":"demo"}`, `BECKON_SHOP_CONSTANTS={"BECKON_SERVER_KEY":"`+serverKey+`"}`)
	php.Stdout, php.Stderr = said, said
	if err := php.Start(); err != nil {
		t.Fatalf("start PHP: %v", err)
	}
	t.Cleanup(func() {
		_ = php.Process.Kill()
		_ = php.Wait()
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, "PHP ") && !strings.Contains(line, "Development Server") {
				t.Error(line)
			}
		}
	})
	f.Handle("/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr}))
	eventually(t, func() error {
		reply, err := http.Get("http://" + addr + "/wp-content/plugins/beckon/assets/shop.js")
		if err != nil {
			return err
		}
		return reply.Body.Close()
	})
}

// calls asks the shop from outside of any browser, as its own scheduler does.
func (f *shopFront) calls(t *testing.T, name string, form url.Values) []byte {
	t.Helper()
	reply, err := http.PostForm(f.url+"/?wc-ajax="+name, form)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s (%v)", name, reply.Status, said, err)
	}
	return said
}

// A shopper of a WooCommerce shop: the browser tells what is seen and done, the server what was ordered and paid
// back, and Beckon knows that it is one visitor and one order, however often it is told.
func TestWooCommerceTellsAnOrderFromTheServerInTheVisitorsName(t *testing.T) {
	s := newStack(t)
	f := newShopFront(t, s)
	s.writeSites(strings.Replace(strings.Replace(sitesText, shopOrigin, f.url, 1), "    currency: EUR\n", "    currency: EUR\n"+serverKeyLine, 1))
	s.start()
	startWooShop(t, f)
	browser := startChromium(t)

	p := newPerson(t, browser, f.url)
	p.open("/product/lantern")
	p.eval(`add(11, 2).then(() => add(12, 1)).then(() => '')`)
	p.open("/cart")
	p.eval(`remove(12).then(() => '')`)
	p.open("/checkout")
	joined := func() error { // the link token is in the order's session: asked for by the page, kept by the shop
		n, err := p.tryEval(`String(performance.getEntriesByType('resource').filter((r) => r.name.endsWith('beckon_link') && r.responseStatus === 200).length)`)
		if n != "1" {
			return fmt.Errorf("%s link tokens were brought to the shop (%v)", n, err)
		}
		return nil
	}
	eventually(t, joined)
	received := p.eval(`call('stub_checkout', {}).then((r) => r.url)`)
	p.open(received)
	f.calls(t, "stub_run", nil)
	order := strings.TrimPrefix(strings.Split(received, "?")[0], "/checkout/order-received/")

	eventually(t, func() error {
		return s.answers(`SELECT kind, source, count(), uniqExact(visitor), any(lane) FROM events GROUP BY 1, 2 ORDER BY 1, 2`, [][]string{
			{"cart_add", "beacon", "2", "1", "decide"},
			{"cart_remove", "beacon", "1", "1", "decide"},
			{"cart_view", "beacon", "1", "1", "decide"},
			{"checkout_start", "beacon", "1", "1", "decide"},
			{"page_view", "beacon", "4", "1", "decide"},
			{"product_view", "beacon", "1", "1", "decide"},
			{"purchase", "beacon", "1", "1", "decide"},
			{"purchase", "server", "1", "1", "decide"},
		})
	})
	if n := s.number(`SELECT uniqExact(visitor, session) FROM events`); n != 1 {
		t.Errorf("%d visitors and sessions, want one: the server's order is not the visitor's", n)
	}
	orders := func(refunds, refunded string) error {
		return s.answers(`SELECT reported_by, arraySort(sources), value, discount, tax, shipping, units, visitor != '', coupon_key != '', refunds, refunded_site FROM v_orders`,
			[][]string{{"server", "['beacon','server']", "75.6302", "8.4034", "15.15", "4.12", "2", "1", "1", refunds, refunded}})
	}
	eventually(t, func() error { return orders("0", "0") })

	t.Run("an order that is sent again and a refund", func(t *testing.T) {
		f.calls(t, "stub_forget", nil)
		f.calls(t, "stub_again", url.Values{"order": {order}})
		f.calls(t, "stub_refund", url.Values{"order": {order}, "amount": {"45"}, "lines": {"[[11,1,37.8151]]"}})
		f.calls(t, "stub_run", nil)
		eventually(t, func() error { return orders("1", "37.8151") })
		if n := s.number(`SELECT count() FROM events WHERE kind = 'purchase' AND source = 'server'`); n != 1 {
			t.Errorf("the order is there %d times", n)
		}
		var said struct{ Log []string }
		if err := json.Unmarshal(f.calls(t, "stub_state", nil), &said); err != nil || len(said.Log) > 0 {
			t.Errorf("the plugin has logged %q (%v)", said.Log, err)
		}
	})

	t.Run("who refuses is in the totals only, once", func(t *testing.T) {
		p := newPerson(t, browser, f.url)
		p.open("/product/mug")
		p.eval(`beckon('consent', { measure: true, src: 'banner' }); add(12, 1).then(() => '')`)
		p.open("/checkout")
		p.eval(`beckon('consent', { measure: true, src: 'banner' }); ''`)
		p.open(p.eval(`call('stub_checkout', {}).then((r) => r.url)`))
		f.calls(t, "stub_run", nil)
		eventually(t, func() error {
			return s.answers(`SELECT source, lane, visitor = toFixedString('', 16), order_key = toFixedString('', 16) FROM events WHERE kind = 'purchase' AND lane != 'decide'`, [][]string{{"server", "count", "1", "1"}})
		})
		if n := s.number(`SELECT count() FROM v_orders`); n != 1 {
			t.Errorf("%d orders are kept", n)
		}
	})
}
