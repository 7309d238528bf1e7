package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// mustOpen opens a spool that seals only when asked, and closes it with the test.
func mustOpen(t testing.TB, dir string, o Options) *Spool {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Sealing(0)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustClose(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// numbered is an entry whose payload and fingerprint are its number.
func numbered(n int) Entry {
	return Entry{Site: "demo", Fingerprint: uint64(n) + 1, Payload: fmt.Appendf(nil, "record-%d", n)}
}

func mustAppend(t testing.TB, s *Spool, entries ...Entry) []Entry {
	t.Helper()
	if err := s.Append(entries, nil); err != nil {
		t.Fatal(err)
	}
	return entries
}

// payloads reads all records that a fresh reader finds in the sealed batches, in order.
func payloads(t testing.TB, s *Spool) []string {
	t.Helper()
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range batches(s) {
		err := b.Records(func(_ uint64, p []byte) error {
			all = append(all, string(p))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// batches lists the sealed batches, oldest first, without the turns that Next takes.
func batches(s *Spool) []*Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	sealed := s.sealed
	defer func() { s.sealed = sealed }()
	var all []*Batch
	for i := range sealed {
		s.sealed = sealed[i : i+1]
		all = append(all, s.pickLocked())
	}
	return all
}

// drain takes every batch as a loader does, and returns its records by batch.
func drain(t testing.TB, s *Spool) map[BatchID][]string {
	t.Helper()
	loaded := map[BatchID][]string{}
	for s.Stats().Segments > 0 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		b, err := s.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		err = b.Records(func(_ uint64, p []byte) error {
			loaded[b.ID] = append(loaded[b.ID], string(p))
			return nil
		})
		if err = errors.Join(err, s.Done(b.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return loaded
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Fatalf("%s\n got: %.2000s\nwant: %.2000s", what, g, w)
	}
}

func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want %v", err, target)
	}
}

// eventually polls for a fact.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// ledgerSum adds up a reason over sites and minutes.
func ledgerSum(lines []LedgerLine, reason string) (n uint64) {
	for _, l := range lines {
		if l.Reason == reason {
			n += l.N
		}
	}
	return n
}

func names(first, last int) []string {
	all := []string{}
	for n := first; n <= last; n++ {
		all = append(all, fmt.Sprintf("record-%d", n))
	}
	return all
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*."+segmentExt))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func flip(data []byte, at int) { data[at] ^= 0x10 }

// checksumOf is the checksum field of a header.
func checksumOf(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))
}
