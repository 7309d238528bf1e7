package schema

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	analystsPage     = "../docs/analysts.md"
	analystFile      = "../deploy/clickhouse/beckon-analyst.xml"
	analystPassword  = "of-the-test"
	analystSHA256    = "423c40dedf27b5b024a1a5f7c51777b4913ba395aa0e61b63898d96430988494" // of analystPassword
	analystsDatabase = "beckon"                                                           // the grants name it
)

// question is one of the page: its words stay, its answer is renewed with -update.
var question = regexp.MustCompile("(?ms)^## ([0-9]+\\. [^\n]+)\n(.*?)```sql\n(.*?)\n```\n(\n(?:\\|[^\n]*\n)*)?")

// Each query of the page is run as its readers would, and its answer is counted once more in Go.
func TestAnalystsPageAnswersItsQuestions(t *testing.T) {
	d, v := analystsDB(t), invent()
	v.store(t, d)
	f := newFacts(v)
	page, err := os.ReadFile(analystsPage)
	if err != nil {
		t.Fatal(err)
	}
	open := maps.Clone(questions)
	renewed := question.ReplaceAllStringFunc(string(page), func(section string) string {
		part := question.FindStringSubmatch(section)
		title, query, printed := part[1], part[3], part[4]
		count := open[title]
		if count == nil {
			t.Errorf("%q is no question that the test can answer", title)
			return section
		}
		delete(open, title)
		lines := count(f)
		if got, err := asAnalyst(query); err != nil {
			t.Errorf("%s\n%v", title, err)
		} else if want := strings.Join(lines, "\n"); got != want {
			t.Errorf("%s\nClickHouse says\n%s\nit is\n%s", title, got, want)
		}
		ruler := strings.Repeat("|---", strings.Count(lines[0], "|")-1) + "|"
		table := "\n" + strings.Join(slices.Insert(lines, 1, ruler), "\n") + "\n"
		if printed != table && !*update {
			t.Errorf("%s\nthe page prints another answer: run go test ./schema -run TestAnalysts -update\n%s", title, firstDifference(printed, table))
		}
		return strings.TrimSuffix(section, printed) + table
	})
	for _, title := range slices.Sorted(maps.Keys(open)) {
		t.Errorf("the page does not ask %q", title)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(analystsPage, []byte(renewed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnalystReadsEveryViewAndNothingElse(t *testing.T) {
	d := analystsDB(t)
	d.insert(t, "1", view("anna"), view("ben", func(r *row) { r.Environment = "staging" }), order("server", "1", 1))
	views := d.text(t, "SELECT name FROM system.tables WHERE database = 'beckon' AND engine = 'View' AND create_table_query NOT LIKE '%{%:%}%'")
	for _, v := range append(strings.Split(views, "\n"), calls...) {
		if _, err := asAnalyst("SELECT * FROM beckon." + v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, query := range []string{
		"INSERT INTO beckon.ledger (site) VALUES ('x')",
		"ALTER TABLE beckon.events DELETE WHERE 1",
		"DROP VIEW beckon.v_events",
		"TRUNCATE TABLE beckon.orders",
		"CREATE TABLE beckon.mine (a UInt8) ENGINE = Memory",
		"SELECT * FROM beckon.suppressed",
		"SELECT suppress_key FROM beckon.events",
		"SELECT * FROM beckon.eligibility",
		"SELECT * FROM beckon.consents",
		"SELECT * FROM beckon.visitor_changes",
		"SELECT * FROM beckon.schema_files",
		"SELECT * FROM system.users",
		"SELECT * FROM file('users.xml', 'LineAsString')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1', 'beckon.events')",
		"SELECT 1 SETTINGS readonly = 0",
		"SELECT 1 SETTINGS max_memory_usage = 0",
		"SELECT 1 SETTINGS max_execution_time = 3600",
		"SELECT 1 SETTINGS max_threads = 64",
		"KILL QUERY WHERE 1 SYNC",
		"SYSTEM STOP MERGES beckon.events",
	} {
		if got, err := asAnalyst(query); err == nil {
			t.Errorf("an analyst may say %s and hears %q", query, got)
		} else if !regexp.MustCompile(`Code: (497|164|452|291)\.`).MatchString(err.Error()) { // access denied, readonly, constraint, database access
			t.Errorf("%s: refused for another reason: %v", query, err)
		}
	}
}

// An expired row is shown to no analyst, whatever table is read, and its filter is theirs alone: with it installed, all
// others, such as the services, read what they read before.
func TestFilterOfTheAnalystIsNobodyElses(t *testing.T) {
	d := analystsDB(t)
	d.exec(t, "SYSTEM STOP TTL MERGES")
	t.Cleanup(func() { d.Exec(context.Background(), "SYSTEM START TTL MERGES") })
	gone := order("server", "1", 1)
	gone.Expires, gone.ProfileExpires = base, base
	d.insert(t, "1", gone, view("ben"))
	d.decide(t, "1", granted("a", 1, func(a *answer) { a.Expires = base }), granted("b", 1))
	for table, others := range map[string]string{"events": "2", "sessions": "2", "visitor_activity": "2", "orders": "1", "decisions": "2"} {
		d.want(t, "SELECT toString(count()) FROM DB."+table, others)
		want := "1"
		if table == "orders" {
			want = "0"
		}
		if got, err := asAnalyst("SELECT count() AS n FROM beckon." + table); err != nil || got != "| n |\n| "+want+" |" {
			t.Errorf("%s: an analyst sees %q, %v; want %s", table, got, err, want)
		}
	}
}

// analystsDB is the database that the grants of the analyst name.
func analystsDB(t *testing.T) db {
	t.Helper()
	d := db{connect(t, shared), analystsDatabase}
	t.Cleanup(func() { d.Exec(context.Background(), "DROP DATABASE IF EXISTS beckon SYNC") })
	if err := Apply(t.Context(), d, d.name); err != nil {
		t.Fatal(err)
	}
	return d
}

// asAnalyst asks over HTTP, as analysts' tools do, and returns the answer as lines of a table.
func asAnalyst(query string) (string, error) {
	ask := url.URL{Scheme: "http", Host: shared.HTTPAddr(), Path: "/", RawQuery: "default_format=TSVWithNames"}
	req, err := http.NewRequest(http.MethodPost, ask.String(), strings.NewReader(query))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("analyst", analystPassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%.600s", body)
	}
	var lines []string
	for l := range strings.Lines(string(body)) {
		var fields []any
		for f := range strings.SplitSeq(strings.TrimSuffix(l, "\n"), "\t") {
			fields = append(fields, f)
		}
		lines = append(lines, line(fields...))
	}
	return strings.Join(lines, "\n"), nil
}

// writeServerConfig writes the configuration of the tests' server into dir: the file that operators copy, beside the least that
// a server needs.
func writeServerConfig(dir string) (string, error) {
	analyst, err := os.ReadFile(analystFile)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir+"/users.d", 0o700); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"users.d/beckon-analyst.xml": string(analyst),
		"users.xml": `<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>
			<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users></clickhouse>`,
		"config.xml": "<clickhouse><logger><level>error</level><console>true</console></logger><users_config>" + dir + "/users.xml</users_config></clickhouse>",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir + "/config.xml", os.Setenv("BECKON_ANALYST_SHA256", analystSHA256)
}
