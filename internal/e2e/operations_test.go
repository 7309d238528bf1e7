package e2e_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// scrape returns the metrics page of a service.
func (p *service) scrape(t *testing.T) string {
	t.Helper()
	reply, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s /metrics: %d (%v)", p.name, reply.StatusCode, err)
	}
	return string(body)
}

var metricName = regexp.MustCompile(`beckon_[a-z0-9_]+`)

// manual is the operators' page.
func manual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What monitoring reads: names and units as Prometheus wants them, each in the manual, and alerts that
// speak of metrics which exist.
func TestMetricsAreConventionalDocumentedAndWatched(t *testing.T) {
	s := startStack(t)
	const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36"
	for _, address := range []string{
		"http://" + s.collector.public + "/p.gif?s=demo&n=page_view", "http://" + s.collector.public + "/p.gif?s=demo&n=nonsense",
		"http://" + s.collector.public + "/p.gif?s=nobody&n=page_view", "http://" + s.aggregator.public + "/v1/decision?site=demo",
	} {
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Header.Set("User-Agent", agent)
		reply, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
	}

	exist := make(map[string]bool)
	for _, p := range []*service{s.collector, s.aggregator} {
		page := p.scrape(t)
		check := exec.Command("promtool", "check", "metrics")
		check.Stdin = strings.NewReader(page)
		if said, err := check.CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("promtool about %s: %v\n%s", p.name, err, said)
		}
		for line := range strings.Lines(page) {
			if rest, ok := strings.CutPrefix(line, "# TYPE "); ok && strings.HasPrefix(rest, "beckon_") {
				name, _, _ := strings.Cut(rest, " ")
				exist[name] = true
			}
		}
	}
	text := manual(t)
	for name := range exist {
		if !strings.Contains(text, "`"+name) {
			t.Errorf("docs/operations.md does not explain %s", name)
		}
	}

	rules := filepath.Join("..", "..", "deploy", "alerts.yaml")
	if said, err := exec.Command("promtool", "check", "rules", rules).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, said)
	}
	alerts, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range metricName.FindAllString(string(alerts), -1) {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
		if !exist[name] && !exist[base] && !strings.Contains(text, "`"+base) {
			t.Errorf("an alert watches %s, which nobody counts", name)
		}
	}
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1) {
		if !strings.Contains(text, "`"+alert[1]+"`") {
			t.Errorf("docs/operations.md does not say what to do on %s", alert[1])
		}
	}
}

var update = flag.Bool("update", false, "write docs/flags.md anew")

// A blocking fsync would stop everything on a machine with one core.
func TestBinariesKeepTwoThreadsOnOneCore(t *testing.T) {
	s := newStack(t)
	t.Setenv("GOMAXPROCS", "1")
	s.start()
	for _, p := range []*service{s.collector, s.aggregator} {
		if n := p.metric(t, "go_sched_gomaxprocs_threads"); n != 2 {
			t.Errorf("%s lets %v threads run Go code, want 2", p.name, n)
		}
	}
}

// The page of all commands and flags is what the binaries say of themselves. After a change run
// go test ./internal/e2e -run TestFlagsPage -update.
func TestFlagsPageIsWhatTheBinariesSay(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Commands and flags\n\nWhat `--help` says, every command of both binaries. Made by a test, which also keeps it true. Each flag can be an environment variable.\n")
	for _, name := range []string{"beckon-collector", "beckon-aggregator"} {
		fmt.Fprintf(&b, "\n## %s\n", name)
		for _, command := range commands(t, name) {
			fmt.Fprintf(&b, "\n### %s %s\n\n```text\n%s```\n", name, command, help(t, name, command))
		}
	}
	page := filepath.Join("..", "..", "docs", "flags.md")
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("docs/flags.md is not what the binaries say: run go test ./internal/e2e -run TestFlagsPage -update")
	}
}

// commands lists the commands of a binary, as its help does.
func commands(t *testing.T, name string) (list []string) {
	t.Helper()
	_, text, _ := strings.Cut(help(t, name, ""), "\nCommands:\n")
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   ") {
			for i, word := range words {
				if strings.ContainsAny(word, "[<") {
					words = words[:i]
					break
				}
			}
			list = append(list, strings.Join(words, " "))
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s lists no commands", name)
	}
	return list
}

func help(t *testing.T, name, command string) string {
	t.Helper()
	said, err := exec.Command(filepath.Join(binDir, name), append(strings.Fields(command), "--help")...).Output()
	if err != nil {
		t.Fatalf("%s %s --help: %v", name, command, err)
	}
	return string(said)
}
