package eligibility

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"beckon/aggregator/feature"
	"beckon/internal/site"
)

// withRule is a sites file with one offer; the rule begins at line 7, column 15.
func withRule(t testing.TB, rule string) *site.File {
	t.Helper()
	return parse(t, "id: x\n        when: "+rule+"\n        discount: {percent: 10}")
}

func TestWrongRulesAreRefusedWithPlaceAndHint(t *testing.T) {
	f := func(rule, want string) {
		t.Helper()
		p, faults := Compile(withRule(t, rule))
		if p != nil || len(faults) == 0 {
			t.Fatalf("%s is accepted", rule)
		}
		got := strings.ReplaceAll(faults.Error(), "sites[0].offers[0].when: ", "")
		if got != want {
			t.Fatalf("%s\ngot  %s\nwant %s", rule, got, want)
		}
	}
	f("visitor.session_7d >= 2", "sites.yaml:7:15: visitor.session_7d is no feature; did you mean visitor.sessions_7d?")
	f("sessions_7d >= 2", "sites.yaml:7:15: sessions_7d is no feature; did you mean visitor.sessions_7d?")
	f("visitor.age > 18", "sites.yaml:7:15: visitor.age is no feature; the list is in docs/features.md")
	f("visitor.a.b > 1", "sites.yaml:7:15: visitor.a.b is no feature; the list is in docs/features.md")
	f("visitor", "sites.yaml:7:15: visitor is no feature; the list is in docs/features.md")
	f("visitor.sessions_7d", "sites.yaml:7:15: is of type int, but a rule must be true or false, such as visitor.sessions_7d >= 2")
	f(`visitor.country >= 2`, "sites.yaml:7:31: >= does not take (string, int)")
	f(`visitor.cart_value * 2 > 50`, "sites.yaml:7:34: * does not take (double, int): write 2.0 for 2, or convert with double(...)")
	f("visitor.sessions_7d >=", "sites.yaml:7:36: ends where a value is expected")
	f("visitor.sessions_7d = 2", "sites.yaml:7:35: unexpected =: equality is ==")
	f("visitor.sessions_7d > 1 )", `sites.yaml:7:39: unexpected ")"`)
	f("visitor.country.matches('x')", "sites.yaml:7:38: matches is not known to rules; their functions are startsWith, endsWith, contains, size, double, int")
	f("'[1].all(x, x > 1)'", "sites.yaml:7:23: all is not known to rules; their functions are startsWith, endsWith, contains, size, double, int")
	f("has(visitor.country)", "sites.yaml:7:18: has is not known to rules; their functions are startsWith, endsWith, contains, size, double, int")
	f("'{1: 2} == {1: 2}'", "sites.yaml:7:16: maps, messages and macros have no place in a rule\nsites.yaml:7:26: maps, messages and macros have no place in a rule")
	f(`'visitor.country in []'`, "sites.yaml:7:35: nothing is in an empty list")
	f(`'visitor.country in [visitor.region]'`, "sites.yaml:7:36: a list holds plain values only; compare with == and ||")
	f(`'visitor.sessions_7d in [1, 2.0, visitor.sessions_1d]'`, "sites.yaml:7:43: a list holds values of one type: this is double, the first is int\nsites.yaml:7:48: a list holds plain values only; compare with == and ||")
	f(`'visitor.country in visitor.region'`, `sites.yaml:7:35: in takes a list of plain values: visitor.country in ["AT", "DE"]`)
	f(`'["DE"] == ["FR"]'`, `sites.yaml:7:16: a list stands only to the right of in: visitor.country in ["AT", "DE"]`+"\n"+`sites.yaml:7:26: a list stands only to the right of in: visitor.country in ["AT", "DE"]`)
	f(`visitor.sessions_7d > 1u`, "sites.yaml:7:37: an unsigned number has no place in a rule: write it without u")
	f(`visitor.country == null`, "sites.yaml:7:34: a value of type null_type has no place in a rule; what is not known is an empty text")
	f(`visitor.country == b'x'`, "sites.yaml:7:34: a value of type bytes has no place in a rule; what is not known is an empty text")
	f(`double(visitor.country) > 1.0`, "sites.yaml:7:21: double does not take (string)")
	f("visitor.sesions_7d > 1 && visitor.county == 'DE'", "sites.yaml:7:15: visitor.sesions_7d is no feature; did you mean visitor.sessions_7d?\n"+
		"sites.yaml:7:41: visitor.county is no feature; did you mean visitor.country?")
	// Wherever the rule stands, the place is that in the file.
	f("|\n          visitor.sessions_7d > 1 &&\n          visitor.county == 'DE'", "sites.yaml:9:11: visitor.county is no feature; did you mean visitor.country?")
	f(">-\n          visitor.sessions_7d > 1\n          && visitor.county == 'DE'", "sites.yaml:9:14: visitor.county is no feature; did you mean visitor.country?")
	f("visitor.sessions_7d > 1\n          && visitor.county == 'DE'", "sites.yaml:8:14: visitor.county is no feature; did you mean visitor.country?")
	f(`"visitor.country == \"DE\" && visitor.county == 'DE'"`, "sites.yaml:7:45: visitor.county is no feature; did you mean visitor.country?")
	f(`'visitor.country == ''DE'' && visitor.county == "DE"'`, "sites.yaml:7:45: visitor.county is no feature; did you mean visitor.country?")
}

