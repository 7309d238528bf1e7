package ingest

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
)

// TestResetForgetsTheSender holds that a request given back has no text, no address and no value of the
// sender in it that anything reads: empty slices are memory, the rest is as new.
func TestResetForgetsTheSender(t *testing.T) {
	s := unplugged(t, sink{})
	body := `{"v":1,"s":"demo","z":1777888800000,"c":` + yes + `,"e":[` + pageView + `,{"n":"nothing"},
		{"n":"purchase","u":"https://shop.example/a?utm_source=x","r":"https://news.example/","p":{"product":"mug","order":"A","value":1.5,"currency":"USD","items":[{"product":"a","price":"2"}]}}]}`
	var ctx fasthttp.RequestCtx
	call(s, &ctx, "POST", "/e", body)
	if ctx.Response.StatusCode() != 200 {
		t.Fatalf("%d: %s", ctx.Response.StatusCode(), ctx.Response.Header.String())
	}
	r := s.acquire(&ctx)
	r.parse, r.source = parseBatch, event.SourceBeacon
	if reason := s.take(r); reason != Taken || r.event.Path.String() == "" || !r.chosen || len(r.dropped) == 0 {
		t.Fatalf("%s: the request has less to forget than it should: %+v", reason, r.event)
	}
	r.reset()

	var walk func(path string, v reflect.Value, used bool)
	walk = func(path string, v reflect.Value, used bool) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				switch name := path + v.Type().Field(i).Name; name {
				case "parser", "counts": // fastjson's, read only after a Parse; names of sites and reasons
				default:
					walk(name+".", v.Field(i), used)
				}
			}
		case reflect.Slice:
			if v.Len() > 0 {
				t.Errorf("%s has %d elements", path, v.Len())
			}
			for i := 0; v.Type().Elem().Kind() != reflect.Uint8 && i < v.Cap(); i++ {
				element := unsafe.Add(v.UnsafePointer(), uintptr(i)*v.Type().Elem().Size())
				walk(path, reflect.NewAt(v.Type().Elem(), element).Elem(), false)
			}
		default: // beyond a slice's length a stale number does no harm, but what refers to a buffer keeps it alive
			if !v.IsZero() && (used || v.Kind() == reflect.String || v.Kind() == reflect.Pointer) {
				t.Errorf("%s has a value", path)
			}
		}
	}
	walk("", reflect.ValueOf(r).Elem(), true)
}
