package loader

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/spool"
)

// Table says how the records of a spool become rows of one ClickHouse table. One loader at a time uses it.
type Table[R any] struct {
	Name    string // without the database
	Decode  func(record []byte, row *R) error
	Columns []Column[R]
	Ledger  bool // what the spool counted goes to the table ledger, which is about events only

	// A table whose rows are no replacement of themselves says how a batch that was sent before is brought
	// to its end (resume.go): Partition is the server's id of the partition of a row, Refill runs the
	// table's views once more over the rows of a batch.
	Partition func(*R) string
	Refill    func(ctx context.Context, c driver.Conn, database, spoolHex string, segment uint64) error

	rows decodedRows[R] // of the batch in hand; its memory serves one batch after the other
}

// Column is one column of a table: where its values come from, and those of the batch in hand. A batch
// is gathered column by column while it is read, because that is how the protocol sends it: no row is
// ever kept.
type Column[R any] struct {
	Name   string
	values values[R]
}

// values gathers a column.
type values[R any] interface {
	reset()
	add(row *R)
	appendTo(column driver.BatchColumn) error
}

// Col makes a column out of a getter. T must be a type that clickhouse-go appends column-wise to
// the column's type, such as string, or int64 milliseconds for DateTime64. What the getter returns must
// not point into the row, which is used for the next record.
func Col[R, T any](name string, get func(*R) T) Column[R] {
	return Column[R]{Name: name, values: &plain[R, T]{get: get}}
}

type plain[R, T any] struct {
	get  func(*R) T
	list []T
}

func (c *plain[R, T]) reset() {
	clear(c.list) // strings would keep their records alive
	c.list = c.list[:0]
}
func (c *plain[R, T]) add(row *R)                           { c.list = append(c.list, c.get(row)) }
func (c *plain[R, T]) appendTo(to driver.BatchColumn) error { return to.Append(c.list) }

// IDCol makes a column of type FixedString(16).
func IDCol[R any](name string, get func(*R) [16]byte) Column[R] {
	return Column[R]{Name: name, values: &ids[R]{get: get}}
}

type ids[R any] struct {
	get  func(*R) [16]byte
	list [][16]byte
	refs [][]byte // what clickhouse-go wants
}

func (c *ids[R]) reset()     { c.list = c.list[:0] }
func (c *ids[R]) add(row *R) { c.list = append(c.list, c.get(row)) }
func (c *ids[R]) appendTo(to driver.BatchColumn) error {
	c.refs = c.refs[:0]
	for i := range c.list {
		c.refs = append(c.refs, c.list[i][:])
	}
	return to.Append(c.refs)
}

// WordCol makes a column of a few different words, of type LowCardinality(String).
func WordCol[R any](name string, get func(*R) string) Column[R] {
	return Column[R]{Name: name, values: &words[R]{get: get, boxes: make(map[string]any)}}
}

// words keeps one box for each word: clickhouse-go looks at every value as an interface, and would
// allocate one for each row.
type words[R any] struct {
	get   func(*R) string
	boxes map[string]any
	list  []any
}

const maxBoxes = 4096 // words of a batch; more of them are no few words

func (c *words[R]) reset() {
	c.list = c.list[:0]
	if len(c.boxes) > maxBoxes {
		clear(c.boxes)
	}
}

func (c *words[R]) add(row *R) {
	word := c.get(row)
	box, ok := c.boxes[word]
	if !ok {
		word = strings.Clone(word) // not the record it is part of
		box = word
		c.boxes[word] = box
	}
	c.list = append(c.list, box)
}

func (c *words[R]) appendTo(to driver.BatchColumn) error { return to.Append(c.list) }

// refusal is a record that is no row: it goes to the dead letter, and the batch goes on without it.
type refusal struct {
	sequence uint64
	record   []byte
	reason   error
}

// decoded is a batch, checked completely before anything is sent. It is good until the next one is decoded.
type decoded interface {
	rows() int
	refused() []refusal
	insert(ctx context.Context, conn driver.Conn, database string) error
}

// inserter is a Table without its row type.
type inserter interface {
	name() string
	ledger() bool
	decode(b *spool.Batch, but map[string]bool) (decoded, error) // all rows but those of these partitions
	resumable() bool
	refill(ctx context.Context, conn driver.Conn, database string, id spool.BatchID) error
}

func (t *Table[R]) name() string    { return t.Name }
func (t *Table[R]) ledger() bool    { return t.Ledger }
func (t *Table[R]) resumable() bool { return t.Partition != nil }

func (t *Table[R]) refill(ctx context.Context, conn driver.Conn, database string, id spool.BatchID) error {
	return t.Refill(ctx, conn, database, id.Spool.String(), id.Segment)
}

func (t *Table[R]) decode(b *spool.Batch, but map[string]bool) (decoded, error) {
	d := &t.rows
	d.reset(t, b.ID)
	err := b.Records(func(sequence uint64, record []byte) error {
		var row R
		if err := t.Decode(record, &row); err != nil {
			d.bad = append(d.bad, refusal{sequence, append([]byte(nil), record...), err})
			return nil
		}
		if len(but) > 0 && but[t.Partition(&row)] {
			return nil
		}
		for i := range t.Columns {
			t.Columns[i].values.add(&row)
		}
		d.sequences = append(d.sequences, sequence)
		return nil
	})
	return d, err
}

type decodedRows[R any] struct {
	table     *Table[R]
	id        spool.BatchID
	sequences []uint64
	bad       []refusal

	spools   [][]byte
	segments []uint64
}

func (d *decodedRows[R]) reset(t *Table[R], id spool.BatchID) {
	d.table, d.id = t, id
	d.sequences, d.bad = d.sequences[:0], nil
	for i := range t.Columns {
		t.Columns[i].values.reset()
	}
}

func (d *decodedRows[R]) rows() int          { return len(d.sequences) }
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
		if err := c.values.appendTo(batch.Column(i)); err != nil {
			return fmt.Errorf("append column %s.%s: %w", d.table.Name, c.Name, err)
		}
	}
	d.spools, d.segments = d.spools[:0], d.segments[:0]
	for range d.sequences {
		d.spools, d.segments = append(d.spools, d.id.Spool[:]), append(d.segments, d.id.Segment)
	}
	n := len(d.table.Columns)
	for i, values := range []any{d.spools, d.segments, d.sequences} {
		if err := batch.Column(n + i).Append(values); err != nil {
			return fmt.Errorf("append column %s.%s: %w", d.table.Name, names[n+i], err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", d.rows(), d.table.Name, err)
	}
	return nil
}
