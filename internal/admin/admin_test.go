package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func get(t *testing.T, h http.Handler, method, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Result().Header, string(body)
}

func TestRoutes(t *testing.T) {
	reg := prometheus.NewRegistry()
	RegisterBuildInfo(reg, "collector", "1.2.3")
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the ledger") })
	h := New(reg, nil, map[string]http.Handler{"/ledger": page})

	f := func(method, path string, status int, holds string) {
		t.Helper()
		code, header, body := get(t, h, method, path)
		if code != status || !strings.Contains(body, holds) {
			t.Fatalf("%s %s = %d %q, want %d holding %q", method, path, code, body, status, holds)
		}
		if header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %s may be cached", method, path)
		}
	}
	f("GET", "/healthz", 200, "ok")
	f("HEAD", "/healthz", 200, "")
	f("GET", "/readyz", 200, `"ready":true`)
	f("GET", "/metrics", 200, `beckon_build_info{`)
	f("GET", "/metrics", 200, `service="collector",version="1.2.3"} 1`)
	f("GET", "/debug/pprof/", 200, "goroutine")
	f("GET", "/debug/pprof/heap?debug=1", 200, "heap profile")
	f("GET", "/debug/pprof/cmdline", 200, "")
	f("GET", "/ledger", 200, "the ledger")
	f("POST", "/ledger", 405, "")
	f("POST", "/readyz", 405, "")
	f("GET", "/", 404, "")
}

func TestReadyNamesEveryFailingCheck(t *testing.T) {
	disk := errors.New("no space left in the spool directory")
	var clickhouse error
	h := New(prometheus.NewRegistry(), []Check{
		{"spool", func() error { return disk }},
		{"keyring", func() error { return nil }},
		{"clickhouse", func() error { return clickhouse }},
	}, nil)

	f := func(status int, ready bool, want map[string]string) {
		t.Helper()
		code, header, body := get(t, h, "GET", "/readyz")
		var got struct {
			Ready  bool
			Checks map[string]string
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%q is not JSON: %v", body, err)
		}
		if code != status || got.Ready != ready || header.Get("Content-Type") != "application/json" {
			t.Fatalf("readyz = %d %s %q, want %d", code, header.Get("Content-Type"), body, status)
		}
		for name, state := range want {
			if got.Checks[name] != state {
				t.Fatalf("check %s = %q, want %q", name, got.Checks[name], state)
			}
		}
	}
	clickhouse = errors.New("no answer for 12 s")
	f(503, false, map[string]string{"spool": disk.Error(), "keyring": "ok", "clickhouse": "no answer for 12 s"})
	if code, _, _ := get(t, h, "GET", "/healthz"); code != 200 {
		t.Fatalf("a process that is not ready is still alive, healthz = %d", code)
	}
	disk, clickhouse = nil, nil
	f(200, true, map[string]string{"spool": "ok", "keyring": "ok", "clickhouse": "ok"})
}

func TestRevisionSaysWhenTheCheckoutHadChanges(t *testing.T) {
	f := func(want string, settings ...debug.BuildSetting) {
		t.Helper()
		if got := revisionOf(settings); got != want {
			t.Fatalf("revision %q, want %q", got, want)
		}
	}
	f("unknown")
	f("abc", debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "false"})
	f("abc+dirty", debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
}
