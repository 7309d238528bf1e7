package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"beckon/internal/event"
	"beckon/internal/privacy"
)

const examplePath = "../../deploy/sites.example.yaml"

func parseExample(t *testing.T) *File {
	t.Helper()
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("sites.example.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseReadsTheExample(t *testing.T) {
	s := parseExample(t).Site("demo")
	if s == nil {
		t.Fatal("no site demo")
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	want := Site{
		ID: "demo", Name: "Demo shop", Environment: "production",
		Origins: []string{"https://shop.example", "https://www.shop.example"}, Timezone: berlin, Currency: "EUR",
		Consent: privacy.Policy{
			Default: privacy.LaneCount, Allow: privacy.LaneDecide, GPC: privacy.LaneCount,
			Countries: map[string]privacy.Lane{"US": privacy.LaneMeasure},
		},
		Region: true,
		Events: 395 * day, Profiles: 90 * day, Holdout: 0.1,
		ServerKeys: [][32]byte{sha256.Sum256([]byte("test"))}, CookieDomain: "shop.example",
		Rates: map[string]int64{"USD": 92_000_000, "CHF": 105_000_000},
	}
	got := *s
	got.Offers = nil
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	twenty := 0.2
	wantOffers := []Offer{
		{
			ID: "welcome-back", Title: "10% off", Enabled: true, Audience: Targeted, Kind: Percent, Percent: 10,
			When: "visitor.sessions_7d >= 2 && visitor.purchases_90d == 0", WhenLine: 29, WhenColumn: 15,
			ValidFor: 30 * time.Minute, Cooldown: 7 * day, Priority: 10, Experiment: 1,
			Disclosure: "Offered because you came back to this shop.",
		},
		{
			ID: "large-cart", Title: "15 EUR off", Enabled: true, Audience: Targeted, Kind: FixedAmount,
			When:     "visitor.cart_value >= 120 &&\nvisitor.minutes_since_cart > 30 &&\nvisitor.device != \"tablet\"",
			WhenLine: 39, WhenColumn: 11,
			Amount: event.Amount{Units: 150_000, Set: true}, Currency: "EUR", MinCartValue: event.Amount{Units: 1_000_000, Set: true},
			ValidFor: 2 * time.Hour, Cooldown: 14 * day, Cap: 2, Priority: 20, Holdout: &twenty, Experiment: 1,
			TooNew: 10 * time.Minute, Abandoner: 3, Disclosure: defaultDisclosure, AppliesTo: []string{"shoes", "bags"},
		},
		{
			ID: "winter", Title: "Free shipping", Enabled: true, Audience: Everyone, Kind: FreeShipping,
			Currency: "EUR", MinCartValue: event.Amount{Units: 500_000, Set: true}, Code: "WINTER26", ValidFor: day,
			Starts: time.Date(2026, 12, 1, 0, 0, 0, 0, berlin), Ends: time.Date(2026, 12, 25, 0, 0, 0, 0, berlin),
		},
	}
	for i, o := range s.Offers {
		got := *o
		got.rule = ruleText{}
		if !reflect.DeepEqual(got, wantOffers[i]) {
			t.Errorf("got  %+v\nwant %+v", got, wantOffers[i])
		}
	}
}

func TestParseFillsInTheDefaults(t *testing.T) {
	f, err := Parse("sites.yaml", []byte("sites: [{id: a, origins: [http://a.example], currency: EUR, offers: [{id: o, when: true, discount: {percent: 2.5}}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Sites[0]
	if s.Name != "a" || s.Environment != "production" || s.Timezone != time.UTC || s.Disabled || s.Region || s.Holdout != 0 || s.Events != 395*day || s.Profiles != 90*day {
		t.Errorf("got %+v", s)
	}
	if c := s.Consent; c.Default != privacy.LaneCount || c.Allow != privacy.LaneDecide || c.GPC != privacy.LaneCount || c.Countries != nil {
		t.Errorf("got %+v", c)
	}
	o := s.Offers[0]
	if !o.Enabled || o.Audience != Targeted || o.ValidFor != 30*time.Minute || o.Cooldown != 7*day || o.Cap != 0 || o.Holdout != nil || o.Currency != "" || o.Experiment != 1 {
		t.Errorf("got %+v", o)
	}
}

func TestParseAcceptsTermsAsLongAsServesAreRemembered(t *testing.T) {
	for _, c := range []struct{ profiles, terms string }{
		{"14d", "cooldown: 13d, valid_for: 13d"},
		{"31d", "cap: 2, abandoner: 3"},
		{"91d", "cooldown: 90d"},
		{"2d", "cooldown: 0s, valid_for: 1d"},
	} {
		_, err := Parse("sites.yaml", []byte("sites: [{id: a, origins: [http://a.example], currency: EUR, retention: {profiles: "+c.profiles+
			"}, offers: [{id: o, when: true, discount: {percent: 2}, "+c.terms+"}, {id: e, audience: everyone, valid_for: 30d, discount: {percent: 2}}]}]"))
		if err != nil {
			t.Errorf("profiles %s, %s: %v", c.profiles, c.terms, err)
		}
	}
}

// minimal is a good file; the cases below break one line of it.
const minimal = `sites:
  - id: demo
    origins: ["https://shop.example"]
    currency: EUR
    offers:
      - id: one
        when: "true"
        discount: {percent: 10}
`

// broken are wrong files: what to replace in minimal, by what, and the faults. schema tells whether the
// JSON Schema sees it too.
var broken = []struct {
	from, to string
	faults   []string
	schema   bool
}{
	{"    currency: EUR\n", "", []string{`2:5: sites[0]: "currency" is missing`}, true},
	{"currency: EUR", "curency: EUR", []string{`2:5: sites[0]: "currency" is missing`, `4:5: sites[0].curency: unknown key; did you mean "currency"?`}, true},
	{"currency: EUR", "colour: red\n    currency: EUR", []string{"4:5: sites[0].colour: unknown key; known are id, name, environment, enabled, origins, timezone, currency, consent, geo, retention, holdout, server_keys, cookie_domain, rates, offers"}, true},
	{"currency: EUR", "currency: EUR\n    currency: USD", []string{"5:5: sites[0].currency: is there twice, first in line 4"}, false},
	{"currency: EUR", "currency: EUR\n    geo: city", []string{`5:10: sites[0].geo: "city" must be country or region`}, true},
	{"currency: EUR", "currency:", []string{"4:5: sites[0].currency: has no value: give one or leave the key out"}, true},
	{"currency: EUR", "currency: euro", []string{`4:15: sites[0].currency: "euro" must be a currency of ISO 4217 in capitals, such as EUR`}, true},
	{"id: demo", "id: Demo", []string{`2:9: sites[0].id: "Demo" must be 1 to 32 of a-z, 0-9 and -`}, true},
	{"id: demo", "id: out", []string{`2:9: sites[0].id: "out" is taken: the cookie _bk_out is the opt-out cookie of all sites`}, true},
	{"id: demo", "id: [a]", []string{"2:9: sites[0].id: must be one value, not a list or a mapping"}, true},
	{"id: demo", "id: &x demo", []string{"2:9: sites[0].id: anchors, aliases and tags are not supported: write the value out"}, false},
	{"id: demo", "id: demo\n    <<: {name: x}", []string{"3:5: sites[0].<<: merge keys are not supported: write the keys out"}, false},
	{"id: demo", "id: demo\n    timezone: Europe/Bärlin", []string{`3:15: sites[0].timezone: "Europe/Bärlin" is not a time zone of the IANA list, such as Europe/Berlin`}, false},
	{"id: demo", "id: demo\n    timezone: Local", []string{`3:15: sites[0].timezone: "Local" is not a time zone of the IANA list, such as Europe/Berlin`}, false},
	{"id: demo", "id: demo\n    enabled: yes", []string{"3:14: sites[0].enabled: must be true or false"}, true},
	{"id: demo", "id: demo\n    name: \"\\u0007\"", []string{"3:11: sites[0].name: must be one line without control characters"}, true},
	{"id: demo", "id: demo\n    holdout: 10", []string{"3:14: sites[0].holdout: write a share as 10% or as a number below 1"}, true},
	{"id: demo", "id: demo\n    holdout: 101%", []string{`3:14: sites[0].holdout: "101%" must be a share such as 10% or 0.1`}, true},
	{"id: demo", "id: demo\n    holdout: -0.1", []string{`3:14: sites[0].holdout: "-0.1" must be a share such as 10% or 0.1`}, true},
	{"id: demo", "id: demo\n    holdout: NaN", []string{`3:14: sites[0].holdout: "NaN" must be a share such as 10% or 0.1`}, true},
	{"id: demo", "id: demo\n    retention: {events: 395}", []string{`3:25: sites[0].retention.events: "395" must be a duration such as 30m, 12h or 7d`}, true},
	{"id: demo", "id: demo\n    retention: {events: 12h}", []string{"3:25: sites[0].retention.events: 12h must be from 1d to 3650d"}, false},
	{"id: demo", "id: demo\n    retention: 30d", []string{"3:16: sites[0].retention: must be a mapping with keys out of events, profiles"}, true},
	{"id: demo", "id: demo\n    consent: {default: all}", []string{`3:24: sites[0].consent.default: "all" must be one of count, measure, decide`}, true},
	{"id: demo", "id: demo\n    consent: {gpc: decide}", []string{`3:20: sites[0].consent.gpc: "decide" must be one of count, measure`}, true},
	{"id: demo", "id: demo\n    consent: {default: decide, allow: measure}", []string{"3:14: sites[0].consent: default decide is more than allow measure"}, false},
	{"id: demo", "id: demo\n    consent: {allow: measure, countries: {US: decide, de: count}}", []string{"3:47: sites[0].consent.countries.US: decide is more than allow measure", "3:55: sites[0].consent.countries.de: must be a country of ISO 3166-1 in capitals, such as DE"}, true},
	{"id: demo", "id: demo\n    server_keys: [\"sha256:abc\"]", []string{"3:19: sites[0].server_keys[0]: must be sha256: and the 64 hexadecimal digits of `printf %s \"$KEY\" | sha256sum`"}, true},
	{"id: demo", "id: demo\n    server_keys: secret", []string{"3:18: sites[0].server_keys: must be a list"}, true},
	{"id: demo", "id: demo\n    rates: {USD: 0, EUR: 1, usd: 1, CHF: 0.123456789}", []string{"3:18: sites[0].rates.USD: must be a rate above 0 with at most eight digits after the point, such as 0.92", "3:21: sites[0].rates.EUR: is the site's own currency: its rate is always 1", "3:29: sites[0].rates.usd: must be a currency of ISO 4217 in capitals, such as USD", "3:42: sites[0].rates.CHF: must be a rate above 0 with at most eight digits after the point, such as 0.92"}, true},
	{"id: demo", "id: demo\n    cookie_domain: co.uk", []string{`3:20: sites[0].cookie_domain: "co.uk" is open for anyone to register under: browsers refuse a cookie for it`}, false},
	{"id: demo", "id: demo\n    cookie_domain: other.example", []string{`3:20: sites[0].cookie_domain: none of the origins is a host of "other.example"`}, false},
	{"id: demo", "id: demo\n    cookie_domain: 127.0.0.1", []string{`3:20: sites[0].cookie_domain: "127.0.0.1" must be a domain such as shop.example`}, false},
	{`["https://shop.example"]`, `["https://shop.example/", "shop.example", "ftp://a.example", "https://*.example", "https://A.example", "https://a.example:443", "https://a.example", "https://a.example"]`, []string{
		`3:15: sites[0].origins[0]: "https://shop.example/" must be scheme://host or scheme://host:port, such as https://shop.example, without user, path or slash at the end`,
		`3:40: sites[0].origins[1]: "shop.example" must be scheme://host or scheme://host:port, such as https://shop.example`,
		`3:56: sites[0].origins[2]: "ftp://a.example" must begin with http:// or https://`,
		`3:75: sites[0].origins[3]: "https://*.example" must be scheme://host or scheme://host:port, such as https://shop.example`,
		`3:96: sites[0].origins[4]: "https://A.example" must be in lower case, as browsers send it`,
		`3:117: sites[0].origins[5]: "https://a.example:443" must not name the usual port: browsers leave it out`,
		`3:163: sites[0].origins[7]: "https://a.example" is listed twice`,
	}, true},
	{"    offers:", "  - {id: demo, origins: [], currency: EUR}\n  - id: x\n    origins: []\n    currency: EUR\n    offers:", []string{`5:5: sites[1]: another site has the id "demo"`}, false},
	{"        discount: {percent: 10}", "        discount: {percent: 10}\n      - {id: one, when: 'true', discount: {percent: 1}}", []string{`9:9: sites[0].offers[1]: another offer of this site has the id "one"`}, false},
	{"percent: 10", "percent: 0", []string{"8:29: sites[0].offers[0].discount.percent: percent must be a number above 0, at most 100, with at most two digits after the point"}, true},
	{"percent: 10", "percent: 101", []string{"8:29: sites[0].offers[0].discount.percent: percent must be a number above 0, at most 100, with at most two digits after the point"}, true},
	{"percent: 10", "percent: 10%", []string{"8:29: sites[0].offers[0].discount.percent: percent must be a number above 0, at most 100, with at most two digits after the point"}, true},
	{"percent: 10", "percent: 10, amount: 5", []string{"8:19: sites[0].offers[0].discount: must have exactly one of percent, amount and free_shipping"}, true},
	{"{percent: 10}", "{}", []string{"8:19: sites[0].offers[0].discount: must have exactly one of percent, amount and free_shipping"}, true},
	{"percent: 10", "percent: 10, currency: EUR", []string{"8:19: sites[0].offers[0].discount: currency belongs to amount only"}, true},
	{"{percent: 10}", "{amount: 5.00, currency: USD}", []string{"8:44: sites[0].offers[0].discount.currency: USD is not the site's currency EUR, in which carts are compared"}, false},
	{"{percent: 10}", "{amount: -5}", []string{"8:28: sites[0].offers[0].discount.amount: must be an amount of money above 0, such as 5.00"}, true},
	{"{percent: 10}", "{free_shipping: false}", []string{"8:35: sites[0].offers[0].discount.free_shipping: must be true, or left out"}, true},
	{"{percent: 10}", "10%", []string{"8:19: sites[0].offers[0].discount: must be a mapping with keys out of percent, amount, currency, free_shipping"}, true},
	{"        when: \"true\"\n", "", []string{"6:9: sites[0].offers[0]: \"when\" is missing: write a rule, `when: \"true\"` for every visitor who consented, or `audience: everyone`"}, true},
	{`when: "true"`, `when: ""`, []string{"7:15: sites[0].offers[0].when: must not be empty"}, true},
	{`when: "true"`, `audience: all`, []string{"6:9: sites[0].offers[0]: \"when\" is missing: write a rule, `when: \"true\"` for every visitor who consented, or `audience: everyone`", `7:19: sites[0].offers[0].audience: "all" must be targeted or everyone`}, true},
	{`when: "true"`, "audience: everyone\n        cooldown: 1d\n        holdout: 1%", []string{"8:9: sites[0].offers[0].cooldown: has no meaning with audience everyone, which uses no visitor data", "9:9: sites[0].offers[0].holdout: has no meaning with audience everyone, which uses no visitor data"}, true},
	{`when: "true"`, "when: \"true\"\n        valid_for: 30s", []string{"8:20: sites[0].offers[0].valid_for: 30s must be from 1m to 30d"}, false},
	{`when: "true"`, "when: \"true\"\n        cooldown: 91d", []string{"8:19: sites[0].offers[0].cooldown: 91d must be from 0s to 90d"}, false},
	{"id: demo", "id: demo\n    retention: {profiles: 7d}", []string{"7:9: sites[0].offers[0]: 7d, the default of cooldown, is longer than serves are remembered: with retention.profiles 7d at most 6d, so raise that to 8d"}, false},
	{"    offers:\n      - id: one\n", "    retention: {profiles: 14d}\n    offers:\n      - id: one\n        valid_for: 13d1h\n        cooldown: 30d\n        cap: 2\n        abandoner: 3\n", []string{
		"8:9: sites[0].offers[0].valid_for: 313h is longer than serves are remembered: with retention.profiles 14d at most 13d, so raise that to 15d",
		"9:9: sites[0].offers[0].cooldown: 30d is longer than serves are remembered: with retention.profiles 14d at most 13d, so raise that to 31d",
		"10:9: sites[0].offers[0].cap: its window of 30d is longer than serves are remembered: with retention.profiles 14d at most 13d, so raise that to 31d",
		"11:9: sites[0].offers[0].abandoner: its window of 30d is longer than serves are remembered: with retention.profiles 14d at most 13d, so raise that to 31d",
	}, false},
	{`when: "true"`, "when: \"true\"\n        cap: 0", []string{"8:14: sites[0].offers[0].cap: must be a whole number from 1 to 1000"}, true},
	{`when: "true"`, "when: \"true\"\n        priority: high", []string{"8:19: sites[0].offers[0].priority: must be a whole number from -1000000 to 1000000"}, true},
	{`when: "true"`, "when: \"true\"\n        starts: tomorrow", []string{`8:17: sites[0].offers[0].starts: "tomorrow" must be a date or time such as 2026-12-01, 2026-12-01T09:00 or 2026-12-01T09:00:00+01:00`}, true},
	{`when: "true"`, "when: \"true\"\n        starts: 2026-12-02\n        ends: 2026-12-01", []string{"6:9: sites[0].offers[0]: starts 2026-12-02T00:00:00Z, which is not before it ends 2026-12-02T00:00:00Z"}, false},
	{`when: "true"`, "when: \"true\"\n        applies_to: [a, ~]", []string{"8:25: sites[0].offers[0].applies_to[1]: is an element without a value"}, true},
	{minimal, "", []string{"is empty: it must have `sites:` with at least one site"}, true},
	{minimal, "sites: []", []string{"1:1: sites: has no site"}, true},
	{minimal, "just text", []string{"1:1: must be a mapping with keys out of sites"}, true},
	{minimal, "sites: [}", []string{"1:8: not YAML: sequence end token ']' not found"}, false},
	{minimal, "a: 1\n---\nb: 2", []string{"2:1: a second document: put all sites under one `sites:`"}, false},
}

func TestParseListsEveryFaultWithItsPlace(t *testing.T) {
	for _, c := range broken {
		text := strings.Replace(minimal, c.from, c.to, 1)
		if text == minimal {
			t.Fatalf("%q is not in the minimal file", c.from)
		}
		f, err := Parse("sites.yaml", []byte(text))
		var faults Faults
		if f != nil || !errors.As(err, &faults) {
			t.Errorf("%q is accepted", c.to)
			continue
		}
		var want string
		for _, w := range c.faults {
			if want += "\nsites.yaml:"; strings.HasPrefix(w, "is empty") {
				want += " "
			}
			want += w
		}
		if got := "\n" + faults.Error(); got != want {
			t.Errorf("%q\ngot%s\nwant%s", c.to, got, want)
		}
	}
}

func TestParseReportsFaultsOfAllSitesInTheOrderOfTheFile(t *testing.T) {
	_, err := Parse("s", []byte("sites:\n  - {id: A, origins: [x], currency: EUR}\n  - {id: b, origins: [], currency: eur, offers: [{id: c, discount: {percent: 5}}]}\n"))
	got := fmt.Sprint(err)
	var at []int
	for _, want := range []string{"s:2:10: ", "s:2:23: ", "s:3:36: ", "s:3:50: "} {
		at = append(at, strings.Index(got, want))
	}
	for i := range at {
		if at[i] < 0 || i > 0 && at[i] < at[i-1] {
			t.Fatalf("got\n%s", got)
		}
	}
}

func TestSchemaAcceptsTheExampleAndRefusesWhatItCanSee(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("sites.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("sites.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		t.Helper()
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	example, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{string(example), minimal} {
		if err := validate(good); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range broken {
		text := strings.Replace(minimal, b.from, b.to, 1)
		if err := validate(text); b.schema && err == nil {
			t.Errorf("the schema accepts %q", b.to)
		}
	}
}

// Each key that Parse knows is in the schema and the other way round.
func TestSchemaHasTheKeysOfTheParser(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	known := func(text string) map[string]bool {
		_, err := Parse("s", []byte(text))
		_, list, ok := strings.Cut(fmt.Sprint(err), "known are ")
		if !ok {
			t.Fatalf("no list of keys in %v", err)
		}
		list, _, _ = strings.Cut(list, "\n")
		keys := map[string]bool{}
		for _, k := range strings.Split(list, ", ") {
			keys[k] = true
		}
		return keys
	}
	for name, parser := range map[string]map[string]bool{
		"site":  known("sites: [{zzzzzzzzzzzz: 1}]"),
		"offer": known("sites: [{id: a, origins: [], currency: EUR, offers: [{zzzzzzzzzzzz: 1}]}]"),
	} {
		properties := schema.Defs[name].Properties
		for k := range parser {
			if properties[k] == nil {
				t.Errorf("%s.%s is not in the schema", name, k)
			}
		}
		for k := range properties {
			if !parser[k] {
				t.Errorf("%s.%s is not known to the parser", name, k)
			}
		}
	}
}

func TestOriginNamesASiteOnlyWhenNoOtherListsIt(t *testing.T) {
	f, err := Parse("s", []byte("sites:\n- {id: a, origins: [http://x.example, http://a.example], currency: EUR}\n- {id: b, origins: [http://x.example], currency: EUR}\n- {id: c, origins: [http://x.example], currency: EUR}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.ByOrigin("http://a.example") != f.Site("a") || f.ByOrigin("http://x.example") != nil || f.ByOrigin("") != nil {
		t.Fatal("wrong site for an origin")
	}
	if !f.Site("b").Lists([]byte("http://x.example")) || f.Site("b").Lists([]byte("http://x.example.org")) {
		t.Fatal("wrong list of origins")
	}
}

func TestServerKeyIsRecognisedByItsHash(t *testing.T) {
	s := parseExample(t).Site("demo")
	f := func(key string, want bool) {
		t.Helper()
		if got := s.HasServerKey([]byte(key)); got != want {
			t.Fatalf("%q: got %t", key, got)
		}
	}
	f("test", true)
	f("tesT", false)
	f("", false)
	f(string(s.ServerKeys[0][:]), false)
	s.ServerKeys = append(s.ServerKeys, sha256.Sum256([]byte("second")), sha256.Sum256([]byte("test")))
	f("second", true)
	f("test", true) // listed twice by hand
}

func TestInstantsAreInTheTimeZoneOfTheSite(t *testing.T) {
	f := func(field, text, want string) {
		t.Helper()
		file, err := Parse("s", []byte("sites: [{id: a, origins: [], currency: EUR, timezone: America/New_York, offers: [{id: o, audience: everyone, discount: {percent: 1}, "+field+": "+text+"}]}]"))
		if err != nil {
			t.Fatal(err)
		}
		o := file.Sites[0].Offers[0]
		got := o.Starts
		if field == "ends" {
			got = o.Ends
		}
		if s := got.UTC().Format(time.RFC3339); s != want {
			t.Fatalf("%s %s: got %s, want %s", field, text, s, want)
		}
	}
	f("starts", "2026-12-01", "2026-12-01T05:00:00Z")
	f("ends", "2026-12-01", "2026-12-02T05:00:00Z")
	f("ends", "2026-10-31", "2026-11-01T04:00:00Z") // still summer time
	f("ends", "2026-11-01", "2026-11-02T05:00:00Z") // a day of 25 hours
	f("ends", "2026-12-01T18:00", "2026-12-01T23:00:00Z")
	f("ends", `"2026-12-01 18:00:30"`, "2026-12-01T23:00:30Z")
	f("ends", "2026-12-01T18:00:00+01:00", "2026-12-01T17:00:00Z")
	f("ends", "2026-12-01T18:00:00Z", "2026-12-01T18:00:00Z")
}

// The place of one character of a rule, however the rule is written.
func TestWhenFaultPointsIntoTheFile(t *testing.T) {
	f := func(written string, line, column int, want string) {
		t.Helper()
		file, err := Parse("s", []byte(strings.Replace(minimal, `"true"`, written, 1)))
		if err != nil {
			t.Fatal(err)
		}
		got := file.Sites[0].Offers[0].WhenFault(line, column, "wrong").Error()
		if want += ": sites[0].offers[0].when: wrong"; got != want {
			t.Fatalf("%q: got %s, want %s", written, got, want)
		}
	}
	f("a == b", 1, 5, "s:7:20")
	f("a == b # a comment", 1, 5, "s:7:20")
	f("ä == b", 1, 5, "s:7:20") // columns count characters
	f("a == b", 1, 6, "s:7:20") // beyond the end, where a parser misses something
	f("a == b", 2, 0, "s:7:20")
	f(`"a == b"`, 1, 5, "s:7:21")
	f(`"a == \"b"`, 1, 6, "s:7:23")
	f(`"a == \\b"`, 1, 6, "s:7:23")
	f(`'a == ''b'`, 1, 6, "s:7:23")
	f(`'a == ''''b'`, 1, 7, "s:7:25")
	f("a ==\n          b", 1, 5, "s:8:11")
	f("|\n          a ==\n          b", 2, 0, "s:9:11")
	f(">-  # why\n\n          a ==\n          b", 1, 5, "s:10:11")
}

func TestNearestFindsTyposOnly(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		if got := Nearest(word, []string{"currency", "consent", "country", "cap"}); got != want {
			t.Fatalf("%s: got %q, want %q", word, got, want)
		}
	}
	f("curency", "currency")
	f("consnt", "consent")
	f("county", "country")
	f("cup", "cap")
	f("colour", "")
	f("x", "")
	f("", "")
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, b := range broken {
		f.Add([]byte(strings.Replace(minimal, b.from, b.to, 1)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("s", text)
		if (file == nil) == (err == nil) {
			t.Fatal("neither a file nor an error, or both")
		}
		var faults Faults
		if err != nil && (!errors.As(err, &faults) || len(faults) == 0) {
			t.Fatalf("an error without faults: %v", err)
		}
		if file == nil {
			return
		}
		for _, s := range file.Sites {
			for _, o := range s.Offers {
				if fault := o.WhenFault(1, 0, "x"); fault.Line != o.WhenLine || fault.Column != o.WhenColumn {
					t.Fatalf("the rule %q begins at %d:%d or %d:%d", o.When, fault.Line, fault.Column, o.WhenLine, o.WhenColumn)
				}
				o.WhenFault(9, 99, "x")
			}
		}
	})
}
