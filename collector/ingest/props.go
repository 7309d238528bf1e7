package ingest

import (
	"bytes"

	"github.com/valyala/fastjson"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

// readPage reduces the page's address to a path and a campaign, and the referrer to a host.
func (r *request) readPage() bool {
	if len(r.raw.url) > event.MaxStringBytes { // a referrer is the browser's, of any length: its host is all that is read
		return false
	}
	page := r.texts.URL(wholeParts(r.raw.url))
	r.event.Path = page.Path
	r.event.UTMSource, r.event.UTMMedium, r.event.UTMName = page.Source, page.Medium, page.Campaign
	r.event.Referrer = r.texts.Referrer(r.raw.referrer, r.raw.url)
	return true
}

// wholeParts cuts an address that is as long as may be sent, and so may have been cut on its way, back
// to its last whole part: the privacy step would not know half an e-mail address for one.
func wholeParts(url []byte) []byte {
	if len(url) < event.MaxStringBytes {
		return url
	}
	url = url[:event.MaxStringBytes]
	return url[:max(bytes.LastIndexAny(url, "/?&"), 0)]
}

// readProps reads "p" into r.event. A new prop is one line here, one field of event.Event and one
// line in docs/reference.md; a name that is not here is ignored and never stored.
func (r *request) readProps() bool {
	ok := true
	e := &r.event
	r.raw.props.Visit(func(key []byte, v *fastjson.Value) {
		if !ok || absent(v) {
			return
		}
		switch string(key) {
		case "product":
			ok = r.label(v, &e.Product)
		case "variant":
			ok = r.label(v, &e.Variant)
		case "category":
			ok = r.label(v, &e.Category)
		case "offer":
			ok = r.label(v, &e.Offer)
		case "decision":
			ok = r.label(v, &e.Decision)
		case "quantity":
			ok = r.quantity(v, &e.Quantity)
		case "query_length":
			ok = r.length(v, &e.QueryLength)
		case "price":
			ok = r.amount(v, &e.Price)
		case "cart_value":
			ok = r.amount(v, &e.CartValue)
		case "value":
			ok = r.amount(v, &e.Value)
		case "discount":
			ok = r.amount(v, &e.Discount)
		case "tax":
			ok = r.amount(v, &e.Tax)
		case "shipping":
			ok = r.amount(v, &e.Shipping)
		case "currency":
			var code []byte
			if ok = text(v, &code); ok {
				e.Currency, ok = r.texts.Currency(code)
			}
		case "items":
			ok = r.items(v)
		case "order":
			ok = r.secret(v, "order", &e.Order)
		case "coupon":
			ok = r.secret(v, "coupon", &e.Coupon)
		case "customer": // a browser's word for it would be anybody's
			ok = !r.trusted() || r.secret(v, "customer", &e.Customer)
		}
	})
	if ok {
		r.exchange()
	}
	return ok
}

// exchange names the rate from the event's currency to the site's. Money without a currency is in
// the site's own.
func (r *request) exchange() {
	own := r.tenant.currency
	if r.event.Currency == (privacy.Bucket{}) && r.hasMoney() {
		r.event.Currency = own
	}
	switch r.event.Currency {
	case privacy.Bucket{}, own:
		r.event.Rate = event.RateScale
	default:
		r.event.Rate = r.tenant.site.Rates[r.event.Currency.String()]
	}
}

func (r *request) hasMoney() bool {
	e := &r.event
	if e.Price.Set || e.CartValue.Set || e.Value.Set || e.Discount.Set || e.Tax.Set || e.Shipping.Set {
		return true
	}
	for i := range e.Items {
		if e.Items[i].Price.Set {
			return true
		}
	}
	return false
}

func (r *request) items(v *fastjson.Value) bool {
	list, err := v.Array()
	if err != nil || len(list) > event.MaxItems {
		return false
	}
	for _, element := range list {
		if element.Type() != fastjson.TypeObject {
			return false
		}
		ok := true
		var item event.Item
		element.GetObject().Visit(func(key []byte, v *fastjson.Value) {
			if !ok || absent(v) {
				return
			}
			switch string(key) {
			case "product":
				ok = r.label(v, &item.Product)
			case "variant":
				ok = r.label(v, &item.Variant)
			case "quantity":
				ok = r.quantity(v, &item.Quantity)
			case "price":
				ok = r.amount(v, &item.Price)
			}
		})
		if !ok {
			return false
		}
		r.event.Items = append(r.event.Items, item)
	}
	return true
}

// label reads a word of the shop's own, which may be written as a number: many shops count products.
func (r *request) label(v *fastjson.Value, dst *privacy.Label) bool {
	word, ok := r.written(v)
	if !ok || len(word) > event.MaxStringBytes {
		return false
	}
	*dst = r.texts.Label(word)
	return true
}

// secret reads a word that is kept as a keyed hash, and only of visitors who agreed to be known. The order of a
// refund that names nobody goes as far as the spool: the loader finds out whether its customer agreed.
func (r *request) secret(v *fastjson.Value, purpose string, dst *privacy.ID) bool {
	word, ok := r.written(v)
	if !ok || len(word) > event.MaxStringBytes {
		return false
	}
	if r.visitor.lane == privacy.LaneDecide || dst == &r.event.Order && r.namesOrderOnly() {
		*dst = privacy.KeyedID(&r.tenant.keys.Order, purpose, word)
	}
	return true
}

// namesOrderOnly reports whether a refund comes from the shop's back office: it says which order it is of, and neither
// who bought nor what they chose, so that its lane is the site's default.
func (r *request) namesOrderOnly() bool {
	v := &r.visitor
	return r.event.Kind == event.Refund && (v.cause == privacy.CauseDefault || v.cause == privacy.CauseCountry) &&
		!v.linked && v.revoked.IsZero() && len(r.old.visitor) == 0
}

func (r *request) amount(v *fastjson.Value, dst *event.Amount) bool {
	word, ok := r.written(v)
	if ok {
		*dst, ok = event.ParseAmount(word)
	}
	return ok
}

func (r *request) quantity(v *fastjson.Value, dst *uint32) bool {
	n := int64(0)
	ok := r.integer(v, &n, event.MaxQuantity)
	*dst = uint32(n)
	return ok
}

func (r *request) length(v *fastjson.Value, dst *uint16) bool {
	n := int64(0)
	ok := r.integer(v, &n, 1<<16-1)
	*dst = uint16(n)
	return ok
}
