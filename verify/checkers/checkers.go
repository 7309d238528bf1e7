// Package checkers is about running tokens through every verifier of the folder above, each in its own
// language, for tests: what one of them accepts and another refuses is a bug.
package checkers

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	offer "beckon/verify/go"
)

// Table is what the verifiers are given.
type Table struct {
	Issuer string          `json:"issuer"`
	Site   string          `json:"site"`
	JWKS   json.RawMessage `json:"jwks"`
	Lines  []Line          `json:"lines"`
}

// Line is one token and what is known beside it.
type Line struct {
	Name   string       `json:"name"`
	Token  string       `json:"token"`
	Now    int64        `json:"now"`
	Cart   *offer.Cart  `json:"cart,omitempty"`
	Redeem bool         `json:"redeem,omitempty"` // use the offer up
	Want   string       `json:"want"`             // "ok" or the word of the refusal
	Offer  *offer.Offer `json:"offer,omitempty"`
}

// Result is what a verifier says of a line.
type Result struct {
	Code  string       `json:"code"`
	Offer *offer.Offer `json:"offer"`
}

// Checker is one verifier.
type Checker struct {
	Name      string
	Stateless bool // it remembers nothing, so Redeem is left to whoever knows the orders
	Check     func(t testing.TB, table Table) []Result
}

// All returns every verifier. The first call builds the wasm function.
func All(t testing.TB) []Checker {
	t.Helper()
	return []Checker{
		{Name: "Go", Check: inGo},
		{Name: "JavaScript, Node's crypto", Check: program("node", "check.mjs", "node")},
		{Name: "JavaScript, Web Crypto", Check: program("node", "--no-warnings", "check.mjs", "web")},
		{Name: "PHP", Check: program("php", "check.php")},
		{Name: "Rust in wasm", Stateless: true, Check: program("node", "wasm.mjs", Wasm(t))},
	}
}

func inGo(t testing.TB, table Table) []Result {
	t.Helper()
	keys, err := offer.ParseKeys(table.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	uses := offer.Memory{Now: func() time.Time { return time.Unix(table.Lines[0].Now, 0) }}
	results := make([]Result, len(table.Lines))
	for i, l := range table.Lines {
		o, err := keys.Verify(l.Token, offer.Want{Issuer: table.Issuer, Site: table.Site, Now: time.Unix(l.Now, 0), Cart: l.Cart})
		if err == nil && l.Redeem {
			err = o.Redeem(&uses)
		}
		var refusal offer.Refusal
		switch {
		case err == nil:
			results[i] = Result{"ok", o}
		case errors.As(err, &refusal):
			results[i].Code = string(refusal)
		default:
			t.Fatal(err)
		}
	}
	return results
}

// program checks with a program that reads a table from stdin and writes its results to stdout.
func program(name string, args ...string) func(testing.TB, Table) []Result {
	return func(t testing.TB, table Table) []Result {
		t.Helper()
		var results []Result
		Run(t, table, &results, name, args...)
		if len(results) != len(table.Lines) {
			t.Fatalf("%s judged %d of %d lines", name, len(results), len(table.Lines))
		}
		return results
	}
}

// Run runs a program of this folder with in as JSON on stdin and reads what it writes into out.
func Run(t testing.TB, in, out any, name string, args ...string) {
	t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = folder(), bytes.NewReader(input)
	var said bytes.Buffer
	cmd.Stderr = &said
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, said.Bytes())
	}
	if err := json.Unmarshal(output, out); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, output)
	}
}

var built struct {
	sync.Once
	file string
	err  error
	said bytes.Buffer
}

// Wasm builds the wasm function and returns its path.
func Wasm(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		build := exec.Command(filepath.Join(folder(), "..", "rust", "build.sh"))
		build.Stderr = &built.said
		file, err := build.Output()
		built.file, built.err = strings.TrimSpace(string(file)), err
	})
	if built.err != nil {
		t.Fatalf("build the wasm function: %v\n%s", built.err, built.said.Bytes())
	}
	return built.file
}

func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
