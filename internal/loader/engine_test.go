package loader_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/loader"
	"beckon/schema"
)

const clusterOfOne = `<clickhouse><remote_servers><one><shard><replica><host>127.0.0.1</host><port>9</port></replica></shard></one></remote_servers>
<users><default><password></password><profile>default</profile><quota>default</quota><networks><ip>127.0.0.1</ip></networks></default></users>
<profiles><default/></profiles><quotas><default/></quotas></clickhouse>`

// Several servers behind one table would lose rows where one of them misses what another has, so nothing is sent
// there; what was acknowledged waits.
func TestATableOfSeveralServersIsRefusedByName(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.xml")
	if err := os.WriteFile(config, []byte(clusterOfOne), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := chlocal.Start(t.Context(), chlocal.Options{ConfigFile: config})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	connect := func(ctx context.Context) (driver.Conn, error) { return chconn.Open(ctx, server.DSN()) }
	conn, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Apply(t.Context(), conn, db); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "RENAME TABLE beckon.events TO beckon.events_local", "CREATE TABLE beckon.events AS beckon.events_local ENGINE = Distributed('one', 'beckon', 'events_local', rand())")

	s := openSpool(t, t.TempDir())
	fill(t, s, 0, 10)
	var log bytes.Buffer // read when the loader has ended
	registry := prometheus.NewRegistry()
	l := loader.New(loader.Config{
		Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(t.TempDir(), "dead"), Registerer: registry, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	until(t, "the batch is refused", func() bool { return metric(t, registry, "beckon_loader_failures_total") > 1 })
	cancel()
	<-ended
	if !strings.Contains(log.String(), "beckon.events is a Distributed table, which is not supported") {
		t.Errorf("it says: %s", log.String())
	}
	if n := s.Stats().Segments; n != 1 {
		t.Errorf("%d segments wait, want 1", n)
	}
	if n := scalar(t, conn, "SELECT count() FROM beckon.events_local"); n != 0 {
		t.Errorf("%d rows were sent", n)
	}
	exec(t, conn, "DROP TABLE beckon.events SYNC", "RENAME TABLE beckon.events_local TO beckon.events")
	drain, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Drain(drain); err != nil {
		t.Fatal(err)
	}
	if n := scalar(t, conn, "SELECT count() FROM beckon.events"); n != 10 {
		t.Errorf("%d rows once the table is one, want 10", n)
	}
}
