// Package backtest is about an offer before it is switched on: whom would it have reached in the last days, what
// would that have cost, and could its effect be measured at all?
//
// It replays the sites file over history. ClickHouse computes what every visitor was at each look (a minute in which
// they did something) with the very expressions that define the features, keeps the looks at which the rule, as SQL,
// may match, and Go leads these through the same gates that a request passes, visitor by visitor in the order of
// time, remembering what would have been served. Nothing that happened after a look has a part in it.
//
// Promises. It only reads, within bounds on memory and time that each query carries. Visitors are taken in slices,
// so memory does not grow with history. The holdout is drawn with the site's key: a visitor stands in the same arm as after the launch.
//
// What it cannot know is told in Result.Limits; docs/decisions.md explains it. Place in the path: the tables of
// schema/ and aggregator/eligibility in, aggregator/experiment for the plans, out to the command `backtest`.
package backtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/experiment"
	"beckon/aggregator/feature"
	"beckon/internal/site"
)

// Lift is the effect that plans are made for.
const Lift = 0.1

// Options says what to replay.
type Options struct {
	Site     *site.Site
	Offer    string
	Days     int       // the last calendar days of the shop, the one of Now included
	Now      time.Time // end of the history
	Conn     driver.Conn
	Database string
	DrawKey  *[32]byte // the site's decision key
	Progress func(done, of int)
}

// Faults of what was asked for, in words for whoever asked.
var (
	ErrNoOffer   = errors.New("no such offer")
	ErrNoHistory = errors.New("no history")
)

// replay is one backtest in progress.
type replay struct {
	Options
	offer    *site.Offer
	site     *site.Site // as it would be with the offer switched on
	program  *eligibility.Program
	rules    []eligibility.Rule
	from, to time.Time
	wanted   []*feature.Feature // the columns of looksSQL
	looksSQL string
	memory   int     // what one query may take
	orders   []order // of the period, by visitor and time
	result   *Result
	tally    tally
}

// Run replays an offer. Errors are for people: ErrNoOffer and ErrNoHistory can be told apart.
func Run(ctx context.Context, o Options) (*Result, error) {
	in := &replay{Options: o, memory: queryMemory}
	if err := in.switchOn(); err != nil {
		return nil, err
	}
	local := o.Now.In(o.Site.Timezone)
	in.to = o.Now
	in.from = time.Date(local.Year(), local.Month(), local.Day()-o.Days+1, 0, 0, 0, 0, o.Site.Timezone)
	if err := in.prepare(in.rules); err != nil {
		return nil, err
	}
	in.begin()
	if err := in.run(ctx); err != nil {
		return nil, in.explain(err)
	}
	in.finish()
	return in.result, nil
}

// run reads history, slice by slice.
func (in *replay) run(ctx context.Context) error {
	n, err := in.slices(ctx)
	if err != nil {
		return err
	}
	if in.orders, err = in.readOrders(ctx); err != nil {
		return fmt.Errorf("read the orders of the period: %w", err)
	}
	for i, s := range slicesOf(n) {
		if in.Progress != nil {
			in.Progress(i, n)
		}
		if err := in.countVisitors(ctx, s); err != nil {
			return fmt.Errorf("count visitors: %w", err)
		}
		if err := in.looks(ctx, s, maxHalving, in.play); err != nil {
			return fmt.Errorf("replay visitors %d of %d: %w", i+1, n, err)
		}
	}
	return nil
}

