package e2e_test

import (
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// openFeatureDir holds the official OpenFeature clients and what they are put through.
const openFeatureDir = "openfeature"

const (
	serverKey     = "test"
	serverKeyLine = `    server_keys: ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]` + "\n"
)

// The official clients, in Node, against the real aggregator: what they make of its answers is what counts.
func TestOpenFeatureClientsUnderstandTheAggregator(t *testing.T) {
	s := newStack(t)
	s.writeSites(strings.Replace(sitesText, "    currency: EUR\n", "    currency: EUR\n"+serverKeyLine, 1))
	s.start()
	limited := s.newAggregator("spool-limited", "--limit-client", "1")
	limited.start()
	eventually(t, limited.ready)
	v := s.newVisitor("demo")
	v.becomesEligible()

	cmd := exec.Command("node", "--test", "--test-reporter=spec", "conformance.test.mjs")
	cmd.Dir = openFeatureDir
	cmd.Env = append(os.Environ(),
		"BECKON_URL=http://"+s.aggregator.public, "BECKON_LIMITED_URL=http://"+limited.public, "BECKON_ORIGIN="+shopOrigin,
		"BECKON_COOKIE="+v.copied(), "BECKON_VISIT="+v.cookie("_bk_demo"), "BECKON_KEY="+serverKey)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(string(said), "pass 10") {
		t.Errorf("not all was tried:\n%s", said)
	}
}

// cookie is the value of a cookie that the visitor has.
func (v *visitor) cookie(name string) string {
	v.t.Helper()
	for _, c := range v.client.Jar.Cookies(&url.URL{Scheme: "http", Host: v.s.collector.public}) {
		if c.Name == name {
			return c.Value
		}
	}
	v.t.Fatalf("no cookie %s", name)
	return ""
}
