package experiment

import "gonum.org/v1/gonum/stat/distuv"

// ratioAlpha is when a sample ratio is broken. At 0.05 half of the alarms would be false; GrowthBook
// uses the same 0.001.
const ratioAlpha = 0.001

// minExpected is the visitors that each arm of a stratum should have for the chi-squared distribution to hold.
const minExpected = 5

// RatioCheck compares how many visitors each arm has with how many the draw should give it.
type RatioCheck struct {
	Expected float64 `json:"expected_holdout"` // visitors of the holdout
	Observed uint64  `json:"observed_holdout"`
	P        float64 `json:"p"` // how often chance alone is that far off; 1 when there are too few visitors to say
}

// Failed reports whether the arms cannot be what the draw made.
func (c RatioCheck) Failed() bool { return c.P < ratioAlpha }

// checkRatio is Pearson's chi-squared test over all strata.
func checkRatio(strata []Stratum) RatioCheck {
	c := RatioCheck{P: 1}
	var chi2, freedom float64
	for _, s := range strata {
		held := float64(s.Holdout.Visitors)
		n := held + float64(s.Treatment.Visitors)
		c.Expected += n * s.Share
		c.Observed += s.Holdout.Visitors
		if (s.Share <= 0 && held > 0) || (s.Share >= 1 && held < n) {
			c.P = 0 // a draw that cannot happen
			return c
		}
		if n*s.Share < minExpected || n*(1-s.Share) < minExpected {
			continue
		}
		off := held - n*s.Share
		chi2 += off * off / (n * s.Share * (1 - s.Share))
		freedom++
	}
	if freedom > 0 {
		c.P = distuv.ChiSquared{K: freedom}.Survival(chi2)
	}
	return c
}
