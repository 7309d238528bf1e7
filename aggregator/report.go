package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"beckon/aggregator/experiment"
	"beckon/internal/chconn"
	"beckon/internal/service"
	"beckon/internal/site"
)

// reportCmd says whether an offer earned anything.
type reportCmd struct {
	Site          string        `help:"Site id of the sites file; may be left out when the file has one site."`
	Offer         string        `required:"" help:"Offer id."`
	Experiment    uint32        `help:"Number of the experiment; default: the one in the sites file." placeholder:"N"`
	Days          int           `help:"Only visitors assigned in so many days of the shop, today included; default: all that are kept." placeholder:"N"`
	JSON          bool          `name:"json" help:"Print JSON, with the sums of each day."`
	Timeout       time.Duration `default:"5m" help:"Give up after this long."`
	Sites         string        `default:"sites.yaml" help:"Sites file."`
	ClickHouseDSN string        `name:"clickhouse-dsn" env:"BECKON_CLICKHOUSE_DSN" default:"clickhouse://default@127.0.0.1:9000/default" help:"ClickHouse, native protocol. It is only read."`
	Database      string        `default:"beckon" help:"ClickHouse database."`
}

// Run prints the report.
func (cmd *reportCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cmd.run(ctx, os.Stdout, time.Now())
}

func (cmd *reportCmd) run(ctx context.Context, out io.Writer, now time.Time) error {
	s, o, err := cmd.subject()
	if err != nil {
		return err
	}
	about := experiment.About{
		Query: experiment.Query{
			Database: cmd.Database, Site: s.ID, Environment: s.Environment, Offer: cmd.Offer, Timezone: s.Timezone, Kept: s.Profiles, Now: now,
		},
		Currency: s.Currency, Experiment: cmd.Experiment, LastDays: cmd.Days,
	}
	if o != nil && about.Experiment == 0 {
		about.Experiment = uint32(o.Experiment)
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	conn, err := chconn.Open(ctx, cmd.ClickHouseDSN)
	if err != nil {
		return fmt.Errorf("--clickhouse-dsn: %w", err)
	}
	defer conn.Close()
	days, err := experiment.Read(ctx, conn, about.Query)
	if err != nil {
		return err
	}
	report := experiment.Make(about, days)
	if len(report.Days) == 0 {
		if err := nothing(s, o, &about, &report); err != nil {
			return err
		}
	}
	if cmd.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.Print(out)
}

// subject reads all that can be wrong before anything is asked of ClickHouse. The offer is nil when the file does
// not have it (any more).
func (cmd *reportCmd) subject() (*site.Site, *site.Offer, error) {
	if cmd.Days < 0 {
		return nil, nil, fmt.Errorf("--days %d: write 1 or more, or leave it out for all that are kept", cmd.Days)
	}
	if !service.IsDatabase(cmd.Database) {
		return nil, nil, fmt.Errorf("--database %q is no name: letters, digits and _, such as beckon", cmd.Database)
	}
	sites, err := site.Open(cmd.Sites)
	if err != nil {
		return nil, nil, fmt.Errorf("--sites: %w", err)
	}
	var ids []string
	for _, s := range sites.File().Sites {
		ids = append(ids, s.ID)
	}
	id := cmd.Site
	if id == "" && len(ids) == 1 {
		id = ids[0]
	}
	s := sites.Site(id)
	if s == nil {
		return nil, nil, fmt.Errorf("--site %q: the sites file has %s", cmd.Site, strings.Join(ids, ", "))
	}
	o := s.Offer(cmd.Offer)
	if o != nil && o.Audience == site.Everyone {
		return nil, nil, fmt.Errorf("offer %s has audience everyone: it uses no visitor data, so it has no holdout and no report", o.ID)
	}
	return s, o, nil
}

// nothing says why there is nothing to report, nil when that is a result of its own: nobody was eligible yet.
func nothing(s *site.Site, o *site.Offer, about *experiment.About, r *experiment.Report) error {
	switch {
	case len(r.Others) > 0:
		return fmt.Errorf("experiment %d of offer %s has no visitor; --experiment with one of %s has", r.Experiment, about.Offer, strings.Trim(fmt.Sprint(r.Others), "[]"))
	case o == nil:
		var ids []string
		for _, o := range s.Offers {
			ids = append(ids, o.ID)
		}
		known := "the site has no offers"
		if len(ids) > 0 {
			known = "the site has " + strings.Join(ids, ", ")
		}
		if nearest := site.Nearest(about.Offer, ids); nearest != "" {
			known = "did you mean " + nearest + "? " + known
		}
		return fmt.Errorf("site %s has no offer %s, and nothing is kept of one: %s", s.ID, about.Offer, known)
	case s.HoldoutShare(o) == 0:
		return fmt.Errorf("offer %s has no holdout, so there is nobody to compare with: set `holdout: 10%%` of the offer or of site %s", o.ID, s.ID)
	}
	return nil
}
