package shoppers

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"beckon/internal/event"
)

func TestScriptIsRequestsWhosePlacesAreRight(t *testing.T) {
	few, many := checkScript(t, 0), checkScript(t, 20)
	if few < 2*many {
		t.Errorf("%d requests of single messages, %d of joined ones", few, many)
	}
}

// checkScript returns how many requests there were.
func checkScript(t *testing.T, perRequest int) int {
	t.Helper()
	script, err := Script(Config{Target: "http://127.0.0.1:1/px", Site: "demo", Seed: 3, Events: 3000}, 63, perRequest)
	if err != nil {
		t.Fatal(err)
	}
	events, known, pixels := 0, 0, 0
	seen := make(map[string]bool)
	for _, r := range script {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.Bytes)))
		if err != nil {
			t.Fatalf("%v in\n%s", err, r.Bytes)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || int(req.ContentLength) != len(body) {
			t.Fatalf("body of %d bytes, announced %d: %v", len(body), req.ContentLength, err)
		}
		if !strings.HasPrefix(req.URL.Path, "/px/") {
			t.Fatalf("path %s", req.URL.Path)
		}
		if req.Method == http.MethodGet {
			pixels++
		}
		for _, at := range r.IDs {
			id := string(r.Bytes[at : at+36])
			if _, ok := event.ParseUUID([]byte(id)); !ok || seen[id] {
				t.Fatalf("id %q is none, or not the first", id)
			}
			seen[id] = true
		}
		events += r.Events
		c, err := req.Cookie("_bk_demo")
		if (err == nil) != (r.Cookie > 0) || err == nil && c.Value != string(r.Bytes[r.Cookie:r.Cookie+63]) {
			t.Fatalf("cookie at %d, and %v in\n%s", r.Cookie, err, r.Bytes)
		}
		if r.Cookie > 0 {
			known++
		}
	}
	if events != 3000 || len(seen) != 3000 || known == 0 || known == len(script) || pixels == 0 {
		t.Errorf("%d events, %d ids, %d of %d requests with a cookie, %d pixels", events, len(seen), known, len(script), pixels)
	}
	return len(script)
}
