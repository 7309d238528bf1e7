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
type report struct {
	b    bytes.Buffer
	bars []string // lines of the table of verdicts
}

// bar notes what was asked and what was measured. A bar that was missed is written as missed.
func (r *report) bar(what string, measured float64, asked string, reached bool) {
	verdict := "**missed**"
	if reached {
		verdict = "reached"
	}
	r.bars = append(r.bars, fmt.Sprintf("| %s | %.4g | %s | %s |", what, measured, verdict, asked))
}

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

func (r *report) text() []byte {
	if len(r.bars) > 0 {
		r.line("\n## Bars\n\n| bar | measured | | asked |\n|---|---|---|---|\n%s", strings.Join(r.bars, "\n"))
	}
	return r.b.Bytes()
}

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
