//go:build unix

package fetch

import (
	"bytes"
	"strings"
	"testing"
)

func TestALogGetsALineForEveryTenth(t *testing.T) {
	var log bytes.Buffer
	r := newReporter(&log, Package{Name: "thing", Version: "1", Packed: 1000})
	for n := int64(0); n <= 1100; n += 7 { // npm's own notes take it past the total
		r.downloaded(n)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 10 || lines[0] != "thing 1: 10 % of 0 MB" || !strings.HasPrefix(lines[9], "thing 1: 100 %") {
		t.Fatalf("%d lines:\n%s", len(lines), &log)
	}
}

func TestATerminalGetsOneRedrawnLine(t *testing.T) {
	var screen bytes.Buffer
	r := newReporter(&screen, Package{Name: "thing", Version: "1", Packed: 10e6})
	r.terminal = true
	r.downloaded(5e6)
	r.downloaded(10e6)
	r.line("unpacking")
	want := "\rthing 1 [###############...............]  50 % of 10 MB" +
		"\rthing 1 [##############################] 100 % of 10 MB\n" +
		"thing 1: unpacking\n"
	if screen.String() != want {
		t.Fatalf("got\n%q, want\n%q", &screen, want)
	}
}

func TestUnknownSizeShowsNoBar(t *testing.T) {
	var log bytes.Buffer
	newReporter(&log, Package{Name: "thing"}).downloaded(5)
	if log.Len() > 0 {
		t.Fatalf("got %q", &log)
	}
}
