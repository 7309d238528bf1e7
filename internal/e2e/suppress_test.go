package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// copied is the Cookie header of somebody who took the visitor's cookies, and goes on with them whatever
// becomes of the visitor.
func (v *visitor) copied() string {
	v.t.Helper()
	host, err := url.Parse("http://" + v.s.collector.public)
	if err != nil {
		v.t.Fatal(err)
	}
	var pairs []string
	for _, c := range v.client.Jar.Cookies(host) {
		pairs = append(pairs, c.String())
	}
	if len(pairs) == 0 {
		v.t.Fatal("no cookie to copy")
	}
	return strings.Join(pairs, "; ")
}

// isNobody returns nil when cookies that were copied are worth nothing to a service any more. Asking leaves
// no trace: the collector is told of no event.
func (s *stack) isNobody(p *service, cookies, lane, reason string) error {
	thief := s.newVisitor("demo")
	thief.client.Jar = nil
	if p.name == "beckon-collector" {
		a, err := thief.send(http.MethodPost, "http://"+p.public+"/e", `{"v":1,"s":"demo","e":[]}`, "Cookie", cookies)
		set := strings.Join(a.header.Values("Set-Cookie"), "\n")
		if err != nil || a.header.Get("Beckon-Lane") != lane || !strings.Contains(set, "_bk_demo=;") && !strings.Contains(set, "_bk_demo=\"\"") {
			return fmt.Errorf("collector: %d, lane %q, cookies %q (%v)", a.status, a.header.Get("Beckon-Lane"), a.header.Values("Set-Cookie"), err)
		}
		return nil
	}
	if d := thief.asks(p, "Cookie", cookies); d.Reason != reason || d.Eligible || d.ID != "" || d.FreshAt != nil {
		return fmt.Errorf("aggregator: %+v", d)
	}
	return nil
}

// withinASecond is the promise of internal/suppress to the other processes of a host.
func (s *stack) withinASecond(services []*service, cookies, lane, reason string) {
	s.t.Helper()
	began := time.Now()
	for _, p := range services {
		var err error
		for err = s.isNobody(p, cookies, lane, reason); err != nil && time.Since(began) < time.Second; err = s.isNobody(p, cookies, lane, reason) {
			time.Sleep(pollEvery)
		}
		if err != nil {
			s.t.Errorf("after %s, %s on %s: %v", time.Since(began), p.name, p.public, err)
		}
	}
	s.t.Logf("known to %d processes after %s", len(services), time.Since(began).Round(time.Millisecond))
}

func (v *visitor) optsOut() {
	v.t.Helper()
	v.must(http.StatusNoContent, http.MethodPost, "http://"+v.s.collector.public+"/optout", "")
}

func (v *visitor) withdraws() {
	v.t.Helper()
	v.must(http.StatusNoContent, http.MethodPost, "http://"+v.s.collector.public+"/e", `{"v":1,"s":"demo","c":{"decide":false,"measure":false},"e":[]}`)
}

// onAnotherHost gives a service the keys and a list of its own, as on a host that shares only ClickHouse.
func (s *stack) onAnotherHost(p *service) *service {
	s.t.Helper()
	dir := s.path("other-" + p.public)
	if err := os.CopyFS(filepath.Join(dir, "keyring"), os.DirFS(s.path("keyring"))); err != nil {
		s.t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o640)
	}); err != nil {
		s.t.Fatal(err)
	}
	p.flags = append(p.flags, "--keyring-dir", filepath.Join(dir, "keyring"))
	return p
}

