package site

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// ruleText is where a rule stands in the file.
type ruleText struct {
	file, path   string
	text         string // the file from the rule's first character on, beyond its end too
	quote        byte   // ' or " around the rule, or 0
	line, column int    // of text, from 1
}

// readWhen keeps the rule as text and remembers where it stands; only its user knows the language.
func (v node) readWhen(o *Offer) {
	s, ok := v.text()
	if !ok {
		return
	}
	if o.When = strings.TrimSpace(s); o.When == "" {
		v.fault("must not be empty")
		return
	}
	at := position(v.n)
	o.rule = ruleText{file: v.r.name, path: path(v.n), line: at.Line, column: at.Column}
	if literal, ok := v.n.(*ast.LiteralNode); ok { // "|" or ">": the rule begins in the line below
		o.rule.line, o.rule.column = literal.Start.Position.Line+1, 1
	}
	o.rule.text = v.r.from(o.rule.line, o.rule.column)
	if o.rule.text != "" && (o.rule.text[0] == '"' || o.rule.text[0] == '\'') && v.isQuoted() {
		o.rule.quote, o.rule.text = o.rule.text[0], o.rule.text[1:]
		o.rule.column++
	}
	o.WhenLine, o.WhenColumn = o.rule.at(0)
}

// at returns where the n-th character of the rule stands that is not white space. YAML changes
// nothing but white space on the way to a rule, and escapes within quotes, so the others stand in
// both in the same order: in plain, quoted, folded and literal text, over any number of lines.
func (t *ruleText) at(n int) (line, column int) {
	line, column = t.line, t.column
	escaped := false
	for _, r := range t.text {
		escape := !escaped && (t.quote == '"' && r == '\\' || t.quote == '\'' && r == '\'')
		if !unicode.IsSpace(r) && !escape {
			if n == 0 {
				return line, column
			}
			n--
		}
		escaped = escape
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return t.line, t.column
}

// WhenFault is a fault at one character of the rule: line counts from 1 and column, in characters,
// from 0, both within When, as CEL reports them. A place beyond the end is the last character.
func (o *Offer) WhenFault(line, column int, text string) Fault {
	n := 0
	l, c := 1, 0
	for _, r := range o.When {
		if l > line || l == line && c >= column {
			break
		}
		if !unicode.IsSpace(r) {
			n++
		}
		if c++; r == '\n' {
			l, c = l+1, 0
		}
	}
	f := Fault{File: o.rule.file, Text: o.rule.path + ": " + text}
	f.Line, f.Column = o.rule.at(min(n, utf8.RuneCountInString(strings.Join(strings.Fields(o.When), ""))-1))
	return f
}
