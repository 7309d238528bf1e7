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

// askDoctor asks it about the site demo.
func askDoctor(t *testing.T, args ...string) (d diagnosis, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "beckon-collector"), append([]string{"doctor", "--json", "--site", "demo"}, args...)...)
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

// complaints are its warnings and faults.
func (d diagnosis) complaints() (all []string) {
	for _, c := range d.Checks {
		for _, f := range c.Findings {
			if f.Outcome == "fault" || f.Outcome == "warning" {
				all = append(all, f.Outcome+" "+c.Name+": "+f.Seen+" -> "+f.Mend)
			}
		}
	}
	return all
}

// doctor asks about a page, with everything that the doctor may know of this stack.
func (s *devStack) doctor(t *testing.T, page string) (diagnosis, int) {
	t.Helper()
	return askDoctor(t, "--url", page, "--sites", filepath.Join(s.state, "sites.yaml"),
		"--admin", s.addr["--collector-admin"], "--clickhouse-dsn", "clickhouse://default@"+s.addr["--clickhouse-native"]+"/default")
}

func TestDoctorFindsNothingInTheDemoShopAndEveryFaultOfABrokenOne(t *testing.T) {
	dev := startDevStack(t)
	view(t, dev, "/")
	eventually(t, func() error {
		if n := strings.TrimSpace(string(dev.query(t, "SELECT count() FROM events"))); n != "1" {
			return fmt.Errorf("%s events, want the one that was sent", n)
		}
		return nil
	})

	d, code := dev.doctor(t, dev.url("/product/harbour-mug"))
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
	d, code = dev.doctor(t, broken.URL)
	if code != 1 || d.Outcome != "fault" {
		t.Errorf("the broken shop ends with %d, %s", code, d.Outcome)
	}
	var got []string
	for _, complaint := range d.complaints() {
		head, _, _ := strings.Cut(complaint, ":")
		got = append(got, head)
		if strings.HasSuffix(complaint, "-> ") {
			t.Errorf("says no way to mend: %s", complaint)
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

func TestDoctorEndsWithTwoWhenItIsAskedWrongly(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(binDir, "beckon-collector"), append([]string{"doctor"}, args...)...)
		said, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); err == nil || code != 2 {
			t.Errorf("%q ends with %d:\n%s", args, code, said)
		}
	}
	f()
	f("--site", "demo", "--url", "https://shop.example/", "--timeout", "soon")
	f("--site", "demo", "--url", "shop.example", "--sites", filepath.Join("..", "..", "deploy", "sites.example.yaml"))
}
