package site

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader collects the faults of one file. We walk the syntax tree ourselves: decoding into structs
// stops at the first fault and loses the positions that later checks need.
type reader struct {
	name   string
	text   string
	starts []int // where each line begins in text
	faults Faults
}

func newReader(name, text string) *reader {
	r := &reader{name: name, text: text, starts: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			r.starts = append(r.starts, i+1)
		}
	}
	return r
}

// from returns the text from a place on. Line and column count from 1, columns in characters.
func (r *reader) from(line, column int) string {
	if line < 1 || line > len(r.starts) {
		return ""
	}
	s := r.text[r.starts[line-1]:]
	for ; column > 1 && s != ""; column-- {
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
	return s
}

func (r *reader) fault(at *token.Position, format string, args ...any) {
	f := Fault{File: r.name, Text: fmt.Sprintf(format, args...)}
	if at != nil {
		f.Line, f.Column = at.Line, max(at.Column, 1)
	}
	r.faults = append(r.faults, f)
}

// root returns the only document of the file, ok false when there is none to read.
func (r *reader) root() (node, bool) {
	file, err := parser.ParseBytes([]byte(r.text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			r.fault(syntax.Token.Position, "not YAML: %s", syntax.Message)
		} else {
			r.fault(nil, "not YAML: %v", err)
		}
		return node{}, false
	}
	if len(file.Docs) > 1 {
		r.fault(file.Docs[1].Start.Position, "a second document: put all sites under one `sites:`")
		return node{}, false
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		r.fault(nil, "is empty: it must have `sites:` with at least one site")
		return node{}, false
	}
	return node{r, file.Docs[0].Body}, true
}

// node is one value of the file.
type node struct {
	r *reader
	n ast.Node
}

// fault reports what is wrong with v, under its path ("sites[0].offers[2].discount").
func (v node) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p := path(v.n); p != "" {
		text = p + ": " + text
	}
	v.r.fault(position(v.n), "%s", text)
}

// path is "sites[0].offers[2].discount", or "" at the root.
func path(n ast.Node) string { return strings.TrimPrefix(strings.TrimPrefix(n.GetPath(), "$"), ".") }

// position is where the reader of a fault should look: for a block mapping its first key, because
// the parser's own token is the colon after it.
func position(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

// field is one key that a mapping may have.
type field struct {
	key      string
	required bool
	read     func(node)
}

func optional(key string, read func(node)) field { return field{key, false, read} }
func required(key string, read func(node)) field { return field{key, true, read} }

// mapping reads the keys of v. It reports unknown, repeated, empty and missing ones.
func (v node) mapping(fields ...field) {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	lines, ok := v.pairs(func(key, value node, name string) {
		if i := slices.Index(keys, name); i >= 0 {
			fields[i].read(value)
		} else if near := Nearest(name, keys); near != "" {
			key.fault("unknown key; did you mean %q?", near)
		} else {
			key.fault("unknown key; known are %s", strings.Join(keys, ", "))
		}
	})
	if !ok {
		v.fault("must be a mapping with keys out of %s", strings.Join(keys, ", "))
		return
	}
	for _, f := range fields {
		if f.required && lines[f.key] == 0 {
			v.fault("%q is missing", f.key)
		}
	}
}

// pairs calls read for each key of v that has a value, once. It returns the line of each key, and
// false when v is no mapping.
func (v node) pairs(read func(key, value node, name string)) (lines map[string]int, ok bool) {
	m, ok := v.n.(ast.MapNode)
	if !ok {
		return nil, false
	}
	lines = map[string]int{}
	for it := m.MapRange(); it.Next(); {
		key, value := node{v.r, it.Key()}, node{v.r, it.Value()}
		if _, merge := key.n.(*ast.MergeKeyNode); merge {
			key.fault("merge keys are not supported: write the keys out")
			continue
		}
		t := key.n.GetToken()
		if line := lines[t.Value]; line != 0 {
			key.fault("is there twice, first in line %d", line)
			continue
		}
		lines[t.Value] = t.Position.Line
		if _, null := value.n.(*ast.NullNode); null {
			key.fault("has no value: give one or leave the key out")
			continue
		}
		read(key, value, t.Value)
	}
	return lines, true
}

// key returns the key called name of the mapping v.
func (v node) key(name string) (node, bool) {
	if m, ok := v.n.(ast.MapNode); ok {
		for it := m.MapRange(); it.Next(); {
			if it.Key().GetToken().Value == name {
				return node{v.r, it.Key()}, true
			}
		}
	}
	return node{}, false
}

// list calls read for each element of v.
func (v node) list(maximum int, read func(node)) {
	seq, ok := v.n.(*ast.SequenceNode)
	if !ok {
		v.fault("must be a list")
		return
	}
	if len(seq.Values) > maximum {
		v.fault("has %d elements, at most %d are allowed", len(seq.Values), maximum)
		return
	}
	for _, e := range seq.Values {
		if _, null := e.(*ast.NullNode); null {
			node{v.r, e}.fault("is an element without a value")
			continue
		}
		read(node{v.r, e})
	}
}

// text returns the scalar v as it is written, or decoded when it is quoted. Numbers keep their
// digits, so that 5.10 never passes through a float.
func (v node) text() (string, bool) {
	switch n := v.n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		v.fault("anchors, aliases and tags are not supported: write the value out")
	default:
		v.fault("must be one value, not a list or a mapping")
	}
	return "", false
}

// isString reports whether v is written as text: "10" and not 10.
func (v node) isString() bool {
	switch v.n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return true
	}
	return false
}

// isQuoted reports whether v is text in quotes.
func (v node) isQuoted() bool {
	t := v.n.GetToken().Type
	return t == token.DoubleQuoteType || t == token.SingleQuoteType
}
