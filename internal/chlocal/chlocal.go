//go:build unix

// Package chlocal runs a real ClickHouse on this machine, without root and without an installation, for
// tests and for `make run`. Production names a ClickHouse by DSN and never comes here: whoever has a DSN
// uses it and does not call Start.
//
// Where the server comes from, in this order: a `clickhouse` binary on PATH; else the pinned engine
// library of package fetch. Both run below a child process that is this very binary started again
// (Main), because the library wants a process for itself and the server wants somebody to end it.
//
// It promises that Start returns after real queries succeeded over both protocols, and that they came
// from this server and no other; that the server ends with its parent, seconds after a kill -9 of it;
// and that the error of a failed start holds what the server said. The server has one user without a
// password, so it listens on loopback addresses only.
package chlocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	startWithin = 90 * time.Second // a cold disk reads 566 MB of library first
	stopWithin  = graceAfterStop + 5*time.Second
	portTries   = 5 // free ports are taken by others between the look and the use, rarely
)

// errPortLost means that a port was free when we looked and taken when the server came to it.
var errPortLost = errors.New("its port was taken meanwhile")

// Options say where the server keeps its data and where it listens.
type Options struct {
	Dir          string    // data folder, made when missing; "" = a fresh temporary one, removed by Stop
	Native, HTTP string    // loopback addresses such as "127.0.0.1:9000"; "" or port 0 = a free port
	Log          io.Writer // the server's warnings and errors; nil = kept in memory, shown when a start fails
	Progress     io.Writer // of the engine's download; nil = silent
	// ConfigFile is a ClickHouse server configuration to start with. It must leave the user `default`
	// without a password, as this package asks as that user whether the server is ready.
	ConfigFile string
}

// Server is a running ClickHouse, or one that was killed and can be restarted.
type Server struct {
	dir          string
	temporary    bool
	native, http string
	source       source
	log          io.Writer

	mu  sync.Mutex
	run *process // nil before the first start and after Stop
}

// Start starts a server and returns when it answers. Cancelling ctx gives up the start; it does not stop
// a server that has started. The process must have called Main first.
func Start(ctx context.Context, o Options) (*Server, error) {
	if !mainCalled.Load() {
		return nil, errors.New("BUG: chlocal.Main() must be called first thing in main or TestMain of a binary that starts a ClickHouse")
	}
	src, err := findSource(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Server{source: src, log: o.Log}
	if err := s.makeDir(o.Dir); err != nil {
		return nil, err
	}
	if err := s.startFirst(ctx, o); err != nil {
		return nil, errors.Join(err, s.removeTemporary())
	}
	return s, nil
}

// startFirst chooses the ports. Ports that it chose itself and lost to another process are chosen again.
func (s *Server) startFirst(ctx context.Context, o Options) error {
	for try := 1; ; try++ {
		native, http, err := reserve(o.Native, o.HTTP)
		if err != nil {
			return err
		}
		s.native, s.http = native, http
		err = s.Restart(ctx)
		if !errors.Is(err, errPortLost) || !(isFree(o.Native) || isFree(o.HTTP)) || try == portTries {
			return err
		}
	}
}

// DSN returns the address for clickhouse-go: clickhouse://default@127.0.0.1:PORT/default.
func (s *Server) DSN() string { return "clickhouse://default@" + s.native + "/default" }

// NativeAddr returns host:port of the native protocol.
func (s *Server) NativeAddr() string { return s.native }

// HTTPAddr returns host:port of the HTTP interface.
func (s *Server) HTTPAddr() string { return s.http }

// Dir returns the data folder.
func (s *Server) Dir() string { return s.dir }

// Exited returns a channel that is closed when the server's process has ended, for whatever reason.
func (s *Server) Exited() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return s.run.ended
}

// Log returns the end of what the server has said since its last start.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return ""
	}
	return s.run.said.String()
}

// Stop cancels running queries, ends the server, waits for its exit and removes a temporary data folder.
// Stopping a stopped or killed server is no error.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.run != nil {
		err = s.run.stop()
		s.run = nil
	}
	return errors.Join(err, s.removeTemporary())
}

// Kill ends the server as kill -9 does and waits until it is gone. Data stays; Restart continues with it.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	return s.run.kill()
}

// Restart starts a killed or stopped server again, on the same ports and folder.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil && !s.run.hasEnded() {
		return errors.New("restart ClickHouse: it is still running")
	}
	if _, err := os.Stat(s.dir); err != nil {
		return fmt.Errorf("restart ClickHouse: data folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := waitUnlocked(ctx, s.dir); err != nil {
		return err
	}
	run, err := spawn(spec{source: s.source, Dir: s.dir, Temporary: s.temporary, Native: s.native, HTTP: s.http}, s.log)
	if err != nil {
		return fmt.Errorf("start ClickHouse: %w", err)
	}
	if err := run.waitReady(ctx, s); err != nil {
		err = errors.Join(err, run.kill())
		return fmt.Errorf("start ClickHouse (%s) on %s and %s with data in %s: %w\nthe server said:\n%s",
			s.source, s.native, s.http, s.dir, err, run.said.String())
	}
	s.run = run
	return nil
}

func (s *Server) makeDir(dir string) (err error) {
	if dir == "" {
		s.temporary = true
		dir, err = os.MkdirTemp("", "beckon-clickhouse-*")
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("data folder of ClickHouse: %w", err)
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir) // as the server will name it when asked
	}
	if err != nil {
		return fmt.Errorf("data folder of ClickHouse: %w", err)
	}
	s.dir = dir
	return nil
}

func (s *Server) removeTemporary() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// isFree says whether the caller left the choice of the port to us.
func isFree(addr string) bool { return addr == "" || strings.HasSuffix(addr, ":0") }

// reserve turns the two wished addresses into two that can be listened on now, and names a taken one.
func reserve(native, http string) (string, string, error) {
	n, err := listen("native protocol", native)
	if err != nil {
		return "", "", err
	}
	defer n.Close()
	h, err := listen("HTTP interface", http)
	if err != nil {
		return "", "", err
	}
	defer h.Close()
	nAddr, hAddr := n.Addr().(*net.TCPAddr), h.Addr().(*net.TCPAddr)
	if !nAddr.IP.Equal(hAddr.IP) {
		return "", "", fmt.Errorf("ClickHouse listens on one host: %s and %s differ", nAddr, hAddr)
	}
	if !nAddr.IP.IsLoopback() {
		return "", "", fmt.Errorf("%s is no loopback address, and the local ClickHouse has a user without a password: use 127.0.0.1, or a ClickHouse of your own by DSN", nAddr)
	}
	return nAddr.String(), hAddr.String(), nil
}

func listen(what, addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address %s for ClickHouse's %s cannot be used: %w; stop what listens there or choose another", addr, what, err)
	}
	return l, nil
}
