package feature

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed sql/loads.sql
	loadsSQL string
	//go:embed sql/changes.sql
	changesSQL string
	//go:embed sql/owners.sql
	ownersSQL string
)

const (
	loadsLookBack = 10 * time.Minute // a row of `loads` is seen at most this long after its time
	nearLookBack  = 5 * time.Second  // and nearly always within this
	farLookEvery  = time.Second      // so only one look in many reads what ten minutes have left

	lateAfter = 10 * time.Second // a batch that waited so long for ClickHouse is part of a backlog
)

// batch names one loaded batch.
type batch struct {
	spool   [16]byte
	segment uint64
}

// load is a row of `loads`.
type load struct {
	batch
	at       time.Time // by ClickHouse's clock
	rows     uint64
	waited   uint64        // milliseconds since its last event was received, by the collector's clock
	gathered time.Duration // from its first event to its last
}

// late says whether it brings what happened a while ago. One of counts alone changes nobody, so is soon done with.
func (l load) late() bool { return l.rows > 0 && l.waited > uint64(lateAfter.Milliseconds()) }

// newLoads returns the batches that are not processed, the oldest first, and ClickHouse's clock. It
// looks back beyond how far the last look came, since a row of `loads` is seen a little after its time;
// however long ago that look was, nothing in between is missed: a far look finds what a near one did not.
func (f *Follower) newLoads(ctx context.Context, far bool) (fresh []load, clock time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	back := nearLookBack
	if far {
		back = loadsLookBack
	}
	since := fmt.Sprintf("fromUnixTimestamp64Milli(%d)", max(0, f.looked.Add(-back).UnixMilli()))
	if f.looked.IsZero() {
		since = fmt.Sprintf("now64(3) - toIntervalSecond(%d)", int(back.Seconds()))
	}
	rows, err := f.reader.query(ctx, strings.ReplaceAll(loadsSQL, "{since}", since))
	if err != nil {
		return nil, clock, fmt.Errorf("look for loaded batches: %w", err)
	}
	defer rows.Close()
	at := map[batch]int{} // in fresh: a batch that was sent again can have two rows
	for rows.Next() {
		var (
			spool    string
			l        load
			gathered int64
		)
		if err := rows.Scan(&spool, &l.segment, &l.at, &l.rows, &l.waited, &gathered); err != nil {
			return nil, clock, fmt.Errorf("scan loaded batch: %w", err)
		}
		copy(l.spool[:], spool)
		l.gathered = time.Duration(gathered) * time.Millisecond
		if l.batch == (batch{}) {
			clock = l.at
			continue
		}
		if _, done := f.processed[l.batch]; done {
			continue
		}
		if i, twice := at[l.batch]; twice {
			fresh[i].at = later(fresh[i].at, l.at)
		} else {
			at[l.batch], fresh = len(fresh), append(fresh, l)
		}
	}
	slices.SortStableFunc(fresh, func(a, b load) int { return a.at.Compare(b.at) })
	return fresh, clock, rows.Err()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// changedVisitors returns whom some batches have changed, each once, those of one site together.
func (f *Follower) changedVisitors(ctx context.Context, loads []load) ([]Key, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	batches := make([]string, len(loads))
	for i, l := range loads {
		batches[i] = fmt.Sprintf("(%s, %d)", literal(l.spool[:]), l.segment)
	}
	seen, orders := map[Key]bool{}, map[string]bool{}
	err := f.each(ctx, strings.ReplaceAll(changesSQL, "{batches}", strings.Join(batches, ", ")), func(k Key, order string) {
		if k.Visitor != ([16]byte{}) {
			seen[k] = true
		} else {
			orders["("+literal([]byte(k.Site))+", "+literal([]byte(order))+")"] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for changed visitors of %d batches: %w", len(loads), err)
	}
	// A server that reports an order without naming a visitor changes the visitor whom the order belongs to.
	for some := range slices.Chunk(slices.Collect(maps.Keys(orders)), chunk) {
		err := f.each(ctx, strings.ReplaceAll(ownersSQL, "{orders}", strings.Join(some, ", ")), func(k Key, _ string) {
			if k.Visitor != ([16]byte{}) {
				seen[k] = true
			}
		})
		if err != nil {
			return nil, fmt.Errorf("look for the visitors of %d orders: %w", len(some), err)
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Key) int {
		return cmp.Or(strings.Compare(a.Site, b.Site), bytes.Compare(a.Visitor[:], b.Visitor[:]))
	}), nil
}

// each gives the rows of a query of site, visitor and order key.
func (f *Follower) each(ctx context.Context, sql string, give func(k Key, order string)) error {
	rows, err := f.reader.query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var site, visitor, order string
		if err := rows.Scan(&site, &visitor, &order); err != nil {
			return err
		}
		k := Key{Site: site}
		copy(k.Visitor[:], visitor)
		give(k, order)
	}
	return rows.Err()
}

// literal spells bytes as a SQL string. A list of plain strings is read at once; a function call for each, which has to
// be resolved and computed, took longer for a thousand visitors than finding them.
func literal(id []byte) string {
	text := make([]byte, 0, 4*len(id)+2)
	text = append(text, '\'')
	for _, b := range id {
		text = append(text, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
	}
	return string(append(text, '\''))
}

const hexDigits = "0123456789abcdef"
