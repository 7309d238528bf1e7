package eligibility

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"beckon/aggregator/feature"
	"beckon/internal/event"
	"beckon/internal/site"
)

// Bounds of a rule. They are checked when the file is read, so evaluation needs none.
const (
	maxRuleBytes = 4 << 10 // the parser's own limit comes after its allocations, so we count first
	maxRuleDepth = 50
	maxRuleCost  = 1000 // in CEL's unit, about one comparison; a rule of five terms costs about 10
)

// namespace is what rules call the visitor.
const namespace = "visitor"

// ruleFunctions is all that a rule may use. There are no macros, hence no loops, and no regular
// expressions, so that cost has a tight bound; and each of these has its equal in ClickHouse SQL, so
// that a rule can be replayed over history.
var ruleFunctions = map[string]string{ // CEL's name to the one people write
	operators.LogicalAnd: "&&", operators.LogicalOr: "||", operators.LogicalNot: "!", operators.Conditional: "?:",
	operators.Equals: "==", operators.NotEquals: "!=", operators.Less: "<", operators.LessEquals: "<=",
	operators.Greater: ">", operators.GreaterEquals: ">=", operators.In: "in",
	operators.Add: "+", operators.Subtract: "-", operators.Multiply: "*", operators.Divide: "/", operators.Modulo: "%",
	operators.Negate: "-",
	"startsWith":     "startsWith", "endsWith": "endsWith", "contains": "contains", "size": "size",
	"double": "double", "int": "int",
}

// functionNames is what people can call by name, for messages.
const functionNames = "startsWith, endsWith, contains, size, double, int"

// features by the name that rules use, "visitor.sessions_7d".
var (
	features     = map[string]*feature.Feature{}
	featureNames []string
	ruleEnv      *cel.Env
)

func init() {
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{DisableMacros: true, IncludeFunctions: allowedFunctions()})),
		cel.CrossTypeNumericComparisons(true), // visitor.cart_value > 50
		cel.ParserRecursionLimit(maxRuleDepth),
		cel.ParserExpressionSizeLimit(maxRuleBytes),
	}
	kinds := map[feature.Type]*cel.Type{
		feature.Int: cel.IntType, feature.Double: cel.DoubleType, feature.String: cel.StringType, feature.Bool: cel.BoolType,
	}
	for i := range feature.All {
		f := &feature.All[i]
		name := namespace + "." + f.Name
		features[name] = f
		featureNames = append(featureNames, f.Name)
		options = append(options, cel.VariableWithDoc(name, kinds[f.Type], f.Doc))
	}
	var err error
	if ruleEnv, err = cel.NewCustomEnv(options...); err != nil {
		panic("BUG: the rule language cannot be set up: " + err.Error())
	}
}

func allowedFunctions() []*env.Function {
	var list []*env.Function
	for name := range ruleFunctions {
		list = append(list, env.NewFunction(name))
	}
	return list
}

// rule is a compiled expression.
type rule struct {
	program cel.Program
	names   []string // the features it reads, "visitor.sessions_7d", each once
}

// compileRule checks the rule of o completely: a rule without faults has a result for every visitor,
// but for arithmetic such as a division by zero.
func compileRule(o *site.Offer) (*rule, site.Faults) {
	if len(o.When) > maxRuleBytes {
		return nil, site.Faults{o.WhenFault(1, 0, fmt.Sprintf("has %d bytes, at most %d are allowed", len(o.When), maxRuleBytes))}
	}
	parsed, issues := ruleEnv.Parse(o.When)
	if issues.Err() != nil {
		return nil, faultsOf(o, issues)
	}
	r := &rule{}
	if faults := r.checkNames(o, parsed.NativeRep()); len(faults) > 0 {
		return nil, faults
	}
	checked, issues := ruleEnv.Check(parsed)
	if issues.Err() != nil {
		return nil, faultsOf(o, issues)
	}
	if t := checked.OutputType(); t != cel.BoolType {
		return nil, site.Faults{o.WhenFault(1, 0, fmt.Sprintf("is of type %s, but a rule must be true or false, such as visitor.sessions_7d >= 2", t))}
	}
	estimate, err := ruleEnv.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, site.Faults{o.WhenFault(1, 0, "cost cannot be bounded: "+err.Error())}
	}
	if estimate.Max > maxRuleCost {
		return nil, site.Faults{o.WhenFault(1, 0, fmt.Sprintf("may cost %d steps, at most %d are allowed: make it shorter", estimate.Max, maxRuleCost))}
	}
	if r.program, err = ruleEnv.Program(checked, cel.EvalOptions(cel.OptOptimize)); err != nil {
		return nil, site.Faults{o.WhenFault(1, 0, err.Error())}
	}
	return r, nil
}

