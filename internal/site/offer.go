package site

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// defaultDisclosure is said beside a personalised offer that says nothing itself: that its price is personal has to be told.
const defaultDisclosure = "This offer was chosen for you automatically, by what you did in this shop."

// readOffer reads one element of `offers:`. s has everything but its offers.
func readOffer(v node, s *Site) *Offer {
	o := &Offer{Enabled: true, Audience: Targeted, ValidFor: 30 * time.Minute, Cooldown: 7 * day, Experiment: 1}
	var when, holdout node
	v.mapping(
		required("id", func(v node) { v.readID(&o.ID) }),
		optional("title", func(v node) { v.readText(&o.Title, 100) }),
		optional("enabled", func(v node) { v.readBool(&o.Enabled) }),
		optional("audience", func(v node) { v.readAudience(&o.Audience) }),
		optional("when", func(v node) { when = v }),
		required("discount", func(v node) { v.readDiscount(o, s) }),
		optional("min_cart_value", func(v node) { v.readAmount(&o.MinCartValue) }),
		optional("valid_for", func(v node) { v.readDuration(&o.ValidFor, time.Minute, 30*day) }),
		optional("cooldown", func(v node) { v.readDuration(&o.Cooldown, 0, maxCooldown) }),
		optional("cap", func(v node) { v.readInt(&o.Cap, 1, 1000) }),
		optional("priority", func(v node) { v.readInt(&o.Priority, -1_000_000, 1_000_000) }),
		optional("holdout", func(v node) { holdout = v }),
		optional("experiment", func(v node) { v.readInt(&o.Experiment, 1, 1_000_000) }),
		optional("starts", func(v node) { v.readInstant(&o.Starts, s.Timezone, false) }),
		optional("ends", func(v node) { v.readInstant(&o.Ends, s.Timezone, true) }),
		optional("too_new", func(v node) { v.readDuration(&o.TooNew, time.Second, 365*day) }),
		optional("abandoner", func(v node) { v.readInt(&o.Abandoner, 1, 1000) }),
		optional("disclosure", func(v node) { v.readText(&o.Disclosure, 500) }),
		optional("code", func(v node) { v.readText(&o.Code, 64) }),
		optional("applies_to", func(v node) { v.readAppliesTo(o) }),
		optional("combinable", func(v node) { v.readBool(&o.Combinable) }),
	)
	if holdout.n != nil {
		var share float64
		if holdout.readShare(&share) {
			o.Holdout = &share
		}
	}
	if when.n != nil {
		when.readWhen(o)
	}
	if o.Audience == Targeted && o.Disclosure == "" {
		o.Disclosure = defaultDisclosure
	}
	if o.MinCartValue.Set || o.Amount.Set {
		o.Currency = s.Currency
	}
	if !o.Ends.IsZero() && !o.Starts.Before(o.Ends) {
		v.fault("starts %s, which is not before it ends %s", o.Starts.Format(time.RFC3339), o.Ends.Format(time.RFC3339))
	}
	o.checkAudience(v, when.n != nil)
	o.checkMemory(v, s.Profiles)
	return o
}

// maxCooldown is how far back the first serves of a visitor are read, whatever the retention.
const maxCooldown = 90 * day

// checkMemory reports terms that look further back than first serves are kept: forgotten early, they would
// give more than the terms allow. A row is deleted as its last day begins, so a day less counts. Offers for
// everyone have no such terms.
func (o *Offer) checkMemory(v node, profiles time.Duration) {
	if o.Audience == Everyone {
		return
	}
	kept := profiles - day
	check := func(name, what string, needs time.Duration) {
		if needs <= kept {
			return
		}
		at, ok := v.key(name)
		if !ok {
			at, what = v, what+", the default of "+name+","
		}
		at.fault("%s is longer than serves are remembered: with retention.profiles %s at most %s, so raise that to %s",
			what, spell(profiles), spell(kept), spell((needs + 2*day - 1).Truncate(day)))
	}
	check("valid_for", spell(o.ValidFor), o.ValidFor)
	check("cooldown", spell(o.Cooldown), o.Cooldown)
	const window = 30 * day // of both: see aggregator/eligibility
	if o.Cap > 0 {
		check("cap", "its window of 30d", window)
	}
	if o.Abandoner > 0 {
		check("abandoner", "its window of 30d", window)
	}
}

// checkAudience reports terms that o's audience cannot have. An offer for everyone uses no visitor
// data, so nothing that counts or remembers visitors can apply to it.
func (o *Offer) checkAudience(v node, hasRule bool) {
	if o.Audience == Targeted {
		if !hasRule {
			v.fault("%q is missing: write a rule, `when: \"true\"` for every visitor who consented, or `audience: everyone`", "when")
		}
		return
	}
	for _, name := range []string{"when", "cooldown", "cap", "holdout", "experiment", "too_new", "abandoner"} {
		if key, ok := v.key(name); ok {
			key.fault("has no meaning with audience everyone, which uses no visitor data")
		}
	}
	o.Cooldown, o.Experiment = 0, 0
}

func (v node) readAudience(dst *Audience) {
	s, ok := v.text()
	if !ok {
		return
	}
	if a := Audience(s); a == Targeted || a == Everyone {
		*dst = a
		return
	}
	v.fault("%q must be %s or %s", s, Targeted, Everyone)
}

// readDiscount reads {percent: 10}, {amount: 5.00, currency: EUR} or {free_shipping: true}.
func (v node) readDiscount(o *Offer, s *Site) {
	var kinds []Kind
	var currency string
	v.mapping(
		optional("percent", func(v node) {
			kinds = append(kinds, Percent)
			v.readPercent(&o.Percent)
		}),
		optional("amount", func(v node) {
			kinds = append(kinds, FixedAmount)
			v.readAmount(&o.Amount)
		}),
		optional("currency", func(v node) {
			v.readCurrency(&currency)
			if currency != "" && s.Currency != "" && currency != s.Currency {
				v.fault("%s is not the site's currency %s, in which carts are compared", currency, s.Currency)
			}
		}),
		optional("free_shipping", func(v node) {
			kinds = append(kinds, FreeShipping)
			free := true
			if v.readBool(&free); !free {
				v.fault("must be true, or left out")
			}
		}),
	)
	if _, ok := v.n.(ast.MapNode); !ok {
		return
	}
	if len(kinds) != 1 {
		v.fault("must have exactly one of percent, amount and free_shipping")
		return
	}
	if o.Kind = kinds[0]; currency != "" && o.Kind != FixedAmount {
		v.fault("currency belongs to amount only")
	}
}

func (v node) readAppliesTo(o *Offer) {
	v.list(maxAppliesTo, func(v node) {
		var what string
		if v.readText(&what, 128); what != "" {
			o.AppliesTo = append(o.AppliesTo, what)
		}
	})
}
