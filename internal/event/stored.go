package event

import (
	"encoding/binary"
	"math"
	"strings"

	"beckon/internal/privacy"
)

// Stored is what a record says, in plain types. It holds reduced values only, since a record is
// made from an Event. Its strings are its own; Decode reuses the memory of Items.
type Stored struct {
	Kind   Kind
	Source Source
	Lane   privacy.Lane
	Cause  privacy.Cause
	Choice privacy.Lane

	ID                     UUID
	ReceivedAt, OccurredAt int64 // Unix milliseconds
	VisitorSince           int64 // 0 = none
	ConsentAt              int64 // 0 = none

	Site, Environment                                  string
	Network, Country, Region, Device, Browser, OS, Bot string
	Path, Referrer                                     string
	UTMSource, UTMMedium, UTMName                      string
	Product, Variant, Category, Currency               string
	Offer, Decision                                    string
	ConsentSource, ConsentPolicy                       string
	Visitor, Session, Order, Coupon, Customer          [16]byte
	Suppress                                           [16]byte
	Rate                                               int64
	Price, CartValue, Value, Discount, Tax, Shipping   Amount
	Quantity                                           uint32
	QueryLength                                        uint16
	ExpiresDay, ProfileExpiresDay                      uint16
	Items                                              []StoredItem
}

// StoredItem is one line of a purchase.
type StoredItem struct {
	Product, Variant string
	Quantity         uint32
	Price            Amount
}

// Decode fills s from a record made by Event.AppendTo. A record that is cut, has bytes left over or
// says impossible things is refused with an error that wraps ErrRecord; s is then undefined.
func (s *Stored) Decode(rec []byte) error {
	if len(rec) < headBytes {
		return badRecord(rec, "too short")
	}
	if rec[0] != recordV1 {
		return badRecord(rec, "unknown version")
	}
	*s = Stored{
		Kind: Kind(rec[1]), Source: Source(rec[2]), Lane: privacy.Lane(rec[3]), Cause: privacy.Cause(rec[4]),
		Choice: privacy.Lane(rec[5]), Items: s.Items[:0],
	}
	if s.Kind.String() == "" || s.Source.String() == "" || s.Lane.String() == "" {
		return badRecord(rec, "unknown kind, source or lane")
	}
	flags := binary.LittleEndian.Uint16(rec[6:])
	copy(s.ID[:], rec[8:24])
	s.ReceivedAt = int64(binary.LittleEndian.Uint64(rec[24:]))

	c := &cursor{b: rec[headBytes:], all: string(rec[headBytes:])}
	s.OccurredAt = s.ReceivedAt + c.varint()
	s.ExpiresDay, s.ProfileExpiresDay = c.uint16(), c.uint16()
	s.Rate = c.varint()
	s.Quantity = uint32(min(c.uvarint(), math.MaxUint32))
	s.QueryLength = uint16(min(c.uvarint(), math.MaxUint16))
	s.decodeTexts(c)
	s.decodeOptional(c, flags)
	s.decodeItems(c)
	if c.bad {
		return badRecord(rec, "cut short")
	}
	if len(c.b) != 0 {
		return badRecord(rec, "bytes left over")
	}
	return nil
}

// decodeTexts mirrors Event.appendTexts.
func (s *Stored) decodeTexts(c *cursor) {
	var consent string
	for _, field := range [textCount]*string{
		&s.Site, &s.Environment, &s.Network, &s.Country, &s.Region, &s.Device, &s.Browser, &s.OS, &s.Bot, &s.Path, &s.Referrer,
		&s.UTMSource, &s.UTMMedium, &s.UTMName, &s.Product, &s.Variant, &s.Category, &s.Currency, &s.Offer, &s.Decision, &consent,
	} {
		*field = c.text()
	}
	if source, policy, ok := strings.Cut(consent, "\x00"); ok {
		s.ConsentSource, s.ConsentPolicy = source, policy
	}
}

func (s *Stored) decodeOptional(c *cursor, flags uint16) {
	if flags&flagVisitor != 0 {
		s.Visitor, s.Session = c.id(), c.id()
	}
	if flags&flagSince != 0 {
		s.VisitorSince = c.varint()
	}
	for i, id := range [...]*[16]byte{&s.Order, &s.Coupon, &s.Customer} {
		if flags&(flagOrder<<i) != 0 {
			*id = c.id()
		}
	}
	for i, a := range [...]*Amount{&s.Price, &s.CartValue, &s.Value, &s.Discount, &s.Tax, &s.Shipping} {
		if flags&(flagPrice<<i) != 0 {
			*a = Amount{Units: boundedUnits(c), Set: true}
		}
	}
	if flags&flagConsent != 0 {
		s.ConsentAt = c.varint()
	}
	if flags&flagSuppress != 0 {
		s.Suppress = c.id()
	}
}

func (s *Stored) decodeItems(c *cursor) {
	n := c.uvarint()
	if n > MaxItems {
		c.bad = true
	}
	for ; n > 0 && !c.bad; n-- {
		it := StoredItem{Product: c.text(), Variant: c.text(), Quantity: uint32(min(c.uvarint(), math.MaxUint32))}
		if price := c.uvarint(); price > 0 {
			it.Price = Amount{Units: int64(min(price-1, maxAmountUnits)), Set: true}
		}
		s.Items = append(s.Items, it)
	}
}

func boundedUnits(c *cursor) int64 { return int64(min(c.uvarint(), maxAmountUnits)) }
