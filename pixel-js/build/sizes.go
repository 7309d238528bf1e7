package main

import (
	"fmt"
	"strings"
)

// budgets are in bytes with brotli 11, as served. A new part needs a line here.
var budgets = map[string]int{
	"b.js":                 1280,
	"b.ack.js":             400,
	"b.card.js":            620,
	"b.consent-google.js":  600,
	"b.consent-gpp.js":     730,
	"b.consent-shopify.js": 540,
	"b.consent-tcf.js":     550,
	"b.debug.js":           720,
	"b.event.js":           600,
	"b.ga4.js":             850,
	"b.names.js":           940,
	"b.offer.js":           700,
	"b.parts.js":           800,
	"b.refresh.js":         490,
}

// The core is to have no more than the gate; the aim is less.
const gate, aim = 1280, 1024

// sizes is the table of SIZES.md.
func sizes(b bundle) string {
	var t strings.Builder
	t.WriteString("# What the tag weighs\n\nWritten by `make tag-size`; bytes. A page loads `b.js`; `b.parts.js` and the others only where it asks for a part.\n\n")
	t.WriteString("| file | plain | gzip 9 | brotli 11 | budget |\n|---|---:|---:|---:|---:|\n")
	for _, s := range b.scripts {
		fmt.Fprintf(&t, "| %s | %d | %d | %d | %d |\n", s.name, len(s.script), len(s.gzip), len(s.brotli), budgets[s.name])
	}
	if core := len(b.scripts[0].brotli); core > gate {
		fmt.Fprintf(&t, "\nThe gate for `b.js` is %d, the aim %d: **missed by %d bytes**.\n", gate, aim, core-gate)
	} else {
		fmt.Fprintf(&t, "\nThe gate for `b.js` is %d, the aim %d.\n", gate, aim)
	}
	t.WriteString("\nBeside it, with brotli 11. With a package: measured of that file by `go run ./pixel-js/build --peers`; the others as quoted by the issue that set the gate.\n\n| script | bytes | measured of | |\n|---|---:|---|---|\n")
	for _, p := range peers {
		from := "quoted"
		if p.from != "" {
			from = "`" + p.from + "`"
		}
		fmt.Fprintf(&t, "| %s | %d | %s | %s |\n", p.name, p.size, from, p.note)
	}
	return t.String()
}
