package ingest

import (
	"bytes"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"beckon/internal/event"
)

// What a body may look like, beside the sizes in package event.
const (
	wireVersion = 1
	maxDepth    = 16 // the contract needs six: batch, e, event, p, items, item
	maxKeys     = 64 // of one object; p knows nineteen names, and a repeat is looked for among all
)

// parseBatch reads the body of POST /e into r.site and r.raws. Unknown names are ignored. What is
// wrong with one event only is left for the event's own checks.
func parseBatch(r *request) Reason {
	body := r.ctx.PostBody()
	if len(body) > event.MaxBodyBytes {
		return TooLarge
	}
	if !batchType(r.ctx.Request.Header.ContentType()) {
		return Malformed
	}
	o := r.readObject(body)
	if o == nil {
		return Malformed
	}
	return r.readBatch(o)
}

// readObject parses a JSON object that passes all our rules about JSON; nil for anything else. It may change
// the bytes of text.
func (r *request) readObject(text []byte) *fastjson.Object {
	if !utf8.Valid(text) || !shallow(text) {
		return nil
	}
	// The parser forgives numbers like 1.2.3 and escapes like \q; the validator does not.
	if fastjson.ValidateBytes(text) != nil {
		return nil
	}
	mendSurrogates(text)
	root, err := r.parser.ParseBytes(text)
	if err != nil || root.Type() != fastjson.TypeObject || !r.uniqueKeys(root) {
		return nil
	}
	return root.GetObject()
}

func (r *request) readBatch(o *fastjson.Object) Reason {
	ok := true
	version := int64(wireVersion)
	var choice, events *fastjson.Value
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "v":
			ok = ok && r.integer(v, &version, maxMillis)
		case "s":
			ok = ok && text(v, &r.siteID)
		case "k":
			ok = ok && text(v, &r.linkText)
		case "z":
			ok = ok && r.integer(v, &r.sentAt, maxMillis)
		case "w":
			r.driven = v.Type() == fastjson.TypeTrue
			ok = ok && (absent(v) || boolean(v) == 1)
		case "c":
			choice = v
		case "e":
			events = v
		}
	})
	if !ok || version < 1 || version > wireVersion || !r.readChoice(choice) {
		return Malformed
	}
	if absent(events) {
		return Taken // a choice may travel alone
	}
	list, err := events.Array()
	if err != nil {
		return Malformed
	}
	r.sent = len(list)
	for _, v := range list[:min(len(list), event.MaxBatchEvents)] {
		if v.Type() != fastjson.TypeObject {
			return Malformed
		}
		r.raws = append(r.raws, r.readEvent(v.GetObject()))
	}
	return Taken
}

// readChoice reads "c". Both answers must be there: a choice that leaves one open is none.
func (r *request) readChoice(v *fastjson.Value) bool {
	if absent(v) {
		return true
	}
	if v.Type() != fastjson.TypeObject {
		return false
	}
	ok, answers := true, 0
	var src, ver []byte
	at := int64(-1)
	c, from := &r.choice, &r.landing
	v.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "decide":
			c.Decide = v.Type() == fastjson.TypeTrue
			answers += boolean(v)
		case "measure":
			c.Measure = v.Type() == fastjson.TypeTrue
			answers += boolean(v)
		case "src":
			ok = ok && text(v, &src)
		case "ver":
			ok = ok && text(v, &ver)
		case "at":
			ok = ok && r.integer(v, &at, maxMillis)
		case "u":
			ok = ok && text(v, &from.url)
		case "r":
			ok = ok && text(v, &from.referrer) // both of any length: a choice counts, whatever comes with it
		}
	})
	if !ok || answers != 2 || len(src) > event.MaxStringBytes || len(ver) > event.MaxStringBytes {
		return false
	}
	c.Source, c.Version = r.texts.Label(src), r.texts.Label(ver)
	r.chosen, r.chosenAt = true, at
	return true
}

func (r *request) readEvent(o *fastjson.Object) rawEvent {
	raw := rawEvent{at: -1, sound: true}
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "n":
			text(v, &raw.kind) // anything but a string is no kind
		case "i":
			raw.hasID = !absent(v)
			text(v, &raw.id)
		case "t":
			raw.sound = raw.sound && r.integer(v, &raw.at, maxMillis)
		case "u":
			raw.sound = raw.sound && text(v, &raw.url)
		case "r":
			raw.sound = raw.sound && text(v, &raw.referrer)
		case "p":
			raw.props = v.GetObject()
			raw.sound = raw.sound && (raw.props != nil || absent(v))
		}
	})
	return raw
}

