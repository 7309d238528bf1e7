package demoshop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// The paths below /px/ are Beckon's. Shop and collector share one host, because browsers shorten the
// life of cookies that another host sets.
const beckonPrefix = "/px"

// newTransport bounds how long Beckon can keep the shop waiting.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		ResponseHeaderTimeout: 10 * time.Second, // the collector answers after its fsync; a slow disk is not an outage
		MaxIdleConnsPerHost:   64,
		// Shorter than the upstream's own idle limit: it must not close a connection just as we post an
		// event on it, since a post is not tried again.
		IdleConnTimeout: 10 * time.Second,
		// Without this the transport asks for gzip on its own and unpacks what it gets.
		DisableCompression: true,
	}
}

// newClient is for the shop's own questions to the aggregator: the key set, the panel. Redirects are
// refused, so a question goes to the configured host only.
func newClient() *http.Client {
	return &http.Client{
		Transport: newTransport(),
		Timeout:   2 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a redirect was not expected")
		},
	}
}

// newProxy passes requests on to one of Beckon's services, without the /px prefix.
//
// Who asks is said by this proxy alone: whatever the browser claims about its own address in
// X-Forwarded-For and the like is dropped, the TCP peer is put in its place. The shop's own cookies
// (cart, offer, consent) stay here; only Beckon's go on.
func newProxy(upstream *url.URL, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport: newTransport(),
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Path = strings.TrimPrefix(pr.Out.URL.Path, beckonPrefix)
			pr.Out.URL.RawPath = strings.TrimPrefix(pr.Out.URL.RawPath, beckonPrefix)
			pr.SetURL(upstream)
			pr.Out.Host = pr.In.Host // origins, cookies and the token's issuer are the shop's
			for _, claim := range []string{"X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
				pr.Out.Header.Del(claim)
			}
			pr.SetXForwarded() // Rewrite starts without the client's X-Forwarded-* and Forwarded
			keepBeckonCookies(pr.Out)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, context.Canceled) { // the visitor moved on: nobody's fault
				log.Warn("beckon does not answer", "upstream", upstream.Host, "error", err)
			}
			writeJSON(w, http.StatusBadGateway, map[string]string{
				"error":  "beckon-unavailable",
				"detail": "The service behind " + beckonPrefix + " does not answer. The shop works without it; try again later.",
			})
		},
	}
}

// keepBeckonCookies leaves _bk_... and __Host-_bk_... in the Cookie header and drops the others.
func keepBeckonCookies(r *http.Request) {
	var kept []string
	for _, header := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(header, ";") {
			pair = strings.TrimSpace(pair)
			if strings.HasPrefix(strings.TrimPrefix(pair, "__Host-"), "_bk_") {
				kept = append(kept, pair)
			}
		}
	}
	r.Header.Del("Cookie")
	if len(kept) > 0 {
		r.Header.Set("Cookie", strings.Join(kept, "; "))
	}
}
