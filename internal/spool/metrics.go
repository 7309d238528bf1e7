package spool

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	all []prometheus.Collector

	commits        prometheus.Counter
	commitSeconds  prometheus.Histogram
	records        prometheus.Counter
	duplicates     prometheus.Counter
	refusedFull    prometheus.Counter
	refusedFailed  prometheus.Counter
	discardedBytes prometheus.Counter
	lostFrames     prometheus.Counter
	rejectedFiles  prometheus.Counter
	missing        prometheus.Counter
}

func newMetrics(s *Spool) *metrics {
	m := &metrics{}
	counter := func(name, help string, labels prometheus.Labels) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "beckon_spool_" + name, Help: help, ConstLabels: labels})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "beckon_spool_" + name, Help: help}, value))
	}
	gauge("bytes", "Size of all segments that are not loaded yet.", func() float64 { return float64(s.Stats().Bytes) })
	gauge("max_bytes", "Bound of beckon_spool_bytes: the setting, or less when the disk has less room.",
		func() float64 { return float64(max(0, s.bound.Load())) })
	gauge("segments", "Segments that are not loaded yet, the open one included.", func() float64 { return float64(s.Stats().Segments) })
	gauge("records", "Records that are not loaded yet.", func() float64 { return float64(s.Stats().Records) })
	gauge("oldest_segment_age_seconds", "Time since the first commit of the oldest segment that is not loaded yet.",
		func() float64 { return s.Stats().OldestAge.Seconds() })
	gauge("window_seconds", "How far back repeats are recognised.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.window.reach(s.windowMillis()).Seconds()
	})
	m.commits = counter("commits_total", "Group commits.", nil)
	m.records = counter("records_total", "Records made durable.", nil)
	m.duplicates = counter("duplicates_total", "Entries that were repeats and not stored again.", nil)
	m.refusedFull = counter("refused_total", "Append calls refused.", prometheus.Labels{"reason": "full"})
	m.refusedFailed = counter("refused_total", "Append calls refused.", prometheus.Labels{"reason": "failed"})
	m.discardedBytes = counter("recovered_bytes_discarded_total", "Bytes that a start, or the loader later, could not read as frames; their places are in the log.", nil)
	m.lostFrames = counter("recovered_frames_lost_total", "Frames known to be missing from segments that were found damaged.", nil)
	m.rejectedFiles = counter("recovered_files_rejected_total", "Files set aside by a start, or by the loader later.", nil)
	m.missing = counter("missing_segments_total", "Segments that a start did not find although they were not loaded; their numbers are in the log.", nil)
	m.commitSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "beckon_spool_commit_seconds", Help: "Time to write, and with sync=always to fsync, a group commit.",
		Buckets: prometheus.ExponentialBuckets(0.000125, 2, 16), // to 4 s
	})
	m.all = append(m.all, m.commitSeconds)
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i] // the others are somebody else's, of the same name
			m.unregister(r)
			return fmt.Errorf("register spool metrics (wrap the registerer with a label when one process has two spools): %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range m.all {
		r.Unregister(c)
	}
}

func (m *metrics) refused(err error) {
	switch {
	case errors.Is(err, ErrFull):
		m.refusedFull.Inc()
	case errors.Is(err, ErrFailed):
		m.refusedFailed.Inc()
	}
}
