// Package simulate is about shops whose truth is known: it draws visitors, orders and refunds day by day, lets
// package experiment look at the sums every evening, and counts how often it was right. Tests run it small, bench/stats large.
package simulate

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"

	"beckon/aggregator/experiment"
)

// Shop is a shop with an offer whose effect is known.
type Shop struct {
	Name           string
	Days           int     // of the experiment; it is looked at in the evening of each
	VisitorsPerDay int     // eligible for the first time
	Holdout        float64 // share
	Conversion     float64 // of a visitor of the holdout, in the end
	Basket         Basket
	Again          float64 // share of the buyers who order once more
	Delay          float64 // share of those who will order that do so on any one day, 1 = on the first; also of second orders and of refunds
	Refunded       float64 // share of the orders paid back, whole
	Lift           float64 // the offer multiplies the conversion by 1 + Lift
	Discount       float64 // and takes this share off every order
	LostHoldout    float64 // share of the holdout that is never recorded: a fault
}

// Basket is what an order is worth: log-normal, and now and then an order of another size.
type Basket struct {
	Median, Sigma float64
	Bulk          float64 // share of orders that are BulkTimes as large
	BulkTimes     float64
}

func (b Basket) draw(r *rand.Rand) float64 {
	v := b.Median * math.Exp(b.Sigma*r.NormFloat64())
	if r.Float64() < b.Bulk {
		v *= b.BulkTimes
	}
	return v
}

// Mean is the mean of an order; Square that of its square.
func (b Basket) Mean() float64 {
	return b.Median * math.Exp(b.Sigma*b.Sigma/2) * (1 + b.Bulk*(b.BulkTimes-1))
}

// Square is the mean of the square of an order.
func (b Basket) Square() float64 {
	return b.Median * b.Median * math.Exp(2*b.Sigma*b.Sigma) * (1 + b.Bulk*(b.BulkTimes*b.BulkTimes-1))
}

// Tally says what was seen in so many experiments.
type Tally struct {
	Experiments int
	Looks       int // with a comparison
	// Experiments in which, at any look, the interval left out 0, or the true difference of that evening.
	AlarmAlways, AlarmFixed int
	MissAlways, MissFixed   int     // of either metric alone: MissAlways counts the revenue's
	MissConversion          int     // likewise of the conversion, always-valid
	MissFixedLast           int     // the fixed interval left out the truth at the last look, the only one it promises
	Broken                  int     // experiments in which a sample ratio failed at any look
	BrokenLast              int     // at the last look
	Results                 int     // experiments with a comparison at the last look
	Found                   int     // of them, in which Always was above 0
	Value, Truth            float64 // sums over them of the difference, measured and true
	Stop                    int     // sum of the days at which Always first was above 0
}

// Share is n in parts of the experiments.
func (t *Tally) Share(n int) float64 { return float64(n) / float64(t.Experiments) }

// Run makes n experiments.
func (s Shop) Run(n int, seed uint64) Tally {
	r := rand.New(rand.NewPCG(seed, 0))
	t := Tally{}
	for range n {
		s.once(r, &t)
	}
	return t
}

// day is what happens on one day: what is added to the sums.
type day struct{ treatment, holdout experiment.Sums }

