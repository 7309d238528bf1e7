package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// snapshot is what each table says to its readers: its rows merged by its sorting key, states
// finalised, in a fixed order. Two snapshots are equal when no reader could tell the difference.
// events is left out, v_events_all stands for it.
func (d db) snapshot(t *testing.T) map[string]string {
	t.Helper()
	s := map[string]string{"v_events_all": d.text(t, "SELECT toString(tuple(*)) FROM DB.v_events_all ORDER BY 1")}
	tables := d.text(t, "SELECT name FROM system.tables WHERE database = '"+d.name+"' AND engine LIKE '%MergeTree' AND name NOT IN ('events', 'schema_files')")
	for _, table := range strings.Split(tables, "\n") {
		s[table] = d.text(t, d.finalised(t, table))
	}
	return s
}

// finalised returns a query over table that gives one line of text for each value of its sorting key.
func (d db) finalised(t *testing.T, table string) string {
	t.Helper()
	var columns []struct {
		Name, Type string
		Key        uint8
	}
	err := d.Select(t.Context(), &columns, "SELECT name AS Name, type AS Type, is_in_sorting_key AS Key FROM system.columns WHERE database = ? AND table = ? ORDER BY position", d.name, table)
	if err != nil {
		t.Fatal(err)
	}
	var keys, shown []string
	for _, c := range columns {
		name := "t.`" + c.Name + "`"
		_, inner, _ := strings.Cut(c.Type, "AggregateFunction(")
		function, _, _ := strings.Cut(inner, ",")
		switch {
		case c.Name == "touched_at" || c.Name == "built_at": // the server's clock
		case c.Key == 1:
			keys = append(keys, name)
			shown = append(shown, name)
		case strings.HasPrefix(c.Type, "AggregateFunction"):
			shown = append(shown, function+"Merge("+name+")")
		case function == "groupUniqArrayArray":
			shown = append(shown, "arraySort(groupUniqArrayArray("+name+"))")
		case function != "":
			shown = append(shown, function+"("+name+")")
		default:
			shown = append(shown, "argMax("+name+", tuple(t.*))")
		}
	}
	return fmt.Sprintf("SELECT toString(tuple(%s)) AS line FROM DB.`%s` AS t GROUP BY %s ORDER BY line",
		strings.Join(shown, ", "), table, strings.Join(keys, ", "))
}

func sameSnapshot(t *testing.T, before, after map[string]string) {
	t.Helper()
	for _, table := range slices.Sorted(maps.Keys(before)) {
		if before[table] != after[table] {
			t.Errorf("%s changed:\n%s", table, firstDifference(before[table], after[table]))
		}
	}
}

// rowsStored counts the rows of every table before any merge could hide a repeated one.
func (d db) rowsStored(t *testing.T) map[string]string {
	t.Helper()
	n := map[string]string{}
	for _, table := range d.targets(t) {
		n[table] = d.text(t, "SELECT toString(count()) FROM DB."+table)
	}
	return n
}

func (d db) targets(t *testing.T) []string {
	t.Helper()
	return strings.Split(d.text(t, "SELECT name FROM system.tables WHERE database = '"+d.name+"' AND engine LIKE '%MergeTree' AND name NOT IN ('schema_files', 'traffic') ORDER BY name"), "\n")
}

// stopMerges keeps what a repeated insert would add visible.
func (d db) stopMerges(t *testing.T) {
	t.Helper()
	for _, table := range d.targets(t) {
		d.exec(t, "SYSTEM STOP MERGES DB."+table)
	}
}
