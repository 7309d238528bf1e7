package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/verify/checkers"
	checked "beckon/verify/go"
)

// offersText has one offer of each kind: one for a visitor, and for everybody two with every term.
const offersText = sitesText + `  - id: fixed
    origins: ["https://fixed.example"]
    currency: EUR
    offers:
      - id: large-cart
        title: 15.50 off
        audience: everyone
        discount: {amount: 15.50}
        min_cart_value: 100
        applies_to: [shoes, "Größe <40> & mehr"]
        combinable: true
        code: WINTER
        valid_for: 1h
  - id: shipping
    origins: ["https://shipping.example"]
    currency: EUR
    offers:
      - id: free
        title: Free shipping
        audience: everyone
        discount: {free_shipping: true}
        valid_for: 1h
`

const testIssuer = "https://shop.example/px"

// What the real aggregator signs is what every verifier takes, through a rotation of its keys and after
// the loss of one.
func TestOffersAreCheckedOfflineInEveryLanguage(t *testing.T) {
	s := newStack(t)
	s.writeSites(offersText)
	s.initKeys()
	s.aggregator.flags = append(s.aggregator.flags, "--issuer", testIssuer)
	s.start()
	v := s.newVisitor("demo")
	granted := v.becomesEligible()
	minted := map[string][]string{ // by site
		"demo":     {granted.Token},
		"fixed":    {s.newVisitor("fixed").asks(s.aggregator).Token, s.newVisitor("fixed").asks(s.aggregator).Token},
		"shipping": {s.newVisitor("shipping").asks(s.aggregator).Token},
	}
	page := func() []byte {
		return v.must(http.StatusOK, http.MethodGet, "http://"+s.aggregator.public+"/.well-known/jwks.json", "").body
	}
	kept := page()
	offers := checkedEverywhere(t, kept, minted)
	if o := offers["demo"]; o.ID != "welcome-back" || o.Percent != 10 || o.Decision != granted.ID || o.ExpiresAt-o.IssuedAt != 1800 {
		t.Errorf("the grant's token says %+v", o)
	}
	if o := offers["fixed"]; o.Amount != 15.5 || o.Currency != "EUR" || o.MinCartValue != 100 || o.Code != "WINTER" || !o.Combinable || strings.Join(o.AppliesTo, "|") != "shoes|Größe <40> & mehr" {
		t.Errorf("the token of an amount says %+v", o)
	}
	if o := offers["shipping"]; o.Kind != "free_shipping" {
		t.Errorf("the token of free shipping says %+v", o)
	}

	s.rotate("--after", "10m")
	eventually(t, func() error { return hasKeys(page(), 2) })
	if again := v.asks(s.aggregator); again.Token != granted.Token {
		t.Error("a key signed that was on the page for a moment only")
	}
	checkedEverywhere(t, page(), minted)

	s.rotate("--leaked")
	eventually(t, func() error { return hasKeys(page(), 1) })
	for _, r := range inEveryLanguage(t, page(), "demo", minted["demo"]) {
		if r.Code != "unknown-key" {
			t.Errorf("a token under a leaked key: %s", r.Code)
		}
	}
	again := v.asks(s.aggregator)
	if renewed := checkedEverywhere(t, page(), map[string][]string{"demo": {again.Token}})["demo"]; renewed.JTI != offers["demo"].JTI {
		t.Error("the grant's new token has another jti: it could be used twice")
	}
	s.verifies(page(), again.Token, "demo", 0, "valid: offer welcome-back, 10 % off")
	s.verifies(page(), granted.Token, "demo", 12, "unknown-key")
	s.verifies(kept, granted.Token, "half", 16, "wrong-audience")
	s.verifies(kept, granted.Token, "demo", 18, "expired", "--now", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
}

// inEveryLanguage checks tokens of one site with every verifier.
func inEveryLanguage(t *testing.T, page []byte, siteID string, tokens []string) (results []checkers.Result) {
	t.Helper()
	table := checkers.Table{Issuer: testIssuer, Site: siteID, JWKS: page}
	for _, token := range tokens {
		table.Lines = append(table.Lines, checkers.Line{Token: token, Now: time.Now().Unix()})
	}
	for _, c := range checkers.All(t) {
		results = append(results, c.Check(t, table)...)
	}
	return results
}

// checkedEverywhere wants every verifier to take every token, and returns the last offer of each site.
func checkedEverywhere(t *testing.T, page []byte, minted map[string][]string) map[string]*checked.Offer {
	t.Helper()
	offers := map[string]*checked.Offer{}
	for siteID, tokens := range minted {
		said := ""
		for i, r := range inEveryLanguage(t, page, siteID, tokens) {
			if r.Code != "ok" {
				t.Fatalf("site %s, result %d: %s", siteID, i, r.Code)
			}
			if i%len(tokens) == 0 { // of the first token, by all verifiers
				text, err := json.Marshal(r.Offer)
				if err != nil {
					t.Fatal(err)
				}
				if said != "" && said != string(text) {
					t.Errorf("site %s: one verifier reads %s, another %s", siteID, said, text)
				}
				said = string(text)
			}
			offers[siteID] = r.Offer
		}
	}
	return offers
}

func hasKeys(page []byte, n int) error {
	if got := bytes.Count(page, []byte(`"kid"`)); got != n {
		return fmt.Errorf("the page has %d keys: %s", got, page)
	}
	return nil
}

// rotate makes a new issuer key beside the running aggregator.
func (s *stack) rotate(flags ...string) {
	s.t.Helper()
	rotate := exec.Command(filepath.Join(binDir, "beckon-collector"), append([]string{"keyring", "rotate", "--keyring-dir", s.path("keyring")}, flags...)...)
	if said, err := rotate.CombinedOutput(); err != nil {
		s.t.Fatalf("keyring rotate %v: %v\n%s", flags, err, said)
	}
}

// verifies runs the aggregator's verify command.
func (s *stack) verifies(page []byte, token, siteID string, code int, words string, flags ...string) {
	s.t.Helper()
	file := s.path("jwks.json")
	if err := os.WriteFile(file, page, 0o600); err != nil {
		s.t.Fatal(err)
	}
	verify := exec.Command(filepath.Join(binDir, "beckon-aggregator"), append([]string{"verify", "--jwks", file, "--site", siteID, "--issuer", testIssuer, token}, flags...)...)
	said, _ := verify.CombinedOutput() // its exit code is looked at
	if got := verify.ProcessState.ExitCode(); got != code || !strings.Contains(string(said), words) {
		s.t.Errorf("verify ended with %d: %s, want %d: %s", got, said, code, words)
	}
}
