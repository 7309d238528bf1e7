package loader_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/loader"
	"beckon/internal/spool"
)

// endsAtDone is a source whose process ends when it is told that a batch is done, before or after it has listened.
type endsAtDone struct {
	*spool.Spool
	before func(spool.BatchID)
	listen bool
	end    context.CancelFunc
}

func (d *endsAtDone) Done(id spool.BatchID) error {
	d.before(id)
	if d.listen {
		if err := d.Spool.Done(id); err != nil {
			return err
		}
	}
	d.end()
	return errors.New("killed")
}

// A segment is the only copy until its row in `loads` says otherwise: at the moment when the spool may remove it,
// everything is there, and the file still is. A crash at that moment, on either side of the removal, changes nothing.
func TestASegmentIsRemovedOnlyAfterItsLoadsRow(t *testing.T) {
	conn, connect := server(t)
	for _, listen := range []bool{false, true} {
		dir := t.TempDir()
		s := openSpool(t, dir)
		fill(t, s, 0, 500)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		asked := 0
		source := &endsAtDone{Spool: s, listen: listen, end: end, before: func(id spool.BatchID) {
			asked++
			of := fmt.Sprintf(" WHERE spool = unhex('%s') AND segment = %d", id.Spool, id.Segment)
			for query, want := range map[string]uint64{
				"SELECT count() FROM DB.loads FINAL" + of:                              1,
				"SELECT sum(rows) FROM DB.loads FINAL" + of:                            500,
				"SELECT count() FROM DB.events" + of:                                   500,
				"SELECT sum(n) FROM DB.ledger FINAL" + of + " AND reason = 'accepted'": 500,
			} {
				if got := scalar(t, conn, strings.ReplaceAll(query, "DB", db)); got != want {
					t.Errorf("when the segment is given up: %s = %d, want %d", query, got, want)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("%020d.segment", id.Segment))); err != nil {
				t.Errorf("the segment is gone before the spool was told: %v", err)
			}
		}}
		load := func(ctx context.Context, from loader.Source) error {
			return loader.New(loader.Config{
				Source: from, Table: loader.Events(), Database: db, DeadLetter: filepath.Join(dir, "dead"),
				Connect: func(ctx context.Context) (driver.Conn, error) { return connect(ctx) },
			}).Drain(ctx)
		}
		if err := load(ctx, source); err != nil {
			t.Fatal(err)
		}
		if asked != 1 {
			t.Fatalf("the spool was told %d times", asked)
		}
		after := t.TempDir() // what a kill -9 at this moment leaves
		if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		again := openSpool(t, after)
		if left := again.Stats().Segments; (left == 0) != listen {
			t.Fatalf("%d segments are left, the spool had listened: %v", left, listen)
		}
		if err := load(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		of := fmt.Sprintf(" WHERE spool = unhex('%s')", again.ID())
		for query, want := range map[string]uint64{
			"SELECT count() FROM DB.events" + of:                                   500,
			"SELECT uniqExact(segment) FROM DB.loads" + of:                         1,
			"SELECT sum(n) FROM DB.ledger FINAL" + of + " AND reason = 'accepted'": 500,
		} {
			if got := scalar(t, conn, strings.ReplaceAll(query, "DB", db)); got != want {
				t.Errorf("after the crash: %s = %d, want %d", query, got, want)
			}
		}
		if n := again.Stats().Segments; n != 0 {
			t.Errorf("%d segments are left after loading", n)
		}
	}
}
