package backtest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/privacy"
	"beckon/schema"
)

var (
	//go:embed sql/looks.sql
	looksSQL string
	//go:embed sql/orders.sql
	ordersSQL string
	//go:embed sql/placed.sql
	placedSQL string
)

// What one query may take of a ClickHouse that shoppers are waiting for at the same time.
const (
	queryMemory  = 2 << 30
	querySeconds = 300
	queryThreads = 2

	sliceEvents = 600_000 // events of the period in one slice of the visitors, about
	maxSlices   = 1 << 14
	maxHalving  = 6 // of a slice: with less than a 64th of it there is something else that takes the memory
)

// limited returns a context whose queries can change nothing and stay within the bounds above.
func limited(ctx context.Context, memory int, parameters clickhouse.Parameters) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(parameters), clickhouse.WithSettings(clickhouse.Settings{
		"readonly": 2, "max_memory_usage": memory, "max_execution_time": querySeconds, "max_threads": queryThreads,
	}))
}

// visits are the events at which a visitor was there and could be given something: as visitor_activity counts
// them, without those that the shop's server sent about them.
const visits = `site = {site:String} AND toDate(occurred_at) BETWEEN toDate({from:DateTime64(3, 'UTC')}) AND toDate({to:DateTime64(3, 'UTC')})
    AND occurred_at >= {from:DateTime64(3, 'UTC')} AND occurred_at < {to:DateTime64(3, 'UTC')}
    AND visitor BETWEEN {first} AND {last} AND visitor != toFixedString('', 16)
    AND lane = 'decide' AND bot = 0 AND source != 'server' AND kind NOT IN ('consent', 'refund')`

// slice is the visitors whose hash begins with first to last, both included. Hashes are spread evenly.
type slice struct{ first, last uint32 }

