package shoppers

import (
	"fmt"
	"math/rand/v2"
	"net/url"

	"beckon/internal/event"
)

// walk invents what one shopper does, as the messages that its browser will send. Time passes on the
// shopper's own clock and costs nothing here.
type walk struct {
	s          *shopper
	rng        *rand.Rand
	clock      int64 // Unix milliseconds
	shop       string
	order      string // what its order numbers begin with
	favourites *rand.Zipf
	currency   string

	page, from string // u and r of the page that is open
	gathered   []told // not in a message yet
	cart       []wireItem
	orders     int
}

// How much one shopper does at most. Both numbers are Zipf's: about half come once, half of all visits
// are one page, and a few shoppers never stop.
const (
	maxVisits = 60
	maxPages  = 80
)

// life is all visits of a shopper.
func (w *walk) life() {
	w.currency = []string{"EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "USD", "GBP", "CHF"}[w.rng.IntN(10)]
	visits := 1 + rand.NewZipf(w.rng, 2.2, 1, maxVisits-1).Uint64()
	pages := rand.NewZipf(w.rng, 1.7, 1, maxPages-1)
	for range visits {
		w.visit(1 + int(pages.Uint64()))
		w.clock += 30*60_000 + w.rng.Int64N(6*3_600_000) // comes back later
	}
}

// visit is one stay in the shop, which ends after that many pages or with an order.
func (w *walk) visit(pages int) {
	offline := w.chance(1) // the network comes back when the visit is over: one fat batch
	w.arrive()
	for p := range pages {
		if p > 0 {
			w.clock += 2_000 + int64(w.rng.ExpFloat64()*15_000)
		}
		bought := w.next(p == 0)
		// Mostly there is a message for each page; on a slow network two of them share one.
		if !offline && !w.chance(10) {
			w.send()
		}
		if bought {
			break
		}
	}
	w.send()
}

// arrive sets where the visit comes from.
func (w *walk) arrive() {
	w.page = ""
	w.from = []string{
		"", "", "", "https://www.google.com/", "https://www.google.com/", "https://www.bing.com/",
		"https://duckduckgo.com/", "https://www.instagram.com/", "https://l.facebook.com/", "https://blog.example/best-mugs",
	}[w.rng.IntN(10)]
}

// next opens one page and does what people do there. It is true after an order.
func (w *walk) next(landing bool) (bought bool) {
	chance := w.rng.IntN(100)
	switch {
	case landing && chance < 35:
		w.open("/" + w.campaign())
	case len(w.cart) > 0 && chance < 20 && !w.s.bot:
		return w.checkout()
	case chance < 50:
		w.lookAtProduct(landing)
	case chance < 75:
		category := categories[w.rng.IntN(len(categories))]
		w.open("/collections/" + url.PathEscape(category))
		w.tell("collection_view", &wireProps{Category: category})
	case chance < 85 && !w.s.bot:
		w.open("/search?q=blue+mug")
		w.tell("search", &wireProps{QueryLength: 3 + w.rng.IntN(20)})
	default:
		w.open("/pages/about")
	}
	return false
}

func (w *walk) lookAtProduct(landing bool) {
	p := &catalogue[w.favourites.Uint64()]
	address := "/products/" + url.PathEscape(p.id)
	if landing {
		address += w.campaign()
	}
	w.open(address)
	w.tell("product_view", &wireProps{Product: p.id, Category: p.category, Price: money(p.price), Currency: w.currency})
	if w.s.bot || !w.chance(15) || len(w.cart) == event.MaxItems {
		return
	}
	w.clock += 1_000 + w.rng.Int64N(20_000)
	w.add(p)
	if w.chance(1) { // somebody fits out a café
		for range min(30, event.MaxItems-len(w.cart)) {
			w.clock += 200
			w.add(&catalogue[w.favourites.Uint64()])
		}
	}
}

func (w *walk) add(p *product) {
	item := wireItem{
		Product: p.id, Variant: fmt.Sprintf("v%d", w.rng.IntN(p.variants)),
		Quantity: 1 + int(min(w.rng.ExpFloat64(), 9)), Price: money(p.price),
	}
	w.cart = append(w.cart, item)
	w.tell("cart_add", &wireProps{
		Product: item.Product, Variant: item.Variant, Category: p.category, Quantity: item.Quantity,
		Price: item.Price, Currency: w.currency, CartValue: w.cartValue(),
	})
}

// checkout looks into the cart and goes on from there as far as the shopper does. It is true after an
// order.
func (w *walk) checkout() (bought bool) {
	w.open("/cart")
	w.tell("cart_view", &wireProps{Currency: w.currency, CartValue: w.cartValue()})
	if w.chance(12) {
		last := w.cart[len(w.cart)-1]
		w.cart = w.cart[:len(w.cart)-1]
		w.clock += 3_000
		w.tell("cart_remove", &wireProps{
			Product: last.Product, Variant: last.Variant, Quantity: last.Quantity, Price: last.Price,
			Currency: w.currency, CartValue: w.cartValue(),
		})
	}
	if len(w.cart) == 0 || !w.chance(55) {
		return false
	}
	w.clock += 5_000 + w.rng.Int64N(20_000)
	w.open("/checkout")
	w.tell("checkout_start", &wireProps{Currency: w.currency, CartValue: w.cartValue()})
	if !w.chance(65) {
		return false
	}
	w.clock += 30_000 + w.rng.Int64N(120_000)
	w.buy()
	return true
}

func (w *walk) buy() {
	w.orders++
	value := *w.cartValue()
	p := wireProps{
		Currency: w.currency, Items: w.cart, Order: fmt.Sprintf("%s-%d", w.order, w.orders),
		Shipping: 490, Tax: value * 19 / 119,
	}
	if w.chance(15) {
		p.Coupon, p.Discount = "WELCOME10", value/10
	}
	p.Value = value - p.Discount
	w.open("/checkout/thank-you")
	w.tell("purchase", &p)
	w.cart = nil
}

func (w *walk) cartValue() *money {
	var sum money
	for _, item := range w.cart {
		sum += money(item.Quantity) * item.Price
	}
	return &sum
}

// campaign is the query that an advertisement adds to the page it leads to.
func (w *walk) campaign() string {
	switch w.rng.IntN(5) {
	case 0:
		return "?utm_source=newsletter&utm_medium=email&utm_campaign=autumn"
	case 1:
		return fmt.Sprintf("?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=%016x", w.rng.Uint64())
	}
	return ""
}

// open loads a page, which its browser tells by itself.
func (w *walk) open(address string) {
	if w.page != "" {
		w.from = w.page
	}
	w.page = w.shop + address
	w.tell("page_view", nil)
}

// tell adds an event. Without a script there are only page views.
func (w *walk) tell(kind string, p *wireProps) {
	if w.s.pixels && kind != "page_view" {
		return
	}
	e := wireEvent{Kind: kind, At: w.clock, URL: w.page, Props: p}
	if kind == "page_view" {
		e.Referrer = w.from
	}
	id := uuidv7(w.clock, w.rng)
	e.ID = id.String()
	w.gathered = append(w.gathered, told{id: id, kind: kind, page: e.URL, from: e.Referrer, json: e.write()})
	w.clock++
}

// send puts what has gathered into messages.
func (w *walk) send() {
	w.clock += w.rng.Int64N(250)
	for events := w.gathered; len(events) > 0; {
		n := 1
		if !w.s.pixels {
			n = fitting(events)
		}
		m := message{events: events[:n:n], at: w.clock, pixel: w.s.pixels}
		w.s.messages = append(w.s.messages, m)
		if w.chance(percentRepeats) {
			m.repeat = true
			w.s.messages = append(w.s.messages, m)
		}
		events = events[n:]
	}
	w.gathered = nil
}

func (w *walk) chance(percent int) bool { return w.rng.IntN(100) < percent }
