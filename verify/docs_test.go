package verify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/verify/checkers"
)

var snippet = regexp.MustCompile("(?m)^[^\\n]*\\]\\(\\.\\./(verify/[^)]+)\\):\\n\\n```[a-z]+\\n((?s:.*?))```$")

// Each snippet of the page is a piece of the file that it names, and these files are run by the tests
// here: Go's beside it, the function's by TestFunctionAnswersWithOperations.
func TestSnippetsOfTheDocsAreTheExamples(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "decisions.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := snippet.FindAllStringSubmatch(string(page), -1)
	want := map[string]bool{"verify/go/example_test.go": true, "verify/js/example.mjs": true, "verify/php/example.php": true, "verify/rust/src/main.rs": true}
	for _, m := range found {
		file, err := os.ReadFile(filepath.Join("..", m[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(file), m[2]) {
			t.Errorf("docs/decisions.md shows what is not in %s:\n%s", m[1], m[2])
		}
		delete(want, m[1])
	}
	if len(want) > 0 {
		t.Errorf("docs/decisions.md has no snippet of %v", want)
	}
}

func TestExamplesGiveADiscountForOneOrder(t *testing.T) {
	now := time.Now().Unix() // the examples have the machine's clock
	token := signed(first, header, swap(swap(amount, "1795348800", strconv.FormatInt(now, 10)), "1795350600", strconv.FormatInt(now+1800, 10)))
	table := lines(checkers.Line{Token: token})
	f := func(want string, name string, args ...string) {
		t.Helper()
		var said []string
		checkers.Run(t, table, &said, name, args...)
		if got := strings.Join(said, ", "); got != want {
			t.Errorf("%s %v: %s, want %s", name, args, got, want)
		}
	}
	f("min-cart, o, order 1, used", "node", "--no-warnings", "example.mjs")
	f("min-cart, o, the order was not written, order 1, used", "php", "example.php")
}
