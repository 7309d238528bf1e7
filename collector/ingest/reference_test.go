package ingest

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/cors"
	"beckon/internal/event"
	"beckon/internal/framing"
	"beckon/internal/privacy"
)

// section returns the rows of the first table under a heading of docs/reference.md, without its head.
func section(t *testing.T, heading string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(string(readFile(t, "../../docs/reference.md")), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/reference.md has no section %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var rows [][]string
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break // others may follow, of the aggregator
			}
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("section %q has no table", heading)
	}
	return rows[2:]
}

func TestReferenceListsEveryReason(t *testing.T) {
	var want []string
	for r := Taken + 1; r < reasonCount; r++ {
		of, batch := "request", r.Status()
		if reasons[r].event {
			of, batch = "event", fasthttp.StatusOK
		}
		want = append(want, fmt.Sprint([]string{r.String(), of, fmt.Sprint(batch), fmt.Sprint(r.Status())}))
	}
	var got []string
	for _, row := range section(t, "Reasons") {
		got = append(got, fmt.Sprint(row[:4]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference.md says\n%s\nthe code says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReferenceListsEveryLimit(t *testing.T) {
	want := map[string]string{
		"body": fmt.Sprint(event.MaxBodyBytes, " bytes"), "request line and headers": fmt.Sprint(framing.MaxHeaderBytes, " bytes"),
		"events in a batch": fmt.Sprint(event.MaxBatchEvents), "string": fmt.Sprint(event.MaxStringBytes, " bytes"),
		"items of an event": fmt.Sprint(event.MaxItems), "quantity": fmt.Sprint(event.MaxQuantity),
		"depth of the JSON": fmt.Sprint(maxDepth), "names in one object": fmt.Sprint(maxKeys),
		"age of an event": maxPast.String(), "future of an event": maxFuture.String(),
		"time for a request to arrive": framing.ReadTimeout.String(), "idle connection": framing.IdleTimeout.String(),
	}
	got := map[string]string{}
	for _, row := range section(t, "Limits") {
		got[row[0]] = row[1]
	}
	if !maps.Equal(got, want) {
		t.Errorf("docs/reference.md says %v, the code says %v", got, want)
	}
}

func TestReferenceListsEveryReasonOfABot(t *testing.T) {
	var got, want []string
	for _, row := range section(t, "Bots") {
		got = append(got, row[0])
	}
	for _, b := range privacy.BotReasons() {
		want = append(want, b.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference.md says %v, the code says %v", got, want)
	}
}

func TestReferenceListsEveryKind(t *testing.T) {
	var want, got []string
	for k := event.PageView; k.String() != ""; k++ {
		if event.ParseKind([]byte(k.String()), false) == k {
			want = append(want, k.String())
		}
	}
	for _, row := range section(t, "Kinds") {
		got = append(got, row[0])
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference.md says %v, the code says %v", got, want)
	}
}

// The props of the code are the cases of readProps; each one must change what is stored.
func TestReferenceListsEveryProp(t *testing.T) {
	cases := regexp.MustCompile(`(?s)func \(r \*request\) readProps\(\) bool \{.*?\n}\n`).Find(readFile(t, "props.go"))
	var want []string
	for _, m := range regexp.MustCompile(`case "([a-z_]+)":`).FindAllSubmatch(cases, -1) {
		want = append(want, string(m[1]))
	}
	var got []string
	for _, row := range section(t, "Props") {
		got = append(got, row[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/reference.md says %v, the code says %v", got, want)
	}
	values := map[string]string{"currency": `"CHF"`, "items": `[{"product":"a"}]`}
	s := openShop(t)
	send := func(props string) event.Stored {
		s.tell("demo", batch("demo", `{"n":"purchase","i":"019df26e-2d00-75af-89e3-8d27c16b05af","p":`+props+`}`))
		e := s.one()
		e.Visitor, e.Session = [16]byte{}, [16]byte{}
		s.pass(2 * time.Hour) // beyond the window of repeats
		e.ReceivedAt, e.OccurredAt, e.VisitorSince = 0, 0, 0
		return e
	}
	bare := send(`{}`)
	for _, name := range want {
		value := values[name]
		if value == "" {
			value = `"7"`
		}
		if reflect.DeepEqual(send(`{"`+name+`":`+value+`}`), bare) {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestReferenceNamesEveryLaneCauseAndHeader(t *testing.T) {
	text := string(readFile(t, "../../docs/reference.md"))
	for l := privacy.LaneCount; l.String() != ""; l++ {
		if !strings.Contains(text, "`"+l.String()+"`") {
			t.Errorf("lane %s is missing", l)
		}
	}
	for c := privacy.CauseDefault; c.String() != ""; c++ {
		if !strings.Contains(text, "`"+c.String()+"`") {
			t.Errorf("cause %s is missing", c)
		}
	}
	var names []string
	for _, row := range section(t, "Headers") {
		names = append(names, row[0])
	}
	for name := range strings.SplitSeq(cors.Exposed, ", ") {
		if !slices.Contains(names, name) {
			t.Errorf("header %s is missing", name)
		}
	}
}
