package feature

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
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
	byVisitor := make(map[string]*Profile, len(keys))
	list := make([]string, len(keys))
	for i, k := range keys {
		profiles[i] = &Profile{ReadAt: readAt}
		byVisitor[string(k.Visitor[:])] = profiles[i]
		list[i] = fixedString(k.Visitor)
	}
	visitors := strings.NewReplacer("{visitors}", strings.Join(list, ", "))
	// The queries run side by side: most of the time of each is overhead. Each fills fields of its own.
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []struct {
		what, sql string
		args      []any
		scan      func(driver.Rows, map[string]*Profile) error
	}{
		{"hours", hoursSQL, []any{site, readAt.Add(-hoursBack)}, scanHour},
		{"visitors", visitorsSQL, []any{site}, scanVisitor},
		{"orders", ordersSQL, []any{site, site, readAt.Add(-ordersBack)}, scanOrder},
		{"serves", servesSQL, []any{site, readAt.Add(-ordersBack)}, scanServe},
	} {
		group.Go(func() error {
			rows, err := r.query(ctx, visitors.Replace(part.sql), part.args...)
			if err == nil {
				err = scanAll(rows, byVisitor, part.scan)
			}
			if err != nil {
				return fmt.Errorf("read %s of %d visitors: %w", part.what, len(keys), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, p := range profiles {
		p.trim()
		for i := range p.Serves {
			p.Serves[i].Used = p.HasUsed(p.Serves[i].DecisionID)
		}
	}
	return profiles, nil
}

func scanAll(rows driver.Rows, profiles map[string]*Profile, scan func(driver.Rows, map[string]*Profile) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows, profiles); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanHour(rows driver.Rows, profiles map[string]*Profile) error {
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
	if p := profiles[visitor]; p != nil {
		p.Hours = append(p.Hours, h)
	}
	return nil
}

func scanVisitor(rows driver.Rows, profiles map[string]*Profile) error {
	var (
		visitor string
		v       Profile
	)
	err := rows.Scan(&visitor, &v.FirstSeen, &v.LastSeen, &v.LastCart, &v.VisitorSince, &v.CartValue,
		&v.Country, &v.Region, &v.Device, &v.Browser, &v.OS, &v.Referrer, &v.UTMSource, &v.UTMMedium, &v.UTMCampaign)
	if err != nil {
		return err
	}
	if p := profiles[visitor]; p != nil {
		p.FirstSeen, p.LastSeen, p.LastCart, p.VisitorSince, p.CartValue = v.FirstSeen, v.LastSeen, v.LastCart, v.VisitorSince, v.CartValue
		p.Country, p.Region, p.Device, p.Browser, p.OS = v.Country, v.Region, v.Device, v.Browser, v.OS
		p.Referrer, p.UTMSource, p.UTMMedium, p.UTMCampaign = v.Referrer, v.UTMSource, v.UTMMedium, v.UTMCampaign
	}
	return nil
}

func scanOrder(rows driver.Rows, profiles map[string]*Profile) error {
	var (
		visitor string
		o       Order
	)
	if err := rows.Scan(&visitor, &o.At, &o.Revenue, &o.Decision); err != nil {
		return err
	}
	if p := profiles[visitor]; p != nil { // nil: a more trusted report linked the order to somebody else
		p.Orders = append(p.Orders, o)
	}
	return nil
}

func scanServe(rows driver.Rows, profiles map[string]*Profile) error {
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
	if p := profiles[visitor]; p != nil {
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
