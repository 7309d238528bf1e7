package eligibility

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/feature"
	"beckon/internal/chconn"
	"beckon/internal/chlocal"
	"beckon/internal/site"
)

func TestMain(m *testing.M) {
	chlocal.Main()
	os.Exit(m.Run())
}

// operatorRules has a rule for every line of the table of functions, over values that make it come out both ways.
var operatorRules = map[string]string{
	"logical_and": "visitor.is_returning && visitor.sessions_7d > 1",
	"logical_or":  "visitor.is_returning || visitor.sessions_7d > 1",
	"logical_not": "!visitor.is_returning",
	"conditional": "(visitor.is_returning ? visitor.sessions_7d : visitor.pageviews_7d) > 1",
	"equals":      "visitor.sessions_7d == visitor.sessions_1d || visitor.country == visitor.region || visitor.cart_value == visitor.revenue_90d",
	"not_equals":  "visitor.sessions_7d != visitor.sessions_1d && visitor.country != visitor.region && visitor.cart_value != visitor.revenue_90d",
	"in_list":     `visitor.country in ["DE", "", "日本", "O'Neill\\"] || visitor.cart_value in [0.0, 0.1, -1e308] || visitor.sessions_7d in [1, -1, -9223372036854775808] || visitor.is_returning in [true]`,

	"add_int64":       "visitor.sessions_7d + visitor.pageviews_7d > 2",
	"subtract_int64":  "visitor.sessions_7d - visitor.pageviews_7d > 2",
	"multiply_int64":  "visitor.sessions_7d * visitor.pageviews_7d > 2",
	"divide_int64":    "visitor.sessions_7d / visitor.pageviews_7d > 0",
	"modulo_int64":    "visitor.sessions_7d % visitor.pageviews_7d > 0",
	"negate_int64":    "-visitor.sessions_7d < -1",
	"add_double":      "visitor.cart_value + visitor.revenue_90d > 0.3",
	"subtract_double": "visitor.cart_value - visitor.revenue_90d >= 0.1",
	"multiply_double": "visitor.cart_value * visitor.revenue_90d > 0.01",
	"divide_double":   "visitor.cart_value / visitor.revenue_90d <= 1.0",
	"negate_double":   "-visitor.cart_value < -0.05",

	"add_string":         `visitor.country + visitor.region == "DEDE" || visitor.country + "x" > visitor.region`,
	"size_string":        "size(visitor.country) == 2",
	"string_size":        "visitor.country.size() < visitor.region.size()",
	"contains_string":    `visitor.country.contains("E")`,
	"starts_with_string": "visitor.country.startsWith(visitor.region)",
	"ends_with_string":   "visitor.country.endsWith(visitor.region)",

	"int64_to_double":  "double(visitor.sessions_7d) == visitor.cart_value",
	"double_to_double": "double(visitor.cart_value) > 0.5",
	"int64_to_int64":   "int(visitor.sessions_7d) > 1",
	"double_to_int64":  "int(visitor.cart_value) > 1",
}

