package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a process under test, on a core of its own.
type server struct {
	name   string
	addr   string
	admin  string // of the collector
	cookie string
	cmd    *exec.Cmd
	dir    string
}

// pinned is a command on one core, which ends with us.
func pinned(ctx context.Context, core int, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core), name}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// own is a command of this program.
func own(ctx context.Context, core int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return pinned(ctx, core, self, args...), nil
}

// startOwn starts a server of this program; it prints its addresses when it is ready.
func startOwn(ctx context.Context, name string, core int, args ...string) (*server, error) {
	cmd, err := own(ctx, core, args...)
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
	s := &server{name: name, cmd: cmd}
	s.addr, s.admin, _ = strings.Cut(strings.TrimSpace(text), " ")
	return s, nil
}

// startCollector starts one with an empty spool and a visitor who has a cookie.
func startCollector(ctx context.Context, name string, c *runCmd, sync string, fill int) (*server, error) {
	dir, err := os.MkdirTemp(c.Dir, "collector-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	s, err := startOwn(ctx, name, c.Server, "serve", "--dir", dir, "--geo", c.Geo, "--sync", sync, "--fill", strconv.Itoa(fill))
	if err != nil {
		return nil, err
	}
	s.dir = dir
	s.cookie, err = greet(ctx, s.addr)
	return s, err
}

// startNginx starts Debian's nginx with one worker and the configuration that matters: an access log,
// written for each request or gathered in a buffer.
func startNginx(ctx context.Context, name string, c *runCmd, log string) (*server, error) {
	dir, err := os.MkdirTemp(c.Dir, "nginx-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	access_log %[1]s/access.log combined%[2]s;
	keepalive_requests 1000;
	server { listen 127.0.0.1:%[3]d; location = /p.gif { empty_gif; } }
}
`, dir, log, port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	s := &server{name: name, addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir, cmd: pinned(ctx, c.Server, "nginx", "-p", dir, "-c", file, "-e", dir+"/error.log")}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l, err := dial(s.addr)
		if err == nil {
			l.conn.Close()
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("nginx does not listen: %w", err)
		}
	}
}

// stop ends the server and removes its folder.
func (s *server) stop() {
	if s == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // it says how it ended by what it printed
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// memory returns the resident memory of the server in MiB: now, and at its highest.
func (s *server) memory() (now, highest float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of %s: %w", s.name, err)
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

// busy returns the processor time that the server has used, with that of nginx's worker.
func (s *server) busy() time.Duration {
	pids := []string{strconv.Itoa(s.cmd.Process.Pid)}
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
	return time.Duration(ticks) * 10 * time.Millisecond // of the kernel's clock, 100 a second
}
