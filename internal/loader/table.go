package loader

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/spool"
)

// Table says how the records of a spool become rows of one ClickHouse table.
type Table[R any] struct {
	Name    string // without the database
	Decode  func(record []byte, row *R) error
	Columns []Column[R]
	Ledger  bool // what the spool counted goes to the table ledger, which is about events only
}

// Column fills one column of a table from decoded rows.
type Column[R any] struct {
	Name   string
	append func(to driver.BatchColumn, rows []R) error
}

// Col makes a column out of a getter. T must be a type that clickhouse-go appends column-wise to
// the column's type: string, int64 milliseconds for DateTime64, []byte for FixedString.
func Col[R, T any](name string, get func(*R) T) Column[R] {
	return Column[R]{Name: name, append: func(to driver.BatchColumn, rows []R) error {
		values := make([]T, len(rows))
		for i := range rows {
			values[i] = get(&rows[i])
		}
		return to.Append(values)
	}}
}

// refusal is a record that is no row: it goes to the dead letter, and the batch goes on without it.
type refusal struct {
	sequence uint64
	record   []byte
	reason   error
}

// decoded is a batch, checked completely before anything is sent.
type decoded interface {
	rows() int
	refused() []refusal
	insert(ctx context.Context, conn driver.Conn, database string) error
}

// inserter is a Table without its row type.
type inserter interface {
	name() string
	ledger() bool
	decode(b *spool.Batch) (decoded, error)
}

func (t *Table[R]) name() string { return t.Name }
func (t *Table[R]) ledger() bool { return t.Ledger }

func (t *Table[R]) decode(b *spool.Batch) (decoded, error) {
	d := &decodedRows[R]{table: t, id: b.ID}
	err := b.Records(func(sequence uint64, record []byte) error {
		d.values = append(d.values, *new(R))
		if err := t.Decode(record, &d.values[len(d.values)-1]); err != nil {
			d.values = d.values[:len(d.values)-1]
			d.bad = append(d.bad, refusal{sequence, append([]byte(nil), record...), err})
			return nil
		}
		d.sequences = append(d.sequences, sequence)
		return nil
	})
	return d, err
}

type decodedRows[R any] struct {
	table     *Table[R]
	id        spool.BatchID
	values    []R
	sequences []uint64
	bad       []refusal
}

func (d *decodedRows[R]) rows() int          { return len(d.values) }
func (d *decodedRows[R]) refused() []refusal { return d.bad }

// insert sends all rows as one block. The batch object is used once and thrown away: a second Send
// on it would send the rows twice without an error (clickhouse-go), and the context is fixed here.
func (d *decodedRows[R]) insert(ctx context.Context, conn driver.Conn, database string) error {
	names := make([]string, 0, len(d.table.Columns)+3)
	for _, c := range d.table.Columns {
		names = append(names, "`"+c.Name+"`")
	}
	names = append(names, "spool", "segment", "sequence")
	batch, err := conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s.%s (%s)", database, d.table.Name, strings.Join(names, ", ")))
	if err != nil {
		return fmt.Errorf("prepare insert into %s: %w", d.table.Name, err)
	}
	defer batch.Close()
	for i, c := range d.table.Columns {
		if err := c.append(batch.Column(i), d.values); err != nil {
			return fmt.Errorf("append column %s.%s: %w", d.table.Name, c.Name, err)
		}
	}
	n := len(d.table.Columns)
	spools, segments := make([][]byte, len(d.values)), make([]uint64, len(d.values))
	for i := range d.values {
		spools[i], segments[i] = d.id.Spool[:], d.id.Segment
	}
	for i, values := range []any{spools, segments, d.sequences} {
		if err := batch.Column(n + i).Append(values); err != nil {
			return fmt.Errorf("append column %s.%s: %w", d.table.Name, names[n+i], err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", len(d.values), d.table.Name, err)
	}
	return nil
}
