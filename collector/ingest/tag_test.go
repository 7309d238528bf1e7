package ingest

import (
	"compress/gzip"
	"encoding/json"
	imagegif "image/gif"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"

	pixeljs "beckon/pixel-js"
)

func TestTagComesInTheCodingThatTheClientAccepts(t *testing.T) {
	s := openShop(t)
	f := func(accept, coding string) {
		t.Helper()
		got := s.get("/b.js", header("Accept-Encoding", accept))
		if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != coding {
			t.Fatalf("%q: got %d %q, want %q", accept, got.StatusCode, got.Header.Get("Content-Encoding"), coding)
		}
		var body io.Reader = strings.NewReader(got.body)
		switch coding {
		case "br":
			body = brotli.NewReader(body)
		case "gzip":
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		if script, err := io.ReadAll(body); err != nil || string(script) != string(pixeljs.Core().Script) {
			t.Fatalf("%q: another script, %v", accept, err)
		}
	}
	f("", "")
	f("gzip, deflate, br, zstd", "br")
	f("gzip;q=1.0, identity", "gzip")
	f("br;q=0, GZIP;q=0.5", "gzip")
	f("br;q=0.0, gzip;q=0", "")
	f("brotli, x-gzip", "")
}

func TestTagIsAskedForAgainWithoutABody(t *testing.T) {
	s := openShop(t)
	first := s.get("/b.js")
	if first.Header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("cache %q", first.Header.Get("Cache-Control"))
	}
	etag := first.Header.Get("ETag")
	f := func(ifNoneMatch string, status int) {
		t.Helper()
		if got := s.get("/b.js", header("If-None-Match", ifNoneMatch)); got.StatusCode != status || (status == 304) != (got.body == "") {
			t.Errorf("%s: got %d and %d bytes", ifNoneMatch, got.StatusCode, len(got.body))
		}
	}
	f(etag, 304)
	f(`"other", `+etag, 304)
	f(strings.TrimPrefix(etag, "W/"), 304)
	f("*", 304)
	f(`"other"`, 200)
	if hashed := s.get("/b." + pixeljs.Core().Hash() + ".js"); hashed.body != first.body {
		t.Errorf("hashed: %d, %q", hashed.StatusCode, hashed.body)
	}
}

func TestWhatAPageMayHavePinnedIsServedForEver(t *testing.T) {
	s := openShop(t)
	for name, file := range pixeljs.Immutable() {
		got := s.get("/"+name, header("Origin", "https://elsewhere.example"))
		if got.StatusCode != 200 || got.body != string(file.Script) || !strings.Contains(got.Header.Get("Cache-Control"), "immutable") ||
			got.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s: %d, %v", name, got.StatusCode, got.Header)
		}
	}
	if got := s.get("/b.0123456789ab.js"); got.StatusCode != 404 {
		t.Errorf("a version that never was: %d", got.StatusCode)
	}
}

func TestPixelIsAnImageThatIsNeverCached(t *testing.T) {
	s := openShop(t)
	got := s.get("/p.gif?s=demo&n=page_view")
	if len(got.body) != 43 || got.Header.Get("Cache-Control") != "no-store" || got.lane() != "decide; default" {
		t.Errorf("%d bytes, cache %q, lane %q", len(got.body), got.Header.Get("Cache-Control"), got.lane())
	}
	if image, err := imagegif.Decode(strings.NewReader(got.body)); err != nil || image.Bounds().Dx() != 1 {
		t.Errorf("no image: %v", err)
	}
}

func TestDocumentsAreServed(t *testing.T) {
	s := openShop(t)
	var gpc struct{ GPC bool }
	if err := json.Unmarshal([]byte(s.get("/.well-known/gpc.json").body), &gpc); err != nil || !gpc.GPC {
		t.Errorf("gpc.json: %+v, %v", gpc, err)
	}
	if got := s.get("/openapi.json"); got.body != string(openAPI) {
		t.Errorf("openapi.json has %d bytes", len(got.body))
	}
}
