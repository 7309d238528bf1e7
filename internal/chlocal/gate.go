//go:build unix

package chlocal

import (
	"fmt"
	"io"
	"net"
	"time"
)

// gate leads the connections of addr on to the engine at inner, until the process ends.
//
// It is there for the way they end. The engine aborts, and all of the process with it, when a client resets its native
// connection, where a server proper closes it: and a client does so whenever it is killed, or closes what it has not
// read to the end, as clickhouse-go does after an error. Past the gate every connection ends in order, and what the
// engine still says to a client that has gone is read and thrown away.
func gate(addr, inner string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				time.Sleep(10 * time.Millisecond) // out of descriptors, for a moment
				continue
			}
			go lead(client, inner)
		}
	}()
	return nil
}

func lead(client net.Conn, inner string) {
	defer client.Close()
	engine, err := net.Dial("tcp", inner)
	if err != nil {
		return // it does not listen yet, or no longer
	}
	defer engine.Close()
	go func() {
		_, _ = io.Copy(engine, client)
		_ = engine.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, engine)
	_ = client.Close() // ends the copy above, if it is the engine that has ended
	_, _ = io.Copy(io.Discard, engine)
}

// behindGate opens the gate of s and returns what the engine shall listen on instead.
func behindGate(s spec) (spec, error) {
	host, _, _ := s.listens()
	inner, err := listen("engine", net.JoinHostPort(host, "0"))
	if err != nil {
		return s, err
	}
	addr := inner.Addr().String()
	if err := inner.Close(); err != nil {
		return s, err
	}
	if err := gate(s.Native, addr); err != nil {
		return s, fmt.Errorf("listen for the engine's clients: %w", err)
	}
	s.Native = addr
	return s, nil
}
