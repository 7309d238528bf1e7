package main

import (
	"fmt"
	"io"
	"net/url"
)

// summary prints where everything is and what to try first. Its last line is "ready": scripts wait
// for it.
func (c *Config) summary(w io.Writer) {
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
	fmt.Fprintf(w, "\na decision:\n  curl -s '%s/v1/decision?site=demo'\n", decisions)
	if c.ClickHouseDSN == "" {
		query := "SELECT occurred_at, kind, lane, network, country, visitor, path FROM " + database + ".v_events ORDER BY received_at DESC LIMIT 10 FORMAT PrettyCompact"
		fmt.Fprintf(w, "\nthe last events:\n  curl -s 'http://%s/?query=%s'\n", c.ClickHouseHTTP, url.QueryEscape(query))
	}
	fmt.Fprintf(w, "\nan event:\n  curl -s -D - -o /dev/null '%s/p.gif?s=demo&n=page_view&u=http://%s/'\n\nCtrl-C stops everything; data stays.\nready\n", public, c.Shop)
}
