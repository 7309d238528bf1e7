// Package recount is about what ClickHouse should say of a list of events: it counts them again, in Go, without
// looking at what the views made of them. Tests of faults hold every aggregate against it.
//
// It promises to be written from the meaning of the columns, not from the views' SQL, and to name the rows that
// differ. It stands beside the path of the data and in no binary.
package recount

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/event"
)

// Events is events by id: what was acknowledged.
type Events map[event.UUID]*event.Stored

// Compare refreshes the traffic of a database and returns what differs in `events`, `visitor_activity`,
// `sessions`, `orders`, `traffic` from the events, or nil.
func (all Events) Compare(ctx context.Context, conn driver.Conn, database string) error {
	for _, statement := range []string{"SYSTEM REFRESH VIEW %s.refresh_traffic", "SYSTEM WAIT VIEW %s.refresh_traffic"} {
		if err := conn.Exec(ctx, fmt.Sprintf(statement, database)); err != nil {
			return fmt.Errorf("recount: %w", err)
		}
	}
	var faults []string
	for _, t := range tables {
		got, err := read(ctx, conn, strings.ReplaceAll(t.query, "DB.", database+"."))
		if err != nil {
			return fmt.Errorf("recount: read %s: %w", t.name, err)
		}
		want := t.count(all)
		slices.Sort(want)
		if fault := difference(want, got); fault != "" {
			faults = append(faults, fmt.Sprintf("%s, -counted again +%s:\n%s", t.name, database, fault))
		}
	}
	if faults != nil {
		return fmt.Errorf("%s", strings.Join(faults, "\n"))
	}
	return nil
}

// table is a table, what it says, and what it should say, a line for each row.
type table struct {
	name, query string
	count       func(Events) []string
}

func read(ctx context.Context, conn driver.Conn, query string) ([]string, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, rows.Err()
}

const shown = 5 // differing rows in an error

func difference(want, got []string) string {
	var b strings.Builder
	missing, surplus := 0, 0
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			if missing++; missing <= shown {
				fmt.Fprintf(&b, "-%s\n", want[0])
			}
			want = want[1:]
		case len(want) == 0 || got[0] < want[0]:
			if surplus++; surplus <= shown {
				fmt.Fprintf(&b, "+%s\n", got[0])
			}
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	if missing+surplus == 0 {
		return ""
	}
	fmt.Fprintf(&b, "%d rows missing, %d too many", missing, surplus)
	return b.String()
}

// line is one row as text.
func line(fields ...any) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('|')
		}
		switch f := f.(type) {
		case [16]byte:
			fmt.Fprintf(&b, "%x", f)
		default:
			fmt.Fprint(&b, f)
		}
	}
	return b.String()
}

// group puts events together, each group in the order of time and id.
func (all Events) group(key func(*event.Stored) (string, bool)) map[string][]*event.Stored {
	groups := map[string][]*event.Stored{}
	for _, e := range all {
		if k, ok := key(e); ok {
			groups[k] = append(groups[k], e)
		}
	}
	for _, g := range groups {
		slices.SortFunc(g, inTime)
	}
	return groups
}

func inTime(a, b *event.Stored) int {
	return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]))
}

// personal says whether an event may be used for its visitor.
func personal(e *event.Stored) bool {
	return e.Lane.String() == "decide" && e.Bot == "" && e.Kind != event.Consent
}

func start(millis int64, of time.Duration) int64 { return millis - millis%of.Milliseconds() }

func count(g []*event.Stored, is func(*event.Stored) bool) (n int) {
	for _, e := range g {
		if is(e) {
			n++
		}
	}
	return n
}

func kinds(g []*event.Stored, k event.Kind) int {
	return count(g, func(e *event.Stored) bool { return e.Kind == k })
}

// different is the different values of those events that have one, sorted.
func different[T any](g []*event.Stored, value func(*event.Stored) (T, bool)) string {
	var list []string
	for _, e := range g {
		if v, ok := value(e); ok {
			list = append(list, line(v))
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}

func known(id [16]byte) ([16]byte, bool) { return id, id != [16]byte{} }

// earliest and latest are the text of the first and the last moment that has one; of several, the greatest.
func earliest(g []*event.Stored, text func(*event.Stored) string) string {
	return ofOneMoment(slices.All(g), text)
}

func latest(g []*event.Stored, text func(*event.Stored) string) string {
	return ofOneMoment(slices.Backward(g), text)
}

func ofOneMoment(events iter.Seq2[int, *event.Stored], text func(*event.Stored) string) (found string) {
	at := int64(0)
	for _, e := range events {
		t := text(e)
		if t == "" {
			continue
		}
		if found != "" && e.OccurredAt != at {
			break
		}
		at, found = e.OccurredAt, max(found, t)
	}
	return found
}

// last is the text of the last event that has one, by time and id.
func last(g []*event.Stored, text func(*event.Stored) string) string {
	for _, e := range slices.Backward(g) {
		if t := text(e); t != "" {
			return t
		}
	}
	return ""
}

func most(g []*event.Stored, value func(*event.Stored) int64) (m int64) {
	for _, e := range g {
		m = max(m, value(e))
	}
	return m
}
