package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
)

func TestRefusalsHaveAReasonAndLoseNothing(t *testing.T) {
	s := newStack(t)
	s.collector.start()
	v := s.newVisitor("demo")
	taken, refused := idSet{}, idSet{}
	pageView := func(id event.UUID) string { return oneEvent("page_view", id, `{}`) }
	many := func(n int) string {
		events := make([]string, n)
		for i := range events {
			id := newID()
			refused.add(id)
			events[i] = pageView(id)
		}
		return batch("demo", events...)
	}
	padded := func(bytes int) func(event.UUID) string {
		return func(id event.UUID) string {
			body := batch("demo", pageView(id))
			return body + strings.Repeat(" ", bytes-len(body))
		}
	}
	f := func(name string, status int, reason string, body func(event.UUID) string, headers ...string) {
		t.Helper()
		taken.add(v.tells("page_view"))
		id := newID()
		refused.add(id)
		reply, err := v.post(body(id), headers...)
		if err != nil || reply.status != status || reply.reason() != reason {
			t.Errorf("%s: %d %q (%v), want %d %q", name, reply.status, reply.reason(), err, status, reason)
		}
		if status == http.StatusOK && !strings.Contains(string(reply.body), `"reason":"`+reason+`"`) {
			t.Errorf("%s: body %s does not list the event", name, reply.body)
		}
		taken.add(v.tells("page_view"))
	}
	f("unknown site", 404, "unknown-site", func(id event.UUID) string { return batch("nobody", pageView(id)) })
	f("origin not listed", 403, "origin-not-listed", func(id event.UUID) string { return batch("demo", pageView(id)) }, "Origin", "https://elsewhere.example")
	f("malformed JSON", 400, "malformed", func(id event.UUID) string { return batch("demo", pageView(id)) + "}" })
	f("101 events", 400, "too-many-events", func(event.UUID) string { return many(event.MaxBatchEvents + 1) })
	f("65 KiB + 1 body", 413, "too-large", padded(65<<10+1))
	f("one byte too much", 413, "too-large", padded(event.MaxBodyBytes+1))
	f("much too large", 413, "too-large", padded(1<<20))
	f("wrong kind", 200, "unknown-kind", func(id event.UUID) string { return batch("demo", oneEvent("page_vew", id, `{}`)) })
	f("negative price", 200, "bad-value", func(id event.UUID) string {
		return batch("demo", oneEvent("cart_add", id, `{"product":"mug","price":-1,"currency":"EUR"}`))
	})

	pixel := func(query string, status int, reason string) {
		t.Helper()
		reply, err := v.send(http.MethodGet, "http://"+s.collector.public+"/p.gif?"+query, "")
		if err != nil || reply.status != status || reply.reason() != reason || len(reply.body) > 0 {
			t.Errorf("pixel %s: %d %q, %d bytes (%v), want %d %q and no image", query, reply.status, reply.reason(), len(reply.body), err, status, reason)
		}
	}
	pixel("s=nobody&n=page_view", 404, "unknown-site")
	pixel("s=demo&n=page_vew", 400, "unknown-kind")
	pixel("s=demo&n=page_view&i=7", 400, "bad-id")

	good, bad := newID(), newID()
	reply := v.must(http.StatusOK, http.MethodPost, "http://"+s.collector.public+"/e",
		batch("demo", pageView(good), oneEvent("purchase", bad, `{"value":-5,"currency":"EUR"}`)))
	taken.add(good)
	refused.add(bad)
	if want := fmt.Sprintf(`{"accepted":1,"dropped":[{"at":1,"i":%q,"reason":"bad-value"}]}`, bad); strings.TrimSpace(string(reply.body)) != want {
		t.Errorf("a batch that is half good: %s, want %s", reply.body, want)
	}
	eventually(t, func() error { return s.hasOnce(taken) })
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	if err := s.lacks(refused); err != nil {
		t.Error(err)
	}
	s.ledgerCloses()
}

