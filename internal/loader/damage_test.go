package loader_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/loader"
	"beckon/internal/spool"
)

// damage flips one bit of a record in the oldest segment of a spool, as a disk does.
func damage(t *testing.T, dir string, record []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	slices.Sort(files)
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, record)
	if at < 0 {
		t.Fatal("the record is not in the oldest segment")
	}
	data[at+20] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageInASealedSegmentCostsItsRecordsOnly(t *testing.T) {
	conn, connect := server(t)
	for name, c := range map[string]struct {
		sent bool   // the rows are in ClickHouse, and the reply was lost, when the bit flips
		rows uint64 // of 200
	}{
		"before it was sent":                      {false, 199},
		"between a lost reply and the second try": {true, 200},
	} {
		t.Run(name, func(t *testing.T) {
			exec(t, conn, "TRUNCATE TABLE "+db+".events", "TRUNCATE TABLE "+db+".ledger", "TRUNCATE TABLE "+db+".loads")
			dir := t.TempDir()
			s := openSpool(t, dir)
			s.Sealing(0)
			record := pageView(50)
			entries := make([]spool.Entry, 100)
			for i := range entries {
				entries[i] = spool.Entry{Site: "demo", Payload: pageView(i)}
			}
			entries[50].Payload = record
			if err := s.Append(entries, nil); err != nil {
				t.Fatal(err)
			}
			seal(t, s)
			fill(t, s, 100, 200)
			reg := prometheus.NewRegistry()
			config := loader.Config{
				Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(dir, "dead"), Registerer: reg,
				Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			}
			if c.sent {
				tries := 0
				config.Connect = func(context.Context) (driver.Conn, error) {
					if tries++; tries == 2 {
						damage(t, dir, record)
					}
					return &lossy{Conn: conn, failAt: 2 - tries}, nil
				}
			} else {
				damage(t, dir, record)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- loader.New(config).Run(ctx) }()
			until(t, "both batches are in", func() bool { return s.Stats().Segments == 0 })
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			for query, want := range map[string]uint64{
				"SELECT count() FROM " + db + ".events":                                                 c.rows,
				"SELECT uniqExact(event_id) FROM " + db + ".events":                                     c.rows,
				"SELECT sum(n) FROM " + db + ".ledger FINAL WHERE reason = 'stored'":                    200,
				"SELECT sum(n) FROM " + db + ".ledger FINAL WHERE reason = 'lost'":                      1,
				"SELECT sum(rows) FROM " + db + ".loads FINAL":                                          199,
				"SELECT count() FROM " + db + ".loads FINAL":                                            2,
				"SELECT count() FROM (SELECT DISTINCT spool, segment, sequence FROM " + db + ".events)": c.rows,
			} {
				if got := scalar(t, conn, query); got != want {
					t.Errorf("%s = %d, want %d", query, got, want)
				}
			}
			if failures(t, reg)["read"] == 0 {
				t.Errorf("no failure to read is counted: %v", failures(t, reg))
			}
		})
	}
}
