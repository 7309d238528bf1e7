package site

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a sites file. Line and Column count from 1; 0 means the
// file as a whole.
type Fault struct {
	File         string
	Line, Column int
	Text         string
}

// Error reads "sites.yaml:14:7: offers[0].discount: ...".
func (f Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Text)
}

// Faults is everything that is wrong with a sites file, in the order of the file.
type Faults []Fault

// Error has one line per fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// err is nil when nothing is wrong; a plain Faults(nil) in an error would not be.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}

// Nearest returns the candidate that word most likely meant, or "" when none is near: at most one
// edit for every three letters, which finds "visitor.session_7d" and leaves "visitor.age" alone.
func Nearest(word string, candidates []string) string {
	best, bestEdits := "", len(word)/3+1
	for _, c := range candidates {
		if d := edits(word, c); d < bestEdits {
			best, bestEdits = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			substitute := diagonal
			if a[i-1] != b[j-1] {
				substitute++
			}
			diagonal = row[j]
			row[j] = min(substitute, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
