package decision

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/privacy"
	"beckon/internal/suppress"
)

// Whoever asks, known or not, gets an answer of one shape on one path: one verdict is reached, one answer recorded.
func TestUnknownVisitorsGetTheSameShapeAndTheSameWork(t *testing.T) {
	s := newSetup(t)
	var verdicts atomic.Int64
	r := startReplica(t, s, func(c *Config) {
		program := c.Program
		c.Program = func() *eligibility.Program { verdicts.Add(1); return program() }
	})
	known, key := r.visitor("demo")
	r.store.Put(key, &feature.Profile{ReadAt: r.now()}, r.now())
	unknown, _ := r.visitor("demo")
	other, _ := r.visitor("open")
	forged := []byte(known)
	forged[10] ^= 1
	shapes, headers := map[string][]string{}, map[string][]string{}
	for name, visit := range map[string]string{
		"known": known, "unknown": unknown, "nobody": "", "forged": string(forged), "of another site": other, "a bare id": privacy.StoredID(key.Visitor).Hex(),
		"too long": strings.Repeat("A", 4000), "cut": known[:len(known)-1],
	} {
		looked := verdicts.Load()
		got := r.ask(request{visit: visit, headers: map[string]string{"Origin": shopOrigin}})
		if got.StatusCode != http.StatusOK || got.Eligible {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		if n := verdicts.Load() - looked; n != 1 {
			t.Errorf("%s: the program is taken %d times", name, n)
		}
		r.server.Recorder.flush(func(fold) bool { return true })
		if rows := r.rows(); len(rows) != 1 || rows[0].Reason != got.Reason || len(rows[0].Gates) == 0 {
			t.Errorf("%s: rows %+v, want the one answer, with its gates", name, rows)
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(got.body, &m); err != nil {
			t.Fatal(err)
		}
		shapes[name], headers[name] = slices.Sorted(maps.Keys(m)), slices.Sorted(maps.Keys(got.Header))
	}
	for name := range shapes {
		if !slices.Equal(shapes[name], shapes["known"]) || !slices.Equal(headers[name], headers["known"]) {
			t.Errorf("%s: fields %v, headers %v; of a known visitor %v, %v", name, shapes[name], headers[name], shapes["known"], headers["known"])
		}
	}
}

// Ids that somebody runs through find nobody, whether they are of visitors or not.
func TestIDsThatAreTriedFindNobody(t *testing.T) {
	r := startReplica(t, newSetup(t))
	_, key := r.visitor("demo")
	r.returning(key)
	answers := map[string]int{}
	for n := range 200 {
		id := key.Visitor
		id[15] += byte(n) // the first is there
		name := privacy.StoredID(id).Hex()
		for _, q := range []request{
			{visit: name},
			{headers: map[string]string{"Beckon-Visitor": name}},
			{headers: map[string]string{"Beckon-Visitor": name, "Authorization": "Bearer " + serverKey}},
		} {
			got := r.ask(q)
			answers[string(got.body)]++
		}
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers to ids that are tried: %v", len(answers), answers)
	}
}

// A request that was seen on its way and is sent again is worth what the visitor's cookie is worth, until they say no.
func TestAReplayIsWorthNothingOnceTheVisitorSaysNo(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	first := r.ask(request{visit: visit})
	replay := request{visit: visit, cookies: map[string]string{"_bk_d_demo": first.grantCookie()}}
	if again := r.ask(replay); *again.DecisionID != *first.DecisionID || *again.Token != *first.Token {
		t.Errorf("a replay made another decision:\n%s\n%s", first.body, again.body)
	}
	keys, err := r.keys.Site("demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.suppressed.Add(suppress.Entry{Key: suppress.KeyOf(keys, privacy.StoredID(key.Visitor)), Cause: privacy.CauseOptOut, At: r.now()}); err != nil {
		t.Fatal(err)
	}
	for _, offer := range []string{"", "welcome-back"} {
		if got, flags := r.evaluate(offer, replay); flags[0].Value != nil || flags[0].Metadata["detail"] != "OPTED_OUT" {
			t.Errorf("flag %q: %s", offer, got.body)
		}
	}
	if got := r.ask(replay); got.Eligible || got.Reason != "OPTED_OUT" || got.Token != nil {
		t.Errorf("after the no: %s", got.body)
	}
}

// With a full spool nobody is given anything new, and everything else goes on; what is not recorded is counted.
func TestFullSpoolStopsNewGrantsOnly(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	first := r.ask(request{visit: visit})
	late, lateKey := r.visitor("demo")
	r.returning(lateKey)
	r.server.Recorder.spool = fullSpool{}
	if got := r.ask(request{visit: visit}); *got.DecisionID != *first.DecisionID || *got.Token != *first.Token {
		t.Errorf("a grant of before: %s", got.body)
	}
	if got := r.ask(request{site: "open"}); !got.Eligible {
		t.Errorf("an offer for everyone: %s", got.body)
	}
	if got := r.ask(request{visit: late}); got.Eligible || got.Reason != "ERROR" || got.grantCookie() != "" || len(r.store.Get(lateKey).Serves) != 0 {
		t.Errorf("a new grant: %s", got.body)
	}
	r.server.Recorder.flush(func(fold) bool { return true })
	if n := counted(t, r.server.Recorder.lost); n != 2 {
		t.Errorf("%v answers are counted as lost, want those two that could not be recorded", n)
	}
}

// Requests of one session go to one replica and the next in turn.
func TestReplicasInTurnGiveOneGrant(t *testing.T) {
	s := newSetup(t)
	replicas := []*replica{startReplica(t, s), startReplica(t, s)}
	arms := map[string]int{}
	for n := range 40 {
		site := []string{"demo", "held"}[n%2]
		visit, key := replicas[0].visitor(site)
		for _, r := range replicas {
			r.clock.Store(replicas[0].clock.Load())
			hour := r.now().Truncate(time.Hour).Unix()
			r.store.Put(key, &feature.Profile{
				ReadAt: r.now(), Hours: []feature.Hour{{Start: hour, Pageviews: 2, Sessions: []uint64{1, 2}}}, LastSeen: r.now().UnixMilli(), CartValue: 50,
			}, r.now())
		}
		cookies, said := map[string]string{}, map[string]bool{}
		for turn := range 6 {
			r := replicas[(n+turn)%2]
			r.pass(time.Second)
			got := r.ask(request{site: site, visit: visit, cookies: cookies})
			if grant := got.grantCookie(); grant != "" {
				cookies["_bk_d_"+site] = grant
			}
			said[fmt.Sprint(*got.Arm, *got.DecisionID, *got.Rule, got.Offer != nil && got.Token != nil)] = true
			arms[*got.Arm]++
		}
		if len(said) != 1 {
			t.Fatalf("one session was told %v", said)
		}
	}
	if arms["treatment"] == 0 || arms["holdout"] == 0 {
		t.Errorf("arms %v", arms)
	}
	rows := append(replicas[0].rows(), replicas[1].rows()...)
	if len(rows) != 40 {
		t.Errorf("%d first serves of 40 sessions", len(rows))
	}
}
