package feature

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"
)

var (
	//go:embed sql/activity.sql
	activitySQL string
	//go:embed sql/orders.sql
	ordersSQL string
	//go:embed sql/serves.sql
	servesSQL string
)

const (
	hoursBack  = 31 * 24 * time.Hour // 30 days of windows, and the hour that rounding adds
	ordersBack = 91 * 24 * time.Hour

	ordersInQuery = 1000
	ordersInRead  = 10_000 // a thousand of them take some 80 ms
)

// Reader reads profiles from ClickHouse. It connects when it is first needed and again after a
// connection was lost. Safe for concurrent use.
type Reader struct {
	connect  func(context.Context) (driver.Conn, error)
	database string
	now      func() time.Time

	connecting sync.Mutex
	conn       atomic.Pointer[driver.Conn]
}

var errConnecting = errors.New("connecting to ClickHouse")

// NewReader returns a reader of the tables in database. It does not connect yet.
func NewReader(database string, connect func(context.Context) (driver.Conn, error)) *Reader {
	return &Reader{connect: connect, database: database, now: time.Now}
}

// Read returns the profiles of keys, in their order; a visitor without rows gets an empty profile.
// All keys are of one site.
func (r *Reader) Read(ctx context.Context, site string, keys []Key) ([]*Profile, error) {
	if _, err := r.connection(ctx); err != nil {
		return nil, err
	}
	readAt := r.now()
	found := results{readAt: readAt, visitors: make(map[string]*folding, len(keys))}
	list := make([]string, len(keys))
	for i, k := range keys {
		found.visitors[string(k.Visitor[:])] = &folding{Profile: &Profile{ReadAt: readAt}}
		list[i] = literal(k.Visitor[:])
	}
	visitors := strings.NewReplacer("{visitors}", strings.Join(list, ", "), "{orders_known}", strconv.Itoa(ordersKnown))
	// The queries run side by side: most of the time of each is overhead. Each fills fields of its own.
	group, side := errgroup.WithContext(ctx)
	for _, part := range []struct {
		what, sql string
		args      []any
		scan      func(results, driver.Rows) error
	}{
		{"activity", activitySQL, []any{site}, results.hour},
		{"serves", servesSQL, []any{site, readAt.Add(-ordersBack)}, results.serve},
	} {
		group.Go(func() error {
			if err := r.scan(side, found, part.scan, visitors.Replace(part.sql), part.args...); err != nil {
				return fmt.Errorf("read %s of %d visitors: %w", part.what, len(keys), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for orders := range slices.Chunk(found.ordersToRead(), ordersInQuery) { // mostly none
		sql := strings.ReplaceAll(ordersSQL, "{orders}", strings.Join(orders, ", "))
		if err := r.scan(ctx, found, results.order, sql, site); err != nil {
			return nil, fmt.Errorf("read %d orders of %d visitors: %w", len(orders), len(keys), err)
		}
	}
	for _, v := range found.visitors {
		v.done()
	}
	profiles := make([]*Profile, len(keys))
	for i, k := range keys {
		profiles[i] = found.visitors[string(k.Visitor[:])].Profile
	}
	return profiles, nil
}

func (r *Reader) scan(ctx context.Context, found results, row func(results, driver.Rows) error, sql string, args ...any) error {
	rows, err := r.query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(found, rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// query runs sql with {database} filled in.
func (r *Reader) query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	conn, err := r.connection(ctx)
	if err != nil {
		return nil, err
	}
	return conn.Query(ctx, strings.ReplaceAll(sql, "{database}", r.database), args...)
}

// connection returns the pool. Only the first use connects, which can take long while ClickHouse is
// down; whoever comes meanwhile is told at once instead of waiting in line beyond its deadline. The
// pool replaces broken connections by itself later on.
func (r *Reader) connection(ctx context.Context) (driver.Conn, error) {
	if conn := r.conn.Load(); conn != nil {
		return *conn, nil
	}
	if !r.connecting.TryLock() {
		return nil, errConnecting
	}
	defer r.connecting.Unlock()
	if conn := r.conn.Load(); conn != nil {
		return *conn, nil
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	r.conn.Store(&conn)
	return conn, nil
}

// Close gives the connections back. Nothing may be read after it.
func (r *Reader) Close() {
	if conn := r.conn.Load(); conn != nil {
		(*conn).Close()
	}
}
