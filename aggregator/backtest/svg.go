package backtest

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// The chart, in units of the drawing.
const (
	chartWidth, chartHeight = 960.0, 460.0
	plotLeft, plotRight     = 64.0, 944.0
	plotTop, plotBottom     = 104.0, 372.0

	colorEligible, colorServed, colorHeld = "#c9d8f0", "#2b62b8", "#e0912f"
	colorText, colorFaint, colorLine      = "#1f2933", "#5f6c7b", "#e3e7ec"
)

// WriteSVG draws the days: eligible visitors, and in front of them the would-be exposures with the holdout on
// top. It needs nothing but the file: no font, script or style from elsewhere.
func (r *Result) WriteSVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="title" font-family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif">`+"\n", chartWidth, chartHeight, chartWidth, chartHeight)
	title := r.Offer
	if r.Title != "" {
		title += ": " + r.Title
	}
	fmt.Fprintf(&b, "<title id=\"title\">Backtest of %s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", html.EscapeString(title))
	label(&b, 24, 34, 18, colorText, "start", "600", "Backtest of "+title)
	label(&b, 24, 56, 12.5, colorFaint, "start", "400", fmt.Sprintf("%s, %s to %s (%s)", r.Site, r.From.Format("2 Jan 2006"), r.To.In(r.From.Location()).Format("2 Jan 2006"), r.Timezone))
	r.drawLegend(&b)
	top := niceCeiling(r.highest())
	y := func(v float64) float64 { return plotBottom - v/top*(plotBottom-plotTop) }
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, plotRight, y(v), y(v), colorLine)
		label(&b, plotLeft-8, y(v)+4, 11, colorFaint, "end", "400", count(v))
	}
	r.drawDays(&b, y)
	label(&b, plotLeft-8, plotTop-14, 11, colorFaint, "end", "400", "visitors")
	r.drawTotals(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) highest() float64 {
	high := 1.0
	for _, d := range r.Days {
		high = max(high, float64(d.Eligible), float64(d.Exposures+d.HeldOut))
	}
	return high
}

// niceCeiling is the next number that divides well by four.
func niceCeiling(v float64) float64 {
	for scale := 1.0; ; scale *= 10 {
		for _, step := range []float64{4, 8, 12, 16, 20, 24, 32} {
			if step*scale >= v {
				return step * scale
			}
		}
	}
}

// count spells a number shortly: 1200 is 1.2k.
func count(v float64) string {
	switch {
	case v >= 1e6:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e6), ".0") + "M"
	case v >= 1e4:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v/1e3), ".0") + "k"
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *Result) drawLegend(b *strings.Builder) {
	x := plotLeft
	for _, l := range []struct{ color, text string }{{colorEligible, "eligible visitors"}, {colorServed, "given the offer"}, {colorHeld, "held out"}} {
		fmt.Fprintf(b, `<rect x="%.1f" y="70" width="11" height="11" rx="2" fill="%s"/>`+"\n", x+12, l.color)
		label(b, x+29, 80, 12, colorText, "start", "400", l.text)
		x += 48 + 7*float64(len(l.text))
	}
}

func (r *Result) drawDays(b *strings.Builder, y func(float64) float64) {
	slot := (plotRight - plotLeft) / float64(max(1, len(r.Days)))
	wide := min(slot*0.72, 40)
	bar := func(x, width, from, to float64, color string, faint bool) {
		if to <= from {
			return
		}
		opacity := ""
		if faint {
			opacity = ` opacity="0.55"`
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"%s/>`+"\n", x, y(to), width, y(from)-y(to), color, opacity)
	}
	every := int(math.Ceil(52 / slot)) // a date needs that much room
	for i, d := range r.Days {
		middle := plotLeft + (float64(i)+0.5)*slot
		served, all := float64(d.Exposures), float64(d.Exposures+d.HeldOut)
		bar(middle-wide/2, wide, 0, float64(d.Eligible), colorEligible, d.Partial)
		bar(middle-wide/4, wide/2, 0, served, colorServed, d.Partial)
		bar(middle-wide/4, wide/2, served, all, colorHeld, d.Partial)
		if (len(r.Days)-1-i)%every == 0 {
			text := d.Day
			if day, err := time.Parse(time.DateOnly, d.Day); err == nil {
				text = day.Format("2 Jan")
			}
			label(b, middle, plotBottom+18, 11, colorFaint, "middle", "400", text)
		}
	}
	fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, plotRight, plotBottom, plotBottom, colorFaint)
}

// drawTotals puts the sums under the chart.
func (r *Result) drawTotals(b *strings.Builder) {
	share := ""
	if r.Total.Revenue > 0 {
		share = fmt.Sprintf(" (%.1f%%)", 100*r.Total.Cost/r.Total.Revenue)
	}
	facts := [][2]string{
		{"eligible visitors", fmt.Sprint(r.VisitorsEligible)},
		{"given the offer", fmt.Sprint(r.VisitorsServed)},
		{"held out", fmt.Sprint(r.VisitorsHeldOut)},
		{"orders with it", fmt.Sprint(r.Total.Orders)},
		{"their revenue" + r.currency(), fmt.Sprintf("%.0f", r.Total.Revenue)},
		{"cost" + r.currency(), fmt.Sprintf("%.0f", r.Total.Cost) + share},
	}
	for i, fact := range facts {
		x := plotLeft + float64(i)*(plotRight-plotLeft)/float64(len(facts))
		label(b, x, plotBottom+54, 11, colorFaint, "start", "400", fact[0])
		label(b, x, plotBottom+74, 16, colorText, "start", "600", fact[1])
	}
}

func label(b *strings.Builder, x, y, size float64, color, anchor, weight, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%g" fill="%s" text-anchor="%s" font-weight="%s">%s</text>`+"\n", x, y, size, color, anchor, weight, html.EscapeString(text))
}
