package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// diagnosis is what the doctor says for machines.
type diagnosis struct {
	Outcome string
	Checks  []struct {
		Name, Outcome string
		Findings      []struct{ Outcome, Seen, Mend string }
	}
}

// doctor asks it about a page, with everything that it may know.
func (s *devStack) doctor(t *testing.T, sites, page string) (d diagnosis, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "beckon-collector"), "doctor", "--json", "--site", "demo", "--url", page, "--sites", sites,
		"--admin", s.addr["--collector-admin"], "--clickhouse-dsn", "clickhouse://default@"+s.addr["--clickhouse-native"]+"/default")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("the doctor says %q: %v", out, err)
	}
	return d, cmd.ProcessState.ExitCode()
}

func TestDoctorFindsNothingInTheDemoShopAndEveryFaultOfABrokenOne(t *testing.T) {
	dev := startDevStack(t)
	sites := filepath.Join(dev.state, "sites.yaml")
	view(t, dev, "/")
	eventually(t, func() error {
		if n := strings.TrimSpace(string(dev.query(t, "SELECT count() FROM events"))); n != "1" {
			return fmt.Errorf("%s events, want the one that was sent", n)
		}
		return nil
	})

	d, code := dev.doctor(t, sites, dev.url("/product/harbour-mug"))
	if code != 0 || d.Outcome == "fault" || d.Outcome == "warning" {
		t.Errorf("the demo shop ends with %d, %s", code, d.Outcome)
	}
	for _, c := range d.Checks {
		if c.Outcome != "ok" && c.Name != "tls" {
			t.Errorf("%s: %+v", c.Name, c.Findings)
		}
	}

	// The same shop behind a server that spoils what it can.
	upstream, err := url.Parse(dev.url(""))
	if err != nil {
		t.Fatal(err)
	}
	broken := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(upstream)
			if pr.In.Header.Get("Origin") != "" { // else nothing else could be seen for the origin that nobody lists
				pr.Out.Header.Set("Origin", dev.url(""))
			}
		},
		ModifyResponse: func(r *http.Response) error {
			switch path := r.Request.URL.Path; {
			case path == "/":
				r.Header.Set("Content-Security-Policy", "script-src 'self'; connect-src 'none'")
			case path == "/px/b.js":
				r.Header.Set("Cache-Control", "public, max-age=31536000")
			case path == "/px/v1/decision":
				r.Header.Set("Cache-Control", "public, max-age=60")
			case path == "/.well-known/gpc.json":
				r.StatusCode = http.StatusNotFound
			}
			r.Header.Del("Set-Cookie")
			return nil
		},
	})
	defer broken.Close()
	d, code = dev.doctor(t, sites, broken.URL)
	if code != 1 || d.Outcome != "fault" {
		t.Errorf("the broken shop ends with %d, %s", code, d.Outcome)
	}
	var got []string
	for _, c := range d.Checks {
		for _, f := range c.Findings {
			if f.Outcome == "fault" || f.Outcome == "warning" {
				got = append(got, f.Outcome+" "+c.Name)
				if f.Mend == "" {
					t.Errorf("%s says no way to mend: %s", c.Name, f.Seen)
				}
			}
		}
	}
	want := []string{
		"fault site", "warning tag-file", "fault csp", "fault csp", "fault decision", "fault cookie", "warning gpc",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q\n%+v", got, want, d.Checks)
	}

	if n := strings.TrimSpace(string(dev.query(t, "SELECT count() FROM events"))); n != "1" {
		t.Errorf("there are %s events after the doctor, want the one from before", n)
	}
}
