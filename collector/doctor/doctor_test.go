package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAShopInOrderHasNoFindingButWhatCouldNotBeChecked(t *testing.T) {
	r := newWorld(t).examine()
	for _, c := range r.Checks {
		if c.Outcome != OK {
			t.Errorf("%s: %v", c.Name, c.Findings)
		}
	}
	if r.Outcome != OK || !r.Reached || r.Faults+r.Warnings > 0 {
		t.Errorf("report %s, reached %v, %d faults, %d warnings", r.Outcome, r.Reached, r.Faults, r.Warnings)
	}
}

// finds is the table's row: the world after change has, in one check, a finding of this outcome that says want; no
// other check has a warning or a fault but those named.
func finds(t *testing.T, check string, outcome Outcome, want string, change func(*world), also ...string) {
	t.Helper()
	t.Run(check+"/"+want, func(t *testing.T) {
		t.Helper()
		w := newWorld(t)
		change(w)
		r := w.examine()
		var got []string
		for _, f := range r.of(t, check).Findings {
			if f.Outcome == outcome && strings.Contains(f.Seen+" -> "+f.Mend, want) {
				got = append(got, f.says())
			}
			if (f.Outcome == Fault || f.Outcome == Warning) && f.Mend == "" {
				t.Errorf("says no way to mend: %s", f.says())
			}
		}
		if len(got) == 0 {
			t.Errorf("no %s that says %q in %v", outcome, want, r.of(t, check).Findings)
		}
		for _, c := range r.Checks {
			if c.Name != check && c.Outcome.rank() >= Warning.rank() && !slices.Contains(also, c.Name) {
				t.Errorf("%s too: %v", c.Name, c.Findings)
			}
		}
		if (r.of(t, check).Outcome == Fault) != (outcome == Fault) && outcome == Fault {
			t.Errorf("the check is %s", r.of(t, check).Outcome)
		}
	})
}

// replace changes the page.
func replace(old, with string) func(*world) {
	return func(w *world) {
		if !strings.Contains(w.html, old) {
			w.t.Fatalf("the page has no %q", old)
		}
		w.html = strings.Replace(w.html, old, with, 1)
	}
}

// answers puts a reply in the place of what stands at a path.
func answers(path string, status int, body string, headers ...string) func(*world) {
	return func(w *world) {
		w.before = func(out http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			for i := 0; i+1 < len(headers); i += 2 {
				out.Header().Add(headers[i], headers[i+1])
			}
			out.WriteHeader(status)
			out.Write([]byte(body))
			return true
		}
	}
}

func TestReportIsForPeopleAndForMachines(t *testing.T) {
	w := newWorld(t)
	w.site = "demo"
	replace(element, strings.Replace(element, "demo", "dm\x1b[31meo", 1))(w)
	r := w.examine()
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Site demo on https://shop.example/", "fault        tag         data-site is \"dm?[31meo\"", "                         -> write data-site=\"demo\"", "1 fault and 0 warnings. Mend them from the top"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if strings.ContainsRune(text.String(), 0x1b) {
		t.Error("the page steers the terminal")
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Outcome string
		Faults  int
		Checks  []struct {
			Name, Outcome string
			Findings      []Finding
		}
	}
	if err := json.Unmarshal(b, &back); err != nil || back.Outcome != "fault" || back.Faults != 1 || len(back.Checks) != len(checks) {
		t.Errorf("as JSON: %v %+v", err, back)
	}
}

// The list of the documentation is the list of the code.
func TestOperationsListsEveryCheck(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Doctor\n")
	if !found {
		t.Fatal("docs/operations.md has no section Doctor")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got, want []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			got = append(got, strings.TrimSpace(cells[0])+" "+strings.TrimSpace(cells[1]))
		}
	}
	names, about := Names()
	for i, name := range names {
		want = append(want, fmt.Sprintf("`%s` %s", name, about[i]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/operations.md says\n%s\nthe code says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
