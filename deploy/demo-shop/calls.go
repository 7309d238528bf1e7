package demoshop

// The calls a page makes to the tag. Page views need none: the tag sees them itself, and what becomes of an offer it
// tells from its slot in the page (templates/parts.html).

// A call is one beckon(kind, props) in a page.
type call struct {
	Kind  string
	Props any
}

type viewProps struct {
	Product  string `json:"product"`
	Variant  string `json:"variant"`
	Category string `json:"category"`
	Price    Money  `json:"price"`
	Currency string `json:"currency"`
}

type collectionProps struct {
	Category string `json:"category"`
}

type cartProps struct {
	CartValue Money  `json:"cart_value"`
	Currency  string `json:"currency"`
}

type cartChangeProps struct {
	Product   string `json:"product"`
	Variant   string `json:"variant"`
	Category  string `json:"category"`
	Quantity  int    `json:"quantity"`
	Price     Money  `json:"price"`
	CartValue Money  `json:"cart_value"` // after the change
	Currency  string `json:"currency"`
}

type itemProps struct {
	Product  string `json:"product"`
	Variant  string `json:"variant"`
	Quantity int    `json:"quantity"`
	Price    Money  `json:"price"`
}

// purchaseProps keep one identity: Value + Tax + Shipping is what the shopper paid. Items and
// Discount are as shown to the shopper, tax included.
type purchaseProps struct {
	Order    string      `json:"order"`
	Value    Money       `json:"value"`
	Discount Money       `json:"discount"`
	Tax      Money       `json:"tax"`
	Shipping Money       `json:"shipping"` // without its tax
	Currency string      `json:"currency"`
	Items    []itemProps `json:"items"`
	Offer    string      `json:"offer,omitempty"`
	Decision string      `json:"decision,omitempty"`
}

func productView(p *Product, v *Variant) call {
	return call{"product_view", viewProps{p.ID, v.ID, p.Category, v.Price, currency}}
}

func collectionView(c *Category) call {
	return call{"collection_view", collectionProps{c.ID}}
}

func cartView(c Cart) call {
	return call{"cart_view", cartProps{c.Goods(), currency}}
}

// cartChange tells of quantity pieces more (positive) or fewer (negative) in c.
func cartChange(c Cart, p *Product, v *Variant, quantity int) call {
	kind := "cart_add"
	if quantity < 0 {
		kind, quantity = "cart_remove", -quantity
	}
	return call{kind, cartChangeProps{p.ID, v.ID, p.Category, quantity, v.Price, c.Goods(), currency}}
}

func checkoutStart(c Cart) call {
	return call{"checkout_start", cartProps{c.Goods(), currency}}
}

func purchase(o *Order) call {
	shippingNet := o.Totals.Shipping - o.Totals.Shipping.vat()
	props := purchaseProps{
		Order:    o.Number,
		Value:    o.Totals.Total - o.Totals.Tax - shippingNet,
		Discount: o.Totals.Discount,
		Tax:      o.Totals.Tax,
		Shipping: shippingNet,
		Currency: currency,
	}
	for _, l := range o.Cart.Lines {
		props.Items = append(props.Items, itemProps{l.Product.ID, l.Variant.ID, l.Quantity, l.Variant.Price})
	}
	if o.Offer != nil {
		props.Offer, props.Decision = o.Offer.ID, o.Offer.Decision
	}
	return call{"purchase", props}
}