func TestRulesAreBounded(t *testing.T) {
	f := func(rule, want string) {
		t.Helper()
		if _, faults := Compile(withRule(t, rule)); len(faults) != 1 || !strings.Contains(faults[0].Text, want) {
			t.Fatalf("got %.200s, want %s", faults, want)
		}
	}
	f("visitor.sessions_7d > 0"+strings.Repeat(" || visitor.sessions_7d > 0", 200), "at most 4096 are allowed")
	//f("'"+strings.Repeat("!(", 1000)+"true"+strings.Repeat(")", 1000)+"'", "recursion limit exceeded: 50")
	f(`'visitor.country in ["`+strings.Repeat(`x","`, 1000)+`"]'`, "at most 1000 are allowed")
	f("'"+strings.Repeat("(", 1000)+"true"+strings.Repeat(")", 1000)+"'", "recursion limit exceeded: 50")
}

func TestALongRuleWithinTheBoundsIsAccepted(t *testing.T) {
	compile(t, withRule(t, "visitor.sessions_7d > 0"+strings.Repeat(" || visitor.sessions_7d > 0", 140)))
}

func TestEveryFeatureCanBeReadUnderItsType(t *testing.T) {
	values := feature.Features{}
	for i := range feature.All {
		name := feature.All[i].Name
		literal := map[feature.Type]string{feature.Int: "0", feature.Double: "0.0", feature.String: `""`, feature.Bool: "false"}[feature.All[i].Type]
		p, faults := Compile(withRule(t, fmt.Sprintf(`'visitor.%s == %s'`, name, literal)))
		if len(faults) > 0 {
			t.Errorf("%s: %s", name, faults)
			continue
		}
		if match, err := p.sites["demo"].offers[0].matches(&values); err != nil || !match {
			t.Errorf("%s: %t, %v", name, match, err)
		}
	}
}

func TestRulesMeanWhatTheySay(t *testing.T) {
	values := feature.Features{Sessions7d: 3, CartValue: 49.5, Country: "DE", UTMSource: "news-letter", MinutesSinceCart: feature.NeverMinutes, IsReturning: true}
	f := func(rule string, want bool) {
		t.Helper()
		p, faults := Compile(withRule(t, "|\n          "+rule))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if got, err := p.sites["demo"].offers[0].matches(&values); err != nil || got != want {
			t.Fatalf("%s: got %t, %v", rule, got, err)
		}
	}
	f("visitor.sessions_7d == 3", true)
	f("visitor.cart_value > 49", true) // int and double compare
	f("visitor.cart_value > visitor.sessions_7d", true)
	f("visitor.cart_value * 2.0 == 99.0", true)
	f(`visitor.country in ["AT", "DE"]`, true)
	f(`visitor.utm_source.startsWith("news") && visitor.utm_source.endsWith("letter") && visitor.utm_source.contains("-")`, true)
	f("size(visitor.country) == 2", true)
	f("visitor.minutes_since_cart > 30", true) // never is longer ago than anything
	f("visitor.minutes_since_cart < 30", false)
	f("visitor.is_returning ? visitor.sessions_7d % 2 == 1 : false", true)
	f("!visitor.is_returning || -visitor.sessions_7d > 0", false)
	f(`visitor.region == ""`, true)
	f("true", true)
	f("visitor.sessions_7d == 3 || 1 / visitor.pageviews_1d > 0", true) // not evaluated, hence no failure
}

func TestExampleFileCompiles(t *testing.T) {
	text, err := os.ReadFile("../../deploy/sites.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := site.Parse("sites.example.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	compile(t, file)
}
