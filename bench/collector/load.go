package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// agent is a browser's, or the sender would be a bot.
const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// pixelURI is a page view as the tag's image sends it, but for the event's id: then the collector makes one,
// so that the same bytes are a new event each time and all servers can be sent the same.
const pixelURI = "/p.gif?s=demo&n=page_view&u=https%3A%2F%2Fshop.example%2Fmugs%2Fblue%3Futm_source%3Dnews%26utm_medium%3Dmail%26utm_campaign%3Dspring%2Bsale" +
	"&r=https%3A%2F%2Fnews.example%2F"

// headers are what a browser sends beside Host and Cookie.
var headers = []string{
	"User-Agent: " + agent, "Accept: */*", "Accept-Language: de,en-US;q=0.7,en;q=0.3", "Accept-Encoding: gzip, deflate, br, zstd",
	"Referer: https://shop.example/", "Sec-Fetch-Dest: image", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Site: same-origin",
}

// greet asks for a pixel as a new visitor and returns the cookie that a returning one sends.
func greet(ctx context.Context, addr string) (cookie string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+pixelURI, nil)
	if err != nil {
		return "", fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("first request: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) == 0 {
		return "", fmt.Errorf("first request: %s, %d cookies", resp.Status, len(resp.Cookies()))
	}
	c := resp.Cookies()[0]
	return c.Name + "=" + c.Value, nil
}

// head is a request up to its empty line.
func head(method, uri, cookie string, more ...string) []byte {
	lines := append([]string{method + " " + uri + " HTTP/1.1", "Host: shop.example", "Cookie: theme=dark; " + cookie}, headers...)
	return []byte(strings.Join(append(lines, more...), "\r\n") + "\r\n\r\n")
}

// line is a connection that sends one request after the other.
type line struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) (*line, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &line{conn, bufio.NewReader(conn)}, nil
}

// exchange sends a request and reads the reply to it. closes is the server's wish to end the connection.
func (l *line) exchange(request []byte) (status int, closes bool, err error) {
	if _, err := l.conn.Write(request); err != nil {
		return 0, false, fmt.Errorf("send: %w", err)
	}
	body := 0
	for {
		text, err := l.in.ReadSlice('\n')
		if err != nil {
			return 0, false, fmt.Errorf("read a reply: %w", err)
		}
		switch text = bytes.TrimRight(text, "\r\n"); {
		case bytes.HasPrefix(text, []byte("HTTP/1.1 ")) && len(text) >= 12:
			status = int(text[9]-'0')*100 + int(text[10]-'0')*10 + int(text[11]-'0')
		case bytes.HasPrefix(text, []byte("Content-Length: ")):
			for _, c := range text[len("Content-Length: "):] {
				body = body*10 + int(c-'0')
			}
		case bytes.Equal(text, []byte("Connection: close")):
			closes = true
		case len(text) == 0:
			_, err := l.in.Discard(body)
			return status, closes, err
		}
	}
}

// repeat sends requests on one connection, and on the next when a server wants that, until next returns
// nil. It calls done after each reply.
func repeat(addr string, next func() []byte, done func()) error {
	for request := next(); request != nil; {
		l, err := dial(addr)
		if err != nil {
			return err
		}
		for closes := false; request != nil && !closes; request = next() {
			var status int
			if status, closes, err = l.exchange(request); err != nil || status/100 != 2 || status == http.StatusOK && bytes.HasPrefix(request, []byte("POST")) {
				l.conn.Close()
				return errors.Join(err, fmt.Errorf("status %d where all is to be accepted", status))
			}
			done()
		}
		l.conn.Close()
	}
	return nil
}

// batchesCmd posts batches of Events events in a closed loop.
type batchesCmd struct {
	Target      string
	Cookie      string
	Events      int
	Connections int
	Duration    time.Duration
	First       int64 // number of the first batch: another turn must not repeat the ids of this one
}

