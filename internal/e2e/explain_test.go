package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// explains runs the command for a cookie.
func (s *stack) explains(siteID, cookie string) (said string, ok bool) {
	s.t.Helper()
	out, err := exec.Command(filepath.Join(binDir, "beckon-aggregator"), "explain", "--site", siteID, "--visitor-cookie", cookie,
		"--sites", s.path("sites.yaml"), "--keyring-dir", s.path("keyring"), "--clickhouse-dsn", s.clickhouse.DSN()).CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err == nil
}

func TestExplainNamesEveryGateAndServesNothing(t *testing.T) {
	s := startStack(t)
	v := s.newVisitor("demo")
	v.mayHaveOffer()
	cookie := v.cookie("_bk_demo")
	said, ok := s.explains("demo", cookie)
	for _, line := range []string{
		"reason TARGETING_MATCH eligible true offer welcome-back rule welcome-back@", "lane decide", "welcome-back enabled true", "welcome-back rule true",
		"welcome-back cooldown true", "welcome-back holdout true", "sessions_7d 2",
	} {
		if !ok || !strings.Contains(said, line) {
			t.Errorf("%q is not said:\n%s", line, said)
		}
	}
	if n := s.number("SELECT count() FROM decisions"); n != 0 {
		t.Errorf("looking recorded %d decisions", n)
	}
	other := "A"
	if cookie[20] == 'A' {
		other = "B"
	}
	if said, ok := s.explains("demo", cookie[:20]+other+cookie[21:]); !ok || !strings.Contains(said, "reason ") || strings.Contains(said, "eligible true") {
		t.Errorf("a forged cookie: %v %s", ok, said)
	}
	for _, site := range []string{"half", "nowhere"} {
		if said, ok := s.explains(site, cookie); ok == (site == "nowhere") || strings.Contains(said, "eligible true") {
			t.Errorf("site %s: %v %s", site, ok, said)
		}
	}
}
