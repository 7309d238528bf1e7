// Package storefront is a shop that tests bend: pages that they write, under /px/ the real collector and aggregator, and
// between browser and services a network that fails on order.
//
// It listens before it serves, so that its origin can be written into the sites file first. It keeps every request
// that came to the collector's /e, and what became of it, in the order in which they came. Tests and benchmarks only.
package storefront

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const prefix = "/px"

// Fate is what becomes of a request below /px/. The zero Fate lets it pass.
type Fate struct {
	Hold       <-chan struct{} // nothing happens until it is closed; then the rest
	Status     int             // answered so instead of by the service, as a proxy in trouble does
	RetryAfter int             // seconds, with Status
	Cut        bool            // the connection ends before the service has heard of it
	LoseReply  bool            // the service has done all of it, then the connection ends
}

// Request is one that came to /e.
type Request struct {
	Number int // from 1
	At     time.Time
	Body   string
	Cookie string // as the browser sent it
	Fate   Fate
	Status int // that the browser was answered; 0 = not yet, or cut
}

// Front is one shop at an address of its own. Its methods are safe for concurrent use.
type Front struct {
	listener net.Listener
	server   http.Server
	origin   string // told to the services instead of the true one, "" = the true one

	mu       sync.Mutex
	pages    map[string]page
	fate     func(*Attempt) Fate
	requests []*Request
	served   map[string]int
}

// Attempt is a request below /px/ whose fate is to be told.
type Attempt struct {
	*http.Request
	Number int // of those to /e, from 1; 0 = it goes elsewhere
}

type page struct {
	html    string
	headers []string
}

// Listen takes a free loopback port. Serve it.
func Listen() (*Front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a shop: %w", err)
	}
	return &Front{listener: l, pages: map[string]page{}, served: map[string]int{}}, nil
}

// Origin is the shop's own, as browsers spell it.
func (f *Front) Origin() string { return "http://" + f.listener.Addr().String() }

// Port is the shop's.
func (f *Front) Port() string {
	_, port, _ := net.SplitHostPort(f.listener.Addr().String())
	return port
}

// SaysOrigin makes the shop tell the services this origin, for browsers that know it by many names.
func (f *Front) SaysOrigin(origin string) { f.origin = origin }

// Serve leads /px/ on to the services and serves the pages.
func (f *Front) Serve(collector, aggregator string) {
	routes := http.NewServeMux()
	toCollector, toAggregator := f.lead(collector), f.lead(aggregator)
	routes.Handle(prefix+"/", toCollector)
	routes.Handle(prefix+"/e", f.kept(toCollector))
	for _, path := range []string{"/v1/decision", "/ofrep/", "/.well-known/jwks.json"} {
		routes.Handle(prefix+path, toAggregator)
	}
	routes.HandleFunc("/", f.servePage)
	f.server.Handler = routes
	f.server.ErrorLog = log.New(io.Discard, "", 0) // cut connections are ordered here
	go func() { _ = f.server.Serve(f.listener) }() // ends with Close
}

// Close ends it, and every connection.
func (f *Front) Close() error { return f.server.Close() }

// Page puts an HTML page at a path, or at all below it when the path ends with a slash. Headers come in pairs.
func (f *Front) Page(path, html string, headers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages[path] = page{html, headers}
}

// Fate sets what becomes of the requests below /px/ from now on; nil lets all pass.
func (f *Front) Fate(of func(*Attempt) Fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fate = of
}

// Requests are those that came to /e so far.
func (f *Front) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Request, len(f.requests))
	for i, r := range f.requests {
		all[i] = *r
	}
	return all
}

// Served is how often the page at that path was asked for.
func (f *Front) Served(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served[path]
}

func (f *Front) servePage(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.served[r.URL.Path]++
	p, found := f.pages[r.URL.Path]
	for at := r.URL.Path; !found && at != ""; {
		at = at[:strings.LastIndexByte(at, '/')]
		p, found = f.pages[at+"/"]
	}
	f.mu.Unlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for i := 0; i < len(p.headers); i += 2 {
		w.Header().Add(p.headers[i], p.headers[i+1])
	}
	_, _ = io.WriteString(w, p.html)
}

func (f *Front) fateOf(r *http.Request) (fate Fate) {
	a := &Attempt{Request: r}
	kept, _ := r.Context().Value(keepKey{}).(*Request)
	if kept != nil {
		a.Number = kept.Number
	}
	f.mu.Lock()
	of := f.fate
	f.mu.Unlock()
	if of != nil {
		fate = of(a)
	}
	if kept != nil {
		f.mu.Lock()
		kept.Fate = fate
		f.mu.Unlock()
	}
	return fate
}

// kept keeps what comes to /e.
func (f *Front) kept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the browser is gone, with half of the request
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		kept := &Request{At: time.Now(), Body: string(body), Cookie: r.Header.Get("Cookie")}
		f.mu.Lock()
		kept.Number = len(f.requests) + 1
		f.requests = append(f.requests, kept)
		f.mu.Unlock()
		next.ServeHTTP(&keeping{w, func(status int) {
			f.mu.Lock()
			defer f.mu.Unlock()
			kept.Status = status
		}}, r.WithContext(context.WithValue(r.Context(), keepKey{}, kept)))
	})
}

type keepKey struct{}

type keeping struct {
	http.ResponseWriter
	status func(int)
}

func (k *keeping) WriteHeader(status int) {
	k.status(status)
	k.ResponseWriter.WriteHeader(status)
}

// nowhere is where a reply goes that gets lost.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// lead leads requests on to a service, without the prefix, unless their fate is another one.
func (f *Front) lead(addr string) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second, DisableCompression: true},
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, prefix)
			r.SetURL(&url.URL{Scheme: "http", Host: addr})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			if f.origin != "" && r.Out.Header.Get("Origin") != "" {
				r.Out.Header.Set("Origin", f.origin)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				w.WriteHeader(http.StatusBadGateway)
			}
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fate := f.fateOf(r)
		if fate.Hold != nil {
			<-fate.Hold
		}
		switch {
		case fate.Cut:
			panic(http.ErrAbortHandler)
		case fate.Status != 0:
			if fate.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(fate.RetryAfter))
			}
			w.WriteHeader(fate.Status)
		case fate.LoseReply:
			proxy.ServeHTTP(nowhere{}, r)
			panic(http.ErrAbortHandler)
		default:
			// The browser may be gone before the service has answered; a request that came is a request that is taken.
			proxy.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
		}
	})
}

// Tag is the script element that brings the tag, with more attributes.
func Tag(site string, attributes ...string) string {
	return fmt.Sprintf(`<script async src="%s/b.js" data-site=%q %s></script>`, prefix, site, strings.Join(attributes, " "))
}

// Stub takes the calls that come before the tag.
const Stub = `<script>window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}</script>`