// checkNames looks for words that are no features and functions that are not allowed. CEL would say
// no more than that "visitor" is undeclared.
func (r *rule) checkNames(o *site.Offer, tree *ast.AST) site.Faults {
	var faults site.Faults
	fault := func(e ast.Expr, text string) {
		at := tree.SourceInfo().GetStartLocation(e.ID())
		faults = append(faults, o.WhenFault(at.Line(), at.Column(), text))
	}
	var check func(ast.Expr)
	check = func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
		case ast.ListKind:
			for _, element := range e.AsList().Elements() {
				check(element)
			}
		case ast.CallKind:
			call := e.AsCall()
			if ruleFunctions[call.FunctionName()] == "" {
				fault(e, strings.Trim(call.FunctionName(), "_")+" is not known to rules; their functions are "+functionNames)
				return
			}
			if call.IsMemberFunction() {
				check(call.Target())
			}
			for _, argument := range call.Args() {
				check(argument)
			}
		case ast.IdentKind, ast.SelectKind:
			name, root := dotted(e)
			if features[name] == nil {
				fault(root, unknownName(name))
			} else if !slices.Contains(r.names, name) {
				r.names = append(r.names, name)
			}
		default:
			fault(e, "maps, messages and macros have no place in a rule")
		}
	}
	check(tree.Expr())
	return faults
}

// dotted returns the name that e stands for, "visitor.sessions_7d", and the expression of its first
// word, where a fault should point.
func dotted(e ast.Expr) (name string, root ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), e
	case ast.SelectKind:
		name, root = dotted(e.AsSelect().Operand())
		return name + "." + e.AsSelect().FieldName(), root
	}
	return "", e // a field of something that is no name
}

func unknownName(name string) string {
	word := strings.TrimPrefix(name, namespace+".")
	near := site.Nearest(word, featureNames)
	if near == "" {
		return fmt.Sprintf("%s is no feature; the list is in docs/features.md", name)
	}
	return fmt.Sprintf("%s is no feature; did you mean %s.%s?", name, namespace, near)
}

var (
	noOverload = regexp.MustCompile(`^found no matching overload for '(.+)' applied to '(.+)'$`)
	badToken   = regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`)
	mismatch   = regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting .*$`)
)

// faultsOf maps CEL's own complaints into the file. After one error of syntax the others are only its
// echoes.
func faultsOf(o *site.Offer, issues *cel.Issues) site.Faults {
	var faults site.Faults
	for _, e := range issues.Errors() {
		line, column := 1, 0
		if e.Location != common.NoLocation {
			line, column = e.Location.Line(), e.Location.Column()
		}
		faults = append(faults, o.WhenFault(line, column, plainWords(e.Message)))
		if strings.HasPrefix(e.Message, "Syntax error") {
			break
		}
	}
	return faults
}

// plainWords says what CEL says to people who do not know its grammar.
func plainWords(message string) string {
	if m := noOverload.FindStringSubmatch(message); m != nil && ruleFunctions[m[1]] != "" {
		text := fmt.Sprintf("%s does not take %s", ruleFunctions[m[1]], m[2])
		if strings.Contains(m[2], "int") && strings.Contains(m[2], "double") {
			text += ": write 2.0 for 2, or convert with double(...)"
		}
		return text
	}
	if m := badToken.FindStringSubmatch(message); m != nil {
		if strings.HasPrefix(m[1], "=") {
			return "unexpected =: equality is =="
		}
		return fmt.Sprintf("unexpected %q", strings.TrimSpace(m[1]))
	}
	if m := mismatch.FindStringSubmatch(message); m != nil {
		if m[1] == "<EOF>" {
			return "ends where a value is expected"
		}
		return fmt.Sprintf("unexpected %q", m[1])
	}
	return message
}

// sizes tells CEL's cost estimate how long a feature's text can be.
type sizes struct{}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if len(n.Path()) > 0 && n.Type() == types.StringType {
		return &cost.SizeEstimate{Min: 0, Max: event.MaxStringBytes}
	}
	return nil
}

func (sizes) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// matches evaluates the rule.
func (r *rule) matches(f *feature.Features) (bool, error) {
	out, _, err := r.program.Eval((*activation)(f))
	if err != nil {
		return false, err
	}
	return out == types.True, nil
}

// values spells the features that the rule read.
func (r *rule) values(f *feature.Features) string {
	parts := make([]string, len(r.names))
	for i, name := range r.names {
		parts[i] = fmt.Sprintf("%s=%v", name, features[name].Get(f))
	}
	return strings.Join(parts, " ")
}

// activation lets a rule read Features in place: a map would be built and thrown away per request.
type activation feature.Features

// ResolveName returns the value of a feature by its name in rules.
func (a *activation) ResolveName(name string) (any, bool) {
	f, ok := features[name]
	if !ok {
		return nil, false
	}
	return f.Get((*feature.Features)(a)), true
}

// Parent is nil: there is no outer scope.
func (a *activation) Parent() interpreter.Activation { return nil }
