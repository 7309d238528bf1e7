package privacy

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// How well are browsers, devices and bots recognised? The tests of this file ask lists that others made
// (testdata/agents/make.sh names them), print a table of what came out, and hold the shares to a bar:
//
//	go test -v -run Recognise ./internal/privacy

// rows returns the lines of a file of tab-separated fields without its head.
func rows(t *testing.T, name string, fields int) [][]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(z)
	}
	var all [][]string
	for lines.Scan() {
		row := strings.SplitN(lines.Text(), "\t", fields)
		if strings.HasPrefix(row[0], "# ") && len(all) == 0 {
			continue
		}
		if len(row) != fields {
			t.Fatalf("%s: %q has no %d fields", name, row, fields)
		}
		all = append(all, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// confusion counts what was got where something was wanted.
type confusion map[[2]string]int

func (c confusion) add(want, got string, n int) { c[[2]string{want, got}] += n }

func (c confusion) String() string {
	var wants, gots []string
	for k := range c {
		wants, gots = append(wants, k[0]), append(gots, k[1])
	}
	slices.Sort(wants)
	slices.Sort(gots)
	wants, gots = slices.Compact(wants), slices.Compact(gots)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-42s", "  is \\ taken for")
	for _, got := range gots {
		fmt.Fprintf(&b, "%14s", got)
	}
	for _, want := range wants {
		fmt.Fprintf(&b, "\n%-42s", "  "+want)
		for _, got := range gots {
			fmt.Fprintf(&b, "%14d", c[[2]string{want, got}])
		}
	}
	return b.String()
}

func parse(ua string) Agent { return NewAgents(1).Parse(Hints{UserAgent: []byte(ua)}) }

// orPerson is the word for what is no bot.
func orPerson(bot Bucket) string {
	if bot == (Bucket{}) {
		return "person"
	}
	return bot.s
}

func percent(part, all int) float64 { return 100 * float64(part) / float64(max(all, 1)) }

func TestAgentsRecogniseMainstreamBrowsers(t *testing.T) {
	list := rows(t, "testdata/agents/mainstream.tsv", 7)
	if len(list) != 150 {
		t.Fatalf("the list has %d user agents, want 150", len(list))
	}
	for _, withHints := range []bool{false, true} {
		t.Run(map[bool]string{false: "without hints", true: "with hints"}[withHints], func(t *testing.T) {
			devices, right, hinted := confusion{}, 0, 0
			for _, row := range list {
				h := Hints{UserAgent: []byte(row[6])}
				if withHints && row[3] != "" {
					h.Brands, h.Mobile, h.Platform = []byte(row[3]), []byte(row[4]), []byte(row[5])
					hinted++
				}
				a := NewAgents(1).Parse(h)
				devices.add(row[1], a.Device.s, 1)
				if a.Device.s == row[1] && a.Browser.s == row[2] && a.Bot == (Bucket{}) {
					right++
					continue
				}
				t.Logf("%s %s %s, want %s %s person: %s", a.Device, a.Browser, orPerson(a.Bot), row[1], row[2], row[6])
			}
			t.Logf("%v\n  browser family and device class right, and a person: %d of %d (%.1f %%), %d of them with hints",
				devices, right, len(list), percent(right, len(list)), hinted)
			if percent(right, len(list)) < 98 {
				t.Errorf("%d of %d are right, want 98 %%", right, len(list))
			}
		})
	}
}

// The device classes of these lists were written by their makers. (A Mac that says Mobile is an iPad for us.)
func TestAgentsRecogniseWhatPeopleUse(t *testing.T) {
	devices, bots := confusion{}, confusion{}
	var visits, right, taken, all int
	for _, row := range rows(t, "testdata/agents/people.tsv.gz", 4) {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		a := parse(row[3])
		all++
		bots.add("a browser of "+row[0], orPerson(a.Bot), 1)
		if a.Bot != (Bucket{}) {
			taken++
			t.Logf("a person was taken for a bot (%s): %s", a.Bot, row[3])
		}
		if row[2] != "" {
			visits += n
			devices.add(row[2], a.Device.s, n)
			if a.Device.s == row[2] {
				right += n
			}
		}
	}
	t.Logf("%v\n  people called bots: %d of %d (%.3f %%)", bots, taken, all, percent(taken, all))
	t.Logf("%v\n  device class as the list says: %d of %d visits (%.2f %%)", devices, right, visits, percent(right, visits))
	if all < 9000 || percent(taken, all) > 0.1 {
		t.Errorf("%d of %d people were called bots, want 0.1 %% at most", taken, all)
	}
	if visits < 15_000 || percent(right, visits) < 98 {
		t.Errorf("the device class of %d of %d visits is right, want 98 %%", right, visits)
	}
}

func TestAgentsRecogniseBots(t *testing.T) {
	table := confusion{}
	f := func(what string, list []string, atLeast int, bar float64) {
		t.Helper()
		found := 0
		for _, ua := range list {
			bot := botReason(cut([]byte(ua), maxAgentBytes))
			table.add(what, orPerson(bot), 1)
			if bot != (Bucket{}) {
				found++
			}
		}
		t.Logf("%s: %d of %d (%.2f %%)", what, found, len(list), percent(found, len(list)))
		if len(list) < atLeast || percent(found, len(list)) < bar {
			t.Errorf("%s: %d of %d, want %v %% of %d or more", what, found, len(list), bar, atLeast)
		}
	}
	var listed, outside, unknown []string
	for _, row := range rows(t, "crawlers/examples.tsv", 2) {
		listed = append(listed, row[1])
	}
	for _, row := range rows(t, "testdata/agents/bots.txt", 1) {
		if slices.Contains(listed, row[0]) {
			t.Fatalf("%q is an example of the list itself", row[0])
		}
		outside = append(outside, row[0])
		if crawlers.match(cut([]byte(row[0]), maxAgentBytes)) == (Bucket{}) {
			unknown = append(unknown, row[0])
		}
	}
	f("examples of the list", listed, 2000, 98)
	f("bots from elsewhere", outside, 2500, 90)
	f("  of them, what no pattern of it matches", unknown, 1500, 90)
	t.Log(table)
}
