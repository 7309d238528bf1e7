// Package relay is about a network between a service and ClickHouse that fails on order: it leads TCP connections
// on to a server, and holds, delays, cuts or swallows what they carry. Tests only.
package relay

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Fault is what goes wrong while it is set. The zero Fault lets everything pass.
type Fault struct {
	Down  bool          // connections end, new ones at once
	Hold  bool          // nothing passes, in either direction, and nobody is told
	Delay time.Duration // of each piece of up to 32 KiB, in both directions

	CutAfter  int64  // bytes that one connection brings towards the server; the rest does not arrive, and the client is cut
	LoseAfter int64  // such bytes after which the next answer is lost, and the client is cut: the server has got it all
	Then      func() // called before a client is cut for one of these two
}

// Relay leads on what comes to Addr. Its methods are safe for concurrent use.
type Relay struct {
	to       string
	listener net.Listener

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed and renewed by Set
	open    map[*connection]bool
	cuts    int
}

type connection struct {
	client, server net.Conn
	sent           int64 // bytes towards the server since the last Set
}

// Start listens on a free loopback port.
func Start(to string) (*Relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a relay: %w", err)
	}
	r := &Relay{to: to, listener: l, changed: make(chan struct{}), open: map[*connection]bool{}}
	go r.accept()
	return r, nil
}

// Addr is where clients connect.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Set changes what goes wrong, for open connections too.
func (r *Relay) Set(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
	close(r.changed)
	r.changed = make(chan struct{})
	for c := range r.open {
		c.sent = 0
		if f.Down {
			c.client.Close()
		}
	}
}

// Cuts is how many clients were cut by CutAfter and LoseAfter.
func (r *Relay) Cuts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cuts
}

// Close ends the relay and all its connections.
func (r *Relay) Close() error {
	r.Set(Fault{Down: true})
	return r.listener.Close()
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		go r.lead(client)
	}
}

// lead carries one connection until one side ends. What the server still says to a client that has gone is
// read and thrown away.
func (r *Relay) lead(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	c := &connection{client: client, server: server}
	r.mu.Lock()
	down := r.fault.Down
	r.open[c] = !down
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.open, c)
		r.mu.Unlock()
	}()
	if down {
		return
	}
	go func() {
		r.carry(c, client, server)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	r.carry(c, server, client)
	_, _ = io.Copy(io.Discard, server)
}

// carry takes what one side says to the other until either ends.
func (r *Relay) carry(c *connection, from, to net.Conn) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			pass, cut := r.pass(c, from == c.client, n)
			if _, err := to.Write(piece[:pass]); err != nil {
				return
			}
			if cut {
				c.client.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits as the fault wants it, and says how much of a piece of n bytes passes and whether the client is
// cut after it.
func (r *Relay) pass(c *connection, up bool, n int) (pass int, cut bool) {
	f, pass, cut := r.judge(c, up, n)
	time.Sleep(f.Delay)
	if cut && f.Then != nil {
		f.Then()
	}
	return pass, cut
}

func (r *Relay) judge(c *connection, up bool, n int) (f Fault, pass int, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.fault.Hold {
		changed := r.changed
		r.mu.Unlock()
		<-changed
		r.mu.Lock()
	}
	f, pass = r.fault, n
	switch {
	case f.Down:
		return f, 0, true
	case up && f.CutAfter > 0 && c.sent+int64(n) >= f.CutAfter:
		pass, cut = max(0, int(f.CutAfter-c.sent)), true
	case !up && f.LoseAfter > 0 && c.sent >= f.LoseAfter:
		pass, cut = 0, true
	}
	if up {
		c.sent += int64(n)
	}
	if cut {
		r.cuts++
	}
	return f, pass, cut
}
