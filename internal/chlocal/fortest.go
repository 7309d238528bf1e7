//go:build unix

package chlocal

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// ForTest starts a server with a fresh folder and free ports for one test, and kills it when the test
// ends; the test fails, and never skips, when it cannot start. A package that wants one server for all of
// its tests calls Start in its TestMain instead. Either way TestMain calls Main first.
func ForTest(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // the engine's first download
	defer cancel()
	s, err := Start(ctx, Options{Progress: os.Stderr})
	if err != nil {
		t.Fatalf("a test needs ClickHouse: %v", err)
	}
	t.Cleanup(func() {
		said := s.Log()
		// Nobody wants its data any more: a stop in order would wait for merges, longer on a busy machine than it may.
		if err := errors.Join(s.Kill(), s.Stop()); err != nil {
			t.Errorf("end ClickHouse: %v", err)
		}
		if t.Failed() {
			t.Logf("ClickHouse said:\n%s", said)
		}
	})
	return s
}
