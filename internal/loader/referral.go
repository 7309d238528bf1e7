package loader

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/internal/chconn"
	"beckon/internal/event"
	"beckon/internal/privacy"
)

// A shop's refund names an order and nobody. Whether the customer agreed to be known, only ClickHouse can tell: it
// has the order, or not. So the loader asks before it sends such a row, and takes the order out of it when it is
// not there: nothing is stored of an order that nobody agreed to (docs/adr/0020).
//
// The answer may be another one when a batch is sent again. That changes no row that is there: what was sent
// before is looked up first, and only what is missing is sent (resume.go).

// referral says how rows of a table refer to something that may be named only where it is known.
type referral[R any] struct {
	asks   func(row *R) (ref, bool) // what the row refers to, and may have to leave out
	gives  func(row *R) (ref, bool) // what the row itself makes known
	settle func(row *R, known bool) // for a row that asks
	known  func(ctx context.Context, conn driver.Conn, database, site string, keys [][16]byte) ([][16]byte, error)
}

type ref struct {
	site string
	key  [16]byte
}

// refer notes what a row of the batch asks for, and what it gives.
func (d *checked[R]) refer(row *R) {
	r := d.table.referral
	if r == nil {
		return
	}
	if name, ok := r.asks(row); ok {
		d.asked[name] = true
	}
	if name, ok := r.gives(row); ok {
		d.given[name] = true
	}
}

// lookUp asks for what no row of the batch gives itself.
func (d *checked[R]) lookUp(ctx context.Context, conn driver.Conn, database string) error {
	bySite := map[string][][16]byte{}
	for name := range d.asked {
		if !d.given[name] {
			bySite[name.site] = append(bySite[name.site], name.key)
		}
	}
	ctx = chconn.WithQueryID(ctx, "") // that of the rows is for the insert
	for site, keys := range bySite {
		for some := range slices.Chunk(keys, maxKeysAsked) {
			known, err := d.table.referral.known(ctx, conn, database, site, some)
			if err != nil {
				return err
			}
			for _, key := range known {
				d.given[ref{site, key}] = true
			}
		}
	}
	return nil
}

// settle leaves a name in the row only where it is known.
func (d *checked[R]) settle(row *R) {
	if r := d.table.referral; r != nil {
		if name, ok := r.asks(row); ok {
			r.settle(row, d.given[name])
		}
	}
}

// maxKeysAsked keeps a query far below the size that ClickHouse takes, 256 KiB.
const maxKeysAsked = 1000

//go:embed known_orders.sql
var knownOrdersSQL string

// refundsOfOrders are referrals of refunds outside lane decide. One whose order is known takes the lane of its order.
var refundsOfOrders = referral[event.Stored]{
	asks: func(e *event.Stored) (ref, bool) {
		return ref{e.Site, e.Order}, e.Kind == event.Refund && e.Lane != privacy.LaneDecide && e.Order != [16]byte{}
	},
	gives: func(e *event.Stored) (ref, bool) {
		return ref{e.Site, e.Order}, e.Kind == event.Purchase && e.Lane == privacy.LaneDecide && e.Bot == "" && e.Order != [16]byte{}
	},
	settle: func(e *event.Stored, known bool) {
		if known {
			e.Lane, e.Cause = privacy.LaneDecide, privacy.CauseRecorded
		} else {
			e.Order = [16]byte{}
		}
	},
	known: knownOrders,
}

func knownOrders(ctx context.Context, conn driver.Conn, database, site string, keys [][16]byte) (known [][16]byte, err error) {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = "unhex('" + hex.EncodeToString(key[:]) + "')"
	}
	query := strings.NewReplacer("{database}", database, "{keys}", strings.Join(list, ",")).Replace(knownOrdersSQL)
	rows, err := conn.Query(ctx, query, site, site)
	if err != nil {
		return nil, fmt.Errorf("look for the orders of refunds: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("scan order of a refund: %w", err)
		}
		var key [16]byte
		copy(key[:], text)
		known = append(known, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read orders of refunds: %w", err)
	}
	return known, nil
}
