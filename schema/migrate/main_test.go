package main

import (
	"os"
	"strings"
	"testing"

	"beckon/internal/chlocal"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

func TestMigrateAppliesAndDumpsCurrentSQL(t *testing.T) {
	o := options{DSN: chlocal.ForTest(t).DSN(), Database: "beckon"}
	for range 2 {
		var said strings.Builder
		if err := run(t.Context(), o, &said); err != nil || said.String() != "database beckon is up to date\n" {
			t.Fatalf("migrate said %q, %v", said.String(), err)
		}
	}
	o.Dump = true
	var dump strings.Builder
	if err := run(t.Context(), o, &dump); err != nil {
		t.Fatal(err)
	}
	current, err := os.ReadFile("../current.sql")
	if err != nil {
		t.Fatal(err)
	}
	if dump.String() != string(current) {
		t.Fatal("--dump differs from current.sql")
	}
}

func TestMigrateSaysWhatIsWrong(t *testing.T) {
	f := func(o options, want string) {
		t.Helper()
		if err := run(t.Context(), o, os.Stdout); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("error %v, want %q in it", err, want)
		}
	}
	f(options{DSN: "clickhouse://default@127.0.0.1:1/default", Database: "beckon"}, "127.0.0.1:1")
	f(options{DSN: chlocal.ForTest(t).DSN(), Database: "be-ckon"}, "is no database name")
}