func (s slice) parameters(in *replay) clickhouse.Parameters {
	return clickhouse.Parameters{
		"site": in.Site.ID, "from": instant(in.from), "to": instant(in.to), "zone": in.Site.Timezone.String(),
		"first_visitor": fmt.Sprintf("%08x%024x", s.first, 0), "last_visitor": fmt.Sprintf("%08x%s", s.last, strings.Repeat("f", 24)),
	}
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// everybody is all slices in one.
var everybody = slice{0, math.MaxUint32}

// slicesOf divides everybody into n.
func slicesOf(n int) []slice {
	list := make([]slice, n)
	for i := range list {
		list[i] = slice{uint32(uint64(i) << 32 / uint64(n)), uint32(uint64(i+1)<<32/uint64(n) - 1)}
	}
	return list
}

func (s slice) halves() (a, b slice) {
	middle := s.first + (s.last-s.first)/2
	return slice{s.first, middle}, slice{middle + 1, s.last}
}

func (in *replay) query(ctx context.Context, s slice, text string) (driver.Rows, error) {
	text = strings.NewReplacer(
		"{first}", "toFixedString(unhex({first_visitor:String}), 16)", "{last}", "toFixedString(unhex({last_visitor:String}), 16)", "{database}", in.Database,
	).Replace(strings.ReplaceAll(text, "{visits}", visits))
	return in.Conn.Query(limited(ctx, in.memory, s.parameters(in)), text)
}

// look is what was known of a visitor at one moment.
type look struct {
	visitor, session privacy.ID
	at, since        time.Time
	values           feature.Features
}

// looks hands over the looks of a slice at which a rule matches or fails, by visitor and time. A slice that takes
// too much memory is read in halves, and these in halves, as often as halving says.
func (in *replay) looks(ctx context.Context, s slice, halving int, each func([]look)) error {
	list, err := in.readLooks(ctx, s)
	if isOutOfMemory(err) && halving > 0 {
		a, b := s.halves()
		if err := in.looks(ctx, a, halving-1, each); err != nil {
			return err
		}
		return in.looks(ctx, b, halving-1, each)
	}
	if err != nil {
		return err
	}
	each(list)
	return nil
}

// Codes of ClickHouse's errors.
const (
	unknownTable        = 60
	unknownDatabase     = 81
	queryTooSlow        = 159
	memoryLimitExceeded = 241
	accessDenied        = 497
)

func isOutOfMemory(err error) bool { return codeOf(err) == memoryLimitExceeded }

func codeOf(err error) int32 {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// explain says in plain words what ClickHouse says in its own.
func (in *replay) explain(err error) error {
	switch codeOf(err) {
	case unknownTable, unknownDatabase:
		return fmt.Errorf("ClickHouse has no tables of Beckon in the database %s; the collector makes them when it starts: %w", in.Database, err)
	case queryTooSlow:
		return fmt.Errorf("ClickHouse needs more than %d s for a part of the visitors; try again when it has less to do: %w", querySeconds, err)
	case memoryLimitExceeded:
		return fmt.Errorf("ClickHouse needs more than its memory, or %d MiB for a few visitors: %w", in.memory>>20, err)
	case accessDenied:
		return fmt.Errorf("the user of --clickhouse-dsn must be allowed to read the database %s: %w", in.Database, err)
	}
	return err
}

func (in *replay) readLooks(ctx context.Context, s slice) ([]look, error) {
	rows, err := in.query(ctx, s, in.looksSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []look
	for rows.Next() {
		var (
			l                look
			visitor, session string
			at, since        int64
		)
		into := []any{&visitor, &at, &session, &since}
		for _, f := range in.wanted {
			into = append(into, f.Field(&l.values))
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		l.visitor, l.session, l.at = storedID(visitor), storedID(session), time.UnixMilli(at).In(in.Site.Timezone)
		if since != 0 {
			l.since = time.UnixMilli(since)
		}
		list = append(list, l)
	}
	return list, rows.Err()
}

func storedID(s string) privacy.ID {
	var b [16]byte
	copy(b[:], s)
	return privacy.StoredID(b)
}

// prepare decides what is to be read: the features that rules and gates look at, and no others.
func (in *replay) prepare(rules []eligibility.Rule) error {
	names := []string{"days_since_first_seen"} // too_new, and something to read where rules read nothing
	var mayMatch []string
	for _, r := range rules {
		if !r.Offer.Enabled || r.Offer.Audience != "targeted" {
			continue // Evaluate asks it as well, but no look is worth anything for it alone
		}
		names = append(names, r.Reads...)
		if r.Offer.MinCartValue.Set {
			names = append(names, "cart_value")
		}
		if r.Offer.Abandoner > 0 {
			names = append(names, "purchases_90d")
		}
		if in.readsServes(r) {
			mayMatch = append(mayMatch, "1") // what we would have served is known to the replay alone
		} else {
			mayMatch = append(mayMatch, "ifNull("+r.SQL+", 1)")
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var ofActivity, ofOrders, named, plain []string
	for i := range feature.All {
		f := &feature.All[i]
		if !slices.Contains(names, f.Name) || f.From == feature.Serves {
			continue
		}
		in.wanted = append(in.wanted, f)
		column := strings.ReplaceAll(f.Aggregate, feature.Now, "at") + " AS f_" + f.Name
		from := "f."
		if f.From == feature.Orders {
			ofOrders, from = append(ofOrders, column), "o."
		} else {
			ofActivity = append(ofActivity, column)
		}
		named = append(named, fmt.Sprintf("to%s(%sf_%s) AS %s", f.Type.ClickHouse(), from, f.Name, f.Name))
		plain = append(plain, f.Name)
	}
	running, columns, err := runningHour(ofActivity)
	if err != nil {
		return err
	}
	orders, join := "", ""
	if len(ofOrders) > 0 {
		orders = strings.ReplaceAll(strings.TrimSpace(ordersSQL), "{order_features}", strings.Join(ofOrders, ", "))
		join = "LEFT JOIN order_features AS o ON f.visitor = o.visitor AND f.at = o.at"
	}
	in.looksSQL = strings.NewReplacer(
		"{columns}", strings.Join(columns, ", "), "{running_hour}", running, "{activity_features}", strings.Join(ofActivity, ", "),
		"{orders}", orders, "{orders_join}", join, "{names}", strings.Join(plain, ", "), "{named}", strings.Join(named, ", "), "{may_match}", strings.Join(mayMatch, " OR "),
	).Replace(looksSQL)
	return nil
}

func (in *replay) readsServes(r eligibility.Rule) bool {
	return slices.ContainsFunc(feature.All, func(f feature.Feature) bool { return f.From == feature.Serves && slices.Contains(r.Reads, f.Name) })
}

var columnName = regexp.MustCompile(`(?m) AS (\w+),?$`)

// runningHour is the SELECT that fills visitor_activity, over the events of the hour of each look until then, and
// the columns of it that some aggregates read.
func runningHour(aggregates []string) (query string, columns []string, err error) {
	if query, err = schema.FeedQuery("visitor_activity"); err != nil {
		return "", nil, err
	}
	for _, c := range columnName.FindAllStringSubmatch(query, -1) {
		word := regexp.MustCompile(`\b` + c[1] + `\b`)
		isKey := slices.Contains([]string{"site", "visitor", "hour"}, c[1])
		if c[1] == "visitor_since" || !isKey && slices.ContainsFunc(aggregates, word.MatchString) {
			columns = append(columns, c[1])
		}
	}
	for _, change := range [][2]string{
		{"SELECT\n", "SELECT\n    e.at AS at,\n    e.look_session AS look_session,\n"},
		{"FROM {database}.events AS e\n", `FROM (
            SELECT ev.*, ev.cart_value_site AS cart_value_site, l.at AS at, l.look_session AS look_session
            FROM {database}.events AS ev
            INNER JOIN looks AS l ON ev.visitor = l.look_visitor AND toStartOfHour(ev.occurred_at) = l.look_hour
            WHERE ev.site = {site:String} AND ev.visitor BETWEEN {first} AND {last} AND ev.occurred_at <= l.at
                AND ev.occurred_at >= toStartOfHour({from:DateTime64(3, 'UTC')})
                AND toDate(ev.occurred_at) BETWEEN toDate(toStartOfHour({from:DateTime64(3, 'UTC')})) AND toDate({to:DateTime64(3, 'UTC')})
        ) AS e
`},
		{"GROUP BY site, visitor, hour", "GROUP BY site, visitor, hour, at, look_session"},
	} {
		if strings.Count(query, change[0]) != 1 {
			return "", nil, fmt.Errorf("BUG: the feed of visitor_activity does not have %q once", change[0])
		}
		query = strings.Replace(query, change[0], change[1], 1)
	}
	return query, columns, nil
}
