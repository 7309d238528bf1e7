package suppress

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries  prometheus.Gauge
	damaged  prometheus.Counter
	failures *prometheus.CounterVec
	failing  atomic.Bool
	gauge    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_suppressed_visitors", Help: "Visitors who opted out or withdrew, as this process knows them.",
		}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "beckon_suppress_damaged_lines_total", Help: "Lines of the list of suppressed visitors that could not be read.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_suppress_failures_total", Help: "Failures to write the list of suppressed visitors, to hold more of them, or to ask and tell ClickHouse of those of other hosts.",
		}, []string{"what"}),
		gauge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_suppress_failing", Help: "1 while the list of suppressed visitors cannot be read or written.",
		}),
	}
	for _, what := range []string{"write", "full", "table"} {
		m.failures.WithLabelValues(what)
	}
	if reg != nil {
		reg.MustRegister(m.entries, m.damaged, m.failures, m.gauge)
	}
	return m
}

func (m *metrics) fail(failing bool) {
	m.failing.Store(failing)
	m.gauge.Set(0)
	if failing {
		m.gauge.Set(1)
	}
}
