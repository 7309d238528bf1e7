package loader

import (
	"context"
	"fmt"

	"beckon/internal/spool"
)

// What became of a batch that may have been sent before is looked up before any of it is sent again. Its token
// does not tell: ClickHouse remembers so many inserts, of all writers together; it keeps that memory in a file
// which it does not sync; and a kill between a part and its line there leaves one without the other (docs/adr/0016).
//
//	it has its mark in `loads`      nothing to do
//	none of its rows is there       send it
//	rows of it are there, no mark   send the partitions that are missing, and feed its views once more
//
// ClickHouse commits the partitions of an insert one by one, each of them whole. So rows that are missing from
// a partition that is there were deleted since (expired, erased), and are not sent again.
//
// All of this holds for one server's table; several behind one name are refused (engine.go).
//
// An insert whose client has gone may still be running. All queries about the rows of one batch have the same query id,
// and ClickHouse refuses the second while the first runs (code 216): a look is never earlier than the end of
// what it looks for.

// resume brings in what is missing of the rows of a batch and of what its views make of them, and returns
// all its rows; or nil when the batch was complete, mark included.
func (l *Loader) resume(ctx context.Context, b *spool.Batch) (decoded, error) {
	if marked, err := l.isMarked(ctx, b.ID); err != nil || marked {
		return nil, err
	}
	there := map[string]bool{}
	if l.Table.resumable() {
		var err error
		if there, err = l.partitionsThere(ctx, b.ID); err != nil {
			return nil, err
		}
	}
	missing, err := l.Table.decode(b, there)
	if err != nil {
		return nil, err
	}
	if missing.rows() > 0 {
		if err := missing.insert(ctx, l.conn, l.Database); err != nil {
			return nil, err
		}
	}
	if len(there) == 0 {
		return missing, nil
	}
	l.Log.Warn("batch was in ClickHouse without its mark, feeding its views once more", "table", l.Table.name(), "batch", b.ID.Token())
	if err := l.Table.refill(ctx, l.conn, l.Database, b.ID); err != nil {
		return nil, err
	}
	l.m.mended.Inc()
	return l.Table.decode(b, nil)
}

func (l *Loader) isMarked(ctx context.Context, id spool.BatchID) (bool, error) {
	var n uint64
	query := "SELECT count() FROM " + l.Database + ".loads WHERE table_name = ? AND spool = unhex(?) AND segment = ?"
	if err := l.conn.QueryRow(ctx, query, l.Table.name(), id.Spool.String(), id.Segment).Scan(&n); err != nil {
		return false, fmt.Errorf("look for the mark of the batch: %w", err)
	}
	return n > 0, nil
}

// partitionsThere is where rows of the batch are.
func (l *Loader) partitionsThere(ctx context.Context, id spool.BatchID) (map[string]bool, error) {
	query := "SELECT DISTINCT _partition_id FROM " + l.Database + "." + l.Table.name() + " WHERE spool = unhex(?) AND segment = ?"
	found, err := l.conn.Query(ctx, query, id.Spool.String(), id.Segment)
	if err != nil {
		return nil, fmt.Errorf("look for rows of the batch: %w", err)
	}
	defer found.Close()
	there := map[string]bool{}
	for found.Next() {
		var partition string
		if err := found.Scan(&partition); err != nil {
			return nil, fmt.Errorf("look for rows of the batch: %w", err)
		}
		there[partition] = true
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("look for rows of the batch: %w", err)
	}
	return there, nil
}
