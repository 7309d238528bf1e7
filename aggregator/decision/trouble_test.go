package decision

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines are the messages so far, with how often something failed.
func (l *logged) lines() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(l.text.String()), "\n") {
		_, message, _ := strings.Cut(line, "msg=")
		out = append(out, message)
	}
	return strings.Join(out, "\n")
}

func withLog(l *logged) func(*Config) {
	return func(c *Config) { c.Log = slog.New(slog.NewTextHandler(l, nil)) }
}

func TestAFullSpoolIsTwoLinesInTheLogHoweverManyAsk(t *testing.T) {
	var log logged
	r := startReplica(t, newSetup(t), withLog(&log))
	give := func() bool {
		t.Helper()
		visit, key := r.visitor("demo")
		r.returning(key)
		return r.ask(request{visit: visit}).Eligible
	}
	refuse := func() {
		t.Helper()
		r.server.Recorder.spool = fullSpool{}
		for range 5 {
			if give() {
				t.Fatal("given with a full spool")
			}
		}
		r.server.Recorder.spool = r.decisions
	}
	const begins = `"decisions fail; nothing new is given meanwhile" site=demo error="record first serve: spool is full"`
	refuse()
	if !give() { // room for one, and full again: no line for each turn
		t.Fatal("nothing given with room")
	}
	refuse()
	if got := log.lines(); got != begins {
		t.Errorf("while it lasts:\n%s\nwant one line\n%s", got, begins)
	}
	r.pass(quietFor)
	give()
	give()
	refuse()
	if got, want := log.lines(), begins+"\n"+`"decisions no longer fail" failed=10`+"\n"+begins; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := counted(t, r.server.m.decisions.WithLabelValues("demo", "ERROR")); n != 15 {
		t.Errorf("%v answers are counted as ERROR, want all 15", n)
	}
}

func TestARuleThatFailsIsTwoLinesInTheLogHoweverManyAsk(t *testing.T) {
	s := newSetup(t)
	text := strings.Replace(sitesText, "visitor.sessions_7d >= 2 &&", "10 / visitor.cart_adds_7d > 1 &&", 1)
	s.use(t, text)
	var log logged
	r := startReplica(t, s, withLog(&log))
	visit, key := r.visitor("demo")
	r.returning(key)
	for range 5 {
		r.ask(request{visit: visit})
		r.ask(request{}) // a stranger, for whom no rule is asked
	}
	if n := counted(t, r.server.m.ruleFailures); n != 5 {
		t.Errorf("%v failures are counted, want 5", n)
	}
	begins := log.lines()
	if strings.Count(begins, "\n") > 0 || !strings.HasPrefix(begins, `"a rule fails; its offer is not given meanwhile" site=demo error="rule welcome-back@`) {
		t.Errorf("while it lasts:\n%s\nwant one line", begins)
	}
	r.pass(quietFor + time.Second)
	r.ask(request{})
	r.ask(request{})
	if got, want := log.lines(), fmt.Sprintf("%s\n%s", begins, `"rules no longer fail" site=demo failed=5`); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRepeatsThatAreNotRecordedAreTwoLinesInTheLog(t *testing.T) {
	var log logged
	r := startReplica(t, newSetup(t))
	r.server.Recorder.log = slog.New(slog.NewTextHandler(&log, nil))
	flush := func() {
		r.ask(request{})
		r.server.Recorder.flush(func(fold) bool { return true })
	}
	r.server.Recorder.spool = fullSpool{}
	flush()
	flush()
	r.server.Recorder.spool = r.decisions
	r.pass(quietFor)
	flush()
	flush()
	if got, want := log.lines(), `"repeated decisions are not recorded" count=1 error="spool is full"`+"\n"+`"repeated decisions are recorded again" failed=2`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
