//go:build unix

package chlocal

import (
	"context"
	"os"
	"testing"
	"time"
)

// ForTest starts a server with a fresh folder and free ports for one test, and stops it when the test
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
		if err := s.Stop(); err != nil {
			t.Errorf("stop ClickHouse: %v", err)
		}
		if t.Failed() {
			t.Logf("ClickHouse said:\n%s", said)
		}
	})
	return s
}