// trickyRules are about what the operators do to each other: errors that another operand makes up for or
// does not, NaN, infinity, and what a client could take for its own.
var trickyRules = []string{
	"1 / visitor.sessions_7d > 0 && visitor.pageviews_7d > 0",
	"visitor.pageviews_7d > 0 && 1 / visitor.sessions_7d > 0",
	"1 / visitor.sessions_7d > 0 || visitor.pageviews_7d > 0",
	"visitor.pageviews_7d > 0 || 1 / visitor.sessions_7d > 0",
	"!(1 / visitor.sessions_7d > 0)",
	"1 / visitor.sessions_7d > 0 ? true : visitor.is_returning",
	"visitor.is_returning ? 1 / visitor.sessions_7d > 0 : true",
	"1 % visitor.sessions_7d == 0 ? 1 / visitor.pageviews_7d > 0 : visitor.is_returning",
	"(visitor.sessions_7d + 9223372036854775807) in [9223372036854775807, -9223372036854775808]",
	"-9223372036854775808 / visitor.sessions_7d > 0",
	"-9223372036854775808 % visitor.sessions_7d == 0",
	"-(visitor.sessions_7d - 1) > 0",
	"visitor.cart_value / visitor.revenue_90d < 1.0 || visitor.is_returning",
	"visitor.cart_value / visitor.revenue_90d == visitor.cart_value / visitor.revenue_90d",
	"visitor.cart_value / visitor.revenue_90d != visitor.cart_value / visitor.revenue_90d",
	"visitor.cart_value / visitor.revenue_90d in [0.0, 1.0]",
	"int(visitor.cart_value / visitor.revenue_90d) > 1",
	"int(visitor.cart_value * 2.0) > visitor.sessions_7d",
	"visitor.cart_value * 1e300 - visitor.revenue_90d * 1e300 > visitor.sessions_7d",
	"visitor.sessions_7d > visitor.cart_value / visitor.revenue_90d",
	"visitor.sessions_7d * 4503599627370497 >= visitor.cart_value",
	"(visitor.is_returning ? visitor.cart_value / visitor.revenue_90d : 1.5) > 1.0",
	`visitor.country == "'" || visitor.country == "\\" || visitor.country == "a?b" || visitor.country == "{database}"`,
	`visitor.country.contains("\\") || visitor.country.contains("'") || visitor.country.startsWith("\u0000") || visitor.country.endsWith("$1")`,
	`visitor.country < "Ä" || visitor.country >= "\U0001F600"`,
	"visitor.revenue_90d / -0.0 <= visitor.revenue_90d",
	"1.0 / (visitor.is_returning ? -0.0 : 0.0) > 1.0 || visitor.cart_value in [-0.0]",
	"true",
	"false || !true",
}

func orderingRule(f *function) string {
	types := strings.TrimPrefix(strings.TrimPrefix(f.overload[strings.Index(f.overload, "_")+1:], "equals_"), "_")
	operands := map[string][2]string{
		"bool": {"visitor.is_returning", "visitor.sessions_7d > 1"}, "int64": {"visitor.sessions_7d", "visitor.sessions_30d"},
		"string": {"visitor.country", "visitor.region"}, "double": {"visitor.cart_value", "visitor.revenue_90d"},
		"int64_double": {"visitor.sessions_7d", "visitor.cart_value"}, "double_int64": {"visitor.cart_value", "visitor.sessions_7d"},
	}[types]
	return fmt.Sprintf("%s %s (%s)", operands[0], f.word, operands[1])
}

// TestGoAndSQLAgree holds that a rule means the same online and replayed, for every line of the table of
// functions on 100,000 visitors, and for random rules.
func TestGoAndSQLAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 26))
	p := newPopulation(t, r, 100_000)
	var rules []string
	for i := range functions {
		f := &functions[i]
		rule := operatorRules[f.overload]
		if rule == "" {
			rule = orderingRule(f)
		}
		if !uses(t, rule, f.overload) {
			t.Errorf("%s: the rule %s does not use it", f.overload, rule)
		}
		rules = append(rules, rule)
	}
	p.compare(rules, 100_000)
	p.compare(trickyRules, 20_000)

	wanted := generatedRules(t)
	var generated []string
	refused := 0
	for len(generated) < wanted {
		rule := (&generator{r}).bool(4)
		_, faults := Compile(ruleFile(t, rule))
		switch {
		case len(faults) == 0:
			generated = append(generated, rule)
		case refusal.MatchString(faults.Error()):
			refused++
		default:
			t.Fatalf("generated rule %s: %s", rule, faults)
		}
	}
	p.compare(generated, 5000)
	t.Logf("%d rules for operators on 100000 visitors, %d tricky ones on 20000, %d generated ones on 5000; %d more were rightly refused at load", len(rules), len(trickyRules), len(generated), refused)
}

// refusal is what may be said against a generated rule: it is too long, or a part of it without features always fails.
var refusal = regexp.MustCompile(`may cost|bytes, at most|overflow$|by zero$`)

// generatedRules is how many random rules are compared: 300 in `make test`, BECKON_RULES by hand.
func generatedRules(t *testing.T) int {
	text := os.Getenv("BECKON_RULES")
	if text == "" {
		return 300
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("BECKON_RULES=%q is no number of rules", text)
	}
	return n
}

// population is the same visitors in Go and in ClickHouse.
type population struct {
	t      *testing.T
	conn   driver.Conn
	values []feature.Features
}

