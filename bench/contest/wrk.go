package contest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// Turns are those of one server.
type Turns struct {
	Name                    string
	PerSec                  []float64 // one for each turn
	CPU                     []float64 // microseconds of processor time for a request
	Errors                  int
	ResidentMiB, HighestMiB float64
}

// Take gives s its turn of a round and notes what came of it.
func (t *Turns) Take(s *Server, round, rounds int, turn func() (Counted, error)) error {
	used := s.Busy()
	n, err := turn()
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	t.PerSec = append(t.PerSec, n.PerSec)
	t.CPU = append(t.CPU, float64((s.Busy()-used).Microseconds())/n.Requests)
	t.Errors += n.Failed
	if t.ResidentMiB, t.HighestMiB, err = s.Memory(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "round %d of %d: %-24s %9.0f/s\n", round+1, rounds, s.Name, n.PerSec)
	return nil
}

// Counted is what wrk counted in one turn.
type Counted struct {
	PerSec, Requests float64
	Failed           int // replies that were neither 2xx nor 3xx
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)
	wrkTotal  = regexp.MustCompile(`([0-9]+) requests in`)
	wrkFailed = regexp.MustCompile(`Non-2xx or 3xx responses: ([0-9]+)`)
)

// Wrk asks a server as fast as it goes, from a core, over that many connections. args are more of wrk's own, the
// address last.
func Wrk(ctx context.Context, core, connections int, d time.Duration, args ...string) (Counted, error) {
	args = append([]string{"-t1", "-c" + strconv.Itoa(connections), "-d" + strconv.Itoa(int(d.Seconds())) + "s"}, args...)
	out, err := Pinned(ctx, core, "wrk", args...).Output()
	if err != nil {
		return Counted{}, fmt.Errorf("wrk: %w", err)
	}
	number := func(re *regexp.Regexp) float64 {
		if m := re.FindSubmatch(out); m != nil {
			n, _ := strconv.ParseFloat(string(m[1]), 64)
			return n
		}
		return 0
	}
	n := Counted{number(wrkRate), number(wrkTotal), int(number(wrkFailed))}
	if n.Requests == 0 {
		return n, fmt.Errorf("wrk counted no request: %s", out)
	}
	return n, nil
}