func TestBrokenSitesFile(t *testing.T) {
	s := newStack(t)
	broken := strings.NewReplacer(
		"currency: EUR\n    rates", "currency: EURO\n    rates", // line 4
		"percent: 10}\n        valid_for: 30m\n        cooldown: 7d\n  - id: half", "percent: 110}\n        valid_for: soon\n        cooldown: 7d\n  - id: half",
	).Replace(sitesText)
	faults := []string{"sites.yaml:4:", "sites.yaml:12:", "sites.yaml:13:"}

	t.Run("stops a start, which lists every fault with its line", func(t *testing.T) {
		s.writeSites(broken)
		for _, p := range []*service{s.newCollector("spool-broken"), s.newAggregator("spool-decisions-broken")} {
			p.refusesToStart()
			if err := p.hasSaid(append(faults, "--sites")...); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("is refused by a reload, and the old one stays", func(t *testing.T) {
		s.writeSites(sitesText)
		s.start()
		v := s.newVisitor("demo")
		ids := idSet{}
		ids.add(v.tells("page_view"))
		s.writeSites(broken)
		for _, p := range []*service{s.collector, s.aggregator} {
			eventually(t, func() error { return p.hasSaid(append(faults, "the old one stays")...) })
		}
		ids.add(v.tells("page_view"))
		v.asks(s.aggregator)

		s.writeSites(strings.Replace(sitesText, shopOrigin, "https://new.example", 1))
		eventually(t, func() error {
			id := newID()
			reply, err := v.post(batch("demo", oneEvent("page_view", id, `{}`)), "Origin", "https://new.example")
			if err != nil || reply.status != http.StatusNoContent {
				return fmt.Errorf("%d %q (%v)", reply.status, reply.reason(), err)
			}
			ids.add(id)
			return nil
		})
		eventually(t, func() error { return s.hasOnce(ids) })
	})
	t.Run("switches an offer off and on again, and a whole site", func(t *testing.T) {
		v := s.newVisitor("demo")
		v.becomesEligible()
		says := func(change [2]string, want string) {
			t.Helper()
			s.writeSites(strings.Replace(sitesText, change[0], change[1], 1))
			written := time.Now()
			eventually(t, func() error {
				if got := v.asks(s.aggregator); got.Reason != want {
					return fmt.Errorf("%q: the verdict is %s, want %s", change[1], got.Reason, want)
				}
				return nil
			})
			t.Logf("%s %s after the file was written", want, time.Since(written).Round(time.Millisecond))
		}
		says([2]string{"title: 10% off", "enabled: false"}, "DISABLED")
		says([2]string{}, "TARGETING_MATCH")
		says([2]string{"holdout: 0%", "holdout: 0%\n    enabled: false"}, "DISABLED")
		says([2]string{}, "TARGETING_MATCH")
	})
	t.Run("with a site that has no keys is refused too", func(t *testing.T) {
		s.writeSites(sitesText + "  - id: newcomer\n    origins: [\"https://newcomer.example\"]\n    currency: EUR\n")
		for _, p := range []*service{s.collector, s.aggregator} {
			eventually(t, func() error { return p.hasSaid("newcomer", "beckon-collector keyring init") })
		}
		s.newVisitor("demo").tells("page_view")
		for _, p := range []*service{s.newCollector("spool-newcomer"), s.newAggregator("spool-decisions-newcomer")} {
			p.refusesToStart()
			if err := p.hasSaid("newcomer", "beckon-collector keyring init"); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMissingKeysStopAStartAndSayHowToMakeThem(t *testing.T) {
	s := newStack(t)
	empty := t.TempDir()
	for _, p := range []*service{
		s.newCollector("spool", "--keyring-dir", empty),
		s.newCollector("spool", "--keyring-dir", filepath.Join(empty, "nowhere")),
		s.newAggregator("spool-decisions", "--keyring-dir", empty),
		s.newAggregator("spool-decisions", "--keyring-dir", filepath.Join(empty, "nowhere")),
	} {
		p.refusesToStart()
		if err := p.hasSaid("beckon-collector keyring init"); err != nil {
			t.Error(err)
		}
	}
}

func TestTakenPortIsNamedWithItsFlag(t *testing.T) {
	s := newStack(t)
	s.start()
	for _, running := range []*service{s.collector, s.aggregator} {
		second := s.newCollector
		if running == s.aggregator {
			second = s.newAggregator
		}
		for flag, addr := range map[string]string{"--listen": running.public, "--admin": running.admin} {
			p := second("spool-second", flag, addr)
			p.refusesToStart()
			if err := p.hasSaid(flag+": ", addr, "address already in use"); err != nil {
				t.Error(err)
			}
		}
	}
	p := s.newCollector("spool") // the first one's
	p.refusesToStart()
	if err := p.hasSaid("--spool-dir: ", s.path("spool")); err != nil {
		t.Error(err)
	}
	s.newVisitor("demo").tells("page_view") // the first is none the worse
}

func TestFullSpoolRefusesAndRecovers(t *testing.T) {
	t.Run("at its bound", func(t *testing.T) {
		s := newStack(t)
		s.collector.flags = append(s.collector.flags, "--spool-max-bytes", "1048576")
		s.fillsAndRecovers(t, true)
	})
	t.Run("before the disk is full", func(t *testing.T) {
		s := newStack(t)
		if disk := smallDisk(t); disk != "" {
			s.collector = s.newCollector(filepath.Join(disk, "spool"))
			s.fillsAndRecovers(t, true)
		}
	})
	t.Run("on a full disk", func(t *testing.T) {
		s := newStack(t)
		if disk := smallDisk(t); disk != "" {
			s.collector = s.newCollector(filepath.Join(disk, "spool"), "--spool-reserve", "0")
			s.fillsAndRecovers(t, false)
		}
	})
}

// smallDisk mounts a file system of 2 MiB, or says why it cannot.
func smallDisk(t *testing.T) string {
	t.Helper()
	disk := t.TempDir()
	if said, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Logf("a file system of 2 MiB cannot be mounted here (root can), so only the bound was tested: %v %s", err, said)
		return ""
	}
	t.Cleanup(func() {
		if said, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, said)
		}
	})
	return disk
}

// fillsAndRecovers sends carts while ClickHouse is down until there is no room, and then lets it come back. When
// the room is watched, page views are shed before and counted.
func (s *stack) fillsAndRecovers(t *testing.T, sheds bool) {
	t.Helper()
	s.collector.start()
	v := s.newVisitor("demo")
	taken, refused := idSet{}, idSet{}
	taken.add(v.tells("page_view"))
	s.killClickHouse()
	full := 0
	for n := 0; full < 20; n++ {
		if n == 5000 {
			t.Fatal("it takes events for ever")
		}
		into := taken
		id := newID()
		props := fmt.Sprintf(`{"product":"%s","category":"%s"}`, strings.Repeat("p", 500), strings.Repeat("c", 500))
		reply, err := v.post(batch("demo", oneEvent("cart_add", id, props)))
		switch {
		case err != nil:
			t.Fatal(err)
		case reply.status == http.StatusServiceUnavailable && reply.reason() == "spool-full" && reply.header.Get("Retry-After") != "":
			into = refused
			full++
		case reply.status != http.StatusNoContent:
			t.Fatalf("%d %q, Retry-After %q", reply.status, reply.reason(), reply.header.Get("Retry-After"))
		}
		into.add(id)
	}
	t.Logf("%d events were taken before there was no room", len(taken))
	if sheds {
		id := newID()
		reply, err := v.post(batch("demo", oneEvent("page_view", id, `{}`)))
		if err != nil || reply.status != http.StatusOK || reply.reason() != "shed" {
			t.Fatalf("a page view got %d %q (%v)", reply.status, reply.reason(), err)
		}
		refused.add(id)
	}
	s.collector.kill() // a restart with no room is no worse
	s.collector.start()
	s.restartClickHouse()
	eventually(t, func() error {
		id := newID()
		reply, err := v.post(batch("demo", oneEvent("page_view", id, `{}`)))
		if err != nil || reply.status != http.StatusNoContent {
			return fmt.Errorf("%d %q (%v)", reply.status, reply.reason(), err)
		}
		taken.add(id)
		return nil
	})
	eventually(t, func() error { return s.hasOnce(taken) })
	if err := s.lacks(refused); err != nil {
		t.Error(err)
	}
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	s.ledgerCloses()
}
