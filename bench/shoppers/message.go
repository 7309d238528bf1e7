package shoppers

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strconv"

	"beckon/internal/event"
)

// told is one event as it will travel.
type told struct {
	id    event.UUID
	kind  string
	page  string // u
	from  string // r
	json  []byte
	acked bool // the collector answers for it
}

// message is one request: a batch, or a pixel with one event.
type message struct {
	events []told
	at     int64 // the shopper's clock when it is sent, Unix milliseconds
	pixel  bool
	repeat bool // brings again what the message before it brought: the same events, shared with it
}

// Names on the wire (docs/design.md).
type (
	wireEvent struct {
		Kind     string     `json:"n"`
		ID       string     `json:"i"`
		At       int64      `json:"t"`
		URL      string     `json:"u"`
		Referrer string     `json:"r,omitempty"`
		Props    *wireProps `json:"p,omitempty"`
	}
	wireProps struct {
		Product     string     `json:"product,omitempty"`
		Variant     string     `json:"variant,omitempty"`
		Category    string     `json:"category,omitempty"`
		Quantity    int        `json:"quantity,omitempty"`
		Price       money      `json:"price,omitempty"`
		Currency    string     `json:"currency,omitempty"`
		CartValue   *money     `json:"cart_value,omitempty"`
		Value       money      `json:"value,omitempty"`
		Discount    money      `json:"discount,omitempty"`
		Tax         money      `json:"tax,omitempty"`
		Shipping    money      `json:"shipping,omitempty"`
		Items       []wireItem `json:"items,omitempty"`
		Order       string     `json:"order,omitempty"`
		Coupon      string     `json:"coupon,omitempty"`
		QueryLength int        `json:"query_length,omitempty"`
	}
	wireItem struct {
		Product  string `json:"product"`
		Variant  string `json:"variant"`
		Quantity int    `json:"quantity"`
		Price    money  `json:"price"`
	}
)

// money is an amount in hundredths, written as a page's script writes a price.
type money int

func (m money) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m)/100, 'f', -1, 64), nil
}

// write spells an event in JSON, with ampersands as they are: a browser does not escape them.
func (e *wireEvent) write() []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		panic("BUG: an invented event has no JSON: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// appendBody writes the body of a batch. Site and choice are JSON already; at is when it is sent, by the
// shopper's clock.
func appendBody(dst, site, choice []byte, at int64, events []told) []byte {
	dst = append(dst, `{"v":1,"s":`...)
	dst = append(dst, site...)
	dst = append(dst, `,"z":`...)
	dst = strconv.AppendInt(dst, at, 10)
	if choice != nil {
		dst = append(dst, `,"c":`...)
		dst = append(dst, choice...)
	}
	dst = append(dst, `,"e":[`...)
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, events[i].json...)
	}
	return append(dst, "]}"...)
}

// headBytes is more than a batch needs beside its events.
const headBytes = 512

// fitting is how many of the events go into one batch.
func fitting(events []told) int {
	size := headBytes
	for i := range events {
		size += len(events[i].json) + 1
		if i == event.MaxBatchEvents || size > event.MaxBodyBytes {
			return i
		}
	}
	return len(events)
}

// uuidv7 makes an id as the tag does (RFC 9562, 5.7): milliseconds, then 74 bits of chance.
func uuidv7(unixMilli int64, rng *rand.Rand) event.UUID {
	var u event.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(unixMilli)<<16|0x7000|rng.Uint64()&0xfff)
	binary.BigEndian.PutUint64(u[8:], rng.Uint64()&(1<<62-1)|1<<63)
	return u
}
