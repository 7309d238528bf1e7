package loader

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// oneTable refuses a table that is spread over several servers. Whether a batch is there is asked partition by
// partition (resume.go), and each server has a partition of that name: rows that one of them lacks would pass for rows
// that are there, and be lost. The batch waits in the spool until the set-up is another one.
func (l *Loader) oneTable(ctx context.Context) error {
	var engine string
	err := l.conn.QueryRow(ctx, "SELECT engine FROM system.tables WHERE database = ? AND name = ?", l.Database, l.Table.name()).Scan(&engine)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil // the insert says it better
	case err != nil:
		return fmt.Errorf("look at the engine of the table: %w", err)
	case engine == "Distributed":
		return fmt.Errorf("%s.%s is a Distributed table, which is not supported: a batch that was sent before could not be found again; name a server and a database where it is a MergeTree", l.Database, l.Table.name())
	}
	return nil
}
