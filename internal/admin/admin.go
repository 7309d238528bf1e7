// Package admin is about the private port of a service: is it alive, is it ready and if not why, its
// numbers, and the profiles that explain them.
//
// It has no access control and logs no request: it listens on an address that only operators and
// their monitoring reach (--admin, loopback by default). It promises that /healthz answers as long
// as the process can answer at all, whatever its parts say; restarting on /readyz would only
// throw away a cache and help nobody.
package admin

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that has to be in order before traffic is sent here. Ready must return at
// once (a state that is kept, not a question to another server), be safe for concurrent use, and
// its error must hold no secret: it is shown to whoever asks.
type Check struct {
	Name  string
	Ready func() error // nil = in order
}

// New returns the handler of the private port:
//
//	GET /healthz       200 "ok": the process answers
//	GET /readyz        200 or 503, {"ready":false,"checks":{"spool":"disk full","keyring":"ok"}}
//	GET /metrics       reg in the Prometheus text format or OpenMetrics
//	GET /debug/pprof/  the profiles of net/http/pprof
//
// and pages, by path ("/ledger"). A page under one of the paths above is a programming error.
func New(reg *prometheus.Registry, checks []Check, pages map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readyz(w, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for path, page := range pages {
		mux.Handle("GET "+path, page)
	}
	return noStore(mux)
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

// readyz asks every check, also after the first failure: an operator wants the whole list.
func readyz(w http.ResponseWriter, checks []Check) {
	reply := struct {
		Ready  bool              `json:"ready"`
		Checks map[string]string `json:"checks"`
	}{Ready: true, Checks: make(map[string]string, len(checks))}
	for _, c := range checks {
		reply.Checks[c.Name] = "ok"
		if err := c.Ready(); err != nil {
			reply.Ready = false
			reply.Checks[c.Name] = err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if !reply.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(reply)
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
