package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

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
	return &parseCLI(t, args...).Serve.Config
}

func parseCLI(t *testing.T, args ...string) *cli {
	t.Helper()
	var c cli
	k, err := kong.New(&c, kong.DefaultEnvars("BECKON"), kong.Vars{"version": "test", "volatile": "/there"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &c
}

// ready is a Config that serves: free ports, a site with keys, and a ClickHouse that is not there.
func ready(t *testing.T) *Config {
	t.Helper()
	dir := t.TempDir()
	c := parse(t, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--drain-timeout=200ms", "--clickhouse-dsn=clickhouse://127.0.0.1:1/default",
		"--sites="+filepath.Join(dir, "sites.yaml"), "--keyring-dir="+filepath.Join(dir, "keyring"), "--spool-dir="+filepath.Join(dir, "spool"), "--volatile-dir="+filepath.Join(dir, "volatile"))
	if err := os.WriteFile(c.Sites, []byte(sitesText), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Init(c.KeyringDir, []string{"demo"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryFaultOfTheConfigurationIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	c := parse(t, "--listen=nowhere", "--admin=8090", "--path-prefix=px/", "--trusted-proxy=everybody", "--trusted-proxy=10.77.0.0/16",
		"--spool-max-bytes=5", "--spool-reserve=-1", "--clickhouse-dsn=clickhouse://u:hunter2@host:port", "--database=a b", "--drain-timeout=0s", "--dev-switches",
		"--limit-client=-1", "--limit-network=100000001", "--limit-site=-1", "--trusted-proxy-secret-file="+dir+"/none.secret",
		"--sites="+dir+"/none.yaml", "--keyring-dir="+dir+"/none", "--geo="+dir+"/none.mmdb",
		"--spool-dir=/proc/none", "--volatile-dir=/proc/none", "--day-keys-from=http://u:hunter2@host/", "--peer-secret-file="+dir+"/none")
	_, err := c.gather(slog.New(slog.DiscardHandler), nil)
	if err == nil {
		t.Fatal("it would start")
	}
	for _, part := range []string{
		"--listen", "--admin", "--path-prefix", `--trusted-proxy "everybody"`, "--spool-max-bytes", "--spool-reserve", "--clickhouse-dsn", "--database",
		"--drain-timeout", "--dev-switches", "--limit-client", "--limit-network", "--limit-site", "--trusted-proxy-secret-file", "--sites", "--keyring-dir", "--spool-dir", "--geo", "--day-keys-from", "--peer-secret-file", "beckon-collector keyring init",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in:\n%v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "10.77.") {
		t.Errorf("says too much:\n%v", err)
	}
}

// What can only be found out by taking it is on the same list: a start that fails once fails with all of it.
func TestWhatCannotBeTakenIsReportedAtOnce(t *testing.T) {
	c := ready(t)
	c.PathPrefix = "px/"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c.Listen, c.Admin = taken.Addr().String(), taken.Addr().String()
	if err := os.WriteFile(c.SpoolDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	suppressed := suppress.Dir(c.KeyringDir)
	if err := os.Mkdir(suppressed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(suppressed, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = c.gather(slog.New(slog.DiscardHandler), nil)
	if err == nil {
		t.Fatal("it would start")
	}
	for _, part := range []string{"--path-prefix", "--listen: ", "--admin: ", "--spool-dir: ", "chmod 2770 " + suppressed} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named in:\n%v", part, err)
		}
	}

	// Nothing is held back by a start that failed: the next one finds all of it free.
	c.PathPrefix, c.Listen = "", "127.0.0.1:0"
	if err := errors.Join(os.Remove(c.SpoolDir), os.Chmod(suppressed, 0o770)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.gather(slog.New(slog.DiscardHandler), nil); err == nil || strings.Contains(err.Error(), "--spool-dir") {
		t.Fatalf("got %v, want the port alone", err)
	}
	c.Admin = "127.0.0.1:0"
	p, err := c.gather(slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.close(slog.New(slog.DiscardHandler))
}

func TestSecretOfProxiesIsReadFromAFileThatOthersCannotRead(t *testing.T) {
	c := ready(t)
	c.ProxySecret = filepath.Join(t.TempDir(), "proxy.secret")
	f := func(text string, mode os.FileMode, want string) {
		t.Helper()
		if err := os.WriteFile(c.ProxySecret, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.ProxySecret, mode); err != nil {
			t.Fatal(err)
		}
		switch s, err := c.settings(); {
		case want == "" && (err != nil || len(s.proxies.Secrets) != 1):
			t.Errorf("%o: %v, %d secrets", mode, err, len(s.proxies.Secrets))
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%o: %v, want %q", mode, err, want)
		}
	}
	const line = "Beckon-Proxy: hunter2hunter2hunter2hunter2hunter2\n"
	f(line, 0o600, "")
	f(line, 0o640, "")
	f(line, 0o644, "chmod 0640")
	f("hunter2", 0o600, "line 1")
}

func TestServeNeverMakesKeys(t *testing.T) {
	c := ready(t)
	if err := os.Remove(filepath.Join(c.KeyringDir, "demo.json")); err != nil {
		t.Fatal(err)
	}
	err := c.serve(context.Background(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "beckon-collector keyring init") {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.KeyringDir, "demo.json")); err == nil {
		t.Fatal("it made keys")
	}
}

func TestTakenPortsAreNamed(t *testing.T) {
	c := ready(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c.Listen, c.Admin = ln.Addr().String(), ln.Addr().String()
	err = c.serve(context.Background(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "--admin") || !strings.Contains(err.Error(), "name another") {
		t.Fatalf("got %v", err)
	}
}

func TestDevSwitchesNeedALoopbackAddress(t *testing.T) {
	for listen, refused := range map[string]bool{"0.0.0.0:0": true, ":0": true, "192.0.2.1:80": true, "127.0.0.1:0": false, "localhost:0": false, "[::1]:0": false} {
		c := ready(t)
		c.Listen, c.DevSwitches = listen, true
		if _, err := c.settings(); (err != nil) != refused {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestSettingsAreReadFromTheEnvironmentToo(t *testing.T) {
	t.Setenv("BECKON_SPOOL_DIR", "/there")
	t.Setenv("BECKON_TRUSTED_PROXY", "10.0.0.0/8,192.0.2.1")
	t.Setenv("BECKON_CLICKHOUSE_DSN", "clickhouse://there:9000/default")
	c := parse(t)
	if c.SpoolDir != "/there" || len(c.TrustedProxy) != 2 || c.ClickHouseDSN != "clickhouse://there:9000/default" || c.Listen != "127.0.0.1:8080" {
		t.Errorf("%+v", c)
	}
}

// running is what the log says once the service serves.
type running struct{ Listen, Admin string }

// start serves until the returned stop, which waits and returns serve's error.
func start(t *testing.T, c *Config) (at running, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	lines, w := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- c.serve(ctx, slog.New(slog.NewJSONHandler(w, nil)))
		w.Close()
	}()
	dec := json.NewDecoder(lines)
	for at.Listen == "" {
		if err := dec.Decode(&at); err != nil {
			cancel()
			t.Fatalf("it never served: %v, %v", err, <-served)
		}
	}
	go io.Copy(io.Discard, dec.Buffered())
	go io.Copy(io.Discard, lines)
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-served
	}
	t.Cleanup(func() { stop() })
	return at, stop
}

func send(t *testing.T, at running) int {
	t.Helper()
	resp, err := http.Post("http://"+at.Listen+"/e", "text/plain", strings.NewReader(`{"v":1,"s":"demo","e":[{"n":"page_view"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func page(t *testing.T, at running, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + at.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestEventsAreTakenWithoutClickHouseAndOutliveARestart(t *testing.T) {
	c := ready(t)
	at, stop := start(t, c)
	if status := send(t, at); status != 204 {
		t.Fatalf("got %d", status)
	}
	if status, body := page(t, at, "/readyz"); status != 200 {
		t.Fatalf("not ready: %s", body)
	}
	if _, body := page(t, at, "/ledger"); !strings.Contains(body, `"reason":"accepted","n":1`) {
		t.Fatalf("ledger %s", body)
	}
	if _, body := page(t, at, "/metrics"); !strings.Contains(body, `beckon_ingest_events_total{outcome="stored",site="demo"} 1`) {
		t.Fatalf("metrics %s", body)
	}
	begun := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Fatalf("stopping took %s", took)
	}
	at, _ = start(t, c)
	if _, body := page(t, at, "/ledger"); !strings.Contains(body, `"reason":"accepted","n":1`) {
		t.Fatalf("after a restart: %s", body)
	}
}

func TestSiteThatComesLaterIsServedAndOneWithoutKeysIsRefused(t *testing.T) {
	c := ready(t)
	at, _ := start(t, c)
	post := func(site string) int {
		resp, err := http.Post("http://"+at.Listen+"/e", "text/plain", strings.NewReader(fmt.Sprintf(`{"v":1,"s":%q,"e":[]}`, site)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	more := sitesText + strings.ReplaceAll(strings.TrimPrefix(sitesText, "\nsites:\n"), "demo", "second")
	if _, err := keyring.Init(c.KeyringDir, []string{"second"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Sites, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); post("second") != 204; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new site is not served")
		}
	}
	if err := os.WriteFile(c.Sites, []byte(strings.ReplaceAll(sitesText, "demo", "keyless")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.gather(slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), `site "keyless"`) {
		t.Fatalf("got %v", err)
	}
}

func TestKeyringInitMakesWhatIsMissing(t *testing.T) {
	c := ready(t)
	init := keyringInitCmd{Sites: c.Sites, KeyringDir: filepath.Join(t.TempDir(), "fresh")}
	for range 2 {
		if err := init.Run(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keyring.Open(init.KeyringDir); err != nil {
		t.Fatal(err)
	}
	init.Sites = filepath.Join(t.TempDir(), "none.yaml")
	if err := init.Run(); err == nil || !strings.Contains(err.Error(), "--sites") {
		t.Fatalf("got %v", err)
	}
}

// A second host has no keys of its own: without the first one it counts, with it both give one id.
func TestCollectorsOfTwoHostsShareTheKeysOfTheDay(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("beckon", 7)), 0o600); err != nil {
		t.Fatal(err)
	}
	measured := strings.Replace(sitesText, "default: decide", "default: measure", 1)
	host := func(from string) (*Config, running) {
		c := ready(t)
		c.PeerSecret, c.DayKeysFrom = secret, from
		if err := os.WriteFile(c.Sites, []byte(measured), 0o600); err != nil {
			t.Fatal(err)
		}
		at, _ := start(t, c)
		return c, at
	}
	lane := func(at running) string {
		resp, err := http.Get("http://" + at.Listen + "/p.gif?s=demo&n=page_view")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("Beckon-Lane")
	}
	home, first := host("")
	away, second := host("http://" + first.Admin + "/day-keys")
	_, alone := host("http://127.0.0.1:1/day-keys")
	for deadline := time.Now().Add(10 * time.Second); lane(second) != "measure; default"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the second host says %q", lane(second))
		}
	}
	if got := lane(first); got != "measure; default" {
		t.Errorf("the first host says %q", got)
	}
	if got := lane(alone); got != "count; no-key" {
		t.Errorf("a host that is answered by nobody says %q", got)
	}
	keys := func(c *Config) string {
		names, err := filepath.Glob(filepath.Join(c.VolatileDir, "demo.*.key"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no keys: %v", err)
		}
		b, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if keys(home) != keys(away) {
		t.Error("two hosts have two keys")
	}
	if status, _ := page(t, first, "/day-keys"); status != 401 {
		t.Errorf("somebody without the secret got %d", status)
	}
}
