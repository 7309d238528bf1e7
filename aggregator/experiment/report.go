package experiment

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Report is a Result with all that a reader needs beside it. It is what `report --json` prints.
type Report struct {
	Site        string    `json:"site"`
	Offer       string    `json:"offer"`
	Experiment  uint32    `json:"experiment"`
	Others      []uint32  `json:"other_experiments,omitempty"` // of this offer, that are kept too
	Shares      []float64 `json:"holdout_shares"`              // of the holdout; several when it was changed within the experiment
	Environment string    `json:"environment"`
	Currency    string    `json:"currency"`
	Timezone    string    `json:"timezone"`
	From        string    `json:"from,omitempty"` // days of the first and the last assignment
	To          string    `json:"to,omitempty"`
	Result
	// MoreDays is Revenue.More at the rate of the days from From to To; nil when that is nil or more than ten years.
	MoreDays *int  `json:"more_days,omitempty"`
	Days     []Day `json:"days"`
}

// About says what to report. The zero Experiment is the one with the highest number.
type About struct {
	Query
	Currency   string
	Experiment uint32
	LastDays   int // only visitors assigned in so many days, today included; 0 = all
}

// Make reports on days, as read for a.Query.
func Make(a About, days []Day) Report {
	r := Report{
		Site: a.Site, Offer: a.Offer, Environment: a.Environment, Currency: a.Currency, Timezone: a.Timezone.String(),
		Experiment: a.Experiment, Days: []Day{}, Shares: []float64{},
	}
	for _, d := range days {
		if !slices.Contains(r.Others, d.Experiment) {
			r.Others = append(r.Others, d.Experiment)
		}
	}
	if r.Experiment == 0 && len(r.Others) > 0 {
		r.Experiment = slices.Max(r.Others)
	}
	r.Others = slices.DeleteFunc(r.Others, func(e uint32) bool { return e == r.Experiment })
	today := a.Now.In(a.Timezone)
	since := ""
	if a.LastDays > 0 {
		since = today.AddDate(0, 0, 1-a.LastDays).Format(time.DateOnly)
	}
	oldest := ""
	for _, d := range days {
		if d.Experiment != r.Experiment {
			continue
		}
		if oldest == "" || d.Day < oldest {
			oldest = d.Day
		}
		if d.Day >= since {
			r.Days = append(r.Days, d)
		}
	}
	for _, d := range r.Days {
		if r.From == "" {
			r.From = d.Day
		}
		r.To = d.Day
		if !slices.Contains(r.Shares, d.Share) {
			r.Shares = append(r.Shares, d.Share)
		}
	}
	r.Result = Evaluate(Strata(r.Days))
	if kept := int(a.Kept / (24 * time.Hour)); oldest != "" && oldest <= today.AddDate(0, 0, 2-kept).Format(time.DateOnly) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the oldest assignments are %d days old, and older ones are deleted (retention.profiles). Who was assigned before and is eligible again counts as new, "+
			"which is no longer up to chance alone: end this experiment, or count it up", kept))
	}
	r.moreDays(today)
	return r
}

// moreDays turns the visitors that are missing into days, at the rate so far.
func (r *Report) moreDays(today time.Time) {
	if r.Revenue == nil || r.Revenue.More == nil {
		return
	}
	from, err := time.ParseInLocation(time.DateOnly, r.From, today.Location())
	if err != nil {
		panic("BUG: " + r.From + " is no day")
	}
	perDay := float64(r.Treatment.Visitors+r.Holdout.Visitors) / max(1, today.Sub(from).Hours()/24)
	if days := math.Ceil(float64(*r.Revenue.More) / perDay); days <= longestDays {
		n := int(days)
		r.MoreDays = &n
	}
}
