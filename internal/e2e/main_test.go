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
	build := exec.Command("go", "build", "-o", binDir, "./collector", "./aggregator", "./deploy/dev") // one command links them side by side
	build.Dir = filepath.Join("..", "..")
	if said, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build the binaries: %v\n%s", err, said)
		return 1
	}
	for folder, name := range map[string]string{"collector": "beckon-collector", "aggregator": "beckon-aggregator", "dev": "beckon-dev"} {
		if err := os.Rename(filepath.Join(binDir, folder), filepath.Join(binDir, name)); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
	}
	return m.Run()
}
