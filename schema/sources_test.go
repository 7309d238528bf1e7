package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const sourcesFile = "../deploy/dbt/sources.yml"

// calls are the views with parameters, each with some: a new one is a line here, and a grant in deploy/clickhouse.
var calls = []string{
	"report_funnel_daily(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30', k = 50)",
	"report_ledger(since = '2026-11-01', until = '2026-11-30')",
	"report_lift(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')",
	"report_lift_all(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')",
	"report_offer_daily(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')",
	"report_traffic(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')",
	"v_events_between(site = 'demo', since = '2026-11-01', until = '2026-11-30')",
}

func TestSourcesOfDbtAreTheViewsOfTheServer(t *testing.T) {
	want := newDB(t).sources(t)
	if *update {
		if err := os.WriteFile(sourcesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(sourcesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("deploy/dbt/sources.yml is not what the server says: run make schema\n%s", firstDifference(string(got), want))
	}
}

// sources is the views that analysts read, with their columns, as dbt wants to be told.
func (d db) sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Made from the comments in ClickHouse by make schema; a test keeps it true. Copy it into models/ of a dbt project whose
# profile is the user of deploy/clickhouse/beckon-analyst.xml. A view with parameters is called:
#   select * from {{ source('beckon', 'report_traffic') }}(site = 'demo', timezone = 'Europe/Berlin', since = '2026-11-01', until = '2026-11-30')
version: 2

sources:
  - name: beckon
    schema: beckon
    description: "Beckon's views for analysts: production only, each event once, nothing expired, no state to merge"
    tables:
`)
	for name := range strings.Lines(d.text(t, "SELECT name FROM system.tables WHERE database = '"+d.name+"' AND engine = 'View' AND name NOT LIKE '%\\_all' ORDER BY name")) {
		name = strings.TrimSpace(name)
		call := name
		for _, c := range calls {
			if strings.HasPrefix(c, name+"(") {
				call = c
			}
		}
		fmt.Fprintf(&b, "      - name: %s\n        description: %s\n", name, quoted(t, d.text(t, "SELECT comment FROM system.tables WHERE database = '"+d.name+"' AND name = '"+name+"'")))
		if call != name {
			fmt.Fprintf(&b, "        meta:\n          call: %s\n", quoted(t, call))
		}
		b.WriteString("        columns:\n")
		explanations := d.explanations(t, name)
		for _, c := range d.describe(t, call) {
			if explanations[c.name].comment == "" {
				t.Errorf("%s.%s is explained nowhere", name, c.name)
			}
			fmt.Fprintf(&b, "          - name: %s\n            data_type: %s\n            description: %s\n", quoted(t, c.name), quoted(t, strings.ReplaceAll(strings.Join(strings.Fields(c.kind), " "), "( ", "(")), quoted(t, explanations[c.name].comment))
		}
	}
	return b.String()
}

// DESCRIBE cannot follow a view with parameters, and the server does not hold its columns to those that were
// written down for readers.
func TestViewsWithParametersHaveTheColumnsThatTheyExplain(t *testing.T) {
	d := newDB(t)
	for _, call := range calls {
		name, _, _ := strings.Cut(call, "(")
		explanations, have := d.explanations(t, name), d.describe(t, call)
		for _, c := range have {
			if e := explanations[c.name]; e.kind != c.kind {
				t.Errorf("%s says %q of %s and has %s", name, e.kind, c.name, c.kind)
			}
		}
		if !strings.HasPrefix(name, "v_") && len(explanations) > len(have)+1 { // environment is not passed on
			t.Errorf("%s explains %d columns and has %d", name, len(explanations), len(have))
		}
	}
}

type column struct{ name, kind, comment string }

// describe asks what call, a view or a call of one, really gives.
func (d db) describe(t *testing.T, call string) (columns []column) {
	t.Helper()
	rows, err := d.Query(t.Context(), d.in("DESCRIBE (SELECT * FROM DB."+call+")"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		var rest [5]string
		if err := rows.Scan(&c.name, &c.kind, &rest[0], &rest[1], &rest[2], &rest[3], &rest[4]); err != nil {
			t.Fatal(err)
		}
		columns = append(columns, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return columns
}

// explained is what a statement says of a column, as the server prints it.
var explained = regexp.MustCompile("(?m)^    `([\\w.]+)` (.+?) (?:ALIAS .+ )?COMMENT '((?:[^'\\\\]|\\\\.)*)'")

// explanations are what is written of a view's columns, by name. The server lists none of a view with parameters, but prints
// those that it was made with; else they are those of the view or table that it passes on.
func (d db) explanations(t *testing.T, view string) map[string]column {
	t.Helper()
	columns := map[string]column{}
	for _, table := range []string{map[string]string{"v_events_between": "events"}[view], view + "_all", view} {
		create := d.text(t, "SELECT create_table_query FROM system.tables WHERE database = '"+d.name+"' AND name = '"+table+"'")
		if create == "" {
			continue
		}
		for _, c := range explained.FindAllStringSubmatch(d.text(t, "SHOW CREATE TABLE DB."+table), -1) {
			columns[c[1]] = column{c[1], c[2], strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(c[3])}
		}
		for name, comment := range d.pairs(t, "SELECT name, comment FROM system.columns WHERE database = '"+d.name+"' AND table = '"+table+"'") {
			columns[name] = column{name, columns[name].kind, comment}
		}
	}
	return columns
}

func (d db) pairs(t *testing.T, query string) map[string]string {
	t.Helper()
	rows, err := d.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	pairs := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		pairs[k] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

// quoted is a text in YAML, which takes what JSON does.
func quoted(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}
