// Command crawlers condenses the crawler-user-agents list into the file that internal/privacy embeds.
// It is run by hand when a newer version of the list is wanted, and its output is committed:
//
//	cd $(mktemp -d) && npm pack crawler-user-agents@1.60.0 && tar xzf crawler-user-agents-1.60.0.tgz
//	go run ./internal/privacy/crawlers -in .../package/crawler-user-agents.json -out internal/privacy/crawlers
//
// Most of the list's regular expressions match a few fixed strings only. They are spelled out, so that
// one pass over a user agent finds all of them; the rest stays an expression. A string that contains
// another one of the same reason is left out. The list is (c) Martin Monperrus, MIT: see LICENSE here.
//
// Written are patterns.tsv (reason, kind, text) and examples.tsv (reason, user agent): all examples of the
// list, also those of patterns that are left out, which the tests read.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// entry is what is used of one item of the list.
type entry struct {
	Pattern   string   `json:"pattern"`
	Instances []string `json:"instances"`
	Tags      []string `json:"tags"`
}

// pattern is one line of patterns.tsv. Kind is contains, prefix, suffix or regexp.
type pattern struct{ reason, kind, text string }

const (
	maxSpellings = 16 // an expression with more strings than this stays an expression
	minLength    = 3  // the index of internal/privacy looks at three bytes
)

// people are patterns that also match what people use. What is lost of the bots behind them is found
// by the words "spider" and "bot", which internal/privacy looks for as well.
var people = map[string]string{
	"Sogou":      "SogouMobileBrowser is a browser",
	"Viber":      "links opened in the messenger",
	"Blackboard": "a learning app, whose pages its users read",
	"Butterfly":  "telephones of HTC",
}

func main() {
	in := flag.String("in", "", "crawler-user-agents.json of the npm package")
	out := flag.String("out", "", "folder to write to")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "crawlers:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	b, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var entries []entry
	if err := json.Unmarshal(b, &entries); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	var patterns []pattern
	var examples []string
	for _, e := range entries {
		for _, ua := range e.Instances {
			examples = append(examples, reason(e)+"\t"+ua)
		}
		if people[e.Pattern] != "" {
			continue
		}
		found, err := spell(e)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", e.Pattern, err)
		}
		patterns = append(patterns, found...)
	}
	var lines []string
	for _, p := range condense(patterns) {
		lines = append(lines, p.reason+"\t"+p.kind+"\t"+p.text)
	}
	if err := write(filepath.Join(out, "patterns.tsv"), lines); err != nil {
		return err
	}
	return write(filepath.Join(out, "examples.tsv"), examples)
}

// reason is the bucket that a match leads to.
func reason(e entry) string {
	switch {
	case slices.Contains(e.Tags, "browser-automation"):
		return "headless"
	case slices.Contains(e.Tags, "http-library"):
		return "tool"
	}
	return "crawler"
}

// spell turns an expression into the strings it stands for, or keeps it.
func spell(e entry) ([]pattern, error) {
	if _, err := regexp.Compile(e.Pattern); err != nil {
		return nil, err
	}
	re, err := syntax.Parse(e.Pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	texts, ok := spellings(re)
	if !ok {
		return []pattern{{reason(e), "regexp", e.Pattern}}, nil
	}
	var patterns []pattern
	for _, text := range texts {
		kind := "contains"
		if t, found := strings.CutPrefix(text, begin); found {
			kind, text = "prefix", t
		} else if t, found := strings.CutSuffix(text, end); found {
			kind, text = "suffix", t
		}
		if len(text) < minLength || strings.ContainsAny(text, begin+end+"\t\n") {
			return nil, fmt.Errorf("cannot be written as %s %q", kind, text)
		}
		patterns = append(patterns, pattern{reason(e), kind, text})
	}
	return patterns, nil
}

// begin and end stand for ^ and $ while strings are put together.
const begin, end = "\x01", "\x02"

// spellings lists all strings that re matches, when they are few.
func spellings(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpBeginText:
		return []string{begin}, true
	case syntax.OpEndText:
		return []string{end}, true
	case syntax.OpLiteral:
		all := []string{""}
		for _, r := range re.Rune {
			cases := []string{string(r)}
			if re.Flags&syntax.FoldCase != 0 { // [wW] is parsed to this
				cases = []string{strings.ToLower(string(r)), strings.ToUpper(string(r))}
			}
			if all = product(all, cases); len(all) > maxSpellings {
				return nil, false
			}
		}
		return all, true
	case syntax.OpCapture:
		return spellings(re.Sub[0])
	case syntax.OpCharClass:
		var all []string
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if all = append(all, string(r)); len(all) > maxSpellings {
					return nil, false
				}
			}
		}
		return all, true
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			s, ok := spellings(sub)
			if all = append(all, s...); !ok || len(all) > maxSpellings {
				return nil, false
			}
		}
		return all, true
	case syntax.OpConcat:
		all := []string{""}
		for _, sub := range re.Sub {
			s, ok := spellings(sub)
			if all = product(all, s); !ok || len(all) > maxSpellings {
				return nil, false
			}
		}
		return all, true
	}
	return nil, false
}

// product joins every head with every tail.
func product(heads, tails []string) (all []string) {
	for _, head := range heads {
		for _, tail := range tails {
			all = append(all, head+tail)
		}
	}
	return all
}

// condense sorts and leaves out what another pattern finds anyway.
func condense(patterns []pattern) []pattern {
	covered := func(p pattern) bool {
		return p.kind != "regexp" && slices.ContainsFunc(patterns, func(q pattern) bool {
			return q.kind == "contains" && q.reason == p.reason && strings.Contains(p.text, q.text) && (q.text != p.text || p.kind != q.kind)
		})
	}
	var kept []pattern
	for _, p := range patterns {
		if !covered(p) {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b pattern) int {
		return strings.Compare(a.reason+a.kind+a.text, b.reason+b.kind+b.text)
	})
	return slices.Compact(kept)
}

// write makes one file of the lines, under a head that says where they come from.
func write(name string, lines []string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "# From crawler-user-agents 1.60.0, MIT, see LICENSE. Made by the command in this folder; do not edit.")
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
