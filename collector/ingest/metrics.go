package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics has closed label sets only: our routes, status classes, reasons and configured sites.
type metrics struct {
	replies  *prometheus.CounterVec // route, class
	refusals *prometheus.CounterVec // route, reason
	events   *prometheus.CounterVec // site, outcome
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter
	faults   prometheus.Counter
	limited  *prometheus.CounterVec // by
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		replies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_http_replies_total", Help: "Replies by route and class of status.",
		}, []string{"route", "class"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_http_refusals_total", Help: "Requests refused as a whole, by route and reason.",
		}, []string{"route", "reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_ingest_events_total", Help: "Events by site and outcome: stored, or why not.",
		}, []string{"site", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beckon_http_request_duration_seconds", Help: "From the complete request to the reply, the wait for the disk included.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "beckon_http_panics_total", Help: "Requests that ended in a panic, which is a bug of ours.",
		}),
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "beckon_http_faults_total", Help: "Requests that failed for a reason of ours that is not a panic.",
		}),
	}
	m.limited = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_limit_refusals_total", Help: "Requests refused with rate-limited, by whose limit it was: the client's, its network's, or the site's.",
	}, []string{"by"})
	reg.MustRegister(m.replies, m.refusals, m.events, m.seconds, m.panics, m.faults, m.limited)
	return m
}

// outcome is the value of the label: the reason, or "stored".
func outcome(r Reason) string {
	if r == Taken {
		return "stored"
	}
	return r.String()
}

// gauge holds the counters of one route, found once so that a request looks nothing up.
type gauge struct {
	classes  [6]prometheus.Counter // by the first digit of the status
	refusals [reasonCount]prometheus.Counter
	seconds  prometheus.Observer
}

var classes = [6]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

func (m *metrics) gauge(route string) *gauge {
	g := &gauge{seconds: m.seconds.WithLabelValues(route)}
	for i, class := range classes {
		if class != "" {
			g.classes[i] = m.replies.WithLabelValues(route, class)
		}
	}
	for r := Taken + 1; r < reasonCount; r++ {
		if !reasons[r].event {
			g.refusals[r] = m.refusals.WithLabelValues(route, r.String())
		}
	}
	return g
}

func (g *gauge) observe(status int, reason Reason, took time.Duration) {
	g.classes[status/100].Inc()
	if c := g.refusals[reason]; c != nil {
		c.Inc()
	}
	g.seconds.Observe(took.Seconds())
}
