package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"beckon/aggregator/backtest"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/keyring"
	"beckon/schema"
)

const backtestSites = `sites:
  - id: demo
    origins: [http://shop.example]
    currency: EUR
    timezone: Europe/Berlin
    offers:
      - id: welcome-back
        enabled: false
        when: visitor.sessions_7d >= 2
        discount: {percent: 10}
`

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

// backtestPlace is a folder with a sites file and keys, in which commands are run as in a shell.
func backtestPlace(t *testing.T, dsn string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("sites.yaml", []byte(backtestSites), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Init("keyring", []string{"demo"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BECKON_CLICKHOUSE_DSN", dsn)
}

// runBacktest runs a line of a shell that begins with the name of the binary.
func runBacktest(t *testing.T, line string) (out string, err error) {
	t.Helper()
	var c cli
	k, err := kong.New(&c, kong.DefaultEnvars("BECKON"), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(line)
	if words[0] != "beckon-aggregator" {
		t.Fatalf("%q is not a command of this binary", line)
	}
	if _, err := k.Parse(words[1:]); err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = c.Backtest.run(t.Context(), &b, &bytes.Buffer{})
	return b.String(), err
}

func TestBacktestSaysWhatIsWrongInPlainWords(t *testing.T) {
	backtestPlace(t, "clickhouse://default@127.0.0.1:1/default")
	f := func(arguments, want string) {
		t.Helper()
		_, err := runBacktest(t, "beckon-aggregator backtest "+arguments)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", arguments, err, want)
		}
	}
	f("--offer welcome-back", "--site")
	f("--site demo", "--offer")
	f("--site demo --offer welcome-back --days 0", "--days 0: write 1 to 366")
	f("--site dem --offer welcome-back", `--site: sites.yaml has no site "dem"; it has ["demo"]`)
	f("--site demo --offer welcome-back --sites nowhere.yaml", "--sites: read sites file: open nowhere.yaml")
	f("--site demo --offer welcome-back --keyring-dir nowhere", "--keyring-dir: ")
	f("--site demo --offer welcome-back", "--clickhouse-dsn: connect to clickhouse at 127.0.0.1:1")
	wrong := strings.Replace(backtestSites, "sessions_7d", "session_7d", 1)
	if err := os.WriteFile("sites.yaml", []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	f("--site demo --offer welcome-back", "--sites: sites.yaml:9:15: sites[0].offers[0].when: visitor.session_7d is no feature; did you mean visitor.sessions_7d?")
}

// section is what docs/decisions.md says about backtests.
func section(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## Before launch: backtest\n")
	if !found {
		t.Fatal("docs/decisions.md has no section about backtests")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// TestEveryCommandOfTheDocsRuns runs the snippets of docs/decisions.md about backtests, before there is a history and with one.
func TestEveryCommandOfTheDocsRuns(t *testing.T) {
	text := section(t)
	server := chlocal.ForTest(t)
	conn, err := chconn.Open(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, "beckon"); err != nil {
		t.Fatal(err)
	}
	backtestPlace(t, server.DSN())
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(lines) != 2 {
		t.Fatalf("%d commands, want 2: %q", len(lines), lines)
	}
	if _, err := runBacktest(t, lines[0]); err == nil || !strings.Contains(err.Error(), "no history: site demo has no events") {
		t.Errorf("without history: %v", err)
	}
	if err := conn.Exec(t.Context(), `INSERT INTO beckon.events (site, environment, event_id, kind, source, lane, received_at, occurred_at, visitor, session, rate, expires, profile_expires)
		SELECT 'demo', 'production', toFixedString(toString(number), 16), 'page_view', 'beacon', 'decide', at, now64(3) - INTERVAL number + 1 HOUR AS at, toFixedString('v', 16), toFixedString(toString(number), 16), 1, today() + 90, today() + 90
		FROM numbers(3)`); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		out, err := runBacktest(t, line)
		if err != nil || !strings.Contains(out, "1 eligible") || !strings.Contains(out, "WARNING: with its holdout of 0%") {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	written, err := os.ReadFile("backtest.json")
	if err != nil {
		t.Fatal(err)
	}
	var r backtest.Result
	if err := json.Unmarshal(written, &r); err != nil || r.VisitorsEligible != 1 || r.Events != 3 || len(r.Days) != 30 {
		t.Errorf("JSON: %v, %d eligible of %d events in %d days", err, r.VisitorsEligible, r.Events, len(r.Days))
	}
	if chart, err := os.ReadFile("backtest.svg"); err != nil || !bytes.HasPrefix(chart, []byte("<svg")) {
		t.Errorf("no chart: %v", err)
	}
	if out, err := runBacktest(t, lines[0]+" --json -"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("--json - does not print JSON only: %v\n%s", err, out)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := runBacktest(t, lines[0]); err == nil || !strings.Contains(err.Error(), "--clickhouse-dsn: connect to clickhouse at") {
		t.Errorf("ClickHouse down: %v", err)
	}
}

// TestEveryFieldOfTheJSONIsDocumented keeps the table in docs/decisions.md whole.
func TestEveryFieldOfTheJSONIsDocumented(t *testing.T) {
	text := section(t)
	_, table, _ := strings.Cut(text, "### The JSON")
	seen := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		switch {
		case of == reflect.TypeFor[time.Time](), of.Kind() != reflect.Struct && of.Kind() != reflect.Slice:
			return
		case of.Kind() == reflect.Slice:
			walk(of.Elem())
			return
		}
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if seen[name] = true; !strings.Contains(table, fmt.Sprintf("`%s`", name)) {
				t.Errorf("docs/decisions.md does not document %s", name)
			}
			if name != "sums" { // which are those of the report
				walk(of.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[backtest.Result]())
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(table, -1) {
		if !seen[m[1]] {
			t.Errorf("docs/decisions.md documents %s, which the JSON does not have", m[1])
		}
	}
}
