//go:build unix

package fetch

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// reporter shows how far a fetch is. Errors of the writer are nobody's concern here.
type reporter struct {
	w        io.Writer
	terminal bool
	name     string
	total    int64
	shown    int64 // tenths already written to a log
	open     bool  // a line on the terminal is being redrawn
}

func newReporter(w io.Writer, p Package) *reporter {
	if w == nil {
		w = io.Discard
	}
	r := &reporter{w: w, name: p.Name + " " + p.Version, total: p.Packed}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		st, err := f.Stat()
		r.terminal = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return r
}

// downloaded reports n bytes of the total. npm's own notes make n a little larger than the tarball.
func (r *reporter) downloaded(n int64) {
	if r.total <= 0 {
		return
	}
	n = min(n, r.total)
	if r.terminal {
		const width = 30
		full := int(n * width / r.total)
		fmt.Fprintf(r.w, "\r%s [%s%s] %3d %% of %s", r.name, strings.Repeat("#", full), strings.Repeat(".", width-full), n*100/r.total, megabytes(r.total))
		r.open = true
		return
	}
	if tenth := n * 10 / r.total; tenth > r.shown {
		r.shown = tenth
		fmt.Fprintf(r.w, "%s: %d %% of %s\n", r.name, tenth*10, megabytes(r.total))
	}
}

// line reports one step.
func (r *reporter) line(format string, args ...any) {
	if r.open {
		fmt.Fprintln(r.w)
		r.open = false
	}
	r.shown = 0
	fmt.Fprintf(r.w, "%s: %s\n", r.name, fmt.Sprintf(format, args...))
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
