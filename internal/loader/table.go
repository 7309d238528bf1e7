package loader

import (
	"context"
	"fmt"
	"slices"
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

	referral *referral[R] // nil: no row refers to anything
	sequence uint64       // of the record in hand
}

// Column is one column of a table: where its values come from, and those that are gathered. A batch is
// gathered column by column while it is read, because that is how the protocol sends it: no row is ever
// kept.
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

// decode checks every record of the batch and keeps none.
func (t *Table[R]) decode(b *spool.Batch, but map[string]bool) (decoded, error) {
	d := &checked[R]{table: t, batch: b, but: but, asked: map[ref]bool{}, given: map[ref]bool{}}
	err := d.each(func(uint64, *R) error { d.n++; return nil }, func(bad refusal) { d.bad = append(d.bad, bad) }, d.refer)
	return d, err
}

// checked is a batch whose records have been looked at.
type checked[R any] struct {
	table *Table[R]
	batch *spool.Batch
	but   map[string]bool
	n     int
	bad   []refusal

	asked, given map[ref]bool // by its rows, also those that are not to be sent
}

func (d *checked[R]) rows() int          { return d.n }
func (d *checked[R]) refused() []refusal { return d.bad }

// each calls good for every row that is to be sent, bad for every record that is none, and first before it knows
// whether the row is to be sent.
func (d *checked[R]) each(good func(sequence uint64, row *R) error, bad func(refusal), first func(*R)) error {
	var row R // one for all: the heap would get one for each
	return d.batch.Records(func(sequence uint64, record []byte) error {
		var none R
		row = none
		if err := d.table.Decode(record, &row); err != nil {
			bad(refusal{sequence, append([]byte(nil), record...), err})
			return nil
		}
		first(&row)
		if len(d.but) > 0 && d.but[d.table.Partition(&row)] {
			return nil
		}
		return good(sequence, &row)
	})
}

// chunkRows is how many rows are gathered before they go to the columns of clickhouse-go, which hold the
// whole batch: so there is one copy of it in memory, and not two.
const chunkRows = 2048

// insert sends all rows as one block. The batch object is used once and thrown away: a second Send
// on it would send the rows twice without an error (clickhouse-go), and the context is fixed here.
func (d *checked[R]) insert(ctx context.Context, conn driver.Conn, database string) error {
	if err := d.lookUp(ctx, conn, database); err != nil {
		return err
	}
	columns := d.table.columns(d.batch.ID)
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = "`" + c.Name + "`"
	}
	batch, err := conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s.%s (%s)", database, d.table.Name, strings.Join(names, ", ")))
	if err != nil {
		return fmt.Errorf("prepare insert into %s: %w", d.table.Name, err)
	}
	defer batch.Close()
	gathered := 0
	flush := func() error {
		gathered = 0
		for i, c := range columns {
			if err := c.values.appendTo(batch.Column(i)); err != nil {
				return fmt.Errorf("append column %s.%s: %w", d.table.Name, c.Name, err)
			}
			c.values.reset()
		}
		return nil
	}
	for _, c := range columns {
		c.values.reset() // what a failed try left
	}
	sent := 0
	err = d.each(func(sequence uint64, row *R) error {
		d.table.sequence = sequence
		for i := range columns {
			columns[i].values.add(row)
		}
		sent++
		if gathered++; gathered == chunkRows {
			return flush()
		}
		return nil
	}, func(refusal) {}, d.settle)
	if err == nil && gathered > 0 {
		err = flush()
	}
	if err != nil {
		return err
	}
	if sent != d.n {
		return fmt.Errorf("batch %s had %d rows and now has %d", d.batch.ID.Token(), d.n, sent)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", d.n, d.table.Name, err)
	}
	return nil
}

// columns are those of the table and, last, where a row comes from.
func (t *Table[R]) columns(id spool.BatchID) []Column[R] {
	return append(slices.Clip(t.Columns),
		IDCol("spool", func(*R) [16]byte { return id.Spool }),
		Col("segment", func(*R) uint64 { return id.Segment }),
		Col("sequence", func(*R) uint64 { return t.sequence }))
}