// Run prints the events accepted in a second.
func (c *batchesCmd) Run(ctx context.Context) error {
	var accepted, number atomic.Int64
	number.Store(c.First)
	began := time.Now()
	err := together(c.Connections, func(int) error {
		b := newBatch(c.Cookie, c.Events)
		next := func() []byte {
			if ctx.Err() != nil || time.Since(began) >= c.Duration {
				return nil
			}
			return b.with(uint64(number.Add(1)))
		}
		return repeat(c.Target, next, func() { accepted.Add(int64(c.Events)) })
	})
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%.0f\n", float64(accepted.Load())/time.Since(began).Seconds())
	return err
}

// batch is a request of product views whose ids are written anew for each use.
type batch struct {
	request []byte
	ids     []int // where they stand
}

func newBatch(cookie string, events int) *batch {
	const id = "019df26e-2d00-7000-8000-000000000000"
	body := `{"v":1,"s":"demo","e":[` + strings.TrimSuffix(strings.Repeat(`{"n":"product_view","i":"`+id+
		`","u":"https://shop.example/products/blue-mug","p":{"product":"mug-blue","category":"mugs","price":12.5}},`, events), ",") + "]}"
	b := &batch{request: append(head("POST", "/e", cookie, "Content-Type: text/plain;charset=UTF-8", fmt.Sprintf("Content-Length: %d", len(body))), body...)}
	for i := range b.request {
		if bytes.HasPrefix(b.request[i:], []byte(id)) {
			b.ids = append(b.ids, i)
		}
	}
	return b
}

// with is the batch as number n: its ids differ from those of all others.
func (b *batch) with(n uint64) []byte {
	var raw [8]byte
	for i, at := range b.ids {
		binary.BigEndian.PutUint64(raw[:], n<<8|uint64(i))
		hex.Encode(b.request[at+24:at+36], raw[2:])
	}
	return b.request
}

// pixelsCmd asks for pixels in an open loop: each has its moment, planned before the start, and what it
// waits for a free connection counts.
type pixelsCmd struct {
	Target      string
	Cookie      string
	Rate        int
	Connections int
	Duration    time.Duration
}

// paced is the outcome of pixelsCmd, in milliseconds.
type paced struct {
	Requests         int
	P50, P90, P99    float64 // from the planned moment to the reply
	P999, Max        float64
	SentLateP99      float64 // from the planned moment to the sending: connections that were busy, or our own slowness
	RequestsASecond  float64
	PlannedASecond   int
	ServedWithinPlan bool // the last reply came within a second of the plan's end
}

// Run prints a paced.
func (c *pixelsCmd) Run(context.Context) error {
	request := head("GET", pixelURI, c.Cookie)
	total := int(float64(c.Rate) * c.Duration.Seconds())
	latencies, lates := make([]time.Duration, total), make([]time.Duration, total)
	start := time.Now().Add(100 * time.Millisecond)
	err := together(c.Connections, func(first int) error {
		i := first - c.Connections
		var due time.Time
		next := func() []byte {
			if i += c.Connections; i >= total {
				return nil
			}
			due = start.Add(time.Duration(float64(i) / float64(c.Rate) * float64(time.Second)))
			time.Sleep(time.Until(due))
			lates[i] = time.Since(due)
			return request
		}
		return repeat(c.Target, next, func() { latencies[i] = time.Since(due) })
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	at := func(sorted []time.Duration, share float64) float64 {
		return float64(sorted[min(int(float64(len(sorted))*share), len(sorted)-1)].Microseconds()) / 1000
	}
	slices.Sort(latencies)
	slices.Sort(lates)
	return json.NewEncoder(os.Stdout).Encode(paced{
		Requests: total, P50: at(latencies, .5), P90: at(latencies, .9), P99: at(latencies, .99), P999: at(latencies, .999), Max: at(latencies, 1),
		SentLateP99: at(lates, .99), RequestsASecond: float64(total) / took.Seconds(), PlannedASecond: c.Rate,
		ServedWithinPlan: took < c.Duration+time.Second,
	})
}

// together runs n of f at once and returns what went wrong in the first that failed.
func together(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
