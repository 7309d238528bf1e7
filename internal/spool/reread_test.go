package spool

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestABatchReadAgainIsWhatARestartWouldMakeOfIt(t *testing.T) {
	record2 := func(b []byte) int { return strings.Index(string(b), "record-2") }
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		keep   []string
		apart  bool // a restart sets the file aside, and its counters with it
	}{
		"nothing, a bad read alone": {func(b []byte) []byte { return b }, names(1, 3), false},
		"a flipped bit":             {func(b []byte) []byte { flip(b, record2(b)); return b }, []string{"record-1", "record-3"}, false},
		"the bit and the header":    {func(b []byte) []byte { flip(b, record2(b)); flip(b, 40); return b }, []string{"record-1", "record-3"}, false},
		"a cut":                     {func(b []byte) []byte { return b[:record2(b)] }, names(1, 1), false},
		"zeros":                     {func(b []byte) []byte { return make([]byte, len(b)) }, []string{}, true},
		"no byte is left":           {func([]byte) []byte { return nil }, []string{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir, Options{})
			mustAppend(t, s, numbered(1), numbered(2), numbered(3))
			payloads(t, s)
			edit(t, segmentFiles(t, dir)[0], func(b []byte) []byte { return c.damage(bytes.Clone(b)) })
			after := mustOpen(t, copyDir(t, dir), Options{})

			got, err := s.Reread(batches(s)[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			if !c.apart {
				restarted := batches(after)[0]
				want(t, "counts", got.Counts(), restarted.Counts())
				want(t, "length, bytes", []int64{int64(got.Len), got.Bytes}, []int64{int64(restarted.Len), restarted.Bytes})
				want(t, "bytes of all", s.Stats().Bytes, after.Stats().Bytes)
			}
			want(t, "stored less lost", ledgerSum(got.Counts(), ReasonStored)-ledgerSum(got.Counts(), ReasonLost), uint64(got.Len))
			want(t, "ledger", s.Ledger(), got.Counts())
			want(t, "records", payloads(t, s), c.keep)
			if _, err := s.Reread(got.ID); err != nil {
				t.Fatal(err)
			}
			want(t, "ledger when read once more", s.Ledger(), got.Counts())
			if err := s.Done(got.ID); err != nil {
				t.Fatal(err)
			}
			want(t, "bytes at the end", s.Stats().Bytes, int64(0))
			again := mustAppend(t, s, numbered(2))
			want(t, "is a repeat of one that was lost a duplicate", again[0].Duplicate, true)
		})
	}
}

func TestABatchThatCannotBeReadAgainIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, numbered(1))
	payloads(t, s)
	b := batches(s)[0]
	if err := os.Rename(segmentFiles(t, dir)[0], dir+"/away"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Reread(b.ID)
	wantError(t, err, os.ErrNotExist)
	want(t, "counts", batches(s)[0].Counts(), b.Counts())
	if _, err := s.Reread(BatchID{s.ID(), 99}); err == nil {
		t.Fatal("a batch that is not there was read")
	}
	mustClose(t, s)
	_, err = s.Reread(b.ID)
	wantError(t, err, ErrClosed)
}
