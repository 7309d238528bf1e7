package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	readyWithin = 20 * time.Second
	stopWithin  = 15 * time.Second
)

// service is one of the two binaries, running as a child. Its log goes to a file.
type service struct {
	name    string
	log     string
	began   int64 // size of the log at the start: what lies before is of earlier runs
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	endedBy error         // of Wait; read after ended
}

// startService starts the binary that lies beside this one. What is secret goes into env: everybody
// on the machine can read arguments.
func startService(name, logFile string, env []string, args ...string) (*service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the binaries: %w", err)
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	before, err := out.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log of %s: %w", name, err), out.Close())
	}
	s := &service{name: name, log: logFile, began: before.Size(), ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(filepath.Dir(self), name), args...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	go func() {
		// The death signal is bound to the thread that starts the child, so that thread must last.
		runtime.LockOSThread()
		defer out.Close()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.endedBy = s.cmd.Wait()
			close(s.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w. Build it with: make build", name, err)
	}
	return s, nil
}

// waitReady polls the service's readiness until it is ready or has ended.
func (s *service) waitReady(ctx context.Context, admin string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s did not start", s.name) // stop says why
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s:\n%s", s.name, readyWithin, s.lastLines(10))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the service to end and waits for it. Its error ends with what the service said last.
func (s *service) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-s.ended:
	case <-time.After(stopWithin):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("%s did not stop within %s and was killed", s.name, stopWithin)
	}
	if s.endedBy != nil {
		return fmt.Errorf("%s ended with %w:\n%s", s.name, s.endedBy, s.lastLines(10))
	}
	return nil
}

// lastLines is the end of what the service has said since it was started.
func (s *service) lastLines(n int) string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text[min(s.began, int64(len(text))):])), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
