package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// damagedSpool makes a directory with records 1 to 9: three in each of two sealed segments and three in one
// that a crash left open; each record is its own commit.
func damagedSpool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	for n := 1; n <= 9; n++ {
		mustAppend(t, s, numbered(n))
		if n == 3 || n == 6 {
			if err := s.Seal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return copyDir(t, dir) // what kill -9 leaves: no seal, no lock
}

func TestRecoveryKeepsWhatCanBeRead(t *testing.T) {
	all := names(1, 9)
	without := func(gone ...string) []string {
		return slices.DeleteFunc(names(1, 9), func(s string) bool { return slices.Contains(gone, s) })
	}
	cases := []struct {
		name    string
		damage  func(t *testing.T, segments []string) // the files of segments 1, 2 and 3
		keep    []string
		discard bool // bytes are reported as thrown away
		lost    uint64
	}{
		{"nothing", func(*testing.T, []string) {}, all, false, 0},
		{"torn tail", func(t *testing.T, f []string) { edit(t, f[2], func(b []byte) []byte { return b[:len(b)-1] }) }, all, true, 0},
		{"torn record", func(t *testing.T, f []string) {
			edit(t, f[2], func(b []byte) []byte { return b[:strings.Index(string(b), "record-9")+3] })
		}, without("record-9"), true, 0},
		{"zero-filled tail", func(t *testing.T, f []string) {
			edit(t, f[2], func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
		}, all, true, 0},
		{"garbage tail full of marks", func(t *testing.T, f []string) {
			edit(t, f[2], func(b []byte) []byte { return append(b, strings.Repeat(frameMark, 500)...) })
		}, all, true, 0},
		{"stale block of another segment", func(t *testing.T, f []string) {
			stale, err := os.ReadFile(f[0])
			if err != nil {
				t.Fatal(err)
			}
			edit(t, f[2], func(b []byte) []byte { return append(b, stale[headerBytes:]...) })
		}, all, true, 0},
		{"the same block twice", func(t *testing.T, f []string) {
			edit(t, f[2], func(b []byte) []byte { return append(b, b[headerBytes:]...) })
		}, all, true, 0},
		{"flipped bit in the middle", func(t *testing.T, f []string) { flipIn(t, f[0], "record-2") }, without("record-2"), true, 1},
		{"flipped bits in two segments", func(t *testing.T, f []string) {
			flipIn(t, f[0], "record-1")
			flipIn(t, f[1], "record-6")
		}, without("record-1", "record-6"), true, 2},
		{"zeroed middle", func(t *testing.T, f []string) {
			edit(t, f[1], func(b []byte) []byte {
				from := strings.Index(string(b), "record-5") - frameBody - recordHead - 4
				clear(b[from : from+60])
				return b
			})
		}, without("record-5"), true, 0}, // its commit frame is gone too, so nobody counts it
		{"flipped length", func(t *testing.T, f []string) {
			edit(t, f[1], func(b []byte) []byte { b[headerBytes+frameLength+2] = 0xff; return b })
		}, without("record-4"), true, 1},
		{"damaged header", func(t *testing.T, f []string) { edit(t, f[1], func(b []byte) []byte { flip(b, 20); return b }) }, all, true, 0},
		{"cut head", func(t *testing.T, f []string) { edit(t, f[1], func(b []byte) []byte { return b[10:] }) }, all, true, 0},
		{"missing segment", func(t *testing.T, f []string) { remove(t, f[1]) }, without("record-4", "record-5", "record-6"), false, 0},
		{"duplicate segment", func(t *testing.T, f []string) { copyFile(t, f[0], filepath.Dir(f[0])+"/00000000000000000009.segment") }, all, false, 0},
		{"segment of another spool", func(t *testing.T, f []string) {
			foreign := header{id: ID{1}, segment: 9}.appendTo(nil, segmentMagic)
			write(t, filepath.Dir(f[0])+"/00000000000000000009.segment", foreign)
		}, all, false, 0},
		{"empty file", func(t *testing.T, f []string) { write(t, filepath.Dir(f[0])+"/00000000000000000009.segment", nil) }, all, false, 0},
		{"file of zeros", func(t *testing.T, f []string) {
			write(t, filepath.Dir(f[0])+"/00000000000000000009.segment", make([]byte, 4096))
		}, all, true, 0},
		{"leftovers of others", func(t *testing.T, f []string) {
			for _, name := range []string{"00000000000000000009.segment.tmp", "9.segment", "core", "0000000000000000000x.ids", ".nfs01"} {
				write(t, filepath.Dir(f[0])+"/"+name, []byte("junk"))
			}
		}, all, false, 0},
		{"empty ids file", func(t *testing.T, f []string) { write(t, filepath.Dir(f[0])+"/00000000000000000001.ids", nil) }, all, false, 0},
		{"damaged ids file", func(t *testing.T, f []string) {
			ids := encodeIDs(header{id: ID{2}, segment: 9}, 1, []uint64{1, 2})
			write(t, filepath.Dir(f[0])+"/00000000000000000009.ids", ids[:len(ids)-1])
		}, all, true, 0},
		{"ids file of another spool", func(t *testing.T, f []string) {
			write(t, filepath.Dir(f[0])+"/00000000000000000009.ids", encodeIDs(header{id: ID{2}, segment: 9}, 1, []uint64{1, 2}))
		}, all, false, 0},
		{"empty identity file", func(t *testing.T, f []string) { write(t, filepath.Dir(f[0])+"/"+identityName, nil) }, all, false, 0},
		{"no identity file", func(t *testing.T, f []string) { remove(t, filepath.Dir(f[0])+"/"+identityName) }, all, false, 0},
		{"no identity file and a damaged header", func(t *testing.T, f []string) {
			remove(t, filepath.Dir(f[0])+"/"+identityName)
			edit(t, f[2], func(b []byte) []byte { flip(b, 20); return b })
		}, all, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := damagedSpool(t)
			c.damage(t, segmentFiles(t, dir))
			reg := prometheus.NewRegistry()
			s := mustOpen(t, dir, Options{Registerer: reg})
			want(t, "records", payloads(t, s), c.keep)
			want(t, "bytes were reported", metric(t, reg, "beckon_spool_recovered_bytes_discarded_total") > 0, c.discard)
			lines := s.Ledger()
			want(t, "lost", ledgerSum(lines, ReasonLost), c.lost)
			want(t, "the ledger closes", ledgerSum(lines, ReasonStored)-c.lost, uint64(len(c.keep)))

			mustAppend(t, s, numbered(10))
			before := payloads(t, s)
			want(t, "records with a new one", before, append(slices.Clone(c.keep), "record-10"))
			mustClose(t, s)
			s = mustOpen(t, dir, Options{})
			want(t, "the same once more", payloads(t, s), before)
			mustAppend(t, s, numbered(3), numbered(10)) // repeats of what was recovered, if it was
			seen := map[BatchID][]string{}
			for id, records := range drain(t, sealNow(t, s)) {
				seen[id] = records
			}
			want(t, "batches are drained", s.Stats().Bytes, int64(0))
			if slices.Contains(c.keep, "record-3") {
				n := 0
				for _, records := range seen {
					n += len(records)
				}
				want(t, "repeats after recovery are not stored", n, len(before))
			}
		})
	}
}

// The last record may be cut, or damaged, at any byte: what is before it survives, and nothing is made up.
func TestRecoveryKeepsRecordsBeforeEveryCutOfTheLast(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1))
	mustAppend(t, s, numbered(2), numbered(3), numbered(4)) // one commit: its counters come after the last
	dir = copyDir(t, dir)
	name := segmentFiles(t, dir)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Index(string(whole), "record-4") - len("demo") - recordHead - frameBody
	end := start + recordSize(&Entry{Site: "demo", Payload: []byte("record-4")})
	f := func(what string, at int, data []byte, keep []string) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir, Options{})
		what = fmt.Sprintf("%s at byte %d of the last record", what, at-start)
		want(t, what, payloads(t, s), keep)
		want(t, what+": the ledger closes", ledgerSum(s.Ledger(), ReasonStored)-ledgerSum(s.Ledger(), ReasonLost), uint64(len(keep)))
		mustClose(t, s)
	}
	for at := start; at < end; at++ {
		f("cut", at, whole[:at], names(1, 3))
		f("zeros", at, append(slices.Clone(whole[:at]), make([]byte, len(whole)-at)...), names(1, 3))
		flipped := slices.Clone(whole)
		flip(flipped, at)
		f("flip", at, flipped, names(1, 3))
	}
	for at := end; at <= len(whole); at++ {
		f("cut in the counters", at, whole[:at], names(1, 4))
	}
}

func TestNumbersAreNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for n := range 5 {
		s := mustOpen(t, dir, Options{Window: 1}) // ids files are swept at once
		mustAppend(t, s, numbered(n))
		for id := range drain(t, sealNow(t, s)) {
			if seen[id.Token()] {
				t.Fatalf("token %s twice", id.Token())
			}
			seen[id.Token()] = true
		}
		mustClose(t, s)
	}

	// The highest numbers are done and their ids swept, while a lower one still waits.
	s := mustOpen(t, dir, Options{Window: 1})
	for n := 10; n < 14; n++ {
		mustAppend(t, s, numbered(n))
		sealNow(t, s)
	}
	waiting := batches(s)
	for _, b := range waiting[1:] {
		if err := s.Done(b.ID); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		mustClose(t, s)
		s = mustOpen(t, dir, Options{Window: 1})
	}
	mustAppend(t, s, numbered(20))
	sealNow(t, s)
	want(t, "next number", batches(s)[1].ID.Segment, waiting[3].ID.Segment+2) // behind the spare of a stop
	drain(t, s)
	mustClose(t, s)

	before := openID(t, dir)
	for _, name := range must(filepath.Glob(dir + "/*.ids")) {
		remove(t, name)
	}
	if openID(t, dir) == before {
		t.Fatal("a directory without numbers kept its id: its first token would mean two batches")
	}
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	f := func(what string, damage func(dir string), part string) {
		t.Helper()
		dir := damagedSpool(t)
		damage(dir)
		_, err := Open(dir, Options{Log: quiet})
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("%s: got %v, want %q in it", what, err, part)
		}
	}
	newer := func(name string) {
		edit(t, name, func(b []byte) []byte {
			b[8] = 2
			copy(b[44:], checksumOf(b[:44]))
			return b
		})
	}
	f("newer segment", func(dir string) { newer(segmentFiles(t, dir)[1]) }, "format version 2")
	f("newer directory", func(dir string) { newer(dir + "/" + identityName) }, "format version 2")
	f("newer ids", func(dir string) {
		name := dir + "/00000000000000000009.ids"
		write(t, name, encodeIDs(header{id: ID{2}, segment: 9}, 1, nil))
		newer(name)
	}, "format version 2")
	f("nothing tells the id", func(dir string) {
		remove(t, dir+"/"+identityName)
		for _, name := range segmentFiles(t, dir) {
			edit(t, name, func(b []byte) []byte { clear(b[:headerBytes]); return b })
		}
	}, "move the directory away")
	f("a directory in place of a segment", func(dir string) {
		if err := os.Mkdir(dir+"/00000000000000000009.segment", 0o700); err != nil {
			t.Fatal(err)
		}
	}, "00000000000000000009.segment")
}

func TestRejectedFilesAreKeptForInspection(t *testing.T) {
	dir := damagedSpool(t)
	copyFile(t, segmentFiles(t, dir)[0], dir+"/00000000000000000009.segment")
	reg := prometheus.NewRegistry()
	s := mustOpen(t, dir, Options{Registerer: reg})
	want(t, "metric", metric(t, reg, "beckon_spool_recovered_files_rejected_total"), 1)
	if _, err := os.Stat(dir + "/00000000000000000009.rejected"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, numbered(20))
	payloads(t, s)
	want(t, "next number", batches(s)[3].ID.Segment, 10)
}

func sealNow(t testing.TB, s *Spool) *Spool {
	t.Helper()
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	return s
}

func openID(t *testing.T, dir string) ID {
	t.Helper()
	s := mustOpen(t, dir, Options{})
	defer mustClose(t, s)
	return s.ID()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func edit(t testing.TB, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, change(data))
}

func flipIn(t testing.TB, name, text string) {
	t.Helper()
	edit(t, name, func(b []byte) []byte { flip(b, strings.Index(string(b), text)); return b })
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, data)
}

func remove(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func metric(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, fam := range families {
		if fam.GetName() == name {
			m := fam.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
