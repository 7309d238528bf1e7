package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root           = ".." // pixel-js
	maxBrotliBytes = 2048 // the whole tag must reach 2 KiB at no time
)

func TestDistIsWhatTheSourceBuilds(t *testing.T) {
	b, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	// Only the script is compared: a new Go release may compress it differently, and the compressed
	// files are held against the script where they are embedded.
	got, err := os.ReadFile(filepath.Join(root, "dist", "b.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.script) {
		t.Error("dist/b.js is not what src builds: run `go run ./build` in pixel-js and commit dist")
	}
}

func TestBuildIsTheSameEachTime(t *testing.T) {
	first, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	second, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range second.files() {
		if !bytes.Equal(f.data, first.files()[i].data) {
			t.Errorf("%s differs between two builds of one source", f.name)
		}
	}
}

func TestTagStaysUnderItsSizeLimit(t *testing.T) {
	got, err := os.ReadFile(filepath.Join(root, "dist", "b.js.br"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) >= maxBrotliBytes {
		t.Errorf("dist/b.js.br is %d bytes, want less than %d", len(got), maxBrotliBytes)
	}
}

func TestScriptIsASCIISoThatNoCharsetGarblesIt(t *testing.T) {
	b, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range b.script {
		if c >= 0x80 {
			t.Fatalf("byte %d of the script is %#x", i, c)
		}
	}
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

	err := run(dir, "dist")
	if err == nil || !strings.Contains(err.Error(), "src/main.ts:2: ") || !strings.Contains(err.Error(), "./nowhere") {
		t.Errorf("error is %v, want one that names src/main.ts:2 and ./nowhere", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); !os.IsNotExist(err) {
		t.Errorf("a failed build left dist behind: %v", err)
	}
}

func TestRunWritesAllThreeForms(t *testing.T) {
	dir := t.TempDir()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	out, err := filepath.Rel(abs, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(root, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.js", "b.js.br", "b.js.gz"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s was not written: %v", name, err)
		}
	}
}

func TestREADMETellsTheSizes(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row, name := range map[string]string{"minified": "b.js", "gzip": "b.js.gz", "brotli": "b.js.br"} {
		data, err := os.ReadFile(filepath.Join(root, "dist", name))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("| %s | %d,%03d |", row, len(data)/1000, len(data)%1000)
		if !bytes.Contains(readme, []byte(want)) {
			t.Errorf("README.md lacks the line %q", want)
		}
	}
}
