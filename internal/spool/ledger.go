package spool

import (
	"cmp"
	"slices"
	"time"
)

// Reasons that the spool counts by itself, beside those that callers give.
const (
	ReasonAccepted  = "accepted"  // stored or duplicate
	ReasonStored    = "stored"    // in a durable record
	ReasonDuplicate = "duplicate" // a repeat within the window
	ReasonLost      = "lost"      // counted as stored, but its record could not be read after a restart; site unknown
)

// Count is one addition to the ledger. Its minute is that of the spool's clock. Site and Reason are at
// most 255 bytes and come from closed lists, or the ledger has no bound.
type Count struct {
	Site   string
	Reason string
	N      uint32
}

// LedgerLine says how often something happened at a site in a minute (UTC).
type LedgerLine struct {
	Site   string    `json:"site"`
	Minute time.Time `json:"minute"`
	Reason string    `json:"reason"`
	N      uint64    `json:"n"`
}

type countKey struct {
	site, reason string
	minute       int64 // since 1970
}

// counts is a piece of the ledger: that of a commit, of a segment, or what waits for a commit.
type counts map[countKey]uint64

func (c counts) add(site string, minute int64, reason string, n uint64) {
	if n > 0 {
		c[countKey{site, reason, minute}] += n
	}
}

func (c counts) merge(other counts) {
	for k, n := range other {
		c[k] += n
	}
}

// maxLooseLines bounds the counts that wait in memory for a disk with room.
const maxLooseLines = 1 << 16

// fold moves all counts to the newest minute among them: an outage of days costs their minutes, not memory.
func (c counts) fold() {
	newest := int64(0)
	for k := range c {
		newest = max(newest, k.minute)
	}
	sum := make(counts)
	for k, n := range c {
		k.minute = newest
		sum[k] += n
	}
	clear(c)
	c.merge(sum)
}

// keys appends the keys of c to dst, by site, minute and reason: equal counts make equal bytes.
func (c counts) keys(dst []countKey) []countKey {
	for k := range c {
		dst = append(dst, k)
	}
	slices.SortFunc(dst, func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.minute, b.minute), cmp.Compare(a.reason, b.reason))
	})
	return dst
}

func (c counts) lines() []LedgerLine {
	lines := make([]LedgerLine, 0, len(c))
	for _, k := range c.keys(nil) {
		lines = append(lines, LedgerLine{k.site, time.Unix(k.minute*60, 0).UTC(), k.reason, c[k]})
	}
	return lines
}

// Ledger is what the spool knows and ClickHouse does not yet: the counts of all segments that are not
// done, and those that still wait for a commit.
func (s *Spool) Ledger() []LedgerLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := make(counts)
	for _, segs := range [][]*segment{s.sealed, s.unsealed} {
		for _, seg := range segs {
			sum.merge(seg.counts)
		}
	}
	sum.merge(s.loose)
	if s.flying != nil {
		sum.merge(s.flying.loose)
	}
	return sum.lines()
}
