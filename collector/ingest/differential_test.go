package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"beckon/internal/event"
)

// seen is what a reader makes of a body, in the words of encoding/json.
type seen struct {
	site   string
	link   string
	sent   int64 // -1: absent
	chosen bool
	from   [2]string // u and r of the choice
	driven bool
	events []any // objects; names that the contract does not know are left out
}

// ours is what the collector's parser makes of it.
func ours(body []byte) (seen, bool) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetBody(body)
	r := &request{ctx: &ctx, sentAt: -1, chosenAt: -1}
	if parseBatch(r) != Taken {
		return seen{}, false
	}
	got := seen{site: string(r.siteID), link: string(r.linkText), sent: r.sentAt, chosen: r.chosen, from: [2]string{string(r.landing.url), string(r.landing.referrer)}, driven: r.driven}
	for i := range r.raws {
		raw := &r.raws[i]
		e := map[string]any{"n": string(raw.kind), "i": string(raw.id), "hasID": raw.hasID, "sound": raw.sound}
		if raw.sound { // else it is refused as bad-value, and nobody reads its values
			e["u"], e["r"], e["t"] = string(raw.url), string(raw.referrer), raw.at
			e["p"] = nil
			if raw.props != nil {
				e["p"] = value(fastjson.MustParseBytes(raw.props.MarshalTo(nil)))
			}
		}
		got.events = append(got.events, e)
	}
	return got, true
}

// value is v as encoding/json would decode it.
func value(v *fastjson.Value) any {
	switch v.Type() {
	case fastjson.TypeObject:
		o := map[string]any{}
		v.GetObject().Visit(func(key []byte, v *fastjson.Value) { o[string(key)] = value(v) })
		return o
	case fastjson.TypeArray:
		a := []any{}
		for _, e := range v.GetArray() {
			a = append(a, value(e))
		}
		return a
	case fastjson.TypeString:
		return string(v.GetStringBytes())
	case fastjson.TypeNumber:
		return json.Number(v.MarshalTo(nil))
	case fastjson.TypeTrue, fastjson.TypeFalse:
		return v.GetBool()
	}
	return nil
}

// theirs reads the same with encoding/json. An error is one of encoding/json's, or the documented reason why
// we are stricter.
func theirs(body []byte) (got seen, stricter, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return seen{}, nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return seen{}, nil, errors.New("text after the value")
	}
	root, ok := v.(map[string]any)
	if !ok {
		return seen{}, errors.New("no object"), nil
	}
	if err := strict(body); err != nil {
		return seen{}, err, nil
	}
	got, stricter = read(root)
	return got, stricter, nil
}

// strict finds what encoding/json forgives and docs/reference.md says that we refuse.
func strict(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	if len(body) > event.MaxBodyBytes {
		return errors.New("too large")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type frame struct {
		object bool
		names  map[string]bool
		isName bool
	}
	var stack []frame
	for {
		token, err := dec.Token()
		if err != nil {
			return nil
		}
		top := len(stack) - 1
		if top >= 0 && stack[top].object && token != json.Delim('}') {
			if f := &stack[top]; f.isName {
				name := token.(string)
				if f.names[name] {
					return errors.New("a name twice")
				}
				if f.names[name] = true; len(f.names) > maxKeys {
					return errors.New("too many names")
				}
				f.isName = false
				continue
			}
			stack[top].isName = true
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, frame{object: true, names: map[string]bool{}, isName: true})
		case json.Delim('['):
			stack = append(stack, frame{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if len(stack) > maxDepth {
			return errors.New("too deep")
		}
	}
}

var errType = errors.New("a value of another type than the contract's")

// read applies the contract to what encoding/json decoded.
func read(root map[string]any) (got seen, stricter error) {
	fail := func(ok bool) {
		if !ok {
			stricter = errType
		}
	}
	got.sent = -1
	version := int64(1)
	fail(whole(root["v"], &version) && version == 1)
	fail(words(root["s"], &got.site) && words(root["k"], &got.link) && whole(root["z"], &got.sent))
	var isBool bool
	got.driven, isBool = root["w"].(bool)
	fail(isBool || root["w"] == nil)
	if c := root["c"]; c != nil {
		choice, ok := c.(map[string]any)
		_, decide := choice["decide"].(bool)
		_, measure := choice["measure"].(bool)
		var src, ver, u, r string
		at := int64(-1)
		fail(ok && decide && measure && words(choice["src"], &src) && words(choice["ver"], &ver) && whole(choice["at"], &at) &&
			words(choice["u"], &u) && words(choice["r"], &r) &&
			len(src) <= event.MaxStringBytes && len(ver) <= event.MaxStringBytes)
		got.chosen, got.from = true, [2]string{u, r}
	}
	if root["e"] == nil {
		return got, stricter
	}
	list, ok := root["e"].([]any)
	fail(ok)
	for _, v := range list[:min(len(list), event.MaxBatchEvents)] {
		o, ok := v.(map[string]any)
		fail(ok)
		var kind, id, url, referrer string
		at := int64(-1)
		words(o["n"], &kind)
		words(o["i"], &id)
		props, isObject := o["p"].(map[string]any)
		sound := whole(o["t"], &at) && words(o["u"], &url) && words(o["r"], &referrer) && (isObject || o["p"] == nil)
		e := map[string]any{"n": kind, "i": id, "hasID": o["i"] != nil, "sound": sound}
		if sound {
			e["u"], e["r"], e["t"] = url, referrer, at
			e["p"] = nil
			if isObject {
				e["p"] = any(props)
			}
		}
		got.events = append(got.events, e)
	}
	return got, stricter
}

// words is a string, or nothing.
func words(v any, dst *string) bool {
	s, ok := v.(string)
	*dst = s
	return ok || v == nil
}

// whole is a number from 0 to the contract's last millisecond, in digits only, bare or as a string.
func whole(v any, dst *int64) bool {
	var text string
	switch v := v.(type) {
	case nil:
		return true
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if len(text) == 0 || len(text) > 18 || strings.Trim(text, "0123456789") != "" {
		return false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxMillis {
		return false
	}
	*dst = n
	return true
}

// Two readers of one text must not see two different batches in it. Whatever encoding/json refuses we refuse;
// what we refuse beyond that is refused for one of the reasons above; what both accept has the same values.
func FuzzBodyAgainstEncodingJSON(f *testing.F) {
	for _, seed := range bodies {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		mine, taken := ours(body)
		other, stricter, err := theirs(body)
		switch {
		case taken && err != nil:
			t.Fatalf("encoding/json refuses what we take: %v", err)
		case taken && stricter != nil:
			t.Fatalf("we take what we mean to refuse: %v", stricter)
		case !taken && err == nil && stricter == nil:
			t.Fatal("we refuse what encoding/json takes, and no reason is documented")
		case taken && !reflect.DeepEqual(mine, other):
			t.Fatalf("we see\n%s\nencoding/json sees\n%s", fmt.Sprintf("%#v", mine), fmt.Sprintf("%#v", other))
		}
	})
}
