package demoshop

import (
	"crypto/rand"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"
)

// offerCookie keeps the token of an accepted offer until the order. It never leaves the shop's own
// back end: the proxy does not pass it on.
const offerCookie = "tarn_offer"

// maxTokenBytes is far above a token's 600 bytes and below what a browser keeps in a cookie.
const maxTokenBytes = 3 << 10

// A summary is the box with the sums, in cart and checkout.
type summary struct {
	Offer   *Offer   // verified, or nil
	Refused *refusal // why an accepted offer does not count, or nil
	Applies bool     // the offer lowers this cart's price
	Totals  Totals   // with the shipping method given
	Methods []methodView
}

// A methodView is a shipping method with what the whole order costs with it.
type methodView struct {
	*ShippingMethod
	Totals Totals
}

// Seen is the total in cents as the form sends it back, to prove what the shopper agreed to.
func (m methodView) Seen() int64 { return int64(m.Totals.Total) }

// summarise adds the cart up with the accepted offer, if there is one and it is good. An offer that
// can never become good again is forgotten, after this page has said why.
func (s *shop) summarise(w http.ResponseWriter, r *http.Request, c Cart, m *ShippingMethod) summary {
	var sum summary
	var d discount
	if token, err := r.Cookie(offerCookie); err == nil {
		sum.Offer, sum.Refused = s.offers.verify(r.Context(), token.Value)
		if sum.Refused != nil && sum.Refused != refusedUnavailable {
			setCookie(w, r, offerCookie, "", -time.Second)
		}
	}
	if sum.Offer != nil && len(c.Lines) > 0 {
		d, sum.Refused = sum.Offer.discount(c)
		sum.Applies = sum.Refused == nil
	}
	if sum.Refused != nil {
		w.Header().Set("Offer-Refused", sum.Refused.Code)
	}
	sum.Totals = c.total(m, d)
	for i := range shippingMethods {
		sum.Methods = append(sum.Methods, methodView{&shippingMethods[i], c.total(&shippingMethods[i], d)})
	}
	return sum
}

// offerAccept takes the token that a decision brought to the browser. Only a good one is kept. A form gets a page, as
// the slot's does; anything else gets JSON.
func (s *shop) offerAccept(w http.ResponseWriter, r *http.Request) {
	asPage := strings.Contains(r.Header.Get("Accept"), "text/html")
	refuse := func(status int, refused *refusal) {
		if asPage {
			s.problem(w, r, status, "That offer does not count", refused.Text)
		} else {
			writeJSON(w, status, refused)
		}
	}
	token := r.PostFormValue("token")
	if token == "" || len(token) > maxTokenBytes {
		refuse(http.StatusBadRequest, refusedMalformed)
		return
	}
	o, refused := s.offers.verify(r.Context(), token)
	if refused != nil {
		refuse(http.StatusUnprocessableEntity, refused)
		return
	}
	setCookie(w, r, offerCookie, token, 0)
	if asPage {
		http.Redirect(w, r, localPath(r.PostForm.Get("back")), http.StatusSeeOther)
		return
	}
	writeJSON(w, http.StatusOK, refusal{"accepted", o.waits(s.readCart(r))})
}

// waits tells the shopper what an accepted offer does for this cart.
func (o *Offer) waits(c Cart) string {
	if len(c.Lines) > 0 {
		if _, refused := o.discount(c); refused != nil {
			return refused.Text
		}
	}
	return o.Label() + " is in your cart and comes off at the checkout."
}

