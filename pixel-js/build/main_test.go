package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const root = ".." // pixel-js

func TestDistIsWhatTheSourceBuilds(t *testing.T) {
	b := built(t)
	// Only the scripts are compared: a new Go release may compress them differently, and the compressed
	// files are held against the scripts where they are embedded.
	for _, s := range b.scripts {
		if got, err := os.ReadFile(filepath.Join(root, "dist", s.name)); err != nil || !bytes.Equal(got, s.script) {
			t.Errorf("dist/%s is not what src builds: run `make tag` and commit dist (%v)", s.name, err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(root, "dist", "*")); err != nil || len(files) != 3*len(b.scripts)+1 {
		t.Errorf("dist has %d files for %d scripts: run `make tag` and commit dist (%v)", len(files), len(b.scripts), err)
	}
}

func TestBuildIsTheSameEachTime(t *testing.T) {
	if first, second := built(t), built(t); !reflect.DeepEqual(first, second) {
		t.Error("two builds of one source differ")
	}
}

func TestEachScriptStaysWithinItsBudget(t *testing.T) {
	for _, s := range built(t).scripts {
		if budget := budgets[s.name]; len(s.brotli) > budget {
			t.Errorf("%s has %d bytes, its budget is %d", s.name, len(s.brotli), budget)
		}
	}
}

func TestTableOfSizesIsOfThisSource(t *testing.T) {
	if got, err := os.ReadFile(filepath.Join(root, "SIZES.md")); err != nil || string(got) != sizes(built(t)) {
		t.Errorf("SIZES.md is not what `make tag-size` writes (%v)", err)
	}
}

func TestScriptsAreASCIISoThatNoCharsetGarblesThem(t *testing.T) {
	for _, s := range built(t).scripts {
		for i, c := range s.script {
			if c >= 0x80 {
				t.Fatalf("byte %d of %s is %#x", i, s.name, c)
			}
		}
	}
}

func built(t *testing.T) bundle {
	t.Helper()
	b, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaultInTheSourceIsNamedWithItsLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("src/main.ts", "export const a = 1;\nimport './nowhere';\n")

	err := run(dir, "dist", false)
	if err == nil || !strings.Contains(err.Error(), "src/main.ts:2: ") || !strings.Contains(err.Error(), "./nowhere") {
		t.Errorf("error is %v, want one that names src/main.ts:2 and ./nowhere", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); !os.IsNotExist(err) {
		t.Errorf("a failed build left dist behind: %v", err)
	}
}

func TestRunWritesAllThreeFormsAndPinsThem(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "src"), os.DirFS(filepath.Join(root, "src"))); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, "dist", true); err != nil {
		t.Fatal(err)
	}
	b := built(t)
	for _, s := range b.scripts {
		for _, name := range []string{"dist/" + s.name, "released/" + s.pinned(b.release)} {
			for form, want := range map[string][]byte{"": s.script, ".br": s.brotli, ".gz": s.gzip} {
				if got, err := os.ReadFile(filepath.Join(dir, name+form)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s%s: %d bytes, want %d (%v)", name, form, len(got), len(want), err)
				}
			}
		}
	}
}
