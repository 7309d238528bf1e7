package ingest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"beckon/internal/proxy"
)

// page asks the private page of the probes.
func (p *Probes) page(t *testing.T, path string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s answers %q: %v", path, w.Body, err)
	}
	return w.Code
}

func (p *Probes) begin(t *testing.T) string {
	t.Helper()
	var opened struct{ Probe string }
	if code := p.page(t, "/probe", &opened); code != http.StatusOK || len(opened.Probe) != 32 {
		t.Fatalf("a probe is opened with %d, %q", code, opened.Probe)
	}
	return opened.Probe
}

// probe posts a body that names a probe.
func (s *shop) probe(id, body string, changes ...with) reply {
	s.Helper()
	return s.post(body, append(changes, header(probeHeader, id))...)
}

const emptyBatch = `{"v":1,"s":"demo","e":[]}`

func TestAProbeTellsHowABatchWithoutEventsArrives(t *testing.T) {
	f := func(name string, trusted string, want Sighting, changes ...with) {
		t.Helper()
		probes := new(Probes)
		s := openShop(t, func(c *Config) {
			c.Probes = probes
			if trusted != "" {
				c.Proxies = proxy.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix(trusted)}}
			}
		})
		id := probes.begin(t)
		if reply := s.probe(id, emptyBatch, changes...); reply.StatusCode != http.StatusNoContent || len(reply.Cookies()) > 0 {
			t.Fatalf("%s: answered %d with cookies %v", name, reply.StatusCode, reply.Cookies())
		}
		var got Sighting
		if code := probes.page(t, "/probe?id="+id, &got); code != http.StatusOK || got != want {
			t.Errorf("%s: %d %+v, want %+v", name, code, got, want)
		}
		var again map[string]string
		if code := probes.page(t, "/probe?id="+id, &again); code != http.StatusNotFound {
			t.Errorf("%s: told a second time, %d", name, code)
		}
		if stats := s.spool.Stats(); stats.Records != 0 {
			t.Errorf("%s: %d records were stored", name, stats.Records)
		}
		if len(s.spool.Ledger()) > 0 {
			t.Errorf("%s: the ledger has %v", name, s.spool.Ledger())
		}
	}
	f("directly", "", Sighting{Network: "127.0.0.0/24"})
	f("through a proxy that is not trusted", "", Sighting{Network: "127.0.0.0/24", Forwarded: true}, header("X-Forwarded-For", "203.0.113.77"), header("X-Forwarded-Proto", "https"))
	f("through a trusted one", "127.0.0.0/8", Sighting{Network: "203.0.113.0/24", Proxied: true, Forwarded: true, HTTPS: true}, header("X-Forwarded-For", "203.0.113.77"), header("X-Forwarded-Proto", "https"))
	f("through one that says nothing", "127.0.0.0/8", Sighting{Network: "127.0.0.0/24", Proxied: true, Own: true})
	f("through one that says nonsense", "127.0.0.0/8", Sighting{Proxied: true, Forwarded: true}, header("X-Forwarded-For", "unknown"))
}

func TestAProbeIsLookedAtOnlyWhereItWasOpened(t *testing.T) {
	probes := new(Probes)
	s := openShop(t, func(c *Config) { c.Probes = probes })
	id := probes.begin(t)
	s.probe(strings.Repeat("0", 32), emptyBatch)
	if len(probes.open) != 1 {
		t.Errorf("a stranger's name made a probe: %d are open", len(probes.open))
	}
	s.probe(id, `{"v":1,"s":"demo","e":[{"n":"page_view","u":"https://shop.example/"}]}`)
	s.probe(id, `{"v":1,"s":"nobody","e":[]}`)
	var none map[string]string
	if code := probes.page(t, "/probe?id="+id, &none); code != http.StatusNotFound {
		t.Errorf("an event, or a refused batch, was looked at: %d", code)
	}
	probes.open[id].until = time.Now().Add(-time.Second)
	s.probe(id, emptyBatch)
	if code := probes.page(t, "/probe?id="+id, &none); code != http.StatusNotFound {
		t.Errorf("a probe of over a minute ago is told: %d", code)
	}
}

func TestProbesAreFewAndEnd(t *testing.T) {
	probes := new(Probes)
	now := time.Now()
	first := probes.start(now)
	for i := range maxProbes {
		if probes.open[first] == nil {
			t.Fatalf("the first was given up for number %d", i+1)
		}
		probes.start(now.Add(time.Duration(i+1) * time.Millisecond))
	}
	if len(probes.open) != maxProbes || probes.open[first] != nil {
		t.Errorf("%d are open, the oldest %v", len(probes.open), probes.open[first] != nil)
	}
	if probes.start(now.Add(probeLife+time.Second)) == "" || len(probes.open) != 1 {
		t.Errorf("those of a minute ago are still there: %d", len(probes.open))
	}
	var p *Probes
	s := openShop(t, func(c *Config) { c.Probes = p })
	if reply := s.probe("x", emptyBatch); reply.StatusCode != http.StatusNoContent {
		t.Errorf("without probes a batch is answered %d", reply.StatusCode)
	}
}
