package loader

import (
	"errors"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"beckon/internal/spool"
)

type metrics struct {
	inserts, rows prometheus.Counter
	failures      *prometheus.CounterVec
	seconds       prometheus.Histogram
	failing       prometheus.Gauge
	refused       prometheus.Counter
	mended        prometheus.Counter
	letterBytes   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	return metrics{
		inserts:     f.NewCounter(prometheus.CounterOpts{Name: "beckon_loader_batches_total", Help: "Batches that are completely in ClickHouse."}),
		rows:        f.NewCounter(prometheus.CounterOpts{Name: "beckon_loader_rows_total", Help: "Rows of those batches."}),
		failures:    f.NewCounterVec(prometheus.CounterOpts{Name: "beckon_loader_failures_total", Help: "Tries that failed, by ClickHouse error code, or read, dead-letter, connection, done."}, []string{"code"}),
		seconds:     f.NewHistogram(prometheus.HistogramOpts{Name: "beckon_loader_batch_seconds", Help: "Time to load one batch.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 14)}),
		failing:     f.NewGauge(prometheus.GaugeOpts{Name: "beckon_loader_failing", Help: "1 while the last try failed."}),
		mended:      f.NewCounter(prometheus.CounterOpts{Name: "beckon_loader_mended_batches_total", Help: "Batches found in ClickHouse without their mark, whose views were fed once more."}),
		letterBytes: f.NewGauge(prometheus.GaugeOpts{Name: "beckon_loader_dead_letter_file_bytes", Help: "Size of the dead-letter file when something was last to be added."}),
		refused:     f.NewCounter(prometheus.CounterOpts{Name: "beckon_loader_dead_letters_total", Help: "Records that were no rows and went to the dead-letter file."}),
	}
}

// failureCode is ClickHouse's error number where it answered with one, else the step's own word. A batch that is damaged
// was noticed while it was read, whatever for.
func failureCode(code string, err error) string {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		return strconv.Itoa(int(e.Code))
	}
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, spool.ErrUnreadable) {
		return "read"
	}
	return code
}
