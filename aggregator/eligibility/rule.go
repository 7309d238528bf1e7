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
	"cel.dev/cel-go/common/types/ref"
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

// features by the name that rules use, "visitor.sessions_7d".
var (
	features     = map[string]*feature.Feature{}
	featureNames []string
	ruleEnv      *cel.Env
)

func init() {
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{DisableMacros: true, IncludeFunctions: celFunctions()})),
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

// rule is a compiled expression.
type rule struct {
	program cel.Program
	names   []string // the features it reads, "visitor.sessions_7d", each once
	sql     string   // the same rule for ClickHouse, see translator
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
	if faults := r.checkTree(o, parsed.NativeRep()); len(faults) > 0 {
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
	if r.sql, err = sqlOf(checked.NativeRep()); err != nil { // what cannot be replayed over history is no rule
		return nil, site.Faults{o.WhenFault(1, 0, err.Error())}
	}
	if r.program, err = ruleEnv.Program(checked, cel.EvalOptions(cel.OptOptimize)); err != nil {
		return nil, site.Faults{o.WhenFault(1, 0, err.Error())}
	}
	return r, nil
}

// checkTree looks for words that are no features, functions that are not in the table, and values that rules
// have no use for. CEL would say no more than that "visitor" is undeclared.
func (r *rule) checkTree(o *site.Offer, tree *ast.AST) site.Faults {
	var faults site.Faults
	fault := func(e ast.Expr, text string) {
		at := tree.SourceInfo().GetStartLocation(e.ID())
		faults = append(faults, o.WhenFault(at.Line(), at.Column(), text))
	}
	var check func(ast.Expr)
	check = func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if text := unwantedLiteral(e.AsLiteral()); text != "" {
				fault(e, text)
			}
		case ast.ListKind:
			fault(e, `a list stands only to the right of in: visitor.country in ["AT", "DE"]`)
		case ast.CallKind:
			call := e.AsCall()
			if wordOf[call.FunctionName()] == "" {
				fault(e, strings.Trim(call.FunctionName(), "_")+" is not known to rules; their functions are "+functionNames)
				return
			}
			if call.IsMemberFunction() {
				check(call.Target())
			}
			for i, argument := range call.Args() {
				if call.FunctionName() == operators.In && i == 1 {
					checkList(argument, check, fault)
				} else {
					check(argument)
				}
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

// checkList looks at what stands to the right of in: literals of one type, so that both ClickHouse and CEL look
// the value up in a set.
func checkList(e ast.Expr, check func(ast.Expr), fault func(ast.Expr, string)) {
	if e.Kind() != ast.ListKind {
		fault(start(e), `in takes a list of plain values: visitor.country in ["AT", "DE"]`)
		return
	}
	elements := e.AsList().Elements()
	if len(elements) == 0 {
		fault(e, "nothing is in an empty list")
	}
	for _, element := range elements {
		switch {
		case element.Kind() != ast.LiteralKind:
			fault(start(element), "a list holds plain values only; compare with == and ||")
		case unwantedLiteral(element.AsLiteral()) != "":
			check(element)
		case elements[0].Kind() == ast.LiteralKind && element.AsLiteral().Type() != elements[0].AsLiteral().Type():
			fault(element, fmt.Sprintf("a list holds values of one type: this is %s, the first is %s", element.AsLiteral().Type().TypeName(), elements[0].AsLiteral().Type().TypeName()))
		}
	}
}

// unwantedLiteral says why a literal has no place in a rule, "" when it has one.
func unwantedLiteral(value ref.Val) string {
	switch value.(type) {
	case types.Bool, types.Int, types.Double, types.String:
		return ""
	case types.Uint:
		return "an unsigned number has no place in a rule: write it without u"
	}
	return fmt.Sprintf("a value of type %s has no place in a rule; what is not known is an empty text", value.Type().TypeName())
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

// start is where e begins for its reader; CEL places a name at its dot.
func start(e ast.Expr) ast.Expr {
	if e.Kind() == ast.SelectKind {
		_, e = dotted(e)
	}
	return e
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
	if m := noOverload.FindStringSubmatch(message); m != nil && wordOf[m[1]] != "" {
		text := fmt.Sprintf("%s does not take %s", wordOf[m[1]], m[2])
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
