package e2e_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"beckon/bench/visits"
	"beckon/internal/chromium"
	"beckon/internal/storefront"
)

// TestTagLoss: hundreds of visits with trouble on the network, left in the midst of it. `make bench-tag` has 10,000 of them.
func TestTagLoss(t *testing.T) {
	front, err := storefront.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	s := newStack(t)
	s.writeSites(fmt.Sprintf(`sites:
  - id: visits
    origins: [%q]
    currency: EUR
    consent: {default: decide, allow: decide}
`, front.Origin()))
	s.initKeys()
	s.start()
	front.SaysOrigin(front.Origin()) // visitors have many names for it
	front.Serve(s.collector.public, s.aggregator.public)
	browser, stop, err := chromium.Start(t.TempDir(), visits.Flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop Chromium: %v", err)
		}
	})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	all, err := visits.Run(t.Context(), browser, visits.Config{Front: front, Site: "visits", Seed: seed, Visits: 300, AtOnce: 12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%g records wait in the spool", s.collector.metric(t, "beckon_spool_records"))
			answered := map[int]int{}
			for _, r := range front.Requests() {
				answered[r.Status]++
			}
			t.Logf("requests to /e by what they were answered: %v", answered)
		}
	})
	for deadline := time.Now().Add(3 * factLimit); s.spooled(t) > 0; time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatal("the events do not leave the spool")
		}
	}
	var by [len(visits.Endings)]visits.Tally
	eventually(t, func() error {
		stored := visits.Stored{}
		lines, err := s.query(visits.Query)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if stored[l[0]+" "+l[1]], err = strconv.ParseUint(l[2], 10, 64); err != nil {
				return err
			}
		}
		by = visits.Compare(all, stored)
		for ending, t := range by {
			if len(t.Doubled)+len(t.Untold) > 0 {
				return fmt.Errorf("%s: stored twice %q, stored and never told %q", visits.Endings[ending], t.Doubled, t.Untold)
			}
			if visits.Ending(ending).Counts() && t.Share() > 0.1 {
				return fmt.Errorf("%s: %d of %d events are lost: %q", visits.Endings[ending], len(t.Lost), t.Told, t.Lost)
			}
		}
		return visits.Excused(by)
	})
	for ending, tally := range by {
		t.Logf("%s: %d visits, %d events told, %d stored, %d lost, %d calls before the tag was there", visits.Endings[ending], tally.Visits, tally.Told, tally.Stored, len(tally.Lost), tally.Early)
		if tally.Told == 0 && visits.Ending(ending).Counts() {
			t.Errorf("nothing was told by visits that end: %s", visits.Endings[ending])
		}
	}
}
