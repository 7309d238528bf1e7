package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/keyring"
	"beckon/internal/suppress"
)

const sitesText = `
sites:
  - id: demo
    origins: ["http://127.0.0.1:8082"]
    currency: EUR
    consent: {default: decide, allow: decide}
`

// parse reads a command line as main does.
func parse(t *testing.T, args ...string) *Config {
	t.Helper()
	var c cli
	k, err := kong.New(&c, kong.DefaultEnvars("BECKON"), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &c.Serve.Config
}

// wants gathers, and wants every part to be named in the error.
func wants(t *testing.T, c *Config, parts ...string) {
	t.Helper()
	_, err := c.gather(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil {
		t.Fatal("it would start")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in:\n%v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("says too much:\n%v", err)
	}
}

func TestEveryFaultOfTheConfigurationIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	wants(t, parse(t, "--listen=nowhere", "--admin=0.0.0.0:8091x", "--path-prefix=px/", "--issuer=shop", "--spool-max-bytes=5", "--spool-reserve=-1",
		"--visitors=0", "--dev-switches", "--clickhouse-dsn=clickhouse://u:hunter2@host:port", "--database=a b", "--cold-deadline=0s", "--stale-after=0s", "--drain-timeout=0s",
		"--sites="+dir+"/none.yaml", "--keyring-dir="+dir+"/none", "--spool-dir=/proc/none"),
		"--listen", "--admin", "--path-prefix", "--issuer", "--spool-max-bytes", "--spool-reserve", "--visitors", "--dev-switches", "--clickhouse-dsn", "--database",
		"--cold-deadline", "--stale-after", "--drain-timeout", "--sites", "--keyring-dir", "--spool-dir", "beckon-collector keyring init")
}

// What can only be found out by taking it is on the same list: a start that fails once fails with all of it.
func TestWhatCannotBeTakenIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	c := parse(t, "--listen="+addr, "--admin="+addr, "--visitors=0",
		"--sites="+filepath.Join(dir, "sites.yaml"), "--keyring-dir="+filepath.Join(dir, "keyring"), "--spool-dir="+filepath.Join(dir, "spool"))
	suppressed := suppress.Dir(c.KeyringDir)
	_, err = keyring.Init(c.KeyringDir, []string{"demo"})
	if err := errors.Join(err, os.WriteFile(c.Sites, []byte(sitesText), 0o600), os.WriteFile(c.SpoolDir, nil, 0o600),
		os.Mkdir(suppressed, 0o700), os.Chmod(suppressed, 0o777)); err != nil {
		t.Fatal(err)
	}
	wants(t, c, "--visitors", "--listen: ", "--admin: ", "--spool-dir: ", "chmod 2770 "+suppressed)

	// Nothing is held back by a start that failed: the next one finds all of it free.
	c.Visitors, c.Listen = 10, "127.0.0.1:0"
	if err := errors.Join(os.Remove(c.SpoolDir), os.Chmod(suppressed, 0o770)); err != nil {
		t.Fatal(err)
	}
	wants(t, c, "--admin: ")
	c.Admin = "127.0.0.1:0"
	p, err := c.gather(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p.close(slog.New(slog.DiscardHandler))
}
