package feature_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"beckon/aggregator/feature"
)

var update = flag.Bool("update", false, "write docs/features.md anew")

const document = "../../docs/features.md"

// TestDocumentIsTheListOfFeatures keeps docs/features.md what the code says. After a change run
// go test ./aggregator/feature -run TestDocument -update.
func TestDocumentIsTheListOfFeatures(t *testing.T) {
	want := documentText()
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/features.md is not what feature.All says: run go test ./aggregator/feature -run TestDocument -update")
	}
}

func documentText() string {
	var b strings.Builder
	b.WriteString(`# Features

Made from the list in aggregator/feature/features.go; a test keeps it true. Rules in the sites file use these names as
` + "`visitor.NAME`" + `. A window of N days begins N x 24 hours ago, rounded down to the hour. An empty text is "not known".
` + fmt.Sprintf("A `minutes` feature of something that never happened is %d.", feature.NeverMinutes) + `

| name | type | unit | what it says |
|---|---|---|---|
`)
	for _, f := range feature.All {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.Unit, f.Doc)
	}
	b.WriteString(`
Of a visitor with more than 1000 orders in 90 days, which is a program, the orders of the newest hours are read:
` + "`purchases_90d`" + ` says 1001 at most, and never 0 because orders were left out; ` + "`revenue_90d`" + ` is that of the orders read, and every offer
counts as used. While many such visitors come at once, fewer of each are read; all count. The expression of
` + "`revenue_90d`" + ` below has no such bound.

## The same values in ClickHouse

Each is an expression over one visitor's rows, with the parameters ` + "`site`, `visitor` (32 hexadecimal digits) and `now`" + `:

    SELECT <expression> FROM beckon.visitor_activity WHERE site = {site:String} AND visitor = unhex({visitor:String})

`)
	for _, f := range feature.All {
		fmt.Fprintf(&b, "- `%s`: `%s`\n", f.Name, strings.ReplaceAll(f.SQL(), "{database}", "beckon"))
	}
	return b.String()
}