// switchOn makes a site in which the offer is on: its kill switch, that of the site and its schedule are left
// out, because the question is what it would have done. The other offers keep theirs.
func (in *replay) switchOn() error {
	at, copied := -1, *in.Site
	copied.Disabled, copied.Offers = false, make([]*site.Offer, len(in.Site.Offers))
	for i, o := range in.Site.Offers {
		clone := *o
		if o.ID == in.Offer {
			at = i
			clone.Enabled, clone.Starts, clone.Ends = true, time.Time{}, time.Time{}
		}
		copied.Offers[i] = &clone
	}
	if at < 0 {
		var ids []string
		for _, o := range in.Site.Offers {
			ids = append(ids, o.ID)
		}
		hint := "it has none"
		if len(ids) > 0 {
			hint = fmt.Sprintf("it has %q", ids)
		}
		if near := site.Nearest(in.Offer, ids); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return fmt.Errorf("%w: site %s has no offer %q; %s", ErrNoOffer, in.Site.ID, in.Offer, hint)
	}
	in.site, in.offer = &copied, copied.Offers[at]
	if in.offer.Audience == site.Everyone {
		return fmt.Errorf("%w: %s is for everyone: it looks at no visitor, so there is nothing to replay", ErrNoOffer, in.Offer)
	}
	program, faults := eligibility.Compile(&site.File{Sites: []*site.Site{&copied}})
	if len(faults) > 0 {
		return faults
	}
	in.program, in.rules = program, program.Rules(copied.ID)
	return nil
}

// slices looks whether there is a history, and into how many parts it is to be cut.
func (in *replay) slices(ctx context.Context) (int, error) {
	rows, err := in.query(ctx, everybody, "SELECT count(), toUnixTimestamp64Milli(min(occurred_at)) FROM {database}.events WHERE {visits}")
	if err != nil {
		return 0, fmt.Errorf("look for history: %w", err)
	}
	defer rows.Close()
	var events uint64
	var first int64
	for rows.Next() {
		if err := rows.Scan(&events, &first); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("look for history: %w", err)
	}
	if events == 0 {
		return 0, fmt.Errorf("%w: site %s has no events of people in lane decide between %s and now; a rule needs visitors who consented",
			ErrNoHistory, in.Site.ID, in.from.Format(time.DateOnly))
	}
	in.result.Events, in.tally.first = events, time.UnixMilli(first)
	return int(min(events/sliceEvents+1, maxSlices)), nil
}

// countVisitors adds those of a slice to each day.
func (in *replay) countVisitors(ctx context.Context, s slice) error {
	rows, err := in.query(ctx, s, "SELECT toString(toDate(occurred_at, {zone:String})), uniqExact(visitor) FROM {database}.events WHERE {visits} GROUP BY 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var day string
		var n uint64
		if err := rows.Scan(&day, &n); err != nil {
			return err
		}
		if d := in.tally.days[day]; d != nil {
			d.Visitors += n
		}
	}
	return rows.Err()
}

// plans says how long an experiment with the offer would take.
func (in *replay) plans(days float64) {
	r := in.result
	r.Baseline = Baseline{VisitorsPerDay: float64(in.tally.outcome.Visitors) / days, Sums: in.tally.outcome}
	longest := int(in.Site.Profiles / (24 * time.Hour))
	of := func(m experiment.Mean) experiment.Baseline {
		return experiment.Baseline{VisitorsPerDay: r.Baseline.VisitorsPerDay, Mean: m.Mean, Variance: m.Variance, Longest: longest}
	}
	revenue, conversion := of(in.tally.outcome.RevenuePerVisitor()), of(in.tally.outcome.Conversion())
	r.Plans = Plans{Lift: Lift, Revenue: experiment.Plans(revenue, Lift), Conversion: experiment.Plans(conversion, Lift)}
	r.Baseline.RevenuePerVisitor, r.Baseline.Conversion = revenue.Mean, conversion.Mean
	configured := in.site.HoldoutShare(in.offer)
	r.Holdout = configured
	if plan := experiment.PlanFor(conversion, Lift, configured); plan.Watched.Never != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("with its holdout of %.4g%% this offer would never show whether it works, not even a lift of %.0f%% in conversion: %s", configured*100, Lift*100, plan.Watched.Never))
	} else if plan := experiment.PlanFor(revenue, Lift, configured); plan.Watched.Never != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("with its holdout of %.4g%% this offer would show a lift of %.0f%% in conversion, but never in revenue: %s", configured*100, Lift*100, plan.Watched.Never))
	}
}
