package experiment

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// lineWidth is where sentences are broken.
const lineWidth = 100

// Print writes the report for a person.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s, experiment %d", r.Offer, r.Site, r.Experiment)
	if len(r.Shares) > 0 {
		shares := make([]string, len(r.Shares))
		for i, s := range r.Shares {
			shares[i] = fmt.Sprintf("%.4g%%", s*100)
		}
		fmt.Fprintf(&b, ", %s held out; visitors assigned from %s to %s (%s)", strings.Join(shares, " and "), r.From, r.To, r.Timezone)
	}
	b.WriteString("\n\n")
	r.printArms(&b)
	if r.Revenue != nil {
		r.printDifferences(&b)
	}
	fill(&b, r.verdict())
	fill(&b, r.ratioSentence())
	for _, warning := range r.Warnings {
		fill(&b, "Note: "+warning+".")
	}
	if len(r.Others) > 0 {
		others := make([]string, len(r.Others))
		for i, e := range r.Others {
			others[i] = strconv.FormatUint(uint64(e), 10)
		}
		fill(&b, "Other experiments with this offer: "+strings.Join(others, ", ")+" (--experiment).")
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func (r *Report) printArms(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(name string, value func(Sums) string) {
		fmt.Fprintf(t, "%-32s\t%s\t%s\t\n", name, value(r.Treatment), value(r.Holdout))
	}
	number := func(pick func(Sums) uint64) func(Sums) string {
		return func(s Sums) string { return thousands(float64(pick(s)), 0) }
	}
	fmt.Fprintf(t, "%-32s\ttreatment\tholdout\t\n", "")
	row("visitors assigned", number(func(s Sums) uint64 { return s.Visitors }))
	row("  given the offer (served)", number(func(s Sums) uint64 { return s.Served }))
	row("  saw it (shown)", number(func(s Sums) uint64 { return s.Shown }))
	row("orders since", number(func(s Sums) uint64 { return s.Orders }))
	row("visitors who ordered", number(func(s Sums) uint64 { return s.Converted }))
	row("conversion", func(s Sums) string { return fmt.Sprintf("%.2f%%", 100*s.Conversion().Mean) })
	row("revenue"+r.in(), func(s Sums) string { return thousands(s.Revenue, 2) })
	row("revenue per visitor"+r.in(), func(s Sums) string { return thousands(s.RevenuePerVisitor().Mean, 4) })
	t.Flush()
	b.WriteString("\n")
}

func (r *Report) printDifferences(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%-32s\tdifference\talways-valid 95%%\tfixed horizon 95%%\t\n", "treatment less holdout")
	for _, m := range []struct {
		name   string
		is     *Difference
		format func(float64) string
	}{
		{"revenue per visitor" + r.in(), r.Revenue, func(x float64) string { return signed(x, 4) }},
		{"conversion (points)", r.Conversion, func(x float64) string { return signed(100*x, 3) }},
	} {
		span := func(i Interval, format func(float64) string) string { return format(i.Low) + " to " + format(i.High) }
		fmt.Fprintf(t, "%-32s\t%s\t%s\t%s\t\n", m.name, m.format(m.is.Value), span(m.is.Always, m.format), span(m.is.Fixed, m.format))
		if rel := m.is.Relative; rel != nil {
			percent := func(x float64) string { return signed(100*x, 1) + "%" }
			fmt.Fprintf(t, "%-32s\t%s\t%s\t%s\t\n", "  relative", percent(rel.Value), span(rel.Always, percent), span(rel.Fixed, percent))
		}
	}
	t.Flush()
	b.WriteString("\n")
}

// verdict is the one sentence that a merchant reads.
func (r *Report) verdict() string {
	if r.Revenue == nil {
		return "No result: " + r.Withheld + "."
	}
	d := r.Revenue
	switch {
	case d.Always.Low > 0:
		return fmt.Sprintf("The offer earns: visitors who get it bring %s more each%s, after the discount. You may stop here; the true difference is between %s and %s.",
			thousands(d.Value, 4), r.in(), thousands(d.Always.Low, 4), thousands(d.Always.High, 4))
	case d.Always.High < 0:
		return fmt.Sprintf("The offer costs: visitors who get it bring %s less each%s, after the discount. You may stop here; the true difference is between %s and %s.",
			thousands(-d.Value, 4), r.in(), signed(d.Always.Low, 4), signed(d.Always.High, 4))
	}
	text := "Not decided: the always-valid interval of the revenue per visitor holds zero, so this difference can be chance. "
	switch {
	case d.More == nil:
		text += "No number of visitors would decide it while the difference is as small as this."
	case r.MoreDays == nil:
		text += fmt.Sprintf("It would take %s more visitors if the difference stays as it is, which at the rate so far is more than ten years.", thousands(float64(*d.More), 0))
	default:
		text += fmt.Sprintf("It takes about %s more visitors if the difference stays as it is: %d days at the rate so far.", thousands(float64(*d.More), 0), *r.MoreDays)
	}
	return text
}

func (r *Report) ratioSentence() string {
	c := r.Ratio
	if r.Treatment.Visitors+r.Holdout.Visitors == 0 || r.Reason == NoHoldout || r.Reason == NoTreatment {
		return ""
	}
	verdict := "as it should be"
	if c.Failed() {
		verdict = "the draw and the assignments do not fit"
	}
	return fmt.Sprintf("Sample ratio: %s in the holdout, %s expected (p = %.2g): %s.", thousands(float64(c.Observed), 0), thousands(c.Expected, 0), c.P, verdict)
}

func (r *Report) in() string {
	if r.Currency == "" {
		return ""
	}
	return " (" + r.Currency + ")"
}

// fill writes a paragraph in lines of lineWidth.
func fill(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	width := 0
	for _, word := range strings.Fields(text) {
		if width > 0 && width+1+len(word) > lineWidth {
			b.WriteByte('\n')
			width = 0
		} else if width > 0 {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteString("\n\n")
}

func signed(x float64, digits int) string {
	text := strconv.FormatFloat(x, 'f', digits, 64)
	if x > 0 {
		return "+" + text
	}
	return text
}

// thousands writes 1234567.8 as 1,234,567.80 with two digits.
func thousands(x float64, digits int) string {
	text := strconv.FormatFloat(x, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	minus := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	if minus {
		return "-" + whole
	}
	return whole
}
