package decision

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics have bounded labels: sites are configured, reasons and routes are closed lists.
type metrics struct {
	decisions, refusals, firstServes *prometheus.CounterVec
	panics, ruleFailures             prometheus.Counter
	seconds                          map[string]prometheus.Observer // by route
}

// The routes, as metrics name them.
const (
	routeDecision = "decision"
	routeOFREP    = "ofrep"
	routeJWKS     = "jwks"
	routeOpenAPI  = "openapi"
	routeOther    = "other"
)

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	m := metrics{
		decisions:    f.NewCounterVec(prometheus.CounterOpts{Name: "beckon_decisions_total", Help: "Answers by reason."}, []string{"site", "reason"}),
		refusals:     f.NewCounterVec(prometheus.CounterOpts{Name: "beckon_decision_refusals_total", Help: "Requests that got no decision."}, []string{"reason"}),
		firstServes:  f.NewCounterVec(prometheus.CounterOpts{Name: "beckon_decision_first_serves_total", Help: "Grants and holdout draws."}, []string{"site", "arm"}),
		panics:       f.NewCounter(prometheus.CounterOpts{Name: "beckon_decision_panics_total", Help: "Requests that ended in a panic."}),
		ruleFailures: f.NewCounter(prometheus.CounterOpts{Name: "beckon_decision_rule_failures_total", Help: "Rules whose evaluation failed: not eligible, reason ERROR."}),
		seconds:      map[string]prometheus.Observer{},
	}
	seconds := f.NewHistogramVec(prometheus.HistogramOpts{Name: "beckon_decision_seconds", Help: "Time to answer.", Buckets: prometheus.ExponentialBuckets(0.00005, 2, 14)}, []string{"route"})
	for _, route := range []string{routeDecision, routeOFREP, routeJWKS, routeOpenAPI, routeOther} {
		m.seconds[route] = seconds.WithLabelValues(route)
	}
	return m
}
