package eligibility

import (
	"strings"

	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
)

// function is one operator or function that rules may use, for one combination of types, and the ClickHouse
// expression that gives the same result.
type function struct {
	name     string // CEL's, "_>=_"
	word     string // what people write, ">="
	overload string // CEL's id, "greater_equals_int64"
	// sql has {1}, {2}, {3} for the arguments. An evaluation that fails in Go (an overflow, a division by zero) is
	// NULL in SQL, which AND, OR and NOT carry on as CEL carries on its errors; no expression throws.
	sql string
}

// functions is all that a rule may use: CEL is set up with these and no others, and a rule is translated with
// them. There are no macros, hence no loops, and no regular expressions, so that cost has a tight bound.
// TestGoAndSQLAgree runs every line on 100,000 visitors.
var functions = append([]function{
	{name: operators.LogicalAnd, word: "&&", overload: overloads.LogicalAnd, sql: "({1} AND {2})"},
	{name: operators.LogicalOr, word: "||", overload: overloads.LogicalOr, sql: "({1} OR {2})"},
	{name: operators.LogicalNot, word: "!", overload: overloads.LogicalNot, sql: "(NOT {1})"},
	{name: operators.Conditional, word: "?:", overload: overloads.Conditional, sql: "if(isNull({1}), NULL, if({1}, {2}, {3}))"},

	{name: operators.Equals, word: "==", overload: overloads.Equals, sql: "({1} = {2})"},
	{name: operators.NotEquals, word: "!=", overload: overloads.NotEquals, sql: "({1} != {2})"},
	{name: operators.In, word: "in", overload: overloads.InList, sql: "({1} IN ({2}))"}, // {2}: see list

	{name: operators.Add, word: "+", overload: overloads.AddInt64, sql: "accurateCastOrNull(toInt128({1}) + toInt128({2}), 'Int64')"},
	{name: operators.Subtract, word: "-", overload: overloads.SubtractInt64, sql: "accurateCastOrNull(toInt128({1}) - toInt128({2}), 'Int64')"},
	{name: operators.Multiply, word: "*", overload: overloads.MultiplyInt64, sql: "accurateCastOrNull(toInt128({1}) * toInt128({2}), 'Int64')"},
	{name: operators.Divide, word: "/", overload: overloads.DivideInt64, sql: "accurateCastOrNull(intDivOrNull(toInt128({1}), toInt128({2})), 'Int64')"},
	{name: operators.Modulo, word: "%", overload: overloads.ModuloInt64, sql: "moduloOrNull({1}, {2})"},
	{name: operators.Negate, word: "-", overload: overloads.NegateInt64, sql: "accurateCastOrNull(-toInt128({1}), 'Int64')"},
	{name: operators.Add, word: "+", overload: overloads.AddDouble, sql: "({1} + {2})"},
	{name: operators.Subtract, word: "-", overload: overloads.SubtractDouble, sql: "({1} - {2})"},
	{name: operators.Multiply, word: "*", overload: overloads.MultiplyDouble, sql: "({1} * {2})"},
	{name: operators.Divide, word: "/", overload: overloads.DivideDouble, sql: "({1} / {2})"},
	{name: operators.Negate, word: "-", overload: overloads.NegateDouble, sql: "(-{1})"},

	{name: operators.Add, word: "+", overload: overloads.AddString, sql: "concat({1}, {2})"},
	// Texts are valid UTF-8: internal/privacy stores no others. Size counts code points, the others look at bytes.
	{name: "size", word: "size", overload: overloads.SizeString, sql: "toInt64(lengthUTF8({1}))"},
	{name: "size", word: "size", overload: overloads.SizeStringInst, sql: "toInt64(lengthUTF8({1}))"},
	{name: "contains", word: "contains", overload: overloads.ContainsString, sql: "(position({1}, {2}) > 0)"},
	{name: "startsWith", word: "startsWith", overload: overloads.StartsWithString, sql: "startsWith({1}, {2})"},
	{name: "endsWith", word: "endsWith", overload: overloads.EndsWithString, sql: "endsWith({1}, {2})"},

	{name: "double", word: "double", overload: overloads.IntToDouble, sql: "toFloat64({1})"},
	{name: "double", word: "double", overload: overloads.DoubleToDouble, sql: "{1}"},
	{name: "int", word: "int", overload: overloads.IntToInt, sql: "{1}"},
	// CEL refuses -2^63 itself too.
	{name: "int", word: "int", overload: overloads.DoubleToInt, sql: "nullIf(accurateCastOrNull(trunc({1}), 'Int64'), toInt64('-9223372036854775808'))"},
}, orderings()...)

// functionNames is what people can call by name, for messages.
const functionNames = "startsWith, endsWith, contains, size, double, int"

// orderings are <, <=, > and >= over every type, and over int and double mixed: CEL makes the int a double
// then, with what that loses, while ClickHouse would compare exactly.
func orderings() (list []function) {
	for _, op := range []struct{ name, word, id string }{
		{operators.Less, "<", "less"},
		{operators.LessEquals, "<=", "less_equals"},
		{operators.Greater, ">", "greater"},
		{operators.GreaterEquals, ">=", "greater_equals"},
	} {
		add := func(types, sql string) {
			list = append(list, function{
				name: op.name, word: op.word, overload: op.id + "_" + types, sql: "(" + strings.Replace(sql, "?", op.word, 1) + ")",
			})
		}
		add("bool", "{1} ? {2}")
		add("int64", "{1} ? {2}")
		add("string", "{1} ? {2}")
		add("double", "{1} ? {2}")
		add("int64_double", "toFloat64({1}) ? {2}")
		add("double_int64", "{1} ? toFloat64({2})")
	}
	return list
}

var (
	functionOf = map[string]*function{} // by overload
	wordOf     = map[string]string{}    // by CEL's name
)

func init() {
	for i := range functions {
		f := &functions[i]
		functionOf[f.overload], wordOf[f.name] = f, f.word
	}
}

// celFunctions is the table as CEL wants it.
func celFunctions() (list []*env.Function) {
	byName := map[string][]*env.Overload{}
	for i := range functions {
		f := &functions[i]
		byName[f.name] = append(byName[f.name], &env.Overload{ID: f.overload})
	}
	for name, of := range byName {
		list = append(list, env.NewFunction(name, of...))
	}
	return list
}
