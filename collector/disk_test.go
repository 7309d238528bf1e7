package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"beckon/internal/chlocal"
	"beckon/internal/spool"
)

const breakFile = "COLLECTOR_TEST_BREAK_FILE"

// TestMain is also the collector itself, on a disk whose fsync fails as soon as a file is there.
func TestMain(m *testing.M) {
	chlocal.Main()
	if file := os.Getenv(breakFile); file != "" {
		disk = breaking{spool.Disk, file}
		main()
		return
	}
	os.Exit(m.Run())
}

type breaking struct {
	spool.FS
	file string
}

type breakingFile struct {
	spool.File
	file string
}

func (b breaking) Create(name string) (spool.File, error) {
	f, err := b.FS.Create(name)
	return breakingFile{f, b.file}, err
}

func (f breakingFile) Sync() error {
	if _, err := os.Stat(f.file); err == nil {
		return syscall.EIO
	}
	return f.File.Sync()
}

func TestAFailingDiskEndsTheServiceWithAnErrorAndLosesNothing(t *testing.T) {
	c := ready(t)
	file := filepath.Join(t.TempDir(), "break")
	p := exec.Command(os.Args[0], "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--clickhouse-dsn="+c.ClickHouseDSN, "--drain-timeout=200ms",
		"--sites="+c.Sites, "--keyring-dir="+c.KeyringDir, "--spool-dir="+c.SpoolDir, "--volatile-dir="+c.VolatileDir)
	p.Env = append(os.Environ(), breakFile+"="+file)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() }) // ends what does not end by itself
	defer late.Stop()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	var at running
	said := bufio.NewScanner(stderr)
	for at.Listen == "" && said.Scan() {
		_ = json.Unmarshal(said.Bytes(), &at) // the other lines name no port
	}
	if at.Listen == "" {
		t.Fatal("it never served")
	}
	if status := send(t, at); status != 204 {
		t.Fatalf("got %d", status)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+at.Listen+"/e", "text/plain", strings.NewReader(`{"v":1,"s":"demo","e":[{"n":"page_view"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("an event that is not durable got %d", resp.StatusCode)
	}
	if resp, err := http.Get("http://" + at.Admin + "/readyz"); err == nil { // it may have ended already
		resp.Body.Close()
		if resp.StatusCode != 503 {
			t.Errorf("/readyz says %d", resp.StatusCode)
		}
	}
	var last string
	for said.Scan() {
		last = said.Text()
	}
	err = p.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 || !strings.Contains(last, "disk failed") {
		t.Fatalf("it ended with %v, saying %q", err, last)
	}
	again, _ := start(t, c) // the supervisor's part
	if _, body := page(t, again, "/ledger"); !strings.Contains(body, `"reason":"accepted","n":`) {
		t.Fatalf("after a restart: %s", body)
	}
}
