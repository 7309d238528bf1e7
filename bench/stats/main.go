// Command stats tries the statistics of experiments on shops whose truth is known: thousands of
// experiments, each looked at every evening, with few buyers, heavy-tailed baskets, late orders and refunds. It counts how often the
// intervals held, how often something was found where nothing was, and whether faults of the assignment were
// caught. `make bench-stats` runs it; bench/README.md says how to read it.
package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"beckon/aggregator/experiment"
	"beckon/aggregator/experiment/simulate"
	"beckon/bench/contest"
)

// Config is what one can choose.
type Config struct {
	Out         string `default:"bench/results" help:"Folder for the result."`
	Experiments int    `default:"5000" help:"Experiments with each shop."`
	Seed        uint64 `default:"1" help:"The same seed makes the same experiments."`
}

func main() {
	var c Config
	kong.Parse(&c, kong.Name("stats"), kong.UsageOnError(), kong.Description("Tries the statistics of experiments on shops whose truth is known."))
	if err := run(&c); err != nil {
		fmt.Fprintln(os.Stderr, "stats:", err)
		os.Exit(1)
	}
}

// baskets: an even one, and one in which one order in 200 is 15 times as large.
var (
	even  = simulate.Basket{Median: 45, Sigma: 0.6}
	heavy = simulate.Basket{Median: 45, Sigma: 1.1, Bulk: 0.005, BulkTimes: 15}
)

// shop is the common one; change makes the others of it.
func shop(name string, change func(*simulate.Shop)) simulate.Shop {
	s := simulate.Shop{
		Name: name, Days: 60, VisitorsPerDay: 1000, Holdout: 0.1, Conversion: 0.025, Basket: heavy, Again: 0.1, Delay: 0.4, Refunded: 0.05,
	}
	change(&s)
	return s
}

// nothing are shops in which the offer does nothing.
func nothing() []simulate.Shop {
	return []simulate.Shop{
		shop("holdout 5 %", func(s *simulate.Shop) { s.Holdout = 0.05 }),
		shop("holdout 10 %", func(*simulate.Shop) {}),
		shop("holdout 20 %", func(s *simulate.Shop) { s.Holdout = 0.2 }),
		shop("holdout 50 %", func(s *simulate.Shop) { s.Holdout = 0.5 }),
		shop("holdout 10 %, 200 visitors a day", func(s *simulate.Shop) { s.VisitorsPerDay = 200 }),
		shop("holdout 10 %, 10,000 a day", func(s *simulate.Shop) { s.VisitorsPerDay = 10_000 }),
		shop("holdout 10 %, conversion 0.5 %", func(s *simulate.Shop) { s.Conversion, s.VisitorsPerDay = 0.005, 5000 }),
		shop("holdout 50 %, even baskets, orders at once", func(s *simulate.Shop) { s.Holdout, s.Basket, s.Delay, s.Again, s.Refunded = 0.5, even, 1, 0, 0 }),
	}
}

// something are shops in which it does.
func something() []simulate.Shop {
	return []simulate.Shop{
		shop("+30 % orders for 10 % off, holdout 10 %", func(s *simulate.Shop) { s.Lift, s.Discount, s.VisitorsPerDay = 0.3, 0.1, 3000 }),
		shop("+30 % orders for 10 % off, holdout 50 %", func(s *simulate.Shop) { s.Lift, s.Discount, s.VisitorsPerDay, s.Holdout = 0.3, 0.1, 3000, 0.5 }),
		shop("+10 % orders for 10 % off (a loss), holdout 20 %", func(s *simulate.Shop) { s.Lift, s.Discount, s.VisitorsPerDay, s.Holdout = 0.1, 0.1, 5000, 0.2 }),
		shop("+50 % orders, holdout 5 %, 300 a day", func(s *simulate.Shop) { s.Lift, s.VisitorsPerDay, s.Holdout = 0.5, 300, 0.05 }),
		shop("+20 % orders, even baskets, holdout 20 %", func(s *simulate.Shop) { s.Lift, s.VisitorsPerDay, s.Holdout, s.Basket = 0.2, 5000, 0.2, even }),
	}
}

// figures are what was counted, for the file.
type figures struct {
	Config Config
	Shops  []shopFigures
}

type shopFigures struct {
	Shop  simulate.Shop
	Tally simulate.Tally
}

// bench gathers the text, the figures and the verdicts.
type bench struct {
	c       *Config
	text    strings.Builder
	bars    contest.Bars
	figures figures
}

func (b *bench) printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Print(text)
	b.text.WriteString(text)
}

func (b *bench) run(s simulate.Shop) *simulate.Tally {
	t := s.Run(b.c.Experiments, b.c.Seed)
	b.figures.Shops = append(b.figures.Shops, shopFigures{s, t})
	return &t
}

