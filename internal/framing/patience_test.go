package framing

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a patient connection and its other end.
func pair(t *testing.T) (c *patientConn, other net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if other, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	accepted, err := Patient{ln}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close(); other.Close() })
	return accepted.(*patientConn), other
}

const short = 50 * time.Millisecond

// deadlineHolds wants act to end with a timeout, and not before the deadline.
func deadlineHolds(t *testing.T, deadline time.Time, act func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- act() }()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(deadline) {
			t.Fatalf("%s before the deadline: %v", time.Until(deadline), err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the deadline was forgotten")
	}
}

func TestPatientReadsKeepEveryDeadline(t *testing.T) {
	c, other := pair(t)
	read := func() error { _, err := c.Read(make([]byte, 1)); return err }
	set := func(d time.Duration) time.Time {
		at := time.Now().Add(d)
		if err := c.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	deadlineHolds(t, set(short), read)
	deadlineHolds(t, set(0), read)
	deadlineHolds(t, set(4*short), read) // the runtime knows the one that has passed

	set(time.Hour)
	if _, err := other.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil { // now the runtime knows the hour
		t.Fatal(err)
	}
	deadlineHolds(t, set(short), read) // nearer

	set(short)
	go func() { time.Sleep(3 * short); other.Write([]byte("b")) }()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil { // none any more
		t.Fatal(err)
	}
	other.Close()
	if err := read(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
}

func TestPatientWritesKeepEveryDeadline(t *testing.T) {
	c, other := pair(t)
	sent := 0
	fill := func() error {
		for {
			n, err := c.Write(make([]byte, 1<<20))
			if sent += n; err != nil {
				return err
			}
		}
	}
	for range 2 {
		at := time.Now().Add(short)
		if err := c.SetWriteDeadline(at); err != nil {
			t.Fatal(err)
		}
		deadlineHolds(t, at, fill)
	}
	// An older deadline passes in the middle of a write: nothing is lost, nothing sent twice.
	c.SetWriteDeadline(time.Now().Add(short))
	c.write.tell(c.TCPConn.SetWriteDeadline)
	c.SetWriteDeadline(time.Now().Add(time.Hour))
	got := make(chan int64, 1)
	go func() {
		time.Sleep(3 * short)
		n, _ := io.Copy(io.Discard, other)
		got <- n
	}()
	n, err := c.Write(make([]byte, 4<<20))
	if sent += n; err != nil || n != 4<<20 {
		t.Fatalf("wrote %d: %v", n, err)
	}
	c.Close()
	if n := <-got; n != int64(sent) {
		t.Fatalf("%d bytes arrived of %d", n, sent)
	}
}
