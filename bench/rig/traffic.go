package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"beckon/bench/shoppers"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// Traffic sends a script of requests again and again, each time as other shoppers with other events, at
// moments that were planned beforehand: who is late does not send less.
type Traffic struct {
	addr   string
	script []shoppers.Request
	keys   *keyring.Site
	rate   float64 // events per second

	next   atomic.Int64 // request
	events atomic.Int64 // planned
	Acked  atomic.Int64
	Late   atomic.Int64 // ns, the longest wait between plan and send
	run    uint32
}

// NewTraffic prepares a script of about that many events, joined to perRequest events a request (0: as the tag sends them).
func NewTraffic(addr string, keys *keyring.Site, rate float64, events, perRequest int) (*Traffic, error) {
	sample := privacy.NewVisit(keys, time.Now(), privacy.LaneDecide, nil).AppendTo(nil, keys)
	script, err := shoppers.Script(shoppers.Config{Target: "http://" + addr, Site: Site, Origin: Shop, Seed: 1, Events: events}, len(sample), perRequest)
	if err != nil {
		return nil, err
	}
	return &Traffic{addr: addr, script: script, keys: keys, rate: rate, run: rand.Uint32()}, nil
}

// Requests is how many requests the script has.
func (t *Traffic) Requests() int { return len(t.script) }

// Send sends for that long over that many connections. Its error is the first that a connection met.
func (t *Traffic) Send(ctx context.Context, connections int, d time.Duration) error {
	start := time.Now()
	end := start.Add(d)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() { errs[i] = t.serve(ctx, start, end) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (t *Traffic) serve(ctx context.Context, start, end time.Time) error {
	var conn net.Conn
	var in *bufio.Reader
	buf := make([]byte, 0, 16<<10)
	for sent := 0; ctx.Err() == nil; sent++ {
		n := t.next.Add(1) - 1
		r := &t.script[n%int64(len(t.script))]
		pass := uint32(n / int64(len(t.script)))
		before := t.events.Add(int64(r.Events)) - int64(r.Events)
		due := start.Add(time.Duration(float64(before) / t.rate * 1e9))
		if !due.Before(end) {
			break
		}
		time.Sleep(time.Until(due))
		t.Late.Store(max(t.Late.Load(), int64(time.Since(due))))
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", t.addr); err != nil {
				return err
			}
			in = bufio.NewReaderSize(conn, 4<<10)
		}
		buf = t.write(buf[:0], r, n, pass)
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		status, body, closed, err := readReply(in)
		if err != nil {
			return fmt.Errorf("read a reply: %w", err)
		}
		if status != 204 && (status != 200 || bytes.Contains(body, []byte(`"dropped"`))) {
			return fmt.Errorf("status %d: %.200s", status, body)
		}
		t.Acked.Add(int64(r.Events))
		if closed {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
	return nil
}

// write copies a request and makes it somebody else's: ids that were not sent before, and a cookie of a
// visitor who is another in each pass.
func (t *Traffic) write(dst []byte, r *shoppers.Request, n int64, pass uint32) []byte {
	dst = append(dst, r.Bytes...)
	var unique [6]byte // the last 48 bits of an id; the ones before keep their time
	for i, at := range r.IDs {
		v := uint64(n)*128 + uint64(i)
		for j := range unique {
			unique[j] = byte(v >> (8 * (5 - j)))
		}
		hex.Encode(dst[at+24:], unique[:])
		hex.Encode(dst[at+19+2:], []byte{byte(t.run)}) // and of no other run
	}
	if r.Cookie > 0 {
		visit := privacy.Visit{
			Epoch: t.keys.Newest().Number, Lane: privacy.LaneDecide, Created: time.Now().Unix() - 86400,
		}
		now := time.Now().Unix()
		visit.LastSeen, visit.SessionStart, visit.ChoiceAt = now, now/600*600, now-86400
		visit.PolicyHash = policy
		for i := range 4 {
			visit.Random[i] = byte(r.Shopper >> (8 * i))
			visit.Random[4+i] = byte(pass >> (8 * i))
			visit.Random[8+i] = byte(t.run >> (8 * i))
		}
		value := visit.AppendTo(make([]byte, 0, 96), t.keys)
		copy(dst[r.Cookie:], value)
	}
	return dst
}

// policy is the hash of the policy version that the shoppers saw, so that their choice is not news.
var policy = func() uint32 {
	v := privacy.Visit{}
	v.Record(time.Now(), privacy.LaneDecide, privacy.Choice{Decide: true, Version: privacy.NewLabel([]byte("2026-11"))})
	return v.PolicyHash
}()

// readReply reads one HTTP/1.1 reply without a chunked body.
func readReply(in *bufio.Reader) (status int, body []byte, closed bool, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, nil, false, err
	}
	if len(line) < 12 {
		return 0, nil, false, fmt.Errorf("short status line of %d bytes", len(line))
	}
	status, err = strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, false, fmt.Errorf("status line: %w", err)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, nil, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, false, fmt.Errorf("length: %w", err)
			}
		case bytes.EqualFold(name, []byte("Connection")):
			closed = strings.EqualFold(string(value), "close")
		}
	}
	body = make([]byte, length)
	_, err = io.ReadFull(in, body)
	return status, body, closed, err
}