func run(c *Config) error {
	machine := contest.ThisMachine()
	b := &bench{c: c, figures: figures{Config: *c}}
	began := time.Now()
	b.printf("# The statistics of experiments\n\nCommand: `go run ./bench/stats %s`. Commit %s. Machine: %s.\n\n%d experiments with each shop, each looked at in the evening of every day. The result depends on the seed (%d), not on the machine.\n",
		strings.Join(os.Args[1:], " "), machine.Commit, machine, c.Experiments, c.Seed)
	b.alarms()
	b.coverage()
	b.broken()
	b.plans()
	b.printf("\n## Bars\n\n%s\n\nTook %s.\n", b.bars.String(), time.Since(began).Round(time.Second))
	return machine.Keep(c.Out, "stats-", []byte(b.text.String()), b.figures)
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

// alarms counts effects that are found where there is none.
func (b *bench) alarms() {
	b.printf("\n## An offer that does nothing\n\nExperiments in which an interval of the difference left out zero on any evening.\n\n| shop | always-valid, revenue | always-valid, conversion | fixed horizon, revenue | fixed, on the last evening only | looks with a result |\n|---|---|---|---|---|---|\n")
	var worst, naive float64
	for _, s := range nothing() {
		t := b.run(s)
		b.printf("| %s | %s | %s | %s | %s | %s |\n", s.Name, percent(t.Share(t.AlarmAlways)), percent(t.Share(t.MissConversion)), percent(t.Share(t.AlarmFixed)),
			percent(t.Share(t.MissFixedLast)), percent(float64(t.Looks)/float64(t.Experiments*s.Days)))
		worst = max(worst, t.Share(t.AlarmAlways), t.Share(t.MissConversion))
		naive = max(naive, t.Share(t.AlarmFixed))
	}
	b.bars.Under("false alarms of the always-valid interval, read daily: worst shop and metric", worst, 0.05)
	b.bars.AtLeast("false alarms of the fixed interval, read daily: what the simulation must be able to see", naive, 0.15)
}

// coverage counts how often the truth was inside, every evening.
func (b *bench) coverage() {
	b.printf("\n## An offer whose effect is known\n\nCoverage: the true difference was inside the interval on every evening. Found: the interval was above zero on the last evening.\n\n" +
		"| shop | coverage, revenue | coverage, conversion | fixed horizon, read daily | fixed, last evening | true difference | mean of those with a result | found |\n|---|---|---|---|---|---|---|---|\n")
	least, off := 1.0, 0.0
	for _, s := range something() {
		t := b.run(s)
		n := float64(t.Results)
		b.printf("| %s | %s | %s | %s | %s | %.4f | %.4f | %s |\n", s.Name, percent(1-t.Share(t.MissAlways)), percent(1-t.Share(t.MissConversion)), percent(1-t.Share(t.MissFixed)),
			percent(1-t.Share(t.MissFixedLast)), t.Truth/n, t.Value/n, percent(t.Share(t.Found)))
		least = min(least, 1-t.Share(t.MissAlways), 1-t.Share(t.MissConversion))
		if s.Basket == even {
			off = max(off, math.Abs(t.Value/t.Truth-1))
		}
	}
	b.bars.AtLeast("coverage of the always-valid 95 % interval, read daily: worst shop and metric", least, 0.95)
	b.bars.Under("known lift recovered: relative error of the mean difference, even baskets", off, 0.01)
}

// broken loses a part of the holdout.
func (b *bench) broken() {
	b.printf("\n## An assignment that loses visitors\n\n| shop | of the holdout lost | withheld on the last evening | on any evening |\n|---|---|---|---|\n")
	caught, falsely := 1.0, 0.0
	for _, s := range []simulate.Shop{
		shop("holdout 10 %, 1,000 a day", func(*simulate.Shop) {}),
		shop("holdout 50 %, 1,000 a day", func(s *simulate.Shop) { s.Holdout = 0.5 }),
		shop("holdout 10 %, 1,000 a day", func(s *simulate.Shop) { s.LostHoldout = 0.05 }),
		shop("holdout 10 %, 5,000 a day", func(s *simulate.Shop) { s.LostHoldout, s.VisitorsPerDay = 0.05, 5000 }),
		shop("holdout 50 %, 1,000 a day", func(s *simulate.Shop) { s.LostHoldout, s.Holdout = 0.05, 0.5 }),
	} {
		t := b.run(s)
		b.printf("| %s | %s | %s | %s |\n", s.Name, percent(s.LostHoldout), percent(t.Share(t.BrokenLast)), percent(t.Share(t.Broken)))
		if s.LostHoldout == 0 {
			falsely = max(falsely, t.Share(t.BrokenLast))
		} else if s.VisitorsPerDay == 5000 || s.Holdout == 0.5 {
			caught = min(caught, t.Share(t.BrokenLast))
		}
	}
	b.bars.AtLeast("5 % of the holdout lost: caught, with 300,000 visitors or a holdout of one half", caught, 0.99)
	b.bars.Under("sound assignments withheld at one look", falsely, 0.003)
}

// plans runs experiments for as long as PlanFor says.
func (b *bench) plans() {
	b.printf("\n## Days as planned, for 10 %% more\n\nAn experiment of the planned number of days should find the effect in four of five cases, watched every day.\n\n| holdout | days for one look | days watched | visitors watched | found within them |\n|---|---|---|---|---|\n")
	least := 1.0
	for _, h := range experiment.Holdouts {
		s := simulate.Shop{Name: fmt.Sprintf("plan, holdout %g", h), VisitorsPerDay: 30_000, Holdout: h, Conversion: 0.03, Delay: 1, Lift: 0.1, Basket: simulate.Basket{Median: 45, Sigma: 0.3}}
		mean := s.Conversion * s.Basket.Mean()
		p := experiment.PlanFor(experiment.Baseline{VisitorsPerDay: float64(s.VisitorsPerDay), Mean: mean, Variance: s.Conversion*s.Basket.Square() - mean*mean}, s.Lift, h)
		s.Days = p.Watched.Days
		t := b.run(s)
		b.printf("| %g %% | %d | %d | %d | %s |\n", 100*h, p.Once.Days, p.Watched.Days, p.Watched.Visitors, percent(t.Share(t.Found)))
		least = min(least, t.Share(t.Found))
	}
	b.bars.AtLeast("effect of 10 % found in the planned days: least of the holdouts", least, 0.78)
}
