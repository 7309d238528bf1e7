// Package event is about one thing that happened in a shop, after the privacy step.
//
// Event is the write side: all its text is of types that only internal/privacy can fill, so a raw
// address, cookie, user agent or URL has no field to be put in (TestEventHasNoFieldForRawText holds
// that). Its texts may live in a request's privacy.Scratch, so an Event does not outlive its request:
// AppendTo turns it into the record that the spool keeps. Stored is the read side: what a
// record says, in plain types, for the loader. A Stored cannot be turned into an Event again.
package event

import (
	"beckon/internal/privacy"
)

// Event is one event as it is made durable. Times are Unix milliseconds, days count from 1970-01-01.
type Event struct {
	Kind   Kind
	Source Source
	Lane   privacy.Lane
	Cause  privacy.Cause

	ID         UUID
	ReceivedAt int64 // the collector's clock
	OccurredAt int64 // the sender's clock, corrected and clamped

	Site, Environment             privacy.Bucket
	Visitor, Session              privacy.ID
	VisitorSince                  int64 // creation of the visitor cookie, 0 without one
	Network                       privacy.Network
	Country, Region               privacy.Bucket
	Device, Browser, OS           privacy.Bucket
	Bot                           privacy.Bucket // why this is a bot; empty for people
	Path                          privacy.Path
	Referrer                      privacy.Host
	UTMSource, UTMMedium, UTMName privacy.Label // UTMName is utm_campaign

	Product, Variant, Category privacy.Label
	Quantity                   uint32
	Currency                   privacy.Bucket
	Rate                       int64 // units of the site's currency for one of Currency, in RateScale-ths; 0 = unknown
	Price                      Amount
	CartValue                  Amount
	Value                      Amount
	Discount                   Amount
	Tax                        Amount
	Shipping                   Amount
	Items                      []Item

	Order, Coupon, Customer privacy.ID
	Offer, Decision         privacy.Label
	QueryLength             uint16

	// Of a Consent event: the choice that was made, by which means, under which policy text.
	Choice                       privacy.Lane
	ConsentSource, ConsentPolicy privacy.Label
	ConsentAt                    int64
	// Suppress is set when the choice withdraws: the entry of internal/suppress that says so to other hosts.
	Suppress privacy.ID

	ExpiresDay        uint16 // when the event may be forgotten
	ProfileExpiresDay uint16 // when what is derived for the visitor may be forgotten
}

// Item is one line of a purchase.
type Item struct {
	Product, Variant privacy.Label
	Quantity         uint32
	Price            Amount // per unit
}

// IsBot reports whether the sender was recognised as a program.
func (e *Event) IsBot() bool { return e.Bot != privacy.Bucket{} }

// HasOrigin reports whether e says where a visit came from.
func (e *Event) HasOrigin() bool {
	return e.Referrer != privacy.Host{} || e.UTMSource != privacy.Label{} || e.UTMMedium != privacy.Label{} || e.UTMName != privacy.Label{}
}

// Reset empties e for the next use and keeps the memory of Items.
func (e *Event) Reset() {
	clear(e.Items)
	*e = Event{Items: e.Items[:0]}
}