func (s Shop) once(r *rand.Rand, t *Tally) {
	pending := make([]day, s.Days)
	var sums day
	var alarmAlways, alarmFixed, missAlways, missFixed, missConversion, broken bool
	stop := 0
	var last experiment.Result
	treated, held := s.expected(true), s.expected(false)
	for today := range s.Days {
		nH := binomial(r, s.VisitorsPerDay, s.Holdout)
		nT := s.VisitorsPerDay - nH
		nH = binomial(r, nH, 1-s.LostHoldout)
		s.assign(r, nT, true, pending[today:])
		s.assign(r, nH, false, pending[today:])
		sums.treatment, sums.holdout = sums.treatment.Add(pending[today].treatment), sums.holdout.Add(pending[today].holdout)
		last = experiment.Evaluate([]experiment.Stratum{{Share: s.Holdout, Treatment: sums.treatment, Holdout: sums.holdout}})
		broken = broken || last.Ratio.Failed()
		if last.Revenue == nil {
			continue
		}
		t.Looks++
		truth, truthConversion := 0.0, 0.0
		for k := range today + 1 { // as many visitors came on each day
			truth += (treated.revenue[k] - held.revenue[k]) / float64(today+1)
			truthConversion += (treated.conversion[k] - held.conversion[k]) / float64(today+1)
		}
		d := last.Revenue
		alarmAlways = alarmAlways || !d.Always.Has(0)
		alarmFixed = alarmFixed || !d.Fixed.Has(0)
		missAlways = missAlways || !d.Always.Has(truth)
		missFixed = missFixed || !d.Fixed.Has(truth)
		missConversion = missConversion || !last.Conversion.Always.Has(truthConversion)
		if stop == 0 && d.Always.Low > 0 {
			stop = today + 1
		}
		if today == s.Days-1 {
			t.Results++
			t.Value += d.Value
			t.Truth += truth
			t.MissFixedLast += count(!d.Fixed.Has(truth))
			t.Found += count(d.Always.Low > 0)
		}
	}
	t.Experiments++
	t.Stop += stop
	t.AlarmAlways += count(alarmAlways)
	t.AlarmFixed += count(alarmFixed)
	t.MissAlways += count(missAlways)
	t.MissFixed += count(missFixed)
	t.MissConversion += count(missConversion)
	t.Broken += count(broken)
	t.BrokenLast += count(last.Ratio.Failed())
}

// assign puts n new visitors of an arm, and all that they will do, into the days from today on.
func (s Shop) assign(r *rand.Rand, n int, treated bool, days []day) {
	arm := func(d int) *experiment.Sums {
		if treated {
			return &days[d].treatment
		}
		return &days[d].holdout
	}
	arm(0).Visitors += uint64(n)
	if treated {
		arm(0).Served += uint64(n)
		arm(0).Shown += uint64(n)
	}
	conversion, factor := s.effect(treated)
	for range binomial(r, n, conversion) {
		paid := 0.0
		for d, order := s.wait(r), 0; d < len(days) && order < 2; d, order = d+s.wait(r), order+1 {
			if order == 1 && r.Float64() >= s.Again {
				break
			}
			a := arm(d)
			if order == 0 {
				a.Converted++
			}
			a.Orders++
			v := s.Basket.draw(r) * factor
			a.Revenue += v
			a.RevenueSquared += (paid+v)*(paid+v) - paid*paid
			paid += v
			if r.Float64() < s.Refunded { // on the day of the order: what is paid back later only makes the noise later
				a.Revenue -= v
				a.RevenueSquared += (paid-v)*(paid-v) - paid*paid
				paid -= v
			}
		}
	}
}

func (s Shop) effect(treated bool) (conversion, factor float64) {
	if treated {
		return s.Conversion * (1 + s.Lift), 1 - s.Discount
	}
	return s.Conversion, 1
}

// wait is the number of days until something that happens on each with probability Delay.
func (s Shop) wait(r *rand.Rand) int {
	if s.Delay >= 1 {
		return 0
	}
	return int(math.Log(1-r.Float64()) / math.Log(1-s.Delay))
}

// expectation is what a visitor is expected to have brought so many days after the assignment.
type expectation struct{ revenue, conversion []float64 }

func (s Shop) expected(treated bool) expectation {
	conversion, factor := s.effect(treated)
	e := expectation{make([]float64, s.Days), make([]float64, s.Days)}
	first, second := 0.0, 0.0 // happened by day k
	for k := range s.Days {
		pFirst := s.Delay * math.Pow(1-s.Delay, float64(k))
		pSecond := float64(k+1) * s.Delay * s.Delay * math.Pow(1-s.Delay, float64(k)) // two waits that add up to k
		first, second = first+pFirst, second+pSecond
		e.conversion[k] = conversion * first
		e.revenue[k] = conversion * factor * s.Basket.Mean() * (1 - s.Refunded) * (first + s.Again*second)
	}
	return e
}

func binomial(r *rand.Rand, n int, p float64) int {
	switch {
	case p <= 0 || n == 0:
		return 0
	case p >= 1:
		return n
	}
	return int(distuv.Binomial{N: float64(n), P: p, Src: r}.Rand())
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
