package eligibility

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// expression is a part of a rule in ClickHouse SQL.
type expression struct {
	sql   string
	short bool // a name or a literal, which may be written twice
}

// translator turns the checked tree of a rule into one ClickHouse expression over columns that are named like
// the features and have their types (Int64, Float64, String, UInt8). The expression is 1 where the rule
// matches, 0 where it does not, and NULL where its evaluation fails; it never throws.
//
// Nothing of the rule's text gets into the SQL but through literal, which lets pass letters, digits and
// spaces of a string and spells every other byte as \xHH: there is no quote to end, and no word for a client to replace.
type translator struct {
	tree  *ast.AST
	names int // of lambda arguments
}

// sqlOf translates a rule. An error is a bug: compileRule lets pass only what the table of functions has.
func sqlOf(tree *ast.AST) (string, error) {
	t := &translator{tree: tree}
	e, err := t.expression(tree.Expr())
	return e.sql, err
}

func (t *translator) expression(e ast.Expr) (expression, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return literal(e.AsLiteral())
	case ast.IdentKind, ast.SelectKind:
		name, _ := dotted(e)
		if f := features[name]; f != nil {
			return expression{sql: f.Name, short: true}, nil
		}
		return expression{}, fmt.Errorf("BUG: %s is no feature", name)
	case ast.CallKind:
		return t.call(e)
	}
	return expression{}, fmt.Errorf("BUG: kind %d of an expression has no SQL", e.Kind())
}

func (t *translator) call(e ast.Expr) (expression, error) {
	call := e.AsCall()
	f := t.function(e)
	if f == nil {
		return expression{}, fmt.Errorf("BUG: %s has no SQL", call.FunctionName())
	}
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	if f.name == operators.In {
		return t.in(f, operands[0], operands[1])
	}
	arguments := make([]expression, len(operands))
	for i := range operands {
		var err error
		if arguments[i], err = t.expression(operands[i]); err != nil {
			return expression{}, err
		}
	}
	return expression{sql: t.fill(f.sql, arguments)}, nil
}

// function finds the line of the table. CEL names several overloads where it cannot tell them apart, which it
// can in a rule: every part of it has a type.
func (t *translator) function(e ast.Expr) *function {
	if of := t.tree.ReferenceMap()[e.ID()]; of != nil && len(of.OverloadIDs) == 1 {
		return functionOf[of.OverloadIDs[0]]
	}
	return nil
}

// in compares with a list of literals, which checkTree has seen to.
func (t *translator) in(f *function, value, list ast.Expr) (expression, error) {
	v, err := t.expression(value)
	if err != nil {
		return expression{}, err
	}
	double := t.tree.GetType(value.ID()) == types.DoubleType
	if double {
		v.sql = "(" + v.sql + " + 0.)" // IN looks at the bits, and -0. has others than 0.
	}
	var elements []string
	for _, element := range list.AsList().Elements() {
		e, err := t.expression(element)
		if err != nil {
			return expression{}, err
		}
		if double && element.AsLiteral() == types.Double(0) {
			e.sql = "0."
		}
		elements = append(elements, e.sql)
	}
	return expression{sql: t.fill(f.sql, []expression{v, {sql: strings.Join(elements, ", "), short: true}})}, nil
}

// fill puts arguments into an expression. One that is long and wanted twice is given a name, as the argument of
// a function over a list of one: to write it twice at each of fifty levels would be 2^50 times.
func (t *translator) fill(sql string, arguments []expression) string {
	var names, values, replace []string
	for i := range arguments {
		a, place := &arguments[i], "{"+strconv.Itoa(i+1)+"}"
		if !a.short && strings.Count(sql, place) > 1 {
			t.names++
			name := "v" + strconv.Itoa(t.names)
			names, values = append(names, name), append(values, "["+a.sql+"]")
			replace = append(replace, place, name)
		} else {
			replace = append(replace, place, a.sql)
		}
	}
	sql = strings.NewReplacer(replace...).Replace(sql)
	if len(names) == 0 {
		return sql
	}
	return fmt.Sprintf("arrayMap((%s) -> %s, %s)[1]", strings.Join(names, ", "), sql, strings.Join(values, ", "))
}

func literal(value any) (expression, error) {
	e := expression{short: true}
	switch v := value.(type) {
	case types.Bool:
		e.sql = "0"
		if v {
			e.sql = "1"
		}
	case types.Int:
		e.sql = "toInt64(" + strconv.FormatInt(int64(v), 10) + ")"
		if v == math.MinInt64 {
			e.sql = "toInt64('-9223372036854775808')" // as a number it would be the negative of a UInt64
		}
	case types.Double:
		e.sql = "toFloat64(" + strconv.FormatFloat(float64(v), 'g', -1, 64) + ")"
		if v == 0 && math.Signbit(float64(v)) {
			e.sql = "toFloat64('-0.0')" // as a number, -0 is an integer and loses its sign
		}
	case types.String:
		e.sql = quote(string(v))
	default:
		return e, fmt.Errorf("BUG: a %T has no SQL", value)
	}
	return e, nil
}

// quote spells a string for ClickHouse.
func quote(s string) string {
	b := []byte{'\''}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ' ', c == '-', c == '_', c == '.':
			b = append(b, c)
		default:
			b = fmt.Appendf(b, `\x%02X`, c)
		}
	}
	return string(append(b, '\''))
}
