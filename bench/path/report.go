package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// report gathers what is printed, for the file.
type report struct{ b bytes.Buffer }

func newReport() *report {
	r := &report{}
	fmt.Fprintf(&r.b, "# The path into ClickHouse\n\nCommand: `go run ./bench/path %s`. Commit %s. Machine: %s, %d cores, load average at the start %s.\n",
		strings.Join(os.Args[1:], " "), commit(), processor(), runtime.NumCPU(), loadAverage())
	return r
}

// line prints a line and keeps it.
func (r *report) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println(text)
	fmt.Fprintln(&r.b, text)
}

func (r *report) text() []byte { return r.b.Bytes() }

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
