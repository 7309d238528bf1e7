package feature

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed sql/warm.sql
var warmSQL string

// warmFor bounds how long a start waits for it: who is not in memory then is read when they ask.
const warmFor = 10 * time.Second

// Warmer fills a Store with the visitors of the last half hour when a service starts, so that its first answers
// are not all of strangers. It begins when the Follower has begun.
type Warmer struct {
	reader *Reader
	store  *Store
	limit  int
	log    *slog.Logger
	done   chan struct{}
}

// NewWarmer returns a warmer for at most limit visitors.
func NewWarmer(r *Reader, s *Store, limit int, log *slog.Logger) *Warmer {
	return &Warmer{reader: r, store: s, limit: limit, log: log, done: make(chan struct{})}
}

// Done is closed when the store is warm, or as warm as it gets in time.
func (w *Warmer) Done() <-chan struct{} { return w.done }

// Run reads them once and waits for the end of ctx.
func (w *Warmer) Run(ctx context.Context) error {
	began := time.Now()
	visitors, err := w.read(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		w.log.Warn("not all visitors of the last half hour are in memory", "visitors", visitors, "error", err)
	default:
		w.log.Info("visitors of the last half hour are in memory", "visitors", visitors, "took", time.Since(began).Round(time.Millisecond).String())
	}
	close(w.done)
	<-ctx.Done()
	return nil
}

func (w *Warmer) read(ctx context.Context) (visitors int, err error) {
	ctx, cancel := context.WithTimeout(ctx, warmFor)
	defer cancel()
	rows, err := w.reader.query(ctx, warmSQL, w.limit)
	if err != nil {
		return 0, fmt.Errorf("look for visitors of the last half hour: %w", err)
	}
	keys, err := scanKeys(rows)
	rows.Close()
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return strings.Compare(a.Site, b.Site) }) // a read is of one site
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && n < chunk && keys[n].Site == keys[0].Site {
			n++
		}
		if err := w.store.fill(ctx, w.reader, keys[0].Site, keys[:n], time.Now); err != nil {
			return visitors, err
		}
		visitors, keys = visitors+n, keys[n:]
	}
	return visitors, nil
}

// scanKeys reads (site, visitor) rows.
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
