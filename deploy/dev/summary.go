package main

import (
	"fmt"
	"io"
	"strings"

	"beckon/internal/site"
)

// browser is what curl calls itself in the summary: a program gets no offer, and its events are left out.
const browser = "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0"

// summary prints where everything is and what to try first, with the first site of the sites file.
// Its last line is "ready": scripts wait for it.
func (c *Config) summary(w io.Writer, s *site.Site) {
	line := func(name, value string) { fmt.Fprintf(w, "  %-12s %s\n", name, value) }
	fmt.Fprintln(w)
	public := "http://" + c.Collector
	decisions := "http://" + c.Aggregator
	if !c.NoShop {
		line("demo shop", "http://"+c.Shop+"/")
		public, decisions = "http://"+c.Shop+"/px", "http://"+c.Shop+"/px"
	}
	line("collector", "http://"+c.Collector+"    private http://"+c.CollectorAdmin+"/metrics /ledger /readyz")
	line("aggregator", "http://"+c.Aggregator+"    private http://"+c.AggregatorAdmin+"/metrics /readyz")
	if c.ClickHouseDSN == "" {
		line("clickhouse", "http://"+c.ClickHouseHTTP+"    native "+c.ClickHouseNative+", user default, no password, database "+database)
	} else {
		line("clickhouse", "your own (--clickhouse-dsn), database "+database)
	}
	line("data", c.State+"  (logs in log/)")

	fmt.Fprintf(w, "\ncurl with a browser's name and cookies, then an event, a decision, and the last events:\n")
	fmt.Fprintf(w, "  jar=%s; px() { curl -s -b \"$jar\" -c \"$jar\" -A '%s' \"$@\"; }\n", quote(c.path("cookies.txt")), browser)
	fmt.Fprintf(w, "  px -D - -o /dev/null '%s/p.gif?s=%s&n=page_view&u=%s/'\n", public, s.ID, s.Origins[0])
	fmt.Fprintf(w, "  px '%s/v1/decision?site=%s'\n", decisions, s.ID)
	query := "SELECT occurred_at, kind, lane, network, country, visitor, path FROM " + database + ".v_events ORDER BY received_at DESC LIMIT 10 FORMAT PrettyCompact"
	if c.ClickHouseDSN == "" {
		fmt.Fprintf(w, "  curl -s 'http://%s/' -d '%s'\n", c.ClickHouseHTTP, query)
	} else {
		fmt.Fprintf(w, "  clickhouse-client --query '%s'  # with --host, --user and --password of yours\n", query)
	}
	fmt.Fprint(w, "\nCtrl-C stops everything; data stays.\nready\n")
}

// quote makes one word of text for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
