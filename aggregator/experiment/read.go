package experiment

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed sql/lift.sql
var liftSQL string

// Day is the sums of one arm for the visitors who were assigned on one day of the shop. The share of the
// holdout is the one in force when they were.
type Day struct {
	Day        string  `json:"day"`
	Experiment uint32  `json:"experiment"`
	Share      float64 `json:"holdout_share"`
	Arm        string  `json:"arm"`
	Sums
}

// Query says whose experiments to read.
type Query struct {
	Database, Site, Environment, Offer string
	Timezone                           *time.Location
	Kept                               time.Duration // how long assignments are kept: retention.profiles of the site
	Now                                time.Time
}

// unknownFunction and unknownTable are what a server without the view answers.
const (
	unknownFunction = 46
	unknownTable    = 60
)

// Read returns all that is kept of the offer's experiments, in the order of their days.
func Read(ctx context.Context, conn driver.Conn, q Query) ([]Day, error) {
	today := q.Now.In(q.Timezone)
	since := today.Add(-q.Kept).AddDate(0, 0, -1)
	rows, err := conn.Query(ctx, strings.ReplaceAll(liftSQL, "{database}", q.Database),
		q.Site, q.Timezone.String(), since.Format(time.DateOnly), today.AddDate(0, 0, 1).Format(time.DateOnly), q.Offer, q.Environment)
	if err != nil {
		return nil, readFault(q.Database, err)
	}
	defer rows.Close()
	var days []Day
	for rows.Next() {
		var d Day
		var day time.Time
		err := rows.Scan(&d.Experiment, &d.Share, &d.Arm, &day, &d.Visitors, &d.Served, &d.Shown, &d.Orders, &d.Converted, &d.Unconverted, &d.Revenue, &d.RevenueSquared)
		if err != nil {
			return nil, readFault(q.Database, err)
		}
		d.Day = day.Format(time.DateOnly)
		days = append(days, d)
	}
	if err := rows.Err(); err != nil {
		return nil, readFault(q.Database, err)
	}
	return days, nil
}

func readFault(database string, err error) error {
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok && (e.Code == unknownFunction || e.Code == unknownTable) {
		return fmt.Errorf("the database %s has no view report_lift_all: run the schema migration: %w", database, err)
	}
	return fmt.Errorf("read report_lift_all of %s: %w", database, err)
}

// Strata adds up days by the share of the holdout.
func Strata(days []Day) []Stratum {
	var strata []Stratum
	for _, d := range days {
		i := slices.IndexFunc(strata, func(s Stratum) bool { return s.Share == d.Share })
		if i < 0 {
			i, strata = len(strata), append(strata, Stratum{Share: d.Share})
		}
		if s := &strata[i]; d.Arm == "holdout" {
			s.Holdout = s.Holdout.Add(d.Sums)
		} else {
			s.Treatment = s.Treatment.Add(d.Sums)
		}
	}
	return strata
}
