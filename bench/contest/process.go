// Package contest is about measuring servers side by side on one machine: each on one core, the load on another,
// in turns, so that a machine that is not equally fast all the time is fair to all of them. Figures are quoted as
// medians and ratios of turns of one round. Programs under bench/ are made of it.
package contest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a process under test, on a core of its own.
type Server struct {
	Name  string
	Addr  string
	Admin string // of a service of ours, "" of others
	Dir   string // removed by Stop
	Cmd   *exec.Cmd

	Beside *Server // a second process that belongs to it on the same core, or nil
}

// Pinned is a command on one core, which ends with us.
func Pinned(ctx context.Context, core int, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core), name}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Own is a command of this program.
func Own(ctx context.Context, core int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return Pinned(ctx, core, self, args...), nil
}

// StartOwn starts a server of this program; it prints its addresses, one or two, when it is ready.
func StartOwn(ctx context.Context, name string, core int, args ...string) (*Server, error) {
	cmd, err := Own(ctx, core, args...)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: it said no address", name), cmd.Wait())
	}
	s := &Server{Name: name, Cmd: cmd}
	s.Addr, s.Admin, _ = strings.Cut(strings.TrimSpace(text), " ")
	return s, nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() {
	if s == nil {
		return
	}
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	_ = s.Cmd.Wait() // it says how it ended by what it printed
	s.Beside.Stop()
	if s.Dir != "" {
		os.RemoveAll(s.Dir)
	}
}

// Memory returns the resident memory of the server in MiB: now, and at its highest.
func (s *Server) Memory() (now, highest float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of %s: %w", s.Name, err)
	}
	for l := range strings.Lines(string(text)) {
		fields := strings.Fields(l)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			highest = kib / 1024
		}
	}
	return now, highest, nil
}

// Busy returns the processor time that the server, its children and what is beside it have used.
func (s *Server) Busy() time.Duration {
	if s == nil {
		return 0
	}
	pids := []string{strconv.Itoa(s.Cmd.Process.Pid)}
	if children, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", pids[0], pids[0])); err == nil {
		pids = append(pids, strings.Fields(string(children))...)
	}
	ticks := 0
	for _, pid := range pids {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			ticks += user + system
		}
	}
	return time.Duration(ticks)*10*time.Millisecond + s.Beside.Busy() // ticks are the kernel's, 100 a second
}

// Metric returns one line's value of a service's metrics page.
func (s *Server) Metric(name string) string {
	resp, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		return "unknown"
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for l := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(l, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// FreePort returns a TCP port of the loopback that nobody listens on.
func FreePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, errors.Join(ln.Close())
}

// Listens waits until somebody accepts connections at addr, for at most within.
func Listens(addr string, within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody listens at %s after %s: %w", addr, within, err)
		}
	}
}

// CPUProfile writes a profile of a service of ours to a file.
func CPUProfile(s *Server, d time.Duration, file string) error {
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.Admin, int(d.Seconds())))
	if err != nil {
		return fmt.Errorf("profile %s: %w", s.Name, err)
	}
	defer resp.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("profile %s: %w", s.Name, err)
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
