package framing

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Patient hands out connections whose deadlines cost nothing until somebody is slow, and which hear out whoever
// is told FaultOf while still sending. fasthttp sets three deadlines for each request, and each moves a timer of
// the runtime; nearly all of them are moved again before anything has had to wait.
type Patient struct{ net.Listener }

// Accept waits for the next connection.
func (l Patient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		return &patientConn{TCPConn: tcp}, nil
	}
	return c, err
}

// patientConn keeps deadlines to the same moment as its TCPConn would, but tells the runtime late: one that
// moves away is told when the older one has passed, one that comes nearer when a call is about to wait.
// It is for one goroutine that sets deadlines, reads and writes, as fasthttp's are: a new deadline does not
// reach a call that is under way.
type patientConn struct {
	*net.TCPConn
	read, write deadline
	unread      bool // the reply went out before all of the request was read
}

// How much of what nobody wants is read before a connection is closed, and for how long.
const (
	maxUnread    = 2 << 20
	unreadWithin = 500 * time.Millisecond
)

// Close closes the connection. Whoever is still sending is heard out for a moment first: a close with
// bytes unread resets the connection, and the sender would lose the reply that tells why.
func (c *patientConn) Close() error {
	if c.unread {
		_ = c.TCPConn.CloseWrite()
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(unreadWithin))
		_, _ = io.CopyN(io.Discard, c.TCPConn, maxUnread)
	}
	return c.TCPConn.Close()
}

// deadline is what was asked for, and what the runtime was told. Zero is none.
type deadline struct{ wanted, told time.Time }

// tell makes sure that the runtime will not wait for longer than is wanted.
func (d *deadline) tell(set func(time.Time) error) error {
	if d.wanted.IsZero() || !d.told.IsZero() && !d.wanted.Before(d.told) {
		return nil
	}
	d.told = d.wanted
	return set(d.told)
}

// again reports whether err says only that an older deadline has passed, after the runtime was told the wanted one.
func (d *deadline) again(err error, set func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !d.wanted.IsZero() && !d.wanted.After(time.Now()) {
		return false
	}
	d.told = d.wanted
	return set(d.told) == nil
}

// SetReadDeadline is for the reads after it.
func (c *patientConn) SetReadDeadline(t time.Time) error { c.read.wanted = t; return nil }

// SetWriteDeadline is for the writes after it.
func (c *patientConn) SetWriteDeadline(t time.Time) error { c.write.wanted = t; return nil }

// SetDeadline is for both.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.read.wanted, c.write.wanted = t, t
	return nil
}

func (c *patientConn) Read(b []byte) (int, error) {
	if err := c.read.tell(c.TCPConn.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(b)
	for n == 0 && err != nil && c.read.again(err, c.TCPConn.SetReadDeadline) {
		n, err = c.TCPConn.Read(b)
	}
	return n, err
}

func (c *patientConn) Write(b []byte) (int, error) {
	if err := c.write.tell(c.TCPConn.SetWriteDeadline); err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Write(b)
	for err != nil && c.write.again(err, c.TCPConn.SetWriteDeadline) {
		var more int
		more, err = c.TCPConn.Write(b[n:])
		n += more
	}
	return n, err
}
