//go:build linux

package chlocal

import (
	"context"
	"net"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// TestClientsThatResetTheirConnectionsLeaveTheServerRunning: what kill -9 does to a client, at any moment of its talk.
func TestClientsThatResetTheirConnectionsLeaveTheServerRunning(t *testing.T) {
	s := ForTest(t)
	reset := func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	talk := func(t *testing.T, query string) {
		var socket net.Conn
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{s.NativeAddr()}, Auth: clickhouse.Auth{Username: "default"}, MaxOpenConns: 1,
			DialContext: func(ctx context.Context, addr string) (c net.Conn, err error) {
				socket, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
				return socket, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if !rows.Next() {
			t.Fatalf("%s: no row: %v", query, rows.Err())
		}
		reset(socket)
	}
	for _, c := range []struct {
		name  string
		times int
		talk  func(t *testing.T)
	}{
		{"at once", 20, func(t *testing.T) {
			c, err := net.Dial("tcp", s.NativeAddr())
			if err != nil {
				t.Fatal(err)
			}
			reset(c)
		}},
		{"in its greeting", 20, func(t *testing.T) {
			c, err := net.Dial("tcp", s.NativeAddr())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte{0, 200}); err != nil { // hello, and a name of 200 bytes that does not come
				t.Fatal(err)
			}
			reset(c)
		}},
		{"after an answer", 20, func(t *testing.T) { talk(t, "SELECT 1") }},
		{"in an answer", 3, func(t *testing.T) { talk(t, "SELECT number FROM system.numbers SETTINGS max_threads = 1") }}, // each runs on until it is noticed
	} {
		t.Run(c.name, func(t *testing.T) {
			for range c.times {
				c.talk(t)
			}
			if got := overHTTP(t, s, "SELECT 1"); got != "1" {
				t.Fatalf("the server answers %q", got)
			}
		})
	}
	waitFor(t, "the queries of clients that have gone to end", func() bool {
		return overHTTP(t, s, "SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%' AND query NOT LIKE '%processes%'") == "0"
	})
	execute(t, s, "SELECT 1")
}
