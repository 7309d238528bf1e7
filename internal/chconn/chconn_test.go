package chconn

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"beckon/internal/chlocal"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

func TestServersThatCannotDeduplicateAreRefusedByName(t *testing.T) {
	f := func(major, minor uint64, wantErr, wantWarning string) {
		t.Helper()
		warning, err := judge(major, minor)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Fatalf("%d.%d: error %v, want %q", major, minor, err, wantErr)
		}
		if (warning == "") != (wantWarning == "") || !strings.Contains(warning, wantWarning) {
			t.Fatalf("%d.%d: warning %q, want %q", major, minor, warning, wantWarning)
		}
	}
	f(26, 7, "", "")
	f(26, 2, "", "untested")
	f(26, 9, "", "untested")
	f(27, 1, "", "untested")
	f(26, 1, "version 26.1, but 26.2 or newer is needed", "")
	f(25, 12, "version 25.12", "")
	f(18, 16, "version 18.16", "")
}

func TestDSNCannotLoosenExactlyOnce(t *testing.T) {
	opt, err := options("clickhouse://u:p@h:9000/d?async_insert=1&insert_deduplicate=0&max_execution_time=7&dial_timeout=2s")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range exactlyOnce {
		if got := opt.Settings[name]; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if opt.Settings["max_execution_time"] != 7 || opt.DialTimeout != 2*time.Second {
		t.Errorf("the DSN's own settings are lost: %v, dial %v", opt.Settings, opt.DialTimeout)
	}
	if opt.ReadTimeout != readTimeout || opt.MaxOpenConns != maxOpenConns || opt.MaxIdleConns != maxIdleConns || opt.Compression == nil {
		t.Errorf("a timeout or bound is unset: %+v", opt)
	}
}

func TestErrorsNeverHoldThePassword(t *testing.T) {
	const secret = "s3cr-et/pa%ss"
	f := func(dsn, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, err := Open(ctx, dsn)
		if err == nil {
			conn.Close()
			t.Fatalf("%s was accepted", dsn)
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "s3cr") {
			t.Fatalf("the error shows the password: %v", err)
		}
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("error %q, want %q in it", err, want)
		}
	}
	f("clickhouse://u:"+secret+"@127.0.0.1:9000/d", "want clickhouse://") // a % that is no escape
	f("u:"+secret+"@127.0.0.1:9000", "want clickhouse://")
	f("clickhouse://127.0.0.1:9000/d?password=s3cret&dial_timeout=s3cret", "want clickhouse://")
	f("http://u:s3cret@127.0.0.1:8123/d", "HTTP interface")
	f("", "want clickhouse://")
	f("clickhouse://u:s3cret@127.0.0.1:1/d", "connect to clickhouse at 127.0.0.1:1")

	if got := redact(errors.New("user u, password s3cret"), "s3cret").Error(); got != "user u, password [redacted]" {
		t.Fatalf("redacted to %q", got)
	}
	if cause := errors.New("timeout"); redact(cause, "s3cret") != cause || redact(cause, "") != cause {
		t.Fatal("an error without the password should stay what it was")
	}
}

func TestOpenDoesNotOutlastItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, "clickhouse://default@"+silent.Addr().String()+"/default"); err == nil {
		t.Fatal("a server that says nothing was taken for one")
	}
	if waited := time.Since(start); waited > dialTimeout/2 {
		t.Fatalf("waited %v", waited)
	}
}

func TestSettingsReachTheServerAndTokensDeduplicate(t *testing.T) {
	ctx := t.Context()
	conn, err := Open(ctx, chlocal.ForTest(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all := maps.Clone(exactlyOnce)
	all["optimize_on_insert"] = 0
	for name, want := range all {
		var got string
		if err := conn.QueryRow(WithToken(ctx, "t"), "SELECT value FROM system.settings WHERE name = ?", name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want == 0 && got != "0" || want == 1 && got != "1" || want == "enable" && got != "enable" {
			t.Errorf("the server has %s = %s, want %v", name, got, want)
		}
	}
	if err := conn.Exec(ctx, "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 10"); err != nil {
		t.Fatal(err)
	}
	send := func(token string) {
		t.Helper()
		b, err := conn.PrepareBatch(WithToken(ctx, token), "INSERT INTO t")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := b.Append(uint8(1)); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
	}
	send("a")
	send("a")
	send("b")
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM t").Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d rows (%v), want one for each of two tokens", n, err)
	}
}

func TestWhoStandsBackDoesSoForAMoment(t *testing.T) {
	conn, err := Open(t.Context(), chlocal.ForTest(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, want := range map[string]string{"priority": "2", "low_priority_query_wait_time_ms": "50"} {
		var got string
		if err := conn.QueryRow(WithPriority(t.Context(), 2), "SELECT toString(getSetting(?))", name).Scan(&got); err != nil || got != want {
			t.Errorf("%v: %s is %q, want %s", err, name, got, want)
		}
	}
}
