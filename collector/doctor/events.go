package doctor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

//go:embed events.sql
var eventsSQL string

//go:embed lanes.sql
var lanesSQL string

const quiet = 24 * time.Hour // a shop that sells has a page view every day

// stored is what ClickHouse has of the site.
type stored struct {
	asked       bool
	err         error
	events      uint64
	first, last time.Time
	lanes       []string // of the last hour, in words
}

func readStored(ctx context.Context, c *Config) (s stored) {
	if c.Connect == nil {
		return s
	}
	s.asked = true
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := c.Connect(ctx)
	if err != nil {
		s.err = err
		return s
	}
	defer conn.Close()
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"database": c.Database, "site": c.Site}),
		clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": max(1, int(c.Timeout.Seconds()))}))
	if s.err = conn.QueryRow(ctx, eventsSQL).Scan(&s.events, &s.first, &s.last); s.err != nil {
		return s
	}
	rows, err := conn.Query(ctx, lanesSQL)
	if err != nil {
		s.err = err
		return s
	}
	defer rows.Close()
	for rows.Next() {
		var lane string
		var n uint64
		if s.err = rows.Scan(&lane, &n); s.err != nil {
			return s
		}
		s.lanes = append(s.lanes, fmt.Sprintf("%d in %s", n, lane))
	}
	s.err = rows.Err()
	return s
}

// counters is what the collector has counted of the site since it started, and when it last accepted one that
// ClickHouse does not have yet.
type counters struct {
	asked   bool
	err     error
	stored  float64
	dropped []string // in words
	waiting uint64   // stored here, not in ClickHouse
}

func (c *client) readCounters(ctx context.Context) (n counters) {
	if c.config.Admin == "" {
		return n
	}
	n.asked = true
	var text string
	if n.err = c.askAdmin(ctx, "/metrics", &text); n.err != nil {
		return n
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || families["beckon_build_info"] == nil {
		n.err = errors.New("/metrics of the private port is not the collector's")
		return n
	}
	for _, m := range families["beckon_ingest_events_total"].GetMetric() {
		label := make(map[string]string)
		for _, pair := range m.GetLabel() {
			label[pair.GetName()] = pair.GetValue()
		}
		switch value := m.GetCounter().GetValue(); {
		case label["site"] != c.config.Site || value == 0:
		case label["outcome"] == "stored":
			n.stored = value
		default:
			n.dropped = append(n.dropped, fmt.Sprintf("%.0f %s", value, label["outcome"]))
		}
	}
	var ledger []struct {
		Site, Reason string
		N            uint64
	}
	if n.err = c.askAdmin(ctx, "/ledger", &ledger); n.err != nil {
		return n
	}
	for _, line := range ledger {
		if line.Site == c.config.Site && line.Reason == "stored" {
			n.waiting += line.N
		}
	}
	return n
}

func checkEvents(f *facts) (found []Finding) {
	switch {
	case f.site == nil:
		return notChecked("the sites file does not know the site", "")
	case !f.stored.asked && !f.counters.asked:
		return notChecked("neither ClickHouse nor the collector was named", "name ClickHouse with --clickhouse-dsn, or the collector's private port with --admin")
	}
	if s := &f.stored; s.asked {
		found = append(found, s.judge(f.config.Now()))
	}
	if n := &f.counters; n.asked {
		found = append(found, n.judge(f.stored.events > 0))
	}
	return found
}

func (s *stored) judge(now time.Time) Finding {
	switch {
	case s.err != nil:
		return Finding{Outcome: NotChecked, Seen: "because ClickHouse does not answer: " + firstLine(s.err), Mend: "--clickhouse-dsn, --database: the account must be allowed to read events"}
	case s.events == 0:
		return warning("ClickHouse has no event of this site", "open the page in a browser, and ask again a few seconds later; if there is still none, look at the browser's network panel for e, and at beckon_loader_failing")
	}
	seen := fmt.Sprintf("the first event came %s, the last %s, %d in all; in the last hour %s", s.first.UTC().Format(time.DateTime), s.last.UTC().Format(time.DateTime)+" UTC", s.events, orNone(list(s.lanes), "none of people"))
	if now.Sub(s.last) > quiet {
		return warning(seen, "nothing has come for over a day: did the tag go with a change of the theme?")
	}
	return ok(seen)
}

func (n *counters) judge(before bool) Finding {
	if n.err != nil {
		return Finding{Outcome: NotChecked, Seen: "because " + n.err.Error(), Mend: "--admin is the address of the collector's --admin"}
	}
	seen := fmt.Sprintf("since it started the collector has stored %.0f events of this site, %d of them not yet in ClickHouse", n.stored, n.waiting)
	if len(n.dropped) > 0 {
		seen += "; not stored: " + list(n.dropped)
	}
	if n.stored == 0 && !before {
		return warning(seen, "open the page in a browser, and ask again")
	}
	return ok(seen)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
