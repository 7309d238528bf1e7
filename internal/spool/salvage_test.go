package spool

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// badDisk does not give back some bytes of its segments.
type badDisk struct {
	FS
	from, to int64
	broken   *bool
}

type badFile struct {
	File
	disk badDisk
}

func (d badDisk) Open(name string) (File, error) {
	f, err := d.FS.Open(name)
	if err == nil && strings.HasSuffix(name, segmentExt) && *d.broken {
		f = badFile{f, d}
	}
	return f, err
}

func (f badFile) ReadAt(p []byte, at int64) (int, error) {
	if at < f.disk.to && at+int64(len(p)) > f.disk.from {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, at)
}

func TestWhatCanBeReadOfAnUnreadableSegmentIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		from, to int64
		remove   bool
		keep     []string
	}{
		"one bad block":    {15_000, 15_001, false, []string{"record-1", "record-3"}},
		"no good block":    {0, 1 << 40, false, nil},
		"the file is gone": {0, 0, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, broken, reg := t.TempDir(), false, prometheus.NewRegistry()
			s := mustOpen(t, dir, Options{FS: badDisk{Disk, c.from, c.to, &broken}, Registerer: reg})
			large := func(n int) Entry { // some blocks each
				e := numbered(n)
				e.Payload = append(e.Payload, bytes.Repeat([]byte(" "), 10_000)...)
				return e
			}
			mustAppend(t, s, large(1), large(2), large(3))
			mustAppend(t, s, numbered(4))
			sealNow(t, s)
			b := batches(s)[0]
			broken = true
			if c.remove {
				remove(t, segmentFiles(t, dir)[0])
			}
			wantError(t, b.Records(func(uint64, []byte) error { return nil }), ErrUnreadable)
			_, err := s.Reread(b.ID)
			wantError(t, err, ErrUnreadable)
			b, err = s.Salvage(b.ID)
			if err != nil {
				t.Fatal(err)
			}
			broken = false // later the disk may say otherwise: the batch stays what it was called
			for range 2 {
				var got []string
				if err := b.Records(func(_ uint64, p []byte) error { got = append(got, strings.TrimSpace(string(p))); return nil }); err != nil {
					t.Fatal(err)
				}
				if c.keep != nil {
					want(t, "records", got, append(c.keep, "record-4"))
				} else {
					want(t, "records", len(got), 0)
				}
			}
			want(t, "stored less lost", ledgerSum(b.Counts(), ReasonStored)-ledgerSum(b.Counts(), ReasonLost), uint64(b.Len))
			want(t, "stored", ledgerSum(b.Counts(), ReasonStored), uint64(4))
			if err := s.Done(b.ID); err != nil {
				t.Fatal(err)
			}
			want(t, "bytes", s.Stats().Bytes, int64(0))
			if _, err := os.Stat(dir + "/00000000000000000001.rejected"); (err == nil) == c.remove {
				t.Errorf("set aside: %v", err)
			}
			want(t, "metric", metric(t, reg, "beckon_spool_recovered_files_rejected_total"), 1)
			want(t, "known", mustAppend(t, s, numbered(1))[0].Duplicate, true)
			mustClose(t, s)
			s = mustOpen(t, dir, Options{})
			want(t, "records after a restart", s.Stats().Records, int64(0))
		})
	}
}

func TestAReadThatMayPassIsNoUnreadableSegment(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	mustAppend(t, s, numbered(1))
	sealNow(t, s)
	b := batches(s)[0]
	m.breaks(func(op, _ string) error {
		if op == "open" {
			return syscall.EMFILE
		}
		return nil
	})
	wantError(t, b.Records(nil), syscall.EMFILE)
	_, err := s.Salvage(b.ID)
	wantError(t, err, syscall.EMFILE)
	m.breaks(nil)
	want(t, "records", payloads(t, s), names(1, 1))
}
