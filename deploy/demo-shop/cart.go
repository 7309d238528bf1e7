package demoshop

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxQuantity bounds one line of a cart; a shopper who wants ten mugs may write to us.
const maxQuantity = 9

// errNotForSale says that a form named something that the catalogue does not hold.
var errNotForSale = errors.New("we do not sell this product or variant")

// errQuantity says that a form asked for a quantity that is not a whole number in range.
var errQuantity = errors.New("a quantity is a whole number from 1 to 9; 0 removes the line")

// A Line is one product variant in the cart.
type Line struct {
	Product  *Product
	Variant  *Variant
	Quantity int // 1 to maxQuantity
}

// Sum is the price of the line.
func (l Line) Sum() Money { return l.Variant.Price * Money(l.Quantity) }

// A Cart is what a shopper means to buy. It lives in a cookie of the shop's own host as
//
//	harbour-mug.oat.2~dawn-kettle.ink.1
//
// so that the shop needs no session store. The cookie holds no prices: it can be edited by its
// owner, and all it can say is which products of the catalogue, and how many.
type Cart struct{ Lines []Line }

// parseCart reads a cart cookie. What is not for sale, repeated or out of range is left out: a cart
// from before a product was retired still opens.
func parseCart(value string) Cart {
	var c Cart
	for text := range strings.SplitSeq(value, "~") {
		if l, ok := parseLine(text); ok && c.find(l.Product.ID, l.Variant.ID) < 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}

func parseLine(text string) (Line, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Line{}, false
	}
	p, v, err := pick(parts[0], parts[1])
	if err != nil {
		return Line{}, false
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil || n < 1 || n > maxQuantity {
		return Line{}, false
	}
	return Line{p, v, n}, true
}

// pick finds a variant by the ids a form or cookie names.
func pick(product, variant string) (*Product, *Variant, error) {
	p := findProduct(product)
	if p == nil {
		return nil, nil, errNotForSale
	}
	v := p.Variant(variant)
	if v == nil {
		return nil, nil, errNotForSale
	}
	return p, v, nil
}

// String is the cookie's value.
func (c Cart) String() string {
	var b strings.Builder
	for i, l := range c.Lines {
		if i > 0 {
			b.WriteByte('~')
		}
		b.WriteString(l.Product.ID + "." + l.Variant.ID + "." + strconv.Itoa(l.Quantity))
	}
	return b.String()
}

// Count is the number of pieces, for the badge in the header.
func (c Cart) Count() int {
	n := 0
	for _, l := range c.Lines {
		n += l.Quantity
	}
	return n
}

// Goods is the price of everything in the cart, before discount and shipping.
func (c Cart) Goods() Money {
	var sum Money
	for _, l := range c.Lines {
		sum += l.Sum()
	}
	return sum
}

func (c Cart) find(product, variant string) int {
	return slices.IndexFunc(c.Lines, func(l Line) bool {
		return l.Product.ID == product && l.Variant.ID == variant
	})
}

// add puts quantity more pieces in and returns how many fitted below maxQuantity.
func (c *Cart) add(p *Product, v *Variant, quantity int) int {
	i := c.find(p.ID, v.ID)
	if i < 0 {
		c.Lines = append(c.Lines, Line{Product: p, Variant: v})
		i = len(c.Lines) - 1
	}
	before := c.Lines[i].Quantity
	c.Lines[i].Quantity = min(before+quantity, maxQuantity)
	return c.Lines[i].Quantity - before
}

// set makes a line hold quantity pieces, none = the line goes, and returns by how many it changed.
func (c *Cart) set(p *Product, v *Variant, quantity int) int {
	i := c.find(p.ID, v.ID)
	if i < 0 {
		return 0 // the line was removed in another tab
	}
	change := quantity - c.Lines[i].Quantity
	if c.Lines[i].Quantity = quantity; quantity == 0 {
		c.Lines = slices.Delete(c.Lines, i, i+1)
	}
	return change
}

// parseQuantity reads a form's quantity, at least low.
func parseQuantity(text string, low int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > maxQuantity {
		return 0, errQuantity
	}
	return n, nil
}

// A ShippingMethod is a row of the checkout's choice.
type ShippingMethod struct {
	ID, Name, When string
	price          Money
	freeFrom       Money // price of goods from which it costs nothing; 0 = never
}

var shippingMethods = []ShippingMethod{
	{ID: "standard", Name: "Standard", When: "2 to 4 working days", price: 490, freeFrom: 7500},
	{ID: "express", Name: "Express", When: "Next working day", price: 990},
}

// findShipping returns the method with that id, or nil.
func findShipping(id string) *ShippingMethod {
	i := slices.IndexFunc(shippingMethods, func(m ShippingMethod) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &shippingMethods[i]
}

// Totals is what an order costs. All sums contain their tax, as shown to the shopper.
type Totals struct {
	Goods    Money // all lines
	Discount Money // off the goods
	Shipping Money
	Tax      Money // contained in Total
	Total    Money // Goods - Discount + Shipping
}

// total adds an order up. The discount comes from a verified offer; it lowers the goods, never the
// shipping, and does not take free shipping away again.
func (c Cart) total(m *ShippingMethod, d discount) Totals {
	t := Totals{Goods: c.Goods(), Shipping: m.price}
	if d.freeShipping || (m.freeFrom > 0 && t.Goods >= m.freeFrom) {
		t.Shipping = 0
	}
	t.Discount = min(d.off, t.Goods)
	t.Total = t.Goods - t.Discount + t.Shipping
	t.Tax = t.Total.vat()
	return t
}

const cartCookie = "tarn_cart"

func (s *shop) readCart(r *http.Request) Cart {
	c, err := r.Cookie(cartCookie)
	if err != nil {
		return Cart{}
	}
	return parseCart(c.Value)
}