func newPopulation(t *testing.T, r *rand.Rand, n int) *population {
	t.Helper()
	conn, err := chconn.Open(t.Context(), chlocal.ForTest(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &population{t: t, conn: conn, values: make([]feature.Features, n)}
	columns := []string{"n UInt32"}
	for i := range feature.All {
		columns = append(columns, feature.All[i].Name+" "+feature.All[i].Type.ClickHouse())
	}
	if err := conn.Exec(t.Context(), "CREATE TABLE visitors ("+strings.Join(columns, ", ")+") ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO visitors")
	if err != nil {
		t.Fatal(err)
	}
	for v := range p.values {
		row := []any{uint32(v)}
		for i := range feature.All {
			randomValue(r, feature.All[i].Field(&p.values[v]))
			row = append(row, feature.All[i].Get(&p.values[v]))
		}
		if err := batch.Append(row...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	edgeInts    = []int64{0, 1, 2, 3, -1, -2, 1_000_000_000, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1<<53 + 1, -1<<53 - 1, 3037000500}
	edgeDoubles = []float64{
		0, math.Copysign(0, -1), 0.1, 0.2, 0.3, 0.5, 1, 1.5, 2, -1, 1e308, -1e308, math.MaxFloat64, 5e-324, 1 << 53, 1<<53 + 2, 1 << 63, -1 << 63, 9223372036854774784, 49.99,
	}
	edgeStrings = []string{
		"", "DE", "D", "E", "de", "FR", "日本", "日", "ä", "a\u0308", "😀", "O'Neill\\", "'", "\\", "a?b", "{database}", "$1", "\x00", "\x00DE", "DEDE", " DE", "news-letter", "%", "--", "/*", strings.Repeat("x", 512),
	}
)

// randomValue fills what p points at: mostly with what shops see, often with the edges of the type.
func randomValue(r *rand.Rand, p any) {
	switch p := p.(type) {
	case *int64:
		*p = int64(r.IntN(6))
		if r.IntN(4) == 0 {
			*p = edgeInts[r.IntN(len(edgeInts))]
		} else if r.IntN(20) == 0 {
			*p = int64(r.Uint64())
		}
	case *float64:
		*p = float64(r.IntN(500)) / 100
		if r.IntN(3) == 0 {
			*p = edgeDoubles[r.IntN(len(edgeDoubles))]
		} else if r.IntN(20) == 0 {
			if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
				*p = v
			}
		}
	case *string:
		*p = edgeStrings[r.IntN(len(edgeStrings))]
	case *bool:
		*p = r.IntN(2) == 0
	}
}

// compare evaluates rules for the first visitors in both ways.
func (p *population) compare(rules []string, visitors int) {
	p.t.Helper()
	const together = 10 // rules in one query
	for len(rules) > 0 {
		some := rules[:min(together, len(rules))]
		rules = rules[len(some):]
		compiled := make([]*rule, len(some))
		columns := make([]string, len(some))
		for i, text := range some {
			compiled[i] = compiledRule(p.t, text)
			columns[i] = "groupConcat(toString(ifNull(" + compiled[i].sql + ", 2)))"
		}
		answers := make([]string, len(some))
		into := make([]any, len(some))
		for i := range answers {
			into[i] = &answers[i]
		}
		query := fmt.Sprintf("SELECT %s FROM (SELECT * FROM visitors WHERE n < %d ORDER BY n) SETTINGS max_threads = 1", strings.Join(columns, ", "), visitors)
		if err := p.conn.QueryRow(p.t.Context(), query).Scan(into...); err != nil {
			p.t.Fatalf("%s\n%v", strings.Join(some, "\n"), err)
		}
		for i := range some {
			p.check(some[i], compiled[i], answers[i], visitors)
		}
	}
}

func (p *population) check(text string, c *rule, answers string, visitors int) {
	p.t.Helper()
	if len(answers) != visitors {
		p.t.Fatalf("%s: %d answers for %d visitors", text, len(answers), visitors)
	}
	for v := range visitors {
		want := byte('0')
		if match, err := c.matches(&p.values[v]); err != nil {
			want = '2'
		} else if match {
			want = '1'
		}
		if answers[v] != want {
			p.t.Errorf("%s\n%s\nvisitor %d (%s): Go says %c, SQL %c (1 matches, 0 does not, 2 fails)", text, c.sql, v, c.values(&p.values[v]), want, answers[v])
			return
		}
	}
}

// uses reports whether a rule has an overload in it.
func uses(t *testing.T, rule, overload string) bool {
	t.Helper()
	checked, issues := ruleEnv.Compile(rule)
	if issues.Err() != nil {
		t.Fatalf("%s: %v", rule, issues.Err())
	}
	for _, reference := range checked.NativeRep().ReferenceMap() {
		if slices.Contains(reference.OverloadIDs, overload) {
			return true
		}
	}
	return false
}

func ruleFile(t testing.TB, text string) *site.File {
	return withRule(t, "|\n          "+text)
}

func compiledRule(t testing.TB, text string) *rule {
	t.Helper()
	p, faults := Compile(ruleFile(t, text))
	if len(faults) > 0 {
		t.Fatalf("%s: %s", text, faults)
	}
	return p.sites["demo"].offers[0].rule
}

// TestNoRuleGetsIntoTheSQL holds that a string stays a string, whatever is in it, with and without arguments that the
// client puts into the query by itself.
func TestNoRuleGetsIntoTheSQL(t *testing.T) {
	conn, err := chconn.Open(t.Context(), chlocal.ForTest(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	allowed := regexp.MustCompile(`^\(country = '([A-Za-z0-9 _.-]|\\x[0-9A-F]{2})*'\)$`)
	for _, s := range []string{
		"' OR 1 = 1 --", `\' OR 1 = 1 --`, `\\' OR 1 = 1 --`, `\`, "''", "`country`", `"`, "x' UNION ALL SELECT version() --", "/*", "*/", ";", "\x00'", "\n'\r",
		"?", "??", "$1", "@site", "{site:String}", "{database}", "{visitors}", "{1}", "%s", "’", "＇", "\u02bc", "\u2028'", "𝟙", "heredoc $$ ' $$",
	} {
		sql := compiledRule(t, "visitor.country == "+strconv.Quote(s)).sql
		if !allowed.MatchString(sql) {
			t.Errorf("%q became %s", s, sql)
		}
		var same, other uint8
		query := "SELECT " + sql + ", " + strings.ReplaceAll(sql, "country =", "'' =") + fmt.Sprintf(" FROM (SELECT unhex('%X') AS country) WHERE ", s)
		if err := conn.QueryRow(t.Context(), query+"1").Scan(&same, &other); err != nil || same != 1 || other != 0 {
			t.Errorf("%q: equal to itself %d, to nothing %d, %v", s, same, other, err)
		}
		if err := conn.QueryRow(t.Context(), query+"? = 7", 7).Scan(&same, &other); err != nil || same != 1 || other != 0 {
			t.Errorf("%q, beside an argument: equal to itself %d, to nothing %d, %v", s, same, other, err)
		}
	}
}

// TestEveryRuleThatLoadsRunsInClickHouse is about the bounds: the longest and the deepest rules.
func TestEveryRuleThatLoadsRunsInClickHouse(t *testing.T) {
	p := newPopulation(t, rand.New(rand.NewPCG(1, 1)), 100)
	nest := func(open, inner, closing string, depth int) string {
		return strings.Repeat(open, depth) + inner + strings.Repeat(closing, depth)
	}
	f := func(name string, rule func(n int) string) {
		t.Helper()
		n := sort.Search(500, func(n int) bool { // the first that is refused
			_, faults := Compile(ruleFile(t, rule(n+1)))
			return len(faults) > 0
		})
		t.Logf("%s: %d, %d bytes of SQL", name, n, len(compiledRule(t, rule(n)).sql))
		p.compare([]string{rule(n)}, 100)
	}
	f("alternatives", func(n int) string {
		return "visitor.sessions_7d > 0" + strings.Repeat(" || visitor.sessions_7d > 0", n)
	})
	f("nested choices", func(n int) string {
		return nest("(visitor.is_returning ? visitor.sessions_7d : ", "1", ")", n) + " > 0"
	})
	f("choices in conditions", func(n int) string {
		return nest("(", "visitor.is_returning", " ? 1 / visitor.sessions_7d > 0 : true)", n)
	})
	f("nested sums", func(n int) string { return nest("(visitor.sessions_7d + ", "1", ")", n) + " > 0" })
	f("negations", func(n int) string { return nest("!(", "visitor.is_returning", ")", n) })
	f("values in a list", func(n int) string {
		return `visitor.country in ["DE"` + strings.Repeat(`, "FR"`, n) + "]"
	})
}
