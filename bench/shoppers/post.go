package shoppers

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// The tag waits so long for an answer before it takes the request for lost.
const answerWithin = 10 * time.Second

const maxReplyBytes = 1 << 20 // the longest receipt names 100 events in some 10 KiB

// errBadReply is a reply that our contract does not know. It settles nothing.
var errBadReply = errors.New("the reply cannot be understood")

// post brings messages to the collector.
type post struct {
	client *fasthttp.HostClient
	batch  string // URL of POST /e
	pixel  string // URL of GET /p.gif, up to its query
	origin string
	site   []byte // in JSON
	query  string // the site in a pixel's query
}

func newPost(c *Config) (*post, error) {
	u, err := url.Parse(c.Target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	site, err := json.Marshal(c.Site)
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	https := u.Scheme == "https"
	return &post{
		batch: u.JoinPath("e").String(), pixel: u.JoinPath("p.gif").String(),
		origin: c.Origin, site: site, query: "?s=" + url.QueryEscape(c.Site),
		client: &fasthttp.HostClient{
			Addr: fasthttp.AddMissingPort(u.Host, https), IsTLS: https, DialDualStack: true,
			MaxConns: c.Concurrency, MaxIdleConnDuration: 5 * time.Second,
			ReadTimeout: answerWithin, WriteTimeout: answerWithin, MaxResponseBodySize: maxReplyBytes,
			NoDefaultUserAgentHeader: true,
			// Every try is ours: we count it, and we say when the next one is due.
			MaxIdemponentCallAttempts: 1,
			RetryIfErr:                func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
		},
	}, nil
}

func (p *post) close() { p.client.CloseIdleConnections() }

// send makes one request of a message, and keeps the cookies of the reply. Late is how long ago the
// message should have been sent: its shopper's clock has gone on since then. An error means that nobody
// knows what became of the message.
func (p *post) send(s *shopper, m *message, late time.Duration) (reply, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	p.write(req, s, m, late)
	if err := p.client.DoTimeout(req, resp, answerWithin); err != nil {
		return reply{}, fmt.Errorf("send %d events: %w", len(m.events), err)
	}
	for _, line := range resp.Header.Cookies() {
		s.jar.keep(string(line), time.Now())
	}
	return read(resp, m)
}

func (p *post) write(req *fasthttp.Request, s *shopper, m *message, late time.Duration) {
	h := &req.Header
	if m.pixel {
		e := &m.events[0]
		req.SetRequestURI(p.pixelURL(s, e))
		h.SetReferer(e.page)
	} else {
		req.SetRequestURI(p.batch)
		h.SetMethod(fasthttp.MethodPost)
		h.SetContentType("text/plain;charset=UTF-8")
		req.SetBodyRaw(appendBody(nil, p.site, s.choice, m.at+late.Milliseconds(), m.events))
		if p.origin != "" {
			h.Set(fasthttp.HeaderOrigin, p.origin)
		}
	}
	h.Set(fasthttp.HeaderXForwardedFor, s.address)
	h.SetUserAgent(s.agent.name)
	if s.agent.brands != "" {
		h.Set("Sec-CH-UA", s.agent.brands)
		h.Set("Sec-CH-UA-Mobile", s.agent.mobile)
		h.Set("Sec-CH-UA-Platform", s.agent.platform)
	}
	if s.gpc {
		h.Set("Sec-GPC", "1")
	}
	for _, c := range s.jar.cookies {
		h.SetCookie(c.Name, c.Value)
	}
}

// pixelURL is the address of an image. It names no page, which the Referer header does, and no time: the
// event happens when the image is asked for.
func (p *post) pixelURL(s *shopper, e *told) string {
	address := p.pixel + p.query + "&n=" + e.kind + "&i=" + e.id.String() + "&r=" + url.QueryEscape(e.from)
	if s.lane != "" {
		address += "&c=" + s.lane
	}
	return address
}

// reply is what the collector said of one message.
type reply struct {
	status     int
	reason     string            // Beckon-Reason
	lane       string            // of Beckon-Lane, without the cause
	retryAfter time.Duration     // 0 = it named none
	dropped    map[string]string // reason by event id
}

// later reports whether the same message may be taken at another time.
func (r *reply) later() bool {
	return r.status == http.StatusTooManyRequests || r.status >= http.StatusInternalServerError
}

const duplicate = "duplicate"

// verdict is why an event was refused, "" when the collector answers for it. Fresh is false for an event
// that it had before.
func (r *reply) verdict(e *told) (refused string, fresh bool) {
	if r.status != http.StatusOK && r.status != http.StatusNoContent {
		return cmp.Or(r.reason, "status-"+strconv.Itoa(r.status)), false
	}
	reason := r.dropped[e.id.String()]
	if reason == duplicate {
		return "", false
	}
	return reason, reason == ""
}

// read reads a reply to m, and refuses one that does not add up.
func read(resp *fasthttp.Response, m *message) (reply, error) {
	h := &resp.Header
	lane, _, _ := strings.Cut(string(h.Peek("Beckon-Lane")), ";")
	r := reply{status: resp.StatusCode(), reason: string(h.Peek("Beckon-Reason")), lane: lane}
	if seconds, err := strconv.Atoi(string(h.Peek(fasthttp.HeaderRetryAfter))); err == nil && seconds > 0 {
		r.retryAfter = time.Duration(seconds) * time.Second
	}
	switch {
	case r.status >= http.StatusMultipleChoices:
		return r, nil
	case r.status == http.StatusOK && m.pixel:
		if r.reason != "" {
			r.dropped = map[string]string{m.events[0].id.String(): r.reason}
		}
		return r, nil
	case r.status == http.StatusNoContent && !m.pixel:
		return r, nil
	case r.status == http.StatusOK:
		return r, r.readReceipt(resp.Body(), len(m.events))
	}
	return reply{}, fmt.Errorf("%w: status %d", errBadReply, r.status)
}

// readReceipt reads the body of a 200, which says what was dropped of that many events.
func (r *reply) readReceipt(body []byte, sent int) error {
	var receipt struct {
		Accepted int `json:"accepted"`
		Dropped  []struct {
			ID     string `json:"i"`
			Reason string `json:"reason"`
		} `json:"dropped"`
	}
	if err := json.Unmarshal(body, &receipt); err != nil {
		return fmt.Errorf("%w: %w", errBadReply, err)
	}
	r.dropped = make(map[string]string, len(receipt.Dropped))
	for _, d := range receipt.Dropped {
		r.dropped[d.ID] = d.Reason
	}
	if told := receipt.Accepted + len(r.dropped); told != sent {
		return fmt.Errorf("%w: it speaks of %d events, sent were %d", errBadReply, told, sent)
	}
	return nil
}
