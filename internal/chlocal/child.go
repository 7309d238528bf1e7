//go:build unix

package chlocal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv marks the child and tells it what to run, as JSON.
const childEnv = "BECKON_CHLOCAL_CHILD"

// graceAfterStop is what a server gets to end by itself; after that it is killed.
const graceAfterStop = 10 * time.Second

// spec is what the parent tells the child.
type spec struct {
	source
	Dir       string
	Temporary bool // the child removes Dir when it ends in order, as its parent may be dead by then
	Native    string
	HTTP      string
}

var mainCalled atomic.Bool

// Main becomes the server and never returns when this process was started to be one; else it returns at
// once. It comes first in main and TestMain, before flags are read.
func Main() {
	mainCalled.Store(true)
	text, isChild := os.LookupEnv(childEnv)
	if !isChild {
		return
	}
	// What the parent reads may have nobody at its other end, and Ctrl-C is the parent's to handle.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGINT, syscall.SIGHUP)
	if err := child(text); err != nil {
		fmt.Fprintln(os.Stderr, "beckon chlocal:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(text string) error {
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read %s: %w", childEnv, err)
	}
	if err := os.Unsetenv(childEnv); err != nil {
		return err
	}
	run := runLibrary
	if s.Binary != "" {
		run = runBinary
	}
	if err := run(s); err != nil {
		return err
	}
	if s.Temporary {
		return os.RemoveAll(s.Dir)
	}
	return nil
}

// orphaned blocks until the lifeline ends: the parent wants the server to stop, or is dead. Then it cancels
// what runs, because a server waits for running queries before it ends, and starts the last deadline.
func orphaned(s spec) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	time.AfterFunc(graceAfterStop, func() { _ = syscall.Kill(-syscall.Getpgrp(), syscall.SIGKILL) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// The library's own session, which holds the ports open, has no user.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTP+"/", strings.NewReader("KILL QUERY WHERE user != '' ASYNC"))
	if err != nil {
		return
	}
	if resp, err := http.DefaultClient.Do(req); err == nil { // a server that is not up yet has nothing to cancel
		_ = resp.Body.Close()
	}
}

// runLibrary is the server until the lifeline ends.
func runLibrary(s spec) error {
	s, err := behindGate(s)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	var asked atomic.Bool
	go func() {
		orphaned(s)
		asked.Store(true)
		_ = w.Close()
		for ; ; time.Sleep(20 * time.Millisecond) {
			hangUp(s) // again and again: the engine accepts until it has closed its ports
		}
	}()
	err = runEngine(s.Library, libraryArgs(s, fmt.Sprintf("/dev/fd/%d", r.Fd())))
	if err == nil && !asked.Load() {
		err = errors.New("the engine ended by itself")
	}
	return err
}

// hangUp ends the connections of the engine's clients. The engine would wait five seconds for idle ones,
// which connection pools hold for hours, and then leave the process without returning to us.
func hangUp(s spec) {
	fds, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // then the engine waits
	}
	_, native, http := s.listens()
	for _, entry := range fds {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		local, err := unix.Getsockname(fd)
		if err != nil {
			continue // no socket
		}
		if port := portOf(local); port != native && port != http { // native is behind the gate
			continue
		}
		if _, err := unix.Getpeername(fd); err == nil { // a listening socket has no peer
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
	}
}

func portOf(addr unix.Sockaddr) string {
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		return strconv.Itoa(a.Port)
	case *unix.SockaddrInet6:
		return strconv.Itoa(a.Port)
	}
	return ""
}

// runBinary is the guard of a clickhouse executable until the lifeline ends.
func runBinary(s spec) error {
	config, err := binaryConfig(s)
	if err != nil {
		return err
	}
	// The death signal of dieWithParent is sent when the starting thread ends, so that thread stays ours.
	runtime.LockOSThread()
	cmd := exec.Command(s.Binary, binaryArgs(s, config)...)
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Binary, err)
	}
	var asked atomic.Bool
	go func() {
		orphaned(s)
		asked.Store(true)
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	err = cmd.Wait()
	if asked.Load() {
		return nil // how it ended after SIGTERM is its own affair
	}
	return fmt.Errorf("%s ended by itself: %w", s.Binary, err)
}
