package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Refill runs every feed's own SELECT over the events of one batch into the feed's target: for a batch
// whose rows are in `events` but may be missing from some targets, at a time when its token can no longer be
// relied on. Targets are idempotent, so it changes nothing where nothing was missing. spoolHex is
// 32 hexadecimal digits. Feeds are run in the order of their files; on an error, run all again.
func Refill(ctx context.Context, c driver.Conn, database, spoolHex string, segment uint64) error {
	if !databaseName.MatchString(database) {
		return fmt.Errorf("refill: %q is no database name", database)
	}
	all, err := load()
	if err != nil {
		return err
	}
	for _, f := range all {
		target, query, ok := feed(f)
		if !ok {
			continue
		}
		// Feed and target have their columns in the same order, which a test holds.
		query = strings.Replace(query, "\nWHERE ", "\nWHERE e.spool = unhex(?) AND e.segment = ? AND ", 1)
		insert := file{text: "INSERT INTO {database}." + target + "\n" + query}.statement(database)
		if err := c.Exec(ctx, insert, spoolHex, segment); err != nil {
			return fmt.Errorf("refill %s from segment %d: %w", target, segment, err)
		}
	}
	return nil
}

// FeedQuery is the SELECT of the feed that fills target from each insert into events, which it reads under the
// name e. The text has {database} in it. It is for who needs the same rows over other events.
func FeedQuery(target string) (string, error) {
	all, err := load()
	if err != nil {
		return "", err
	}
	for _, f := range all {
		if t, query, ok := feed(f); ok && t == target {
			return query, nil
		}
	}
	return "", fmt.Errorf("no feed fills %s", target)
}

// feed takes the target and the SELECT out of a file that makes a feed, a view that runs inside each
// insert into events.
func feed(f file) (target, query string, ok bool) {
	if !strings.Contains(f.name, "_create_feed_") {
		return "", "", false
	}
	_, rest, _ := strings.Cut(f.text, "\nTO {database}.")
	target, query, ok = strings.Cut(rest, " AS\n")
	return target, query, ok
}
