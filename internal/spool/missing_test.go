package spool

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// missingAfter opens a directory and returns how many segments that start misses.
func missingAfter(t *testing.T, dir string, o Options) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	s := mustOpen(t, dir, o)
	defer mustClose(t, s)
	return int(metric(t, reg, "beckon_spool_missing_segments_total"))
}

func TestAStartTellsOfSegmentsThatAreMissing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	o := Options{Now: func() time.Time { return now }}
	// Segments 1 to 3 are done, 4 to 9 wait; of those 9 and 7 are done next, hours later, as a loader does that is behind.
	prepared := func(t *testing.T) (dir string, f []string) {
		dir = t.TempDir()
		s := mustOpen(t, dir, o)
		for n := range 9 {
			mustAppend(t, s, numbered(n))
			sealNow(t, s)
			if n == 2 {
				drain(t, s)
			}
		}
		now = now.Add(5 * time.Hour)
		for _, n := range []uint64{9, 7} {
			if err := s.Done(BatchID{s.ID(), n}); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, s)
		f = segmentFiles(t, dir)
		want(t, "files: 4, 5, 6, 8 and the next", len(f), 5)
		return dir, f
	}
	for name, c := range map[string]struct {
		damage  func(t *testing.T, dir string, f []string)
		missing int
		again   int // missing at the next start: as long as something waits
	}{
		"none":              {func(*testing.T, string, []string) {}, 0, 0},
		"the oldest":        {func(t *testing.T, _ string, f []string) { remove(t, f[0]) }, 1, 1},
		"two in the middle": {func(t *testing.T, _ string, f []string) { remove(t, f[1]); remove(t, f[2]) }, 2, 2},
		"the newest":        {func(t *testing.T, _ string, f []string) { remove(t, f[3]) }, 1, 1},
		"all": {func(t *testing.T, _ string, f []string) {
			remove(t, f[0])
			remove(t, f[1])
			remove(t, f[2])
			remove(t, f[3])
		}, 4, 0},
		"one that is empty": {func(t *testing.T, _ string, f []string) { write(t, f[1], nil) }, 0, 0}, // as the next one is
		"one with another name": {func(t *testing.T, dir string, f []string) {
			copyFile(t, f[1], dir+"/00000000000000000999.segment")
			remove(t, f[1])
		}, 0, 0},
		"a name with a huge number": {func(t *testing.T, dir string, f []string) {
			copyFile(t, f[1], dir+"/09999999999999999999.segment")
			remove(t, f[1])
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir, f := prepared(t)
			c.damage(t, dir, f)
			want(t, "missing", missingAfter(t, dir, o), c.missing)
			want(t, "missing after another start", missingAfter(t, dir, o), c.again)
			s := mustOpen(t, dir, o)
			mustAppend(t, s, numbered(100))
			drain(t, sealNow(t, s)) // goes on
			mustClose(t, s)
			if !strings.Contains(name, "name") { // a number that was jumped over looks like one that is missing
				want(t, "missing when all is done", missingAfter(t, dir, o), 0)
			}
		})
	}
}

// What a full disk, kills and stops leave is no sign of a segment that is missing.
func TestNothingIsMissedWhereNothingIsMissing(t *testing.T) {
	m := newMemFS()
	now := time.Unix(1_800_000_000, 0)
	o := Options{FS: m, Window: time.Minute, Now: func() time.Time { return now }}
	for round := range 20 {
		now = now.Add(10 * time.Minute)
		want(t, "missing", missingAfter(t, "/s", o), 0)
		s := mustOpen(t, "/s", o)
		for n := range 4 {
			m.breaks(func(op, name string) error {
				if strings.HasSuffix(name, segmentExt) && (op == "create" || op == "write") && (n+round)%3 == 0 {
					return syscall.ENOSPC
				}
				return nil
			})
			_ = s.Append([]Entry{numbered(10*round + n)}, nil)
			m.breaks(nil)
			mustAppend(t, s, numbered(10*round+n))
			sealNow(t, s)
		}
		for i, b := range slices.Backward(batches(s)) {
			if i%2 == 0 {
				if err := s.Done(b.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		if round%2 == 0 {
			m = m.die(nil)
			o.FS = m
		} else {
			mustClose(t, s)
		}
	}
	s := mustOpen(t, "/s", o)
	drain(t, s)
	now = now.Add(time.Hour)
	mustAppend(t, s, numbered(1000))
	drain(t, sealNow(t, s))
	ids := 0
	for name := range m.names {
		if strings.HasSuffix(filepath.Base(name), idsExt) {
			ids++
		}
	}
	if ids > 2 {
		t.Errorf("%d ids files are left when nothing waits", ids)
	}
}