func (s *shop) offerRemove(w http.ResponseWriter, r *http.Request) {
	setCookie(w, r, offerCookie, "", -time.Second)
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

// A field is one input of the checkout form.
type field struct {
	Name, Label, Autocomplete, Type string
	Value, Fault                    string
	check                           func(string) string // what is wrong with the value, or ""
}

// checkoutFields returns the form, filled in with an example so that the demo can be clicked
// through. What a shopper types instead is checked and forgotten.
func checkoutFields() []field {
	filled := func(says string) func(string) string {
		return func(v string) string {
			if v == "" || len(v) > 100 {
				return says
			}
			return ""
		}
	}
	email := func(v string) string {
		if a, err := mail.ParseAddress(v); err != nil || a.Address != v || len(v) > 100 {
			return "Enter an e-mail address, such as ada@example.com."
		}
		return ""
	}
	postcode := func(v string) string {
		if len(v) != 5 || strings.Trim(v, "0123456789") != "" {
			return "Enter a postcode of five digits."
		}
		return ""
	}
	return []field{
		{Name: "email", Label: "E-mail", Autocomplete: "email", Type: "email", Value: "ada@example.com", check: email},
		{Name: "name", Label: "Full name", Autocomplete: "name", Type: "text", Value: "Ada Beispiel", check: filled("Enter a name.")},
		{Name: "street", Label: "Street and number", Autocomplete: "street-address", Type: "text", Value: "Seestraße 12", check: filled("Enter a street and number.")},
		{Name: "postcode", Label: "Postcode", Autocomplete: "postal-code", Type: "text", Value: "10115", check: postcode},
		{Name: "city", Label: "Town", Autocomplete: "address-level2", Type: "text", Value: "Berlin", check: filled("Enter a town.")},
	}
}

// checkoutView is what the checkout page reads.
type checkoutView struct {
	Fields  []field
	Faults  bool
	Notice  string
	Chosen  *ShippingMethod
	Summary summary
	Attempt string // makes a form that is sent twice one order
}

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	once(w)
	c := s.readCart(r)
	if len(c.Lines) == 0 {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	s.renderCheckout(w, r, http.StatusOK, c, checkoutView{Fields: checkoutFields(), Chosen: &shippingMethods[0]}, checkoutStart(c))
}

func (s *shop) renderCheckout(w http.ResponseWriter, r *http.Request, status int, c Cart, v checkoutView, calls ...call) {
	v.Summary = s.summarise(w, r, c, v.Chosen)
	v.Attempt = rand.Text()
	s.render(w, r, status, page{Title: "Checkout", Name: "checkout", Calls: calls, Data: v})
}

// placeOrder turns the cart into an order. The shopper pays what the page they sent showed, or is
// asked again: an offer may have ended, or the cart may have changed in another tab.
func (s *shop) placeOrder(w http.ResponseWriter, r *http.Request) {
	once(w)
	if !s.readForm(w, r) {
		return
	}
	attempt := r.PostForm.Get("attempt")
	if o := s.orders.byAttempt(attempt); o != nil {
		s.thank(w, r, o)
		return
	}
	c := s.readCart(r)
	if len(c.Lines) == 0 {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	view := checkoutView{Fields: checkoutFields(), Chosen: findShipping(r.PostForm.Get("shipping"))}
	if view.Chosen == nil || attempt == "" || len(attempt) > 64 {
		s.problem(w, r, http.StatusBadRequest, "That did not arrive whole", "The form lacks a part. Go back to the cart and try again.")
		return
	}
	for i := range view.Fields {
		f := &view.Fields[i]
		f.Value = strings.TrimSpace(r.PostForm.Get(f.Name))
		f.Fault = f.check(f.Value)
		view.Faults = view.Faults || f.Fault != ""
	}
	if view.Faults {
		s.renderCheckout(w, r, http.StatusUnprocessableEntity, c, view)
		return
	}
	o, refused := s.settle(w, r, c, view.Chosen, attempt)
	if o == nil {
		view.Notice = "The price has changed since you saw it. Please look at it again before you order."
		if refused != nil {
			view.Notice = refused.Text + " Please look at the price again before you order."
		}
		s.renderCheckout(w, r, http.StatusConflict, c, view)
		return
	}
	setCookie(w, r, cartCookie, "", -time.Second)
	setCookie(w, r, offerCookie, "", -time.Second)
	s.thank(w, r, o)
}

// orderCookie names the order on the thank-you page. The number is not in the address: page
// addresses are reported to Beckon, which is to know an order by its keyed hash only.
const orderCookie = "tarn_order"

func (s *shop) thank(w http.ResponseWriter, r *http.Request, o *Order) {
	setCookie(w, r, orderCookie, o.Number, 0)
	http.Redirect(w, r, "/thank-you", http.StatusSeeOther)
}

// settle makes the order if it costs what the shopper saw. No order means that the price changed;
// the refusal says why, when an offer is the cause.
func (s *shop) settle(w http.ResponseWriter, r *http.Request, c Cart, m *ShippingMethod, attempt string) (*Order, *refusal) {
	sum := s.summarise(w, r, c, m)
	if r.PostForm.Get("seen-"+m.ID) != strconv.FormatInt(int64(sum.Totals.Total), 10) {
		return nil, sum.Refused
	}
	o := &Order{Cart: c, Shipping: m, Totals: sum.Totals}
	if sum.Applies {
		o.Offer = sum.Offer
	}
	return s.orders.place(o, attempt, s.offers.use)
}

func (s *shop) thankYou(w http.ResponseWriter, r *http.Request) {
	once(w)
	var o *Order
	var first bool
	if number, err := r.Cookie(orderCookie); err == nil {
		o, first = s.orders.show(number.Value)
	}
	if o == nil {
		s.problem(w, r, http.StatusNotFound, "We no longer have this order",
			"The demo keeps orders in memory only, and forgets them when it restarts.")
		return
	}
	var calls []call
	if first { // a page that is loaded again is not a second purchase
		calls = append(calls, purchase(o))
	}
	s.render(w, r, http.StatusOK, page{Title: "Thank you", Name: "thank-you", Calls: calls, Data: o})
}

// offerTaken is the offer that waits in the cart, or nil.
func (s *shop) offerTaken(r *http.Request) *Offer {
	token, err := r.Cookie(offerCookie)
	if err != nil {
		return nil
	}
	o, _ := s.offers.verify(r.Context(), token.Value) // the cart says why not
	return o
}

// offerUsed reports whether the shopper's last order in this visit had an offer. Beckon hears of an order a
// moment after it was placed, and until then gives the same offer to a tab that asks.
func (s *shop) offerUsed(r *http.Request) bool {
	number, err := r.Cookie(orderCookie)
	if err != nil {
		return false
	}
	o := s.orders.byNumber(number.Value)
	return o != nil && o.Offer != nil
}

// An Order is what the shop remembers of a sale: no name, no address.
type Order struct {
	Number   string // random, so that it cannot be guessed: it opens the thank-you page
	Cart     Cart
	Shipping *ShippingMethod
	Totals   Totals
	Offer    *Offer // that lowered the price, or nil

	attempt string
	shown   bool
}

// maxOrders bounds the memory; older orders are forgotten.
const maxOrders = 1000

// orders are the latest sales.
type orders struct {
	mu       sync.Mutex
	number   map[string]*Order
	attempts map[string]*Order
	oldest   []*Order
}

func newOrders() *orders {
	return &orders{number: make(map[string]*Order), attempts: make(map[string]*Order)}
}

// byAttempt returns the order that this form has already become, or nil.
func (s *orders) byAttempt(attempt string) *Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts[attempt]
}

// byNumber returns the order, or nil.
func (s *orders) byNumber(number string) *Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number[number]
}

// place gives the order its number and keeps it. A form that is sent twice at once becomes one
// order. The offer is used up last, when nothing else can fail.
func (s *orders) place(o *Order, attempt string, use func(*Offer) *refusal) (*Order, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if earlier := s.attempts[attempt]; earlier != nil {
		return earlier, nil
	}
	if o.Offer != nil {
		if refused := use(o.Offer); refused != nil {
			return nil, refused
		}
	}
	o.Number, o.attempt = "T-"+rand.Text()[:12], attempt
	s.number[o.Number], s.attempts[attempt] = o, o
	s.oldest = append(s.oldest, o)
	if len(s.oldest) > maxOrders {
		gone := s.oldest[0]
		s.oldest = s.oldest[1:]
		delete(s.number, gone.Number)
		delete(s.attempts, gone.attempt)
	}
	return o, nil
}

// show returns the order, or nil, and whether its page is shown for the first time.
func (s *orders) show(number string) (o *Order, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = s.number[number]
	if o == nil {
		return nil, false
	}
	first, o.shown = !o.shown, true
	return o, first
}