// batchType reports whether a body of this Content-Type is read: the two that a tag can send with or
// without a preflight.
func batchType(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	return bytes.EqualFold(media, []byte("text/plain")) || bytes.EqualFold(media, []byte("application/json"))
}

// mendSurrogates writes U+FFFD over each escape that names one half of a surrogate pair without the other, as
// encoding/json and browsers read it: a script that cuts a text in the middle of an emoji sends such a
// half, and the parser would take its six characters for the text. The text is valid JSON.
func mendSurrogates(text []byte) {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return
		}
		text = text[i:]
		if text[1] != 'u' {
			text = text[2:]
			continue
		}
		unit := codeUnit(text)
		rest := text[6:]
		switch {
		case unit < 0xd800 || unit > 0xdfff:
		case unit < 0xdc00 && len(rest) > 6 && rest[0] == '\\' && rest[1] == 'u' && codeUnit(rest)>>10 == 0xdc00>>10:
			rest = rest[6:]
		default:
			copy(text[2:], "fffd")
		}
		text = rest
	}
}

// codeUnit reads the four digits of an escape.
func codeUnit(escape []byte) (unit int) {
	for _, c := range escape[2:6] {
		if c > '9' {
			c += 9 // of a letter, small or capital, the low four bits count from one
		}
		unit = unit<<4 | int(c&0xf)
	}
	return unit
}

// shallow reports whether no value of the JSON text is nested deeper than maxDepth, and no string holds a
// bare control character. It runs before anything recursive does.
func shallow(text []byte) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return false
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				switch c := text[i]; {
				case !special[c]:
				case c == '\\':
					i++
				default: // the validator overlooks it behind an escape
					return false
				}
			}
		}
	}
	return true
}

// special is a backslash, and what no string may hold.
var special = func() (is [256]bool) {
	for c := range ' ' {
		is[c] = true
	}
	is['\\'] = true
	return is
}()

// uniqueKeys reports whether no object in v names a key twice. Two readers of one text must not see
// two different events in it.
func (r *request) uniqueKeys(v *fastjson.Value) bool {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, element := range v.GetArray() {
			if !r.uniqueKeys(element) {
				return false
			}
		}
	case fastjson.TypeObject:
		o := v.GetObject()
		if o.Len() > maxKeys {
			return false
		}
		first, unique := len(r.keys), true
		o.Visit(func(key []byte, v *fastjson.Value) {
			for _, k := range r.keys[first:] {
				unique = unique && !bytes.Equal(k, key)
			}
			r.keys = append(r.keys, key)
			unique = unique && r.uniqueKeys(v)
		})
		clear(r.keys[first:]) // they belong to the parser
		r.keys = r.keys[:first]
		return unique
	}
	return true
}

// absent reports whether a sender left v out; null says the same as nothing.
func absent(v *fastjson.Value) bool { return v == nil || v.Type() == fastjson.TypeNull }

// text sets dst to the bytes of a string, which belong to the parser. It is false for other types.
func text(v *fastjson.Value, dst *[]byte) bool {
	if absent(v) {
		return true
	}
	b, err := v.StringBytes()
	*dst = b
	return err == nil
}

// boolean is 1 for true and false.
func boolean(v *fastjson.Value) int {
	if t := v.Type(); t == fastjson.TypeTrue || t == fastjson.TypeFalse {
		return 1
	}
	return 0
}

// integer sets dst to a number from 0 to limit, written in digits only. It is false for any other.
func (r *request) integer(v *fastjson.Value, dst *int64, limit int64) bool {
	if absent(v) {
		return true
	}
	word, ok := r.written(v)
	if !ok {
		return false
	}
	n, ok := digits(word, limit)
	if ok {
		*dst = n
	}
	return ok
}

// written returns a number as it was written, or a string's text: shops send either for amounts and
// for product numbers. The bytes are good until the next call.
func (r *request) written(v *fastjson.Value) (word []byte, ok bool) {
	switch v.Type() {
	case fastjson.TypeNumber:
		r.number = v.MarshalTo(r.number[:0])
		return r.number, true
	case fastjson.TypeString:
		return v.GetStringBytes(), true
	}
	return nil, false
}

// digits reads a number of at most 18 digits and nothing else.
func digits(s []byte, limit int64) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n <= limit
}
