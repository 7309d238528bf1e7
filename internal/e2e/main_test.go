package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"beckon/internal/chlocal"
)

// binDir holds beckon-collector, beckon-aggregator and beckon-dev, built from this checkout.
var binDir string

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "beckon-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	for name, folder := range map[string]string{
		"beckon-collector": "./collector", "beckon-aggregator": "./aggregator", "beckon-dev": "./deploy/dev",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(binDir, name), folder)
		build.Dir = filepath.Join("..", "..")
		if said, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: build %s: %v\n%s", name, err, said)
			return 1
		}
	}
	return m.Run()
}
