package ingest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
	"beckon/internal/proxy"
)

// A probe answers the one question about proxies that cannot be seen from outside: whom does the collector take a
// visitor for, who comes through everything that stands in front of it? An operator opens a probe on the private port,
// sends a batch without events that names it to the public one, and reads on the private port what came of it.
//
//	GET /probe            200 {"probe":"<32 hex digits>"}, good for a minute, or until sixteen more are opened
//	POST /e               Beckon-Probe: <32 hex digits>, and no event in the batch
//	GET /probe?id=...     200 Sighting, once; 404 before the batch, and after
//
// Nothing of it leaves the memory of this process, and an address is truncated before it is kept, as everybody's.
// Who cannot reach the private port cannot open one, so a visitor's request is never looked at.
const (
	probeHeader = "Beckon-Probe"
	probeLife   = time.Minute
	maxProbes   = 16 // operators, not visitors
)

// Sighting is how a request looked when it arrived.
type Sighting struct {
	Network   string `json:"network"`   // of the visitor, truncated; "" when the address is unknown
	Proxied   bool   `json:"proxied"`   // it came through a proxy that is trusted
	Forwarded bool   `json:"forwarded"` // it had an X-Forwarded-For, believed or not
	Own       bool   `json:"own"`       // the address found is that of a trusted proxy: it stands for nobody
	HTTPS     bool   `json:"https"`     // the visitor's connection is encrypted, in a trusted proxy's word
}

// Probes are the open ones. The zero value has none and is ready; nil never has any.
type Probes struct {
	mu   sync.Mutex
	open map[string]*probe
}

type probe struct {
	until time.Time
	seen  *Sighting // nil: not yet
}

// ServeHTTP is the page of the private port.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	id := r.URL.Query().Get("id")
	if id == "" {
		json.NewEncoder(w).Encode(map[string]string{"probe": p.start(time.Now())})
		return
	}
	seen := p.take(id)
	if seen == nil {
		http.Error(w, `{"error":"no batch that names this probe has come"}`, http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(seen)
}

func (p *Probes) start(now time.Time) string {
	var chance [16]byte
	_, _ = rand.Read(chance[:])
	id := hex.EncodeToString(chance[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := ""
	for old, probe := range p.open {
		if now.After(probe.until) {
			delete(p.open, old)
		} else if oldest == "" || probe.until.Before(p.open[oldest].until) {
			oldest = old
		}
	}
	if len(p.open) >= maxProbes { // of doctors who were refused before their batch came
		delete(p.open, oldest)
	}
	if p.open == nil {
		p.open = make(map[string]*probe)
	}
	p.open[id] = &probe{until: now.Add(probeLife)}
	return id
}

// take gives what was seen, once.
func (p *Probes) take(id string) *Sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open[id]
	if open == nil || open.seen == nil {
		return nil
	}
	delete(p.open, id)
	return open.seen
}

// note keeps how r looks, if it is a probe: it has no event, and names one that is open.
func (s *Server) note(r *request) {
	h := &r.ctx.Request.Header
	name := h.PeekCanonical([]byte(probeHeader))
	p := s.config.Probes
	if len(name) == 0 || p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open[string(name)]
	if open == nil || time.Now().After(open.until) {
		return
	}
	open.seen = &Sighting{
		Network: privacy.Truncate(r.addr).String(), Proxied: r.throughProxy,
		Forwarded: len(h.Peek(fasthttp.HeaderXForwardedFor)) > 0, Own: s.config.Proxies.Trusts(r.addr),
		HTTPS: proxy.OverHTTPS(r.ctx, r.throughProxy),
	}
}
