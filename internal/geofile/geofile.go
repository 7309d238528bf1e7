// Package geofile is about which geo database is in force. It opens the operator's file, looks again every few
// seconds, and puts a changed one in its place while requests go on.
//
// Promises. A request is answered from one whole database, the old or the new one. A file that is broken, older,
// or much smaller than the one in force is refused, which is logged and counted, and the old one stays; a start
// takes any that can be read, so that a restart is how an operator insists. A file that is still being written
// is left alone until two looks in a row find it the same. An old database is a warning in the log, once a day,
// and a metric.
//
// Place in the path: collector/ingest asks it for the country and region of each truncated network; what a
// database is, internal/privacy knows.
package geofile

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/privacy"
)

const (
	oldAfter  = 45 * 24 * time.Hour // vendors publish monthly or more often: one was left out, and half of the next month
	warnEvery = 24 * time.Hour

	// Trees of two releases differ by a few percent in either direction. One that lost a tenth of its nodes is
	// another product, or the half of one.
	leastNodes = 0.9
)

// File is the database in force. Its methods are safe for concurrent use.
type File struct {
	path  string
	now   func() time.Time
	inUse atomic.Pointer[privacy.Geo]

	loaded, refused prometheus.Counter

	// Of Watch only.
	taken  os.FileInfo // the file as it was when it was last read, taken or refused
	last   os.FileInfo // as the last look found it; nil = it was not there
	warned time.Time
}

// Open reads the file. It may be of any age. A nil File is none: it knows no place, has no metrics, and never changes.
func Open(path string) (*File, error) {
	f := &File{path: path, now: time.Now}
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_geo_reloads_total", Help: "Changed geo files that were taken, or refused while the old one stays.",
	}, []string{"outcome"})
	f.loaded, f.refused = reloads.WithLabelValues("taken"), reloads.WithLabelValues("refused")
	f.taken, _ = os.Stat(path) // before it is read: a change in between is then seen
	g, err := privacy.OpenGeo(path)
	if err != nil {
		return nil, err
	}
	f.inUse.Store(g)
	return f, nil
}

// Describe and Collect make a File a prometheus.Collector.
func (f *File) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, ch) }

var buildTime = prometheus.NewDesc("beckon_geo_build_timestamp_seconds", "When the geo database in force was made.", nil, nil)

// Collect sends the metrics.
func (f *File) Collect(ch chan<- prometheus.Metric) {
	if f == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(buildTime, prometheus.GaugeValue, float64(f.inUse.Load().BuildTime().Unix()))
	ch <- f.loaded
	ch <- f.refused
}

// Country returns the ISO 3166-1 code of a network's country; empty when it is not known.
func (f *File) Country(n privacy.Network) privacy.Bucket {
	if f == nil {
		return privacy.Bucket{}
	}
	return f.inUse.Load().Country(n)
}

// Region returns the region of a network; empty when it is not known.
func (f *File) Region(n privacy.Network) privacy.Bucket {
	if f == nil {
		return privacy.Bucket{}
	}
	return f.inUse.Load().Region(n)
}

// Watch looks at the file every interval until ctx ends. It polls, because inotify does not see a bind-mounted
// or network file change.
func (f *File) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	if f == nil {
		<-ctx.Done()
		return
	}
	f.warnIfOld(log)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.reload(log)
			f.warnIfOld(log)
		}
	}
}

// reload does one look.
func (f *File) reload(log *slog.Logger) {
	seen, err := os.Stat(f.path)
	settled := same(seen, f.last)
	f.last = seen
	if same(seen, f.taken) || !settled {
		return
	}
	f.taken = seen
	if err == nil {
		var next *privacy.Geo
		if next, err = privacy.OpenGeo(f.path); err == nil {
			err = f.replace(next)
		}
	}
	inForce := f.inUse.Load().BuildTime().UTC().Format(time.DateOnly)
	if err != nil {
		f.refused.Inc()
		log.Error("geo file refused, the old one stays", "file", f.path, "in_force", inForce, "error", err)
		return
	}
	f.loaded.Inc()
	f.warned = time.Time{}
	log.Info("geo file reloaded", "file", f.path, "built", inForce)
}

// replace puts next in force, unless it is a step back.
func (f *File) replace(next *privacy.Geo) error {
	old := f.inUse.Load()
	if next.BuildTime().Before(old.BuildTime()) {
		return fmt.Errorf("it was made on %s, before the one in force: restart to use it all the same",
			next.BuildTime().UTC().Format(time.DateOnly))
	}
	if float64(next.Nodes()) < leastNodes*float64(old.Nodes()) {
		return fmt.Errorf("its tree has %d nodes, that of the one in force %d: restart to use it all the same", next.Nodes(), old.Nodes())
	}
	f.inUse.Store(next)
	return nil
}

// same tells one state of a file from another without reading it.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (f *File) warnIfOld(log *slog.Logger) {
	now, built := f.now(), f.inUse.Load().BuildTime()
	if now.Sub(built) <= oldAfter || now.Sub(f.warned) < warnEvery {
		return
	}
	f.warned = now
	log.Warn("the geo database is old: addresses move, so countries become wrong", "file", f.path,
		"built", built.UTC().Format(time.DateOnly), "days", int(now.Sub(built).Hours()/24))
}
