package e2e_test

import (
	"strings"
	"testing"

	"beckon/internal/relay"
)

// throughRelay puts a relay between the two services and ClickHouse. A process that is killed resets its
// connections; a ClickHouse server takes that as the end of a client, but the engine that tests start
// takes it as a reason to abort. The relay ends its connections in order instead.
func (s *stack) throughRelay() {
	dsn := strings.Replace(s.clickhouse.DSN(), s.clickhouse.NativeAddr(), s.relay, 1)
	for _, p := range []*service{s.collector, s.aggregator} {
		p.flags = append(p.flags, "--clickhouse-dsn", dsn)
	}
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
