package schema

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestApplyTwiceChangesNothing(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1", view("anna"))
	before, err := Dump(t.Context(), d, d.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(t.Context(), d, d.name); err != nil {
		t.Fatal(err)
	}
	after, err := Dump(t.Context(), d, d.name)
	if err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Fatal("the second Apply changed the schema")
	}
	d.want(t, "SELECT toString(count()) FROM DB.events", "1")
}

func TestEveryFileMayRunAgain(t *testing.T) {
	d := newDB(t)
	d.insert(t, "1", view("anna"))
	d.refreshTraffic(t) // as it does by itself each minute, also in the midst of a test
	before := d.snapshot(t)
	d.exec(t, "TRUNCATE TABLE DB.schema_files") // as if each process had died before it noted a file
	if err := Apply(t.Context(), d, d.name); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, before, d.snapshot(t))
}

func TestProcessesMayApplyAtOnce(t *testing.T) {
	d := emptyDB(t, shared)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() { errs[i] = Apply(t.Context(), d, d.name) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	f := func(name, spoil, want string) {
		t.Helper()
		d := newDB(t)
		if spoil != "" {
			d.exec(t, spoil)
		}
		if name == "" {
			name = d.name
		}
		err := Apply(t.Context(), d, name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("Apply = %v, want an error with %q", err, want)
		}
	}
	f("beckon; DROP DATABASE x", "", "is no database name")
	f("1beckon", "", "is no database name")
	f("", "INSERT INTO DB.schema_files (name, sha256) VALUES ('0003_create_events.sql', 'other')", "0003_create_events.sql was changed after it was applied")
	f("", "INSERT INTO DB.schema_files (name, sha256) VALUES ('9999_of_tomorrow.sql', 'x')", "9999_of_tomorrow.sql was applied, but this program does not know it")
}

func TestFilesAreNumberedWithoutGapAndSayWhatTheyDo(t *testing.T) {
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(f.name, want) {
			t.Fatalf("%s should begin with %s", f.name, want)
		}
		for _, word := range []string{"-- Idempotent: ", " Rewrites data: ", " Safe while the collector runs: "} {
			if !strings.Contains(f.text, word) {
				t.Fatalf("%s does not say %q", f.name, word)
			}
		}
		if strings.Contains(f.text, ";\n") {
			t.Fatalf("%s holds more than one statement: a server without transactions can stop between them", f.name)
		}
	}
}
