package demoshop

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"beckon/internal/privacy"
)

// A page is what the layout and the templates read.
type page struct {
	Title string // of the document; "" = the home page
	Name  string // template and body class: "home", "product" ...
	Calls []call
	Data  any

	// The rest is filled in by render.
	Site         string
	Nonce        string // of the inline scripts
	Path         string
	Cart         Cart
	Choice       Choice // "" = none yet
	DefaultLane  string
	DefaultSays  string
	Network      string // the visitor's, as Beckon keeps it: the rest of the address is cut off
	GPC          bool
	CanComeBack  bool // the "come back tomorrow" button
	PanelClosed  bool
	Taken        string // what the offer in the cart does, told on pages that show no sums; "" = nothing is to be told
	OfferSlot    bool   // there may be an offer: none waits in the cart, and none was used just now
	Categories   []Category
	FreeShipping Money
	BeckonPrefix string
	assets       assets
}

// Asset is the address of a static file.
func (p *page) Asset(name string) string { return p.assets.url(name) }

// Currency is that of all prices, for the panel.
func (p *page) Currency() string { return currency }

// Picture is the address of a variant's picture.
func (p *page) Picture(product *Product, variant *Variant) string {
	return p.assets.url(pictureName(product, variant))
}

// card is what the partial template of a product tile reads.
type card struct {
	*Product
	Picture string
}

// Cards are the tiles of a list of products, each with the picture of its first variant.
func (p *page) Cards(products []*Product) []card {
	cards := make([]card, len(products))
	for i, product := range products {
		cards[i] = card{product, p.Picture(product, &product.Variants[0])}
	}
	return cards
}

var pageNames = []string{"home", "category", "product", "cart", "checkout", "thank-you", "problem"}

// loadPages parses one template set per page: the layout, the partials, and the page's own body.
func loadPages() (map[string]*template.Template, error) {
	common, err := template.New("layout.html").ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("demo shop: parse templates: %w", err)
	}
	pages := make(map[string]*template.Template, len(pageNames))
	for _, name := range pageNames {
		set, err := template.Must(common.Clone()).ParseFS(templateFiles, "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("demo shop: parse template %s: %w", name, err)
		}
		pages[name] = set
	}
	return pages, nil
}

