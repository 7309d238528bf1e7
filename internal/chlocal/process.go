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
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// process is one life of the server: the child, the pipe it lives by, and the end of its log.
type process struct {
	cmd      *exec.Cmd
	lifeline io.Closer     // the child stops when this is closed, by us or by our death
	ended    chan struct{} // closed after cmd.Wait
	err      error         // of cmd.Wait, readable once ended is closed
	said     *tail
}

// spawn starts the child in a process group of its own, so that Ctrl-C in a terminal reaches only the
// parent, which can then stop things in order, and so that kill reaches all of it.
func spawn(s spec, log io.Writer) (*process, error) {
	self, err := os.Executable()
	if runtime.GOOS == "linux" {
		self, err = "/proc/self/exe", nil // still this binary after a rebuild has replaced its file
	}
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("BUG: %w", err)
	}
	p := &process{ended: make(chan struct{}), said: new(tail)}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Dir = s.Dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	var out io.Writer = p.said
	if log != nil {
		out = io.MultiWriter(p.said, log)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if p.lifeline, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) stop() error {
	if p.hasEnded() {
		return nil
	}
	_ = p.lifeline.Close()
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		return errors.Join(fmt.Errorf("ClickHouse did not stop within %s and was killed", stopWithin), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("stop ClickHouse: %w; it said:\n%s", p.err, p.said)
	}
	return nil
}

func (p *process) kill() error {
	if p.hasEnded() {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill ClickHouse: %w", err)
	}
	<-p.ended
	_ = p.lifeline.Close()
	return nil
}

// waitReady asks until the server answers over both protocols. The answer has to name our data folder:
// on a port that we lost in a race, somebody else's server would answer as well.
func (p *process) waitReady(ctx context.Context, s *Server) error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.native}, Auth: clickhouse.Auth{Username: "default"},
		DialTimeout: time.Second, ReadTimeout: 5 * time.Second, MaxOpenConns: 1,
	})
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer conn.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var path string
		err := conn.QueryRow(ctx, "SELECT path FROM system.disks WHERE name = 'default'").Scan(&path)
		if err == nil && filepath.Clean(path) != s.dir {
			return fmt.Errorf("another ClickHouse, with data in %s, answers on %s: %w", path, s.native, errPortLost)
		}
		if err == nil {
			err = ping(ctx, s.http)
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			if strings.Contains(strings.ToLower(p.said.String()), "address already in use") {
				return errPortLost
			}
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), err)
		}
	}
}

func ping(ctx context.Context, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ping", nil)
	if err != nil {
		return err
	}
	req.Close = true // it is one question, not a connection to keep
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /ping: %s", resp.Status)
	}
	return nil
}

// lockWait is how long a new server waits for the previous one of the same folder: after a kill -9 of its
// parent that one lives a moment longer. A variable for the tests.
var lockWait = 15 * time.Second

// waitUnlocked waits until no server holds the folder, by the lock that every ClickHouse takes on its
// status file.
func waitUnlocked(ctx context.Context, dir string) error {
	path := filepath.Join(dir, "status")
	for deadline := time.Now().Add(lockWait); ; {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("data folder of ClickHouse: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		holder, _ := io.ReadAll(io.LimitReader(f, 64))
		_ = f.Close() // releases the lock as well
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			pid, _, _ := strings.Cut(string(holder), "\n")
			return fmt.Errorf("data folder %s is in use by another ClickHouse (%s), still after %s: stop that one or choose another folder", dir, pid, lockWait)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for the lock of %s: %w", dir, ctx.Err())
		}
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 16 << 10 // a stack trace and what led to it

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
