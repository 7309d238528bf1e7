package e2e_test

import (
	"strings"
	"testing"

	"beckon/internal/relay"
)

// relayed is the DSN of every process that a test may kill, which resets its connections: a ClickHouse server takes
// that as the end of a client, but the engine that tests start takes it as a reason to abort. The relay ends its
// connections in order instead.
func (s *stack) relayed() string {
	return strings.Replace(s.clickhouse.DSN(), s.clickhouse.NativeAddr(), s.relay, 1)
}

// startRelay returns an address whose connections lead on to another one, until the test ends.
func startRelay(t *testing.T, to string) string {
	t.Helper()
	r, err := relay.Start(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.Addr()
}
