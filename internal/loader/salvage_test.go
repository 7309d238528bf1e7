package loader_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/loader"
	"beckon/internal/spool"
)

// badDisk does not give back segment 1 from a byte on, once it is broken.
type badDisk struct {
	spool.FS
	from   int64
	broken *atomic.Bool
}

type badFile struct {
	spool.File
	from int64
}

func (d badDisk) Open(name string) (spool.File, error) {
	f, err := d.FS.Open(name)
	if err == nil && d.broken.Load() && strings.HasSuffix(name, "1.segment") {
		f = badFile{f, d.from}
	}
	return f, err
}

func (f badFile) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.from {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, at)
}

func TestABatchThatCannotBeReadHoldsUpTheOthersForSomeTriesOnly(t *testing.T) {
	conn, connect := server(t)
	exec(t, conn, "TRUNCATE TABLE "+db+".events", "TRUNCATE TABLE "+db+".ledger", "TRUNCATE TABLE "+db+".loads")
	dir, reg := t.TempDir(), prometheus.NewRegistry()
	var broken atomic.Bool
	s, err := spool.Open(dir, spool.Options{FS: badDisk{spool.Disk, 8192, &broken}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Sealing(0)
	fill(t, s, 0, 100)
	seal(t, s)
	fill(t, s, 100, 200)
	seal(t, s)
	broken.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- loader.New(loader.Config{
			Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: filepath.Join(dir, "dead"), Registerer: reg, MaxReads: 2,
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}).Run(ctx)
	}()
	until(t, "both batches are in", func() bool { return s.Stats().Segments == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	rows := scalar(t, conn, "SELECT count() FROM "+db+".events")
	if rows <= 100 || rows >= 200 {
		t.Errorf("%d rows of 200, of which a part of 100 can be read", rows)
	}
	if stored, lost := scalar(t, conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE reason = 'stored'"), scalar(t, conn, "SELECT sum(n) FROM "+db+".ledger FINAL WHERE reason = 'lost'"); stored-lost != rows {
		t.Errorf("%d stored, %d lost, %d rows", stored, lost, rows)
	}
	if n := failures(t, reg)["read"]; n != 2 {
		t.Errorf("%v tries to read", n)
	}
	if left, err := filepath.Glob(dir + "/*1.rejected"); len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}
