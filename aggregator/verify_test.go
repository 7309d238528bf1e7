package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/verify/checkers"
)

// verifyTable reads the hostile tokens, and writes their page of keys as a file.
func verifyTable(t *testing.T) (checkers.Table, string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "verify", "hostile.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table checkers.Table
	if err := json.Unmarshal(b, &table); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(page, table.JWKS, 0o600); err != nil {
		t.Fatal(err)
	}
	return table, page
}

func TestVerifyEndsWithACodeForEachRefusal(t *testing.T) {
	table, page := verifyTable(t)
	met := map[int]bool{}
	for _, line := range table.Lines {
		cmd := verifyCmd{JWKS: page, Site: table.Site, Issuer: table.Issuer, Now: strconv.FormatInt(line.Now, 10), Value: -1, JSON: true, Token: line.Token}
		if line.Cart != nil {
			cmd.Currency, cmd.Value = line.Cart.Currency, line.Cart.Value
		}
		var out bytes.Buffer
		err := cmd.run(strings.NewReader(""), &out, time.Time{})
		if strings.TrimSpace(line.Token) != line.Token { // what a shell would have cut off
			continue
		}
		var said struct {
			Valid       bool
			Code, Words string
		}
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			t.Fatalf("%s: %v: %s", line.Name, err, out.Bytes())
		}
		if line.Want == "ok" {
			if err != nil || !said.Valid {
				t.Errorf("%s: %v, %s", line.Name, err, out.Bytes())
			}
			continue
		}
		var refused refusedToken
		if !errors.As(err, &refused) || said.Valid || said.Code != line.Want || said.Words == "" || string(refused.Refusal) != line.Want {
			t.Fatalf("%s: %v, %s, want %s", line.Name, err, out.Bytes(), line.Want)
		}
		if refused.ExitCode() < 10 || !strings.Contains(err.Error(), said.Words) {
			t.Errorf("%s: code %d, %v", line.Name, refused.ExitCode(), err)
		}
		met[refused.ExitCode()] = true
	}
	if len(met) != len(refusalWords) {
		t.Errorf("%d codes were met, of %d refusals", len(met), len(refusalWords))
	}
}

func TestVerifyReadsATokenFromStdinAndSaysItForAPerson(t *testing.T) {
	table, page := verifyTable(t)
	f := func(line int, want string) {
		t.Helper()
		var out bytes.Buffer
		cmd := verifyCmd{JWKS: page, Site: "demo", Issuer: table.Issuer, Value: -1, Token: "-"}
		if err := cmd.run(strings.NewReader(table.Lines[line].Token+"\n"), &out, time.Unix(table.Lines[line].Now, 0)); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(0, "offer welcome-back, 12.5 % off, until 2026-11-22T12:30:00Z")
	f(2, "15.5 EUR off, for goods of 100.01 EUR or more, for shoes, ")
	f(3, "free shipping")
}

func TestVerifySaysWhatIsWrongWithItsFlags(t *testing.T) {
	_, page := verifyTable(t)
	f := func(want string, change func(*verifyCmd)) {
		t.Helper()
		cmd := verifyCmd{JWKS: page, Site: "demo", Issuer: "i", Value: -1, Token: "x"}
		change(&cmd)
		var refused refusedToken
		if err := cmd.run(strings.NewReader(""), &bytes.Buffer{}, time.Now()); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("--jwks", func(c *verifyCmd) { c.JWKS = page + ".missing" })
	f("--now", func(c *verifyCmd) { c.Now = "noon" })
	f("belong together", func(c *verifyCmd) { c.Value = 5 })
	f("belong together", func(c *verifyCmd) { c.Currency = "EUR" })
}

// docs/decisions.md has the codes.
func TestDecisionsPageListsEveryRefusal(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "decisions.md"))
	if err != nil {
		t.Fatal(err)
	}
	for refusal, r := range refusalWords {
		if want := "| `" + string(refusal) + "` | " + strconv.Itoa(r.exit) + " |"; !strings.Contains(string(page), want) {
			t.Errorf("docs/decisions.md has no line that begins with %s", want)
		}
	}
}
