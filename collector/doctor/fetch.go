package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/andybalholm/brotli"

	"beckon/internal/admin"
)

const (
	maxPageBytes   = 4 << 20 // a shop's page is far below one
	maxOtherBytes  = 1 << 20
	maxHeaderBytes = 256 << 10
	maxHops        = 10
)

// agent begins like a browser, because some hosts answer nobody else, and says who it is behind that.
var agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 beckon-doctor/" + admin.Version

// answer is what came of one question. Without err there was an HTTP reply, of whatever status.
type answer struct {
	asked  bool // else the question could not be put, see facts.endpoint
	err    error
	url    *url.URL // after redirects
	hops   []string // where it was redirected to, in order
	status int
	header http.Header
	body   []byte // decoded
	coding string // of the body as it was sent: gzip, br, ""
	cut    bool   // there was more than is looked at
	tls    *tls.ConnectionState

	local, remote netip.Addr
	sent, came    time.Time // around the reply's head
}

func (a *answer) ok() bool { return a.asked && a.err == nil && a.status >= 200 && a.status < 300 }

// client puts questions. It uses no proxy of the environment: that one would stand where the visitor's browser does
// not have it.
type client struct {
	config    *Config
	transport *http.Transport
}

func newClient(c *Config) *client {
	dialer := net.Dialer{Timeout: c.Timeout}
	return &client{config: c, transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c.Dial != nil {
				network, addr = c.Dial(network, addr)
			}
			return dialer.DialContext(ctx, network, addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: c.RootCAs}, ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes,
	}}
}

// question is one request.
type question struct {
	method string // "" = GET
	url    *url.URL
	header http.Header
	body   string
	follow bool // redirects, as a browser does for pages and scripts
	most   int64
}

// ask puts a question and waits for the whole answer, at most the configured time.
func (c *client) ask(ctx context.Context, q question) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	a.asked = true
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		a.local, a.remote = addrOf(info.Conn.LocalAddr()), addrOf(info.Conn.RemoteAddr())
	}})
	req, err := http.NewRequestWithContext(ctx, q.method, q.url.String(), strings.NewReader(q.body))
	if err != nil {
		a.err = err
		return a
	}
	req.Header = q.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	for name, value := range map[string]string{"User-Agent": agent, "Accept": "*/*", "Accept-Language": "en", "Accept-Encoding": "gzip, br"} {
		if req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
	h := http.Client{Transport: c.transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if !q.follow {
			return http.ErrUseLastResponse
		}
		a.hops = append(a.hops, next.URL.String())
		if len(via) >= maxHops {
			return errTooManyHops
		}
		return nil
	}}
	a.sent = c.config.Now()
	reply, err := h.Do(req)
	a.came = c.config.Now()
	if err != nil {
		a.err = err
		return a
	}
	defer reply.Body.Close()
	a.url, a.status, a.header, a.tls = reply.Request.URL, reply.StatusCode, reply.Header, reply.TLS
	if a.err = a.read(reply.Body, max(q.most, maxOtherBytes)); a.err != nil {
		a.err = fmt.Errorf("read the reply: %w", a.err)
	}
	return a
}

var errTooManyHops = fmt.Errorf("over %d redirects", maxHops)

// read takes the body and undoes its coding; what goes beyond most, coded or not, is left.
func (a *answer) read(r io.Reader, most int64) error {
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return err
	}
	if a.cut = int64(len(raw)) > most; a.cut {
		raw = raw[:most]
	}
	a.coding = strings.ToLower(strings.TrimSpace(a.header.Get("Content-Encoding")))
	var plain io.Reader
	switch {
	case len(raw) == 0 || a.coding == "":
		a.body = raw
		return nil
	case a.coding == "gzip":
		if plain, err = gzip.NewReader(bytes.NewReader(raw)); err != nil {
			return err
		}
	case a.coding == "br":
		plain = brotli.NewReader(bytes.NewReader(raw))
	default:
		return fmt.Errorf("Content-Encoding %s was not asked for", quote(a.coding))
	}
	a.body, err = io.ReadAll(io.LimitReader(plain, most+1))
	if int64(len(a.body)) > most {
		a.body, a.cut = a.body[:most], true
	}
	if a.cut {
		return nil // its end is missing, of course
	}
	return err
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(tcp.IP)
		return addr.Unmap()
	}
	return netip.Addr{}
}

// inWords says why there was no answer, and what to do. where is what was asked.
func inWords(err error, where *url.URL, patience time.Duration) (seen, mend string) {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		notTLS    tls.RecordHeaderError
		alert     tls.AlertError
		dns       *net.DNSError
		network   net.Error
	)
	host := where.Host
	var failed *url.Error // names the address after redirects
	if errors.As(err, &failed) {
		if u, parsed := url.Parse(failed.URL); parsed == nil && u.Host != "" {
			host = u.Host
		}
		err = failed.Err
	}
	switch {
	case errors.As(err, &authority):
		return "browsers do not trust the certificate of " + host + ": it is signed by nobody whom this machine knows",
			"let the server send its whole chain, with the intermediate certificates (the fullchain file), of an authority that browsers know"
	case errors.As(err, &hostname):
		return "the certificate of " + host + " is for other names: " + list(hostname.Certificate.DNSNames),
			"get a certificate for " + hostname.Host + ", or correct --url"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of " + host + " is valid from " + invalid.Cert.NotBefore.UTC().Format(time.DateOnly) + " until " + invalid.Cert.NotAfter.UTC().Format(time.DateOnly) + ", and not now",
			"renew it, and look why it was not renewed by itself"
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"): // net/http has no value for it
		return host + " answers, but not with TLS", "is it the port of plain http? Write http:// to look at that, or let the server speak TLS there"
	case errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return "no TLS connection with " + host + " comes about: " + err.Error(), "the server must speak TLS 1.2 or 1.3 and know this name (SNI)"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name " + dns.Name + " is not in the DNS", "correct the address, or add the name (A, AAAA) to the DNS"
	case errors.As(err, &dns) && !dns.IsTimeout:
		return "the DNS does not answer for " + dns.Name, "look at the resolver of this machine"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at " + host, "start the server, or correct host and port"
	case errors.Is(err, errTooManyHops):
		return host + " redirects over and over", "look at its redirects: mostly http and https, or with and without www, send to each other"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("%s did not answer within %s", host, patience), "is a firewall between here and there? --timeout gives it more time"
	}
	return host + " cannot be asked: " + err.Error(), "try the same with a browser from this machine"
}
