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

	"beckon/internal/privacy"
)

var (
	//go:embed sql/hours.sql
	hoursSQL string
	//go:embed sql/visitors.sql
	visitorsSQL string
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
	profiles := make([]*Profile, len(keys))
	found := &results{profiles: make(map[string]*Profile, len(keys)), orders: map[string][]string{}}
	list := make([]string, len(keys))
	for i, k := range keys {
		profiles[i] = &Profile{ReadAt: readAt}
		found.profiles[string(k.Visitor[:])] = profiles[i]
		list[i] = literal(k.Visitor[:])
	}
	visitors := strings.NewReplacer("{visitors}", strings.Join(list, ", "), "{orders_known}", strconv.Itoa(ordersKnown))
	// The queries run side by side: most of the time of each is overhead. Each fills fields of its own.
	group, side := errgroup.WithContext(ctx)
	for _, part := range []struct {
		what, sql string
		args      []any
		scan      func(*results, driver.Rows) error
	}{
		{"hours", hoursSQL, []any{site, readAt.Add(-hoursBack)}, (*results).hour},
		{"visitors", visitorsSQL, []any{readAt.Add(-ordersBack), site}, (*results).visitor},
		{"serves", servesSQL, []any{site, readAt.Add(-ordersBack)}, (*results).serve},
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
		if err := r.scan(ctx, found, (*results).order, sql, site); err != nil {
			return nil, fmt.Errorf("read %d orders of %d visitors: %w", len(orders), len(keys), err)
		}
	}
	for _, p := range profiles {
		p.trim()
		for i := range p.Serves {
			p.Serves[i].Used = p.HasUsed(p.Serves[i].DecisionID)
		}
	}
	return profiles, nil
}

// results are what the queries have found.
type results struct {
	profiles map[string]*Profile // by visitor
	orders   map[string][]string // by visitor: literals of their order keys, those of the newest hours first
}

// ordersToRead chooses the orders that are read, and notes of each visitor how many are not. What many visitors have
// made up together must not take long either: then those with the most of them have fewer read.
func (f *results) ordersToRead() []string {
	each := maxOrders
	for sum := ordersInRead + 1; sum > ordersInRead && each > 1; {
		sum = 0
		for _, keys := range f.orders {
			sum += min(len(keys), each)
		}
		if sum > ordersInRead {
			each = each * 3 / 4
		}
	}
	var list []string
	chosen := map[string]bool{}
	for _, keys := range f.orders {
		for _, key := range keys[:min(len(keys), each)] {
			if !chosen[key] { // two visitors can name one order
				chosen[key], list = true, append(list, key)
			}
		}
	}
	for visitor, keys := range f.orders {
		for _, key := range keys[min(len(keys), each):] {
			if p := f.profiles[visitor]; p != nil && !chosen[key] {
				p.MoreOrders++
			}
		}
	}
	return list
}

func (r *Reader) scan(ctx context.Context, found *results, row func(*results, driver.Rows) error, sql string, args ...any) error {
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

func (f *results) hour(rows driver.Rows) error {
	var (
		visitor                                           string
		start                                             uint32
		pageviews, productViews, cartAdds, checkoutStarts uint64
		h                                                 Hour
	)
	err := rows.Scan(&visitor, &start, &pageviews, &productViews, &cartAdds, &checkoutStarts, &h.Sessions, &h.Products)
	if err != nil {
		return err
	}
	h.Start = int64(start)
	h.Pageviews, h.ProductViews, h.CartAdds, h.CheckoutStarts = uint32(pageviews), uint32(productViews), uint32(cartAdds), uint32(checkoutStarts)
	if p := f.profiles[visitor]; p != nil {
		p.Hours = append(p.Hours, h)
	}
	return nil
}

func (f *results) visitor(rows driver.Rows) error {
	var (
		visitor string
		v       Profile
		orders  []string
	)
	err := rows.Scan(&visitor, &v.FirstSeen, &v.LastSeen, &v.LastCart, &v.VisitorSince, &v.CartValue,
		&v.Country, &v.Region, &v.Device, &v.Browser, &v.OS, &v.Referrer, &v.UTMSource, &v.UTMMedium, &v.UTMCampaign, &orders)
	if err != nil {
		return err
	}
	for _, key := range orders {
		f.orders[visitor] = append(f.orders[visitor], literal([]byte(key)))
	}
	if p := f.profiles[visitor]; p != nil {
		p.FirstSeen, p.LastSeen, p.LastCart, p.VisitorSince, p.CartValue = v.FirstSeen, v.LastSeen, v.LastCart, v.VisitorSince, v.CartValue
		p.Country, p.Region, p.Device, p.Browser, p.OS = v.Country, v.Region, v.Device, v.Browser, v.OS
		p.Referrer, p.UTMSource, p.UTMMedium, p.UTMCampaign = v.Referrer, v.UTMSource, v.UTMMedium, v.UTMCampaign
	}
	return nil
}

func (f *results) order(rows driver.Rows) error {
	var (
		visitor string
		o       Order
	)
	if err := rows.Scan(&visitor, &o.At, &o.Revenue, &o.Decision); err != nil {
		return err
	}
	if p := f.profiles[visitor]; p != nil { // nil: a more trusted report linked the order to somebody else
		p.Orders = append(p.Orders, o)
	}
	return nil
}

func (f *results) serve(rows driver.Rows) error {
	var (
		visitor, decision, session string
		s                          Serve
		at, until                  int64
	)
	if err := rows.Scan(&visitor, &decision, &s.Offer, &s.Rule, (*string)(&s.Arm), &session, &at, &until); err != nil {
		return err
	}
	s.DecisionID, s.Session = storedID(decision), storedID(session)
	s.At, s.ValidUntil = time.UnixMilli(at), time.UnixMilli(until)
	if p := f.profiles[visitor]; p != nil {
		p.Serves = append(p.Serves, s)
	}
	return nil
}

func storedID(s string) privacy.ID {
	var b [16]byte
	copy(b[:], s)
	return privacy.StoredID(b)
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
