package spool

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSegmentsUnderOtherNamesAreFoundByTheirHeaders(t *testing.T) {
	move := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, dir string, f []string){
		"two swapped": func(t *testing.T, dir string, f []string) {
			move(t, f[0], dir+"/x")
			move(t, f[1], f[0])
			move(t, dir+"/x", f[1])
		},
		"all moved up by one": func(t *testing.T, _ string, f []string) {
			move(t, f[2], nameOf(f[2], 4))
			move(t, f[1], f[2])
			move(t, f[0], f[1])
		},
		"one with a later number":        func(t *testing.T, _ string, f []string) { move(t, f[0], nameOf(f[0], 9)) },
		"a copy under another number":    func(t *testing.T, _ string, f []string) { copyFile(t, f[1], nameOf(f[1], 9)) },
		"a copy in place of another one": func(t *testing.T, _ string, f []string) { move(t, f[0], nameOf(f[0], 9)); copyFile(t, f[1], f[0]) },
		"two copies and no original": func(t *testing.T, _ string, f []string) {
			copyFile(t, f[0], nameOf(f[0], 8))
			move(t, f[0], nameOf(f[0], 9))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := damagedSpool(t)
			tokens := func(s *Spool) map[string][]string {
				all := map[string][]string{}
				for _, b := range batches(s) {
					var records []string
					if err := b.Records(func(_ uint64, p []byte) error { records = append(records, string(p)); return nil }); err != nil {
						t.Fatal(err)
					}
					all[b.ID.Token()] = records
				}
				return all
			}
			before := tokens(mustOpen(t, copyDir(t, dir), Options{}))
			change(t, dir, segmentFiles(t, dir))
			for range 2 { // also after another restart
				s := mustOpen(t, dir, Options{})
				want(t, "records", payloads(t, s), names(1, 9))
				if after := tokens(s); !maps.EqualFunc(after, before, slices.Equal) {
					t.Fatalf("batches were %v and are %v", before, after)
				}
				mustClose(t, s)
			}
			s := mustOpen(t, dir, Options{})
			mustAppend(t, s, numbered(10))
			for id := range drain(t, sealNow(t, s)) {
				delete(before, id.Token())
			}
			want(t, "batches that were not drained", len(before), 0)
			want(t, "segments left, the spare aside", len(segmentFiles(t, dir)), 1)
			mustClose(t, s)
			s = mustOpen(t, dir, Options{})
			for n := 1; n <= 10; n++ {
				if e := mustAppend(t, s, numbered(n)); !e[0].Duplicate {
					t.Fatalf("record %d was forgotten", n)
				}
			}
		})
	}
}

// nameOf is the name of segment n beside another one.
func nameOf(file string, n int) string {
	return filepath.Join(filepath.Dir(file), fmt.Sprintf("%020d.segment", n))
}

func TestIDsFilesThatAreStaleOrMissingCostRepeatsAtMost(t *testing.T) {
	prepared := func(t *testing.T) (dir, ids string, o *oracle) {
		dir, o = t.TempDir(), newOracle()
		s := mustOpen(t, dir, Options{})
		for n := range 3 {
			if err := o.append(t, s, n); err != nil {
				t.Fatal(err)
			}
		}
		o.verify(t, "loaded", sealNow(t, s))
		copyFile(t, segmentFiles(t, dir)[0], dir+"/kept")
		drain(t, s)
		mustClose(t, s)
		return dir, dir + "/00000000000000000001.ids", o
	}
	f := func(name string, known bool, damage func(t *testing.T, dir, ids string)) {
		t.Run(name, func(t *testing.T) {
			dir, ids, o := prepared(t)
			damage(t, dir, ids)
			s := mustOpen(t, dir, Options{})
			o.verify(t, name, sealNow(t, s)) // what comes again comes with its old token
			e := mustAppend(t, s, numbered(1))
			want(t, "known", e[0].Duplicate, known)
			mustAppend(t, s, numbered(7))
			for _, b := range batches(sealNow(t, s)) {
				if _, used := o.batches[b.ID.Token()]; used && name != "the segment is still there" {
					t.Fatalf("token %s was used before", b.ID.Token())
				}
			}
		})
	}
	f("sound", true, func(*testing.T, string, string) {})
	f("the segment is still there", true, func(t *testing.T, dir, _ string) { copyFile(t, dir+"/kept", dir+"/00000000000000000001.segment") })
	f("a bit is flipped", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { flip(b, len(b)/2); return b }) })
	f("cut", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { return b[:len(b)-5] }) })
	f("full of zeros", false, func(t *testing.T, _, ids string) { edit(t, ids, func(b []byte) []byte { clear(b); return b }) })
	f("under another number", false, func(t *testing.T, dir, ids string) {
		copyFile(t, ids, dir+"/00000000000000000005.ids")
		remove(t, ids)
	})
	f("missing", false, func(t *testing.T, _, ids string) { remove(t, ids) }) // the last one: a new spool id
}

func TestASegmentThatCannotBeReadStopsAStartAndNothingIsChanged(t *testing.T) {
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m})
	mustAppend(t, s, numbered(1), numbered(2))
	mustClose(t, s)
	before := maps.Clone(m.names)
	m.breaks(func(op, name string) error {
		if op == "read" && strings.HasSuffix(name, segmentExt) {
			return syscall.EIO
		}
		return nil
	})
	_, err := Open("/s", Options{FS: m, Log: quiet})
	wantError(t, err, syscall.EIO)
	if !maps.Equal(before, m.names) {
		t.Fatal("files were changed")
	}
	m.breaks(nil)
	want(t, "records", payloads(t, mustOpen(t, "/s", Options{FS: m})), names(1, 2))
}
