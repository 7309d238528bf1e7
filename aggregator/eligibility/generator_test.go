package eligibility

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"beckon/aggregator/feature"
)

// generator makes random rules, each part of the type that its place asks for.
type generator struct{ *rand.Rand }

func (g *generator) pick(choices ...func() string) string { return choices[g.IntN(len(choices))]() }

func (g *generator) feature(t feature.Type) string {
	for {
		if f := &feature.All[g.IntN(len(feature.All))]; f.Type == t {
			return namespace + "." + f.Name
		}
	}
}

func (g *generator) infix(operators []string, a, b string) string {
	return fmt.Sprintf("(%s %s %s)", a, operators[g.IntN(len(operators))], b)
}

var (
	comparisons = []string{"==", "!=", "<", "<=", ">", ">="}
	orderSigns  = []string{"<", "<=", ">", ">="}
	arithmetics = []string{"+", "-", "*", "/"}
)

// bool is a condition of at most that depth.
func (g *generator) bool(depth int) string {
	if depth == 0 {
		return g.pick(func() string { return g.feature(feature.Bool) }, func() string { return strconv.FormatBool(g.IntN(2) == 0) })
	}
	d := depth - 1
	return g.pick(
		func() string { return g.infix([]string{"&&", "||"}, g.bool(d), g.bool(d)) },
		func() string { return g.infix([]string{"&&", "||"}, g.bool(d), g.bool(d)) },
		func() string { return "!" + g.bool(d) },
		func() string { return g.choice(g.bool(d), g.bool(d), d) },
		func() string { return g.infix(comparisons, g.int(d), g.int(d)) },
		func() string { return g.infix(comparisons, g.double(d), g.double(d)) },
		func() string { return g.infix(comparisons, g.string(d), g.string(d)) },
		func() string { return g.infix(comparisons, g.bool(d), g.bool(d)) },
		func() string { return g.infix(orderSigns, g.int(d), g.double(d)) },
		func() string { return g.infix(orderSigns, g.double(d), g.int(d)) },
		func() string {
			return fmt.Sprintf("%s.%s(%s)", g.string(d), []string{"startsWith", "endsWith", "contains"}[g.IntN(3)], g.string(d))
		},
		func() string { return g.in(g.int(d), func() string { return g.int(0) }) },
		func() string { return g.in(g.double(d), func() string { return g.double(0) }) },
		func() string { return g.in(g.string(d), func() string { return g.string(0) }) },
	)
}

// in looks a value up among literals: it asks for elements until they are none of features.
func (g *generator) in(value string, element func() string) string {
	var list []string
	for n := 1 + g.IntN(4); len(list) < n; {
		if e := element(); !strings.Contains(e, namespace+".") {
			list = append(list, e)
		}
	}
	return fmt.Sprintf("(%s in [%s])", value, strings.Join(list, ", "))
}

func (g *generator) choice(a, b string, depth int) string {
	return fmt.Sprintf("(%s ? %s : %s)", g.bool(depth), a, b)
}

func (g *generator) int(depth int) string {
	if depth == 0 {
		return g.pick(func() string { return g.feature(feature.Int) }, func() string {
			var v int64
			randomValue(g.Rand, &v)
			return strconv.FormatInt(v, 10)
		})
	}
	d := depth - 1
	return g.pick(
		func() string { return g.int(0) },
		func() string { return g.infix(append(arithmetics, "%"), g.int(d), g.int(d)) },
		func() string { return "(-(" + g.int(d) + "))" },
		func() string { return "size(" + g.string(d) + ")" },
		func() string { return "int(" + g.double(d) + ")" },
		func() string { return g.choice(g.int(d), g.int(d), d) },
	)
}

func (g *generator) double(depth int) string {
	if depth == 0 {
		return g.pick(func() string { return g.feature(feature.Double) }, func() string {
			var v float64
			randomValue(g.Rand, &v)
			text := strconv.FormatFloat(v, 'g', -1, 64)
			if !strings.ContainsAny(text, ".e") {
				text += ".0"
			}
			return text
		})
	}
	d := depth - 1
	return g.pick(
		func() string { return g.double(0) },
		func() string { return g.infix(arithmetics, g.double(d), g.double(d)) },
		func() string { return "(-(" + g.double(d) + "))" },
		func() string { return "double(" + g.int(d) + ")" },
		func() string { return g.choice(g.double(d), g.double(d), d) },
	)
}

func (g *generator) string(depth int) string {
	if depth == 0 {
		return g.pick(func() string { return g.feature(feature.String) }, func() string {
			var v string
			randomValue(g.Rand, &v)
			return strconv.Quote(v) // as CEL spells them
		})
	}
	d := depth - 1
	return g.pick(
		func() string { return g.string(0) },
		func() string { return "(" + g.string(d) + " + " + g.string(d) + ")" },
		func() string { return g.choice(g.string(d), g.string(d), d) },
	)
}
