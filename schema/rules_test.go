package schema

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write current.sql from the server's answer")

func TestCurrentSQLIsTheServersDump(t *testing.T) {
	d := newDB(t)
	got, err := Dump(t.Context(), d, d.name)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("current.sql", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("current.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("current.sql is not what the server has: run `make schema` and read the difference\n%s", firstDifference(string(want), got))
	}
}

// Whoever forgets one of these loses or doubles rows: the server's own defaults are the wrong ones.
func TestEveryTableDeduplicatesAndSyncs(t *testing.T) {
	d := newDB(t)
	tables := d.text(t, "SELECT name FROM system.tables WHERE database = '"+d.name+"' AND engine LIKE '%MergeTree' AND name != 'schema_files' ORDER BY name")
	for _, table := range strings.Split(tables, "\n") {
		create := d.text(t, "SELECT create_table_query FROM system.tables WHERE database = '"+d.name+"' AND name = '"+table+"'")
		for _, want := range []string{
			"non_replicated_deduplication_window = 100000", "replicated_deduplication_window = 100000",
			"replicated_deduplication_window_seconds = 604800", "fsync_after_insert = 1", "fsync_part_directory = 1",
			"TTL expires ",
		} {
			if !strings.Contains(create, want) {
				t.Errorf("table %s lacks %q", table, want)
			}
		}
	}
	for _, target := range []string{"visitor_activity", "sessions", "orders", "visitor_changes", "consents", "suppressed", "traffic", "traffic_touched", "loads", "ledger", "eligibility", "decisions", "events"} {
		if !strings.Contains("\n"+tables+"\n", "\n"+target+"\n") {
			t.Errorf("there is no table %s", target)
		}
	}
	feeds := d.text(t, "SELECT create_table_query FROM system.tables WHERE database = '"+d.name+"' AND engine = 'MaterializedView'")
	for _, feed := range strings.Split(feeds, "\n") {
		if !strings.Contains(feed, " TO "+d.name+".") {
			t.Errorf("a view keeps its rows in a table of its own, out of reach of these rules: %.120s", feed)
		}
	}
}

func TestDescribeExplainsEveryColumn(t *testing.T) {
	d := newDB(t)
	const readable = " database = '%' AND table IN (SELECT name FROM system.tables WHERE database = '%' AND engine != 'MaterializedView')"
	in := func(q string) string { return strings.ReplaceAll(q, "%", d.name) }
	if silent := d.text(t, in("SELECT table || '.' || name FROM system.columns WHERE comment = '' AND"+readable)); silent != "" {
		t.Errorf("columns without a comment:\n%s", silent)
	}
	if short := d.text(t, in("SELECT table || '.' || name || ': ' || comment FROM system.columns WHERE (length(comment) < 6 OR match(comment, '[^.]\\.$')) AND"+readable)); short != "" {
		t.Errorf("comments that are no phrase:\n%s", short)
	}
	if silent := d.text(t, in("SELECT name FROM system.tables WHERE comment = '' AND engine != 'MaterializedView' AND database = '%'")); silent != "" {
		t.Errorf("tables without a comment:\n%s", silent)
	}
	if states := d.text(t, in("SELECT table || '.' || name FROM system.columns WHERE table LIKE 'v\\_%' AND type LIKE '%AggregateFunction%' AND database = '%'")); states != "" {
		t.Errorf("analysts never have to say -Merge, but these are states:\n%s", states)
	}
	if got := d.text(t, "SELECT comment FROM system.columns WHERE database = '"+d.name+"' AND table = 'v_events' AND name = 'visitor'"); !strings.Contains(got, "hexadecimal") {
		t.Errorf("DESCRIBE v_events says of visitor: %q", got)
	}
}

// Refill inserts by position.
func TestFeedsHaveTheColumnsOfTheirTargetsInOrder(t *testing.T) {
	d := newDB(t)
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	feeds := 0
	for _, f := range all {
		target, query, ok := feed(f)
		if !ok {
			continue
		}
		feeds++
		name := strings.TrimSuffix(f.name[len("0000_create_"):], ".sql")
		list := func(table string) string {
			return d.text(t, "SELECT name FROM system.columns WHERE database = '"+d.name+"' AND table = '"+table+"' ORDER BY position")
		}
		if list(name) != list(target) {
			t.Errorf("%s and %s differ:\n%s", name, target, firstDifference(list(target), list(name)))
		}
		if strings.Count(query, "\nWHERE ") != 1 || !strings.Contains(query, "FROM {database}.events AS e\nWHERE ") {
			t.Errorf("%s: Refill needs one WHERE, right after FROM {database}.events AS e", f.name)
		}
	}
	if feeds != 7 {
		t.Errorf("%d feeds, want 7", feeds)
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return "-" + a + "\n+" + b
		}
	}
	return "no difference"
}
