package offer_test

import (
	"errors"
	"net/http"
	"time"

	offer "beckon/verify/go"
)

// discountFor is called by the cart page, as often as it likes. It asks nobody.
func discountFor(keys offer.Keys, token string, cart offer.Cart) (*offer.Offer, string) {
	o, err := keys.Verify(token, offer.Want{Issuer: "https://shop.example/px", Site: "demo", Now: time.Now(), Cart: &cart})
	var refusal offer.Refusal
	if errors.As(err, &refusal) {
		return nil, string(refusal) // "expired", "min-cart" ...: a word to look up, never a reason to stop the checkout
	}
	return o, ""
}

// placeOrder writes the order, once for each offer.
func placeOrder(o *offer.Offer, uses offer.Uses, write func() error) (status int, err error) {
	switch err := o.Redeem(uses); {
	case err == offer.Used:
		return http.StatusConflict, err // show the sum without the discount
	case err != nil:
		return http.StatusServiceUnavailable, err
	}
	return http.StatusCreated, write()
}
