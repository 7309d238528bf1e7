package backtest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"beckon/aggregator/experiment"
)

// WriteText writes r for people at a terminal.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	title := r.Offer
	if r.Title != "" {
		title += " (" + r.Title + ")"
	}
	fmt.Fprintf(&b, "%s at %s, %s to %s (%s), over %d events\n", title, r.Site, r.From.Format(time.DateOnly), r.To.In(r.From.Location()).Format("2006-01-02 15:04"), r.Timezone, r.Events)
	fmt.Fprintf(&b, "  when %s\n\n", strings.Join(strings.Fields(r.When), " "))
	r.writeDays(&b)
	fmt.Fprintf(&b, "\nDifferent visitors: %d eligible, %d would have been given the offer, %d held out (holdout %.4g%%).\n",
		r.VisitorsEligible, r.VisitorsServed, r.VisitorsHeldOut, r.Holdout*100)
	if r.Total.Revenue > 0 {
		fmt.Fprintf(&b, "Cost: %.2f%s on %.2f of revenue, %.1f%%.\n", r.Total.Cost, r.currency(), r.Total.Revenue, 100*r.Total.Cost/r.Total.Revenue)
	}
	for _, o := range r.Overlap {
		if o.Visitors > 0 {
			fmt.Fprintf(&b, "Overlap: %d of them could have had %s at the same moment; to %d it went instead.\n", o.Visitors, o.Offer, o.Won)
		}
	}
	r.writePlans(&b)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\nWARNING: %s\n", warning)
	}
	b.WriteString("\nWhat this cannot know:\n")
	for _, limit := range r.Limits {
		fmt.Fprintf(&b, "- %s\n", limit)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) currency() string {
	if r.Currency == "" {
		return ""
	}
	return " " + r.Currency
}

func (r *Result) writeDays(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "day\tvisitors\teligible\texposures\theld out\torders\trevenue\tcost\t")
	row := func(name string, d Day) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%.2f\t%.2f\t\n", name, d.Visitors, d.Eligible, d.Exposures, d.HeldOut, d.Orders, d.Revenue, d.Cost)
	}
	for _, d := range r.Days {
		name := d.Day
		if d.Partial {
			name += " (part)"
		}
		row(name, d)
	}
	row("sum", r.Total)
	t.Flush()
}

// writePlans prints how long an experiment would take, for each metric and share of the holdout.
func (r *Result) writePlans(b *strings.Builder) {
	fmt.Fprintf(b, "\nTo detect +%.0f%% with %.1f new visitors a day, of whom each brought %.2f%s without the offer and %.2f%% ordered:\n",
		r.Plans.Lift*100, r.Baseline.VisitorsPerDay, r.Baseline.RevenuePerVisitor, r.currency(), r.Baseline.Conversion*100)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  holdout\tin conversion\tin revenue per visitor")
	for i := range r.Plans.Conversion {
		fmt.Fprintf(t, "  %.4g%%\t%s\t%s\n", r.Plans.Conversion[i].Holdout*100, planText(r.Plans.Conversion[i]), planText(r.Plans.Revenue[i]))
	}
	t.Flush()
	b.WriteString("  (days when the report is read every day; in brackets when it is read once, on the last of them)\n")
}

func planText(p experiment.Plan) string {
	text := func(n experiment.Need) string {
		if n.Never != "" {
			return "never"
		}
		return fmt.Sprintf("%d days", n.Days)
	}
	return text(p.Watched) + " (" + text(p.Once) + ")"
}
