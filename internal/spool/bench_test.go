package spool

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// One entry of 300 bytes a call, 64 callers for each processor.
func BenchmarkAppend(b *testing.B) {
	for name, mode := range map[string]Sync{"sync=always": SyncAlways, "sync=os": SyncOS} {
		b.Run(name, func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), Options{Sync: mode, MaxBytes: 64 << 30})
			var number atomic.Uint64
			payload := make([]byte, 300)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				entries := []Entry{{Site: "demo", Payload: payload}}
				counts := []Count{{"demo", "lane:decide", 1}}
				for pb.Next() {
					entries[0].Fingerprint = number.Add(1)
					if err := s.Append(entries, counts); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// The window of a busy collector: four million ids, most lookups find nothing.
func BenchmarkWindow(b *testing.B) {
	w := newWindow(1<<62, 4_000_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5_000_000 {
		w.add(rng.Uint64(), 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		if id := rng.Uint64(); !w.has(id) {
			w.add(id, 0)
		}
	}
}

// Opening a spool that an outage has filled: 256 MiB of records of 300 bytes, out of the page cache.
func BenchmarkOpen(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	s := mustOpen(b, dir, Options{Sync: SyncOS})
	entries := make([]Entry, 1000)
	payload := make([]byte, 300)
	next := uint64(1)
	for s.Stats().Bytes < size {
		for i := range entries {
			entries[i] = Entry{Site: "demo", Fingerprint: next * 0x9e3779b97f4a7c15, Payload: payload}
			next++
		}
		if err := s.Append(entries, nil); err != nil {
			b.Fatal(err)
		}
	}
	bytes := s.Stats().Bytes
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(dir, Options{Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAppendAllocatesLittle(t *testing.T) {
	s := mustOpen(t, "/s", Options{FS: newMemFS(), MaxBytes: 1 << 40, SegmentBytes: 1 << 40})
	entries := make([]Entry, 50)
	payload := make([]byte, 300)
	counts := []Count{{"demo", "lane:decide", 50}}
	next := uint64(1)
	call := func() {
		for i := range entries {
			entries[i] = Entry{Site: "demo", Fingerprint: next, Payload: payload}
			next++
		}
		if err := s.Append(entries, counts); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		call() // buffers and tables grow to their size
	}
	s.fs.(*memFS).breaks(nil)
	if got := testing.AllocsPerRun(200, call); got > 6 { // of the fake disk
		t.Fatalf("%.1f allocations for a commit of 50 entries", got)
	}
}
