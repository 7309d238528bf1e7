package contest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is where it was measured.
type Machine struct {
	CPU, Kernel, Commit, Go string
	Cores                   int
	Load                    string // the machine's load averages at the start: a busy machine makes other figures
}

// ThisMachine describes the one we run on, and the commit we are of.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: "unknown", CPU: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				m.CPU = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	m.Kernel = output("uname", "-sr")
	if commit := output("git", "rev-parse", "--short", "HEAD"); commit != "" {
		m.Commit = commit
		if output("git", "status", "--porcelain", "--untracked-files=no") != "" {
			m.Commit += "-changed"
		}
	}
	return m
}

func output(name string, args ...string) string {
	out, _ := exec.Command(name, args...).Output()
	return strings.TrimSpace(string(out))
}

// String is one line of a report.
func (m Machine) String() string {
	return fmt.Sprintf("%d x %s, %s, %s; load averages at the start %s", m.Cores, m.CPU, m.Kernel, m.Go, m.Load)
}

// Median is that of the values, 0 without any.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Ratio is the median over the rounds of a to b: both had their turn in the same seconds.
func Ratio(a, b []float64) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return Median(ratios)
}

// Bars are the numbers to reach, and whether they were.
type Bars []string

// AtLeast adds a number that must not be below want.
func (b *Bars) AtLeast(what string, value, want float64) {
	b.add(what, value, value >= want, fmt.Sprintf("at least %.4g", want))
}

// Under adds a number that must be below want.
func (b *Bars) Under(what string, value, want float64) {
	b.add(what, value, value < want, fmt.Sprintf("under %.4g", want))
}

func (b *Bars) add(what string, value float64, reached bool, want string) {
	verdict := "reached"
	if !reached {
		verdict = "**missed**"
	}
	*b = append(*b, fmt.Sprintf("| %s | %.4g | %s | %s |", what, value, verdict, want))
}

// String is a table in Markdown.
func (b Bars) String() string {
	return "| bar | measured | | asked |\n|---|---|---|---|\n" + strings.Join(b, "\n")
}

// Keep writes a report and the figures that it was made of to dir, named by kind, day and commit.
func (m Machine) Keep(dir, kind string, report []byte, figures any) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	name := filepath.Join(dir, kind+time.Now().UTC().Format(time.DateOnly)+"-"+m.Commit)
	raw, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.WriteFile(name+".json", append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(name+".md", report, 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	fmt.Fprintln(os.Stderr, "written:", name+".md")
	return nil
}