func TestANoReachesEveryProcessAndOutlivesRestarts(t *testing.T) {
	s := newStack(t)
	collector2 := s.newCollector("spool-2")
	far := s.onAnotherHost(s.newAggregator("spool-far"))
	farCollector := s.onAnotherHost(s.newCollector("spool-far-collector"))
	s.start()
	for _, p := range []*service{collector2, far, farCollector} {
		p.start()
		eventually(t, p.ready)
	}
	here := []*service{s.collector, s.aggregator, collector2}
	people := make([]*visitor, 4) // each with an active grant
	cookies := make([]string, len(people))
	for i := range people {
		people[i] = s.newVisitor("demo")
		people[i].becomesEligible()
		cookies[i] = people[i].copied()
		if !strings.Contains(cookies[i], "_bk_d_demo=") {
			t.Fatalf("no grant cookie among %d bytes", len(cookies[i]))
		}
	}

	people[0].optsOut()
	s.withinASecond(here, cookies[0], "count; opt-out", "OPTED_OUT")
	people[1].withdraws()
	s.withinASecond(here, cookies[1], "count; denied", "NO_CONSENT")
	for i, want := range [][2]string{{"count; opt-out", "OPTED_OUT"}, {"count; denied", "NO_CONSENT"}} {
		for _, p := range []*service{far, farCollector} {
			eventually(t, func() error { return s.isNobody(p, cookies[i], want[0], want[1]) })
		}
	}
	if n := s.number("SELECT count() FROM suppressed FINAL"); n != 2 {
		t.Errorf("%d rows in suppressed, want 2", n)
	}
	if n := s.number("SELECT count() FROM suppressed AS l INNER JOIN visitor_activity AS r ON l.suppress_key = r.visitor"); n != 0 {
		t.Errorf("%d entries name a visitor", n)
	}

	s.killClickHouse()
	people[2].optsOut()
	s.withinASecond(here, cookies[2], "count; opt-out", "OPTED_OUT")
	if d := people[3].asks(s.aggregator); !d.Eligible {
		t.Errorf("somebody who said nothing gets %+v", d)
	}
	for _, p := range []*service{s.collector, s.aggregator, far} { // all of them forget what is in memory
		p.kill()
		p.start()
	}
	s.withinASecond(here, cookies[2], "count; opt-out", "OPTED_OUT")
	s.withinASecond([]*service{far}, cookies[1], "count; denied", "NO_CONSENT") // which it had from ClickHouse
	s.restartClickHouse()
	eventually(t, func() error { return s.isNobody(far, cookies[2], "", "OPTED_OUT") })
	if d := people[3].asks(s.aggregator); !d.Eligible {
		t.Errorf("somebody who said nothing gets %+v", d)
	}

	// A new consent makes a new visitor, also for whoever still has the old cookie.
	old := s.number("SELECT uniqExact(visitor) FROM events WHERE site = 'demo' AND lane = 'decide'")
	back := s.newVisitor("demo")
	back.must(http.StatusNoContent, http.MethodPost, "http://"+s.collector.public+"/e",
		fmt.Sprintf(`{"v":1,"s":"demo","c":{"decide":true,"measure":true,"at":%d},"e":[%s]}`, time.Now().Add(time.Second).UnixMilli(), oneEvent("page_view", newID(), "{}")), "Cookie", cookies[1])
	eventually(t, func() error {
		if n := s.number("SELECT uniqExact(visitor) FROM events WHERE site = 'demo' AND lane = 'decide'"); n != old+1 {
			return fmt.Errorf("%d visitors, want %d", n, old+1)
		}
		return nil
	})
	s.withinASecond(here, cookies[1], "count; denied", "NO_CONSENT")
}

// kill -9 at each step of an opt-out whose answer never comes: when the row is in the spool and the list is
// not written (another process holds its lock), and when the list is written and the answer is not.
func TestAnOptOutThatWasNotAnsweredHoldsAfterKill9(t *testing.T) {
	s := newStack(t)
	s.start()
	list := filepath.Join(s.path("suppressed"), "list")
	// prepare comes before the opt-out is sent, and returns what waits for its moment and kills.
	f := func(name string, prepare func() (waitAndKill func())) {
		v := s.newVisitor("demo")
		v.becomesEligible()
		cookies := v.copied()
		waitAndKill := prepare()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = v.send(http.MethodPost, "http://"+s.collector.public+"/optout", "")
		}()
		waitAndKill()
		<-answered
		s.collector.start()
		for _, p := range []*service{s.collector, s.aggregator} {
			eventually(t, func() error {
				if err := s.isNobody(p, cookies, "count; opt-out", "OPTED_OUT"); err != nil {
					return fmt.Errorf("killed %s: %w", name, err)
				}
				return nil
			})
		}
	}
	f("before the list", func() func() {
		lock, err := os.OpenFile(filepath.Join(s.path("suppressed"), "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		before := s.spooledEver(t)
		return func() {
			defer lock.Close()
			eventually(t, func() error {
				if s.spooledEver(t) == before {
					return fmt.Errorf("the row is not in the spool")
				}
				return nil
			})
			s.collector.kill()
		}
	})
	f("behind the list", func() func() {
		size := func() int64 {
			info, err := os.Stat(list)
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		before := size()
		return func() {
			for began := time.Now(); size() == before; time.Sleep(100 * time.Microsecond) { // the answer comes right behind it
				if time.Since(began) > factLimit {
					t.Fatal("the list does not grow")
				}
			}
			s.collector.kill()
		}
	})
}

// spooledEver is how many records the collector has made durable since its start.
func (s *stack) spooledEver(t *testing.T) int {
	t.Helper()
	return int(s.collector.metric(t, "beckon_spool_records_total"))
}

// A list that cannot be written: the opt-out takes the cookies, says 503 and holds in this process; the
// service is not ready until the list is in order, and then others know too.
func TestListThatCannotBeWritten(t *testing.T) {
	s := startStack(t)
	v := s.newVisitor("demo")
	v.becomesEligible()
	cookies := v.copied()
	list := filepath.Join(s.path("suppressed"), "list")
	if err := os.Rename(list, list+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(list, 0o700); err != nil { // what root cannot write either
		t.Fatal(err)
	}
	reply, err := v.send(http.MethodPost, "http://"+s.collector.public+"/optout", "")
	if err != nil || reply.status != http.StatusServiceUnavailable || !strings.Contains(strings.Join(reply.header.Values("Set-Cookie"), "\n"), "_bk_out=1") {
		t.Fatalf("%d %q %v (%v)", reply.status, reply.reason(), reply.header.Values("Set-Cookie"), err)
	}
	if err := s.isNobody(s.collector, cookies, "count; opt-out", ""); err != nil {
		t.Error(err)
	}
	eventually(t, func() error {
		if s.collector.ready() == nil || s.aggregator.ready() == nil {
			return fmt.Errorf("ready without a list")
		}
		return nil
	})
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*service{s.collector, s.aggregator} {
		eventually(t, p.ready)
		eventually(t, func() error { return s.isNobody(p, cookies, "count; opt-out", "OPTED_OUT") })
	}
}
