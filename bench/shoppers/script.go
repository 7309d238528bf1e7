package shoppers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
)

// Request is one message as the bytes of a whole HTTP/1.1 request, written before it is sent. It can be
// sent again as somebody else's: the places of what names a person or an event are known.
type Request struct {
	Bytes   []byte
	Events  int
	Shopper int
	IDs     []int // where the id of each event begins: 36 bytes of text
	Cookie  int   // where the value of the visitor cookie begins; 0 = this shopper has none
}

// Script writes the requests of c.Events events in the order in which a crowd sends them: openCrowd
// shoppers at a time, each in turns by chance. Shoppers who agreed in the banner bring a cookie, whose
// value of cookieBytes the caller fills in; repeats of a message are left out. A shopper's batches are joined as
// long as perRequest events are not exceeded, as a tag does whose requests wait for a slow network; 0 = not at all. The
// paths of the requests are those of Config.Target. It is for loads at which inventing would cost more than answering.
func Script(c Config, cookieBytes, perRequest int) ([]Request, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("shoppers: %w", err)
	}
	p, err := newPost(&c)
	if err != nil {
		return nil, fmt.Errorf("shoppers: %w", err)
	}
	defer p.close()
	st := newStreet(&c)
	rng := rand.New(rand.NewPCG(scramble(c.Seed), scramble(openCrowd)))
	var script []Request
	var crowd []*shopper
	for {
		for len(crowd) < openCrowd {
			s := st.next()
			if s == nil {
				break
			}
			crowd = append(crowd, s)
		}
		if len(crowd) == 0 {
			return script, nil
		}
		i := rng.IntN(len(crowd))
		s := crowd[i]
		if len(s.messages) == 0 {
			crowd[i] = crowd[len(crowd)-1]
			crowd = crowd[:len(crowd)-1]
			continue
		}
		if m := s.join(perRequest); len(m.events) > 0 {
			script = append(script, p.script(s, &m, "_bk_"+c.Site, cookieBytes))
		}
	}
}

// join takes the shopper's next message, together with those after it that fit.
func (s *shopper) join(perRequest int) message {
	m := s.messages[0]
	first := m.at
	s.messages = s.messages[1:]
	if m.repeat {
		m.events = nil // they were sent before
	}
	for !m.pixel && len(s.messages) > 0 {
		next := &s.messages[0]
		if !next.repeat && (len(m.events)+len(next.events) > perRequest || next.at-first > longestWait) {
			break
		}
		if !next.repeat {
			m.events = append(m.events[:len(m.events):len(m.events)], next.events...)
			m.at = next.at
		}
		s.messages = s.messages[1:]
	}
	return m
}

// longestWait is how much of a shopper's time one request may span, in milliseconds: the collector takes
// nothing that is a day old.
const longestWait = 12 * 3_600_000

// openCrowd is how many shoppers are in the shop at once.
const openCrowd = 2000

func (p *post) script(s *shopper, m *message, cookie string, cookieBytes int) Request {
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	blank := strings.Repeat("A", cookieBytes)
	p.write(req, s, m, 0)
	known := s.lane == "decide" && !s.gpc && !s.jar.closed
	if known {
		req.Header.SetCookie(cookie, blank)
	}
	var b bytes.Buffer
	if _, err := req.WriteTo(&b); err != nil {
		panic("BUG: an invented request cannot be written: " + err.Error())
	}
	r := Request{Bytes: b.Bytes(), Events: len(m.events), Shopper: s.number}
	for from, i := 0, 0; i < len(m.events); i++ {
		at := bytes.Index(r.Bytes[from:], []byte(m.events[i].id.String()))
		r.IDs = append(r.IDs, from+at)
		from += at + len(event.UUID{})
	}
	if known {
		r.Cookie = bytes.Index(r.Bytes, []byte(blank))
	}
	return r
}
