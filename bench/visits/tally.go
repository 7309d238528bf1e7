package visits

import (
	"fmt"
	"slices"
	"strings"
)

// Query asks ClickHouse for all that Tally needs: host of the visit, event as the page names it, and how often it is there. It
// reads the table and not a view, where a repeat would not show.
const Query = `SELECT splitByChar('/', path)[2], if(kind = 'search', concat('search ', toString(query_length)), concat(kind, ' ', splitByChar('/', path)[3])), count()
	FROM beckon.events WHERE match(path, '^/v[0-9]+/') AND kind != 'consent' GROUP BY ALL`

// Stored is the answer to Query: by visit and event, "v12 search 3", how often.
type Stored map[string]uint64

// Tally is the sum over the visits of one ending.
type Tally struct {
	Visits  int
	Told    int // events that the tag has taken
	Stored  int
	Lost    []string // told and not stored
	Doubled []string // stored more than once
	Untold  []string // stored and not told: then the truth is wrong, not the tag
	Early   int      // calls to the stub, from tabs that were closed before the tag came
}

// Share is that of the lost events, in percent.
func (t *Tally) Share() float64 {
	if t.Told == 0 {
		return 0
	}
	return 100 * float64(len(t.Lost)) / float64(t.Told)
}

// Excused fails when more is left out of the bars than an honest run leaves out: pages that a busy machine has killed, and
// events that were told while the network was down. The first are few; of the second those are lost whose tab closes before the
// network is back, as when a tab is closed offline, which is a matter of each visit's plan: most of them must come through.
func Excused(by [len(Endings)]Tally) error {
	const mostKilled, mostLost = 3, 25 // percent
	all := 0
	for _, t := range by {
		all += t.Visits
	}
	if killed := by[Killed].Visits; killed*100 > mostKilled*all {
		return fmt.Errorf("%d of %d visits were %s, over %d %%: the rest proves little", killed, all, Endings[Killed], mostKilled)
	}
	if down := &by[Down]; down.Share() > mostLost {
		return fmt.Errorf("%s: %d of %d events are lost, over %d %%: %q", Endings[Down], len(down.Lost), down.Told, mostLost, down.Lost)
	}
	return nil
}

// Compare holds the truth against what is stored, by ending.
func Compare(all []Visit, stored Stored) (by [len(Endings)]Tally) {
	endings := make(map[string]Ending, len(all))
	told := map[string]bool{}
	for _, v := range all {
		host := fmt.Sprintf("v%d", v.Number)
		endings[host] = v.Ending
		t := &by[v.Ending]
		t.Visits++
		t.Early += v.Early
		t.Told += len(v.Told)
		for _, what := range v.Told {
			event := host + " " + what
			told[event] = true
			if stored[event] == 0 {
				t.Lost = append(t.Lost, event+" ("+v.Plan+")")
			} else {
				t.Stored++
			}
		}
	}
	for event, n := range stored {
		host, _, _ := strings.Cut(event, " ")
		t := &by[endings[host]]
		if n > 1 {
			t.Doubled = append(t.Doubled, event)
		}
		if !told[event] {
			t.Untold = append(t.Untold, event)
		}
	}
	for i := range by {
		for _, list := range [][]string{by[i].Lost, by[i].Doubled, by[i].Untold} {
			slices.Sort(list)
		}
	}
	return by
}
