package feature

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed sql/loads.sql
var loadsSQL string

//go:embed sql/changes.sql
var changesSQL string

const (
	pollEvery     = 100 * time.Millisecond
	pollTimeout   = 10 * time.Second
	errorBackoff  = time.Second
	loadsLookBack = 10 * time.Minute // a `loads` row is seen at most this long after its time
	chunk         = 1000             // visitors in one read
)

// batch names one loaded batch.
type batch struct {
	spool   [16]byte
	segment uint64
}

// Follower keeps a Store up to date: it watches `loads` for batches it has not processed, asks
// which visitors they changed, and reads those visitors again. It follows batches and not a clock,
// since a change feed row becomes visible before the aggregates it announces; a `loads` row comes
// after both.
type Follower struct {
	reader  *Reader
	store   *Store
	changed func(ctx context.Context, keys []Key) // told after the store has the new profiles
	log     *slog.Logger
	now     func() time.Time

	processed  map[batch]time.Time // the `loads` time of batches within the look-back
	completeAt atomic.Int64        // Unix milliseconds: every batch loaded before is in the store
}

// NewFollower returns a follower that has read nothing yet. changed may be nil.
func NewFollower(r *Reader, s *Store, changed func(context.Context, []Key), log *slog.Logger) *Follower {
	return &Follower{reader: r, store: s, changed: changed, log: log, now: time.Now}
}

// CompleteAt is the moment up to which all loaded changes are in the store; zero before the first
// successful look.
func (f *Follower) CompleteAt() time.Time {
	if ms := f.completeAt.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// Run follows until ctx ends. While ClickHouse is down it keeps trying; the store keeps what it has
// and CompleteAt stands still, which is how an answer's age becomes visible.
func (f *Follower) Run(ctx context.Context) error {
	failing := false
	for {
		wait := pollEvery
		err := f.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !failing {
				f.log.Error("cannot follow changes, answering from memory", "error", err)
			}
			failing, wait = true, errorBackoff
		case failing:
			failing = false
			f.log.Info("following changes again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// poll processes the batches that were loaded since the last look.
func (f *Follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	start := f.now()
	fresh, err := f.newLoads(ctx, start)
	if err != nil {
		return err
	}
	if f.processed == nil {
		// The store is empty, and whatever is read from now on has these batches in it.
		f.processed = fresh
		f.completeAt.Store(start.UnixMilli())
		return nil
	}
	if len(fresh) > 0 {
		keys, err := f.changedVisitors(ctx, fresh)
		if err != nil {
			return err
		}
		if err := f.refresh(ctx, keys); err != nil {
			return err
		}
		for b, at := range fresh {
			f.processed[b] = at
		}
	}
	for b, at := range f.processed {
		if start.Sub(at) > 2*loadsLookBack {
			delete(f.processed, b)
		}
	}
	f.completeAt.Store(start.UnixMilli())
	return nil
}

func (f *Follower) newLoads(ctx context.Context, now time.Time) (map[batch]time.Time, error) {
	rows, err := f.reader.query(ctx, loadsSQL, now.Add(-loadsLookBack))
	if err != nil {
		return nil, fmt.Errorf("look for loaded batches: %w", err)
	}
	defer rows.Close()
	fresh := map[batch]time.Time{}
	for rows.Next() {
		var (
			spool    string
			segment  uint64
			loadedAt time.Time
		)
		if err := rows.Scan(&spool, &segment, &loadedAt); err != nil {
			return nil, fmt.Errorf("scan loaded batch: %w", err)
		}
		b := batch{segment: segment}
		copy(b.spool[:], spool)
		if _, done := f.processed[b]; !done {
			fresh[b] = loadedAt
		}
	}
	return fresh, rows.Err()
}

func (f *Follower) changedVisitors(ctx context.Context, batches map[batch]time.Time) ([]Key, error) {
	var list []string
	for b := range batches {
		list = append(list, fmt.Sprintf("(%s, %d)", fixedString(b.spool), b.segment))
	}
	rows, err := f.reader.query(ctx, strings.ReplaceAll(changesSQL, "{batches}", strings.Join(list, ", ")))
	if err != nil {
		return nil, fmt.Errorf("look for changed visitors of %d batches: %w", len(batches), err)
	}
	defer rows.Close()
	return scanKeys(rows)
}

// refresh reads the visitors again and puts them into the store.
func (f *Follower) refresh(ctx context.Context, keys []Key) error {
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && n < chunk && keys[n].Site == keys[0].Site {
			n++
		}
		part := keys[:n]
		keys = keys[n:]
		profiles, err := f.reader.Read(ctx, part[0].Site, part)
		if err != nil {
			return err
		}
		now := f.now()
		for i, k := range part {
			f.store.Put(k, profiles[i], now)
		}
		if f.changed != nil {
			f.changed(ctx, part)
		}
	}
	return nil
}

// scanKeys reads (site, visitor) rows, which the query orders by site.
func scanKeys(rows driver.Rows) ([]Key, error) {
	var keys []Key
	for rows.Next() {
		var site, visitor string
		if err := rows.Scan(&site, &visitor); err != nil {
			return nil, fmt.Errorf("scan changed visitor: %w", err)
		}
		k := Key{Site: site}
		copy(k.Visitor[:], visitor)
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// fixedString spells 16 bytes as a SQL literal.
func fixedString(b [16]byte) string {
	return "toFixedString(unhex('" + hex.EncodeToString(b[:]) + "'), 16)"
}
