package event

import (
	"encoding/binary"
	"errors"
	"fmt"

	"beckon/internal/privacy"
)

// A record is what the spool keeps of one event. All integers are little-endian or (u)varints.
//
//	version   1 byte   recordV1
//	kind, source, lane, cause, choice   1 byte each
//	flags     2 bytes  one bit per optional part, in the order below
//	id        16 bytes
//	received  8 bytes  Unix milliseconds
//	occurred  varint   difference to received
//	expires, profile expires   2 bytes each, days since 1970
//	rate      varint   RateScale-ths
//	quantity, query length   uvarint each
//	texts     uvarint length and bytes each, in the order of appendTexts
//	[visitor 16, session 16]            flagVisitor
//	[visitor since varint ms]           flagSince
//	[order 16] [coupon 16] [customer 16]
//	[price][cart value][value][discount][tax][shipping]   uvarint ten-thousandths each
//	[consent at varint ms]              flagConsent
//	[suppress 16]                       flagSuppress
//	items     uvarint count, then per item: product, variant, uvarint quantity, uvarint price+1 or 0
//
// A record never changes once written; another layout takes another version byte.
const recordV1 = 1

const (
	flagVisitor = 1 << iota
	flagSince
	flagOrder
	flagCoupon
	flagCustomer
	flagPrice
	flagCartValue
	flagValue
	flagDiscount
	flagTax
	flagShipping
	flagConsent
	flagSuppress
)

const (
	headBytes = 1 + 5 + 2 + 16 + 8
	textCount = 21
)

// ErrRecord is wrapped by every error about a record that does not decode.
var ErrRecord = errors.New("bad event record")

// AppendTo appends the record of e to dst and returns the longer slice.
func (e *Event) AppendTo(dst []byte) []byte {
	dst = append(dst, recordV1, byte(e.Kind), byte(e.Source), byte(e.Lane), byte(e.Cause), byte(e.Choice))
	dst = binary.LittleEndian.AppendUint16(dst, e.flags())
	dst = append(dst, e.ID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.ReceivedAt))
	dst = binary.AppendVarint(dst, e.OccurredAt-e.ReceivedAt)
	dst = binary.LittleEndian.AppendUint16(dst, e.ExpiresDay)
	dst = binary.LittleEndian.AppendUint16(dst, e.ProfileExpiresDay)
	dst = binary.AppendVarint(dst, e.Rate)
	dst = binary.AppendUvarint(dst, uint64(e.Quantity))
	dst = binary.AppendUvarint(dst, uint64(e.QueryLength))
	dst = e.appendTexts(dst)
	if !e.Visitor.IsZero() || !e.Session.IsZero() {
		dst = appendID(appendID(dst, e.Visitor.Bytes()), e.Session.Bytes())
	}
	if e.VisitorSince != 0 {
		dst = binary.AppendVarint(dst, e.VisitorSince)
	}
	for _, id := range [...]privacy.ID{e.Order, e.Coupon, e.Customer} {
		if !id.IsZero() {
			dst = appendID(dst, id.Bytes())
		}
	}
	for _, a := range e.amounts() {
		if a.Set {
			dst = binary.AppendUvarint(dst, uint64(a.Units))
		}
	}
	if e.ConsentAt != 0 {
		dst = binary.AppendVarint(dst, e.ConsentAt)
	}
	if !e.Suppress.IsZero() {
		dst = appendID(dst, e.Suppress.Bytes())
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Items)))
	for i := range e.Items {
		it := &e.Items[i]
		dst = appendText(dst, it.Product.String())
		dst = appendText(dst, it.Variant.String())
		dst = binary.AppendUvarint(dst, uint64(it.Quantity))
		price := uint64(0)
		if it.Price.Set {
			price = uint64(it.Price.Units) + 1
		}
		dst = binary.AppendUvarint(dst, price)
	}
	return dst
}

// appendTexts writes the text fields in record order; Stored.decodeTexts is its mirror.
func (e *Event) appendTexts(dst []byte) []byte {
	dst = appendText(dst, e.Site.String())
	dst = appendText(dst, e.Environment.String())
	var network [privacy.MaxNetworkBytes]byte
	dst = appendText(dst, e.Network.AppendTo(network[:0]))
	for _, b := range [...]privacy.Bucket{e.Country, e.Region, e.Device, e.Browser, e.OS, e.Bot} {
		dst = appendText(dst, b.String())
	}
	dst = appendText(dst, e.Path.String())
	dst = appendText(dst, e.Referrer.String())
	for _, l := range [...]privacy.Label{e.UTMSource, e.UTMMedium, e.UTMName, e.Product, e.Variant, e.Category} {
		dst = appendText(dst, l.String())
	}
	dst = appendText(dst, e.Currency.String())
	dst = appendText(dst, e.Offer.String())
	dst = appendText(dst, e.Decision.String())
	return e.appendConsentText(dst)
}

// appendConsentText joins the two words of a choice, which few events have, into one text.
func (e *Event) appendConsentText(dst []byte) []byte {
	source, policy := e.ConsentSource.String(), e.ConsentPolicy.String()
	if source == "" && policy == "" {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(source)+1+len(policy)))
	dst = append(append(dst, source...), 0)
	return append(dst, policy...)
}

func (e *Event) amounts() [6]Amount {
	return [6]Amount{e.Price, e.CartValue, e.Value, e.Discount, e.Tax, e.Shipping}
}

func (e *Event) flags() uint16 {
	var f uint16
	set := func(flag uint16, on bool) {
		if on {
			f |= flag
		}
	}
	set(flagVisitor, !e.Visitor.IsZero() || !e.Session.IsZero())
	set(flagSince, e.VisitorSince != 0)
	set(flagOrder, !e.Order.IsZero())
	set(flagCoupon, !e.Coupon.IsZero())
	set(flagCustomer, !e.Customer.IsZero())
	for i, a := range e.amounts() {
		set(flagPrice<<i, a.Set)
	}
	set(flagConsent, e.ConsentAt != 0)
	set(flagSuppress, !e.Suppress.IsZero())
	return f
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendID(dst []byte, id [16]byte) []byte { return append(dst, id[:]...) }

// cursor reads a record. After the first fault every read returns zero and bad stays set, so the
// decoder reads straight down and checks once. Its texts are parts of one copy of the record: a row has
// twenty of them.
type cursor struct {
	b   []byte // what is still to be read: the end of all
	all string
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	head := c.b[:n]
	c.b = c.b[n:]
	return head
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if c.bad || n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if c.bad || n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) id() (id [16]byte) {
	copy(id[:], c.take(16))
	return id
}

func (c *cursor) text() string {
	n := len(c.take(c.uvarint()))
	end := len(c.all) - len(c.b)
	return c.all[end-n : end]
}

func badRecord(rec []byte, why string) error {
	return fmt.Errorf("%w of %d bytes: %s", ErrRecord, len(rec), why)
}
