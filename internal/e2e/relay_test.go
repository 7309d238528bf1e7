package e2e_test

import (
	"io"
	"net"
	"strings"
	"testing"
)

// throughRelay puts a relay between the two services and ClickHouse. A process that is killed resets its
// connections; a ClickHouse server takes that as the end of a client, but the engine that tests start
// takes it as a reason to abort. The relay ends its connections in order instead.
func (s *stack) throughRelay() {
	dsn := strings.Replace(s.clickhouse.DSN(), s.clickhouse.NativeAddr(), s.relay, 1)
	for _, p := range []*service{s.collector, s.aggregator} {
		p.flags = append(p.flags, "--clickhouse-dsn", dsn)
	}
}

// startRelay returns an address whose connections lead on to another one, until the test ends.
func startRelay(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go relay(client, to)
		}
	}()
	return l.Addr().String()
}

// relay carries one connection. What the server still says to a client that has gone is read and
// thrown away, so that the server meets no error either.
func relay(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client) // ends with either of them, and why does not matter
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_, _ = io.Copy(io.Discard, server)
}
