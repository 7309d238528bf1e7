package service

import (
	"fmt"
	"path/filepath"
	"runtime"
)

// Callers lists the functions on the stack of a recovered panic, innermost first, with file and line
// and without arguments: a panic's text and a Go stack trace can hold what a visitor sent.
func Callers() []string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var lines []string
	for {
		f, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line))
		if !more {
			return lines
		}
	}
}