// render answers with a page. Nothing is written before the template has succeeded.
func (s *shop) render(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Site, p.assets, p.Nonce = s.Site, s.assets, rand.Text()
	p.Path = r.URL.Path
	p.Choice, p.DefaultLane, p.DefaultSays = readChoice(r), s.ConsentDefault, defaultSentences[s.ConsentDefault]
	p.GPC = r.Header.Get("Sec-Gpc") == "1"
	p.Network = privacy.Truncate(peer(r)).String()
	p.CanComeBack = s.Dev && fromThisMachine(r)
	if c, err := r.Cookie("tarn_panel"); err == nil {
		p.PanelClosed = c.Value == "closed"
	}
	p.Categories, p.FreeShipping, p.BeckonPrefix = categories, shippingMethods[0].freeFrom, beckonPrefix
	p.Cart = s.readCart(r)
	taken := s.offerTaken(r)
	p.OfferSlot = taken == nil && !s.offerUsed(r)
	if taken != nil && p.Name != "cart" && p.Name != "checkout" {
		p.Taken = taken.waits(p.Cart)
	}
	var body bytes.Buffer
	if err := s.pages[p.Name].Execute(&body, &p); err != nil {
		s.Log.Error("a page cannot be shown", "page", p.Name, "error", err)
		http.Error(w, "This page cannot be shown at the moment.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'nonce-"+p.Nonce+"'; style-src 'self'; "+
		"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // an error means that the peer is gone
}

// once marks a page whose calls tell of something that happened, such as a cart_add: a browser that
// shows it again from its cache would tell it again.
func once(w http.ResponseWriter) { w.Header().Set("Cache-Control", "private, no-store") }

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	var all []*Product
	for i := range catalogue {
		all = append(all, &catalogue[i])
	}
	s.render(w, r, http.StatusOK, page{Name: "home", Data: all})
}

func (s *shop) category(w http.ResponseWriter, r *http.Request) {
	c := findCategory(r.PathValue("category"))
	if c == nil {
		s.notFound(w, r)
		return
	}
	s.render(w, r, http.StatusOK, page{
		Title: c.Name, Name: "category", Calls: []call{collectionView(c)},
		Data: struct {
			*Category
			Products []*Product
		}{c, inCategory(c.ID)},
	})
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	p := findProduct(r.PathValue("product"))
	if p == nil {
		s.notFound(w, r)
		return
	}
	v := p.Variant(r.URL.Query().Get("variant"))
	if v == nil {
		v = &p.Variants[0]
	}
	var others []*Product
	for i := range catalogue {
		if catalogue[i].ID != p.ID && len(others) < 3 && (catalogue[i].Category == p.Category || len(others) > 0) {
			others = append(others, &catalogue[i])
		}
	}
	s.render(w, r, http.StatusOK, page{
		Title: p.Name, Name: "product", Calls: []call{productView(p, v)},
		Data: struct {
			*Product
			Category *Category
			Chosen   *Variant
			Others   []*Product
		}{p, findCategory(p.Category), v, others},
	})
}

// doneCookie carries what a form just did to the page that is shown next: "3.harbour-mug.oat" for
// three more, "-1.harbour-mug.oat" for one fewer, "0..." when the line was full. The next cart page
// reads it once, so that the change is told to the tag by the page the browser really shows.
const doneCookie = "tarn_done"

func (s *shop) cart(w http.ResponseWriter, r *http.Request) {
	once(w)
	c := s.readCart(r)
	view := struct {
		Notice  string
		Summary summary
	}{Summary: s.summarise(w, r, c, &shippingMethods[0])}
	var calls []call
	if n, p, v := takeDone(w, r); p != nil {
		switch {
		case n > 0:
			view.Notice = p.Name + " is in your cart."
		case n < 0:
			view.Notice = p.Name + ": changed."
		default:
			view.Notice = fmt.Sprintf("We send at most %d of one thing.", maxQuantity)
		}
		if n != 0 {
			calls = append(calls, cartChange(c, p, v, n))
		}
	}
	s.render(w, r, http.StatusOK, page{
		Title: "Cart", Name: "cart", Calls: append(calls, cartView(c)), Data: view,
	})
}

// takeDone reads the cookie and removes it. A nil product means that nothing was done.
func takeDone(w http.ResponseWriter, r *http.Request) (int, *Product, *Variant) {
	c, err := r.Cookie(doneCookie)
	if err != nil {
		return 0, nil, nil
	}
	setCookie(w, r, doneCookie, "", -time.Second)
	parts := strings.Split(c.Value, ".")
	if len(parts) != 3 {
		return 0, nil, nil
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < -maxQuantity || n > maxQuantity {
		return 0, nil, nil
	}
	p, v, err := pick(parts[1], parts[2])
	if err != nil {
		return 0, nil, nil
	}
	return n, p, v
}

func (s *shop) cartAdd(w http.ResponseWriter, r *http.Request) {
	s.changeCart(w, r, 1, (*Cart).add)
}

func (s *shop) cartSet(w http.ResponseWriter, r *http.Request) {
	s.changeCart(w, r, 0, (*Cart).set)
}

// changeCart applies a form with product, variant and quantity (at least low) to the cart.
func (s *shop) changeCart(w http.ResponseWriter, r *http.Request, low int, change func(*Cart, *Product, *Variant, int) int) {
	if !s.readForm(w, r) {
		return
	}
	p, v, err := pick(r.PostForm.Get("product"), r.PostForm.Get("variant"))
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "That is not on our shelves", "We do not sell this product or variant.")
		return
	}
	quantity, err := parseQuantity(r.PostForm.Get("quantity"), low)
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "How many?", "A quantity is a whole number from 1 to 9; 0 removes the line.")
		return
	}
	c := s.readCart(r)
	n := change(&c, p, v, quantity)
	setCookie(w, r, cartCookie, c.String(), 30*24*time.Hour)
	setCookie(w, r, doneCookie, strconv.Itoa(n)+"."+p.ID+"."+v.ID, time.Minute)
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

// readForm parses the body, or answers why it cannot.
func (s *shop) readForm(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		s.problem(w, r, http.StatusBadRequest, "That did not arrive whole", "The form could not be read. Go back and try again.")
		return false
	}
	return true
}

func (s *shop) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, http.StatusNotFound, "Nothing at this shore", "This page does not exist, or does no longer.")
}

// problem answers with a page that says what is wrong and offers a way on.
func (s *shop) problem(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	once(w)
	s.render(w, r, status, page{Title: title, Name: "problem", Data: text})
}
