package decision

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/site"
)

// flagSeen is a flag as a client reads it.
type flagSeen struct {
	Key, Reason, Variant string
	Value                map[string]any
	Metadata             map[string]string
	ErrorCode            string
}

// evaluate asks for one flag, or for all when offer is empty.
func (r *replica) evaluate(offer string, q request) (reply, []flagSeen) {
	r.Helper()
	q.method, q.path = http.MethodPost, ofrepPath
	if offer != "" {
		q.path += "/" + offer
	}
	if q.body == "" {
		if q.site == "" {
			q.site = "demo"
		}
		q.body = fmt.Sprintf(`{"context":{"targetingKey":"somebody","site":%q}}`, q.site)
	}
	got := r.ask(q)
	if len(got.body) == 0 || strings.HasPrefix(got.Header.Get("Content-Type"), "application/problem") {
		return got, nil
	}
	var all struct{ Flags []flagSeen }
	var one flagSeen
	if err := json.Unmarshal(got.body, &all); err != nil {
		r.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	if all.Flags != nil {
		return got, all.Flags
	}
	if err := json.Unmarshal(got.body, &one); err != nil {
		r.Fatal(err)
	}
	return got, []flagSeen{one}
}

func TestAFlagIsTheOfferWhileTheVisitorIsGivenIt(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	got, flags := r.evaluate("welcome-back", request{visit: visit, headers: map[string]string{"Origin": shopOrigin}})
	f := flags[0]
	if f.Key != "welcome-back" || f.Reason != "TARGETING_MATCH" || f.Variant != "treatment" || f.Metadata["detail"] != "TARGETING_MATCH" {
		t.Fatalf("got %s, want the offer", got.body)
	}
	same := r.ask(request{visit: visit, cookies: map[string]string{"_bk_d_demo": got.grantCookie()}})
	if f.Value["token"] != *same.Token || f.Value["expires_at"] != *same.ExpiresAt || f.Value["percent"] != 10.0 || f.Value["disclosure"] != "You came back." ||
		f.Metadata["decision_id"] != *same.DecisionID || f.Metadata["rule"] != *same.Rule {
		t.Errorf("the flag says\n%s, the decision\n%s", got.body, same.body)
	}
	for header, want := range map[string]string{
		"Cache-Control": "private, no-store", "Beckon-Lane": "decide; recorded", "Content-Type": "application/json",
		"Access-Control-Allow-Origin": shopOrigin, "Access-Control-Allow-Credentials": "true",
	} {
		if h := got.Header.Get(header); h != want {
			t.Errorf("%s: %q, want %q", header, h, want)
		}
	}
	for _, name := range []string{"ETag", "Retry-After"} {
		if !strings.Contains(got.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("a page's script cannot read %s", name)
		}
	}
	if rows := r.rows(); len(rows) != 1 || !rows[0].FirstServe || rows[0].Offer != "welcome-back" {
		t.Errorf("rows %+v, want the first serve", rows)
	}

	// Nobody else's flag is on, whatever key they aim at.
	bare := fmt.Sprintf(`{"context":{"site":"demo","targetingKey":%q,"visitor":%q}}`, visit, visit)
	if got, flags := r.evaluate("welcome-back", request{body: bare}); flags[0].Value != nil || flags[0].Metadata["detail"] != "NO_CONSENT" {
		t.Errorf("a targeting key alone was given %s", got.body)
	}
	for _, header := range []string{"Authorization", "X-API-Key"} {
		value := map[string]string{"Authorization": "Bearer " + serverKey, "X-API-Key": serverKey}[header]
		if got, flags := r.evaluate("welcome-back", request{agent: "node", headers: map[string]string{header: value, "Beckon-Visitor": visit}}); flags[0].Value == nil {
			t.Errorf("a back end with its key in %s got %s", header, got.body)
		}
	}
}

func TestFlagsOfHoldoutAndEveryone(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("held")
	r.store.Put(key, &feature.Profile{ReadAt: r.now(), CartValue: 100, LastSeen: r.now().UnixMilli(), Hours: []feature.Hour{{Start: r.now().Unix(), Pageviews: 1}}}, r.now())
	if got, flags := r.evaluate("", request{site: "held", visit: visit}); flags[0].Reason != "SPLIT" || flags[0].Variant != "holdout" || flags[0].Value != nil || flags[0].Metadata["decision_id"] == "" {
		t.Errorf("holdout: %s", got.body)
	}
	if got, flags := r.evaluate("winter", request{site: "open"}); flags[0].Value["code"] != "WINTER26" || flags[0].Metadata["decision_id"] != "" || flags[0].Value["personalised"] != false {
		t.Errorf("everyone: %s", got.body)
	}
}

func TestTheSiteOfAQuestion(t *testing.T) {
	r := startReplica(t, newSetup(t))
	origin := func(o string) map[string]string { return map[string]string{"Origin": o} }
	f := func(q request, offer string, status int, reason, code string) {
		t.Helper()
		got, flags := r.evaluate(offer, q)
		said := ""
		if flags != nil {
			said = flags[0].ErrorCode
		}
		if got.StatusCode != status || got.Header.Get("Beckon-Reason") != reason || said != code {
			t.Errorf("%+v: %d %q %q, want %d %q %q", q, got.StatusCode, got.Header.Get("Beckon-Reason"), said, status, reason, code)
		}
		if code != "" && offer != "" && flags[0].Key != offer {
			t.Errorf("%+v: the failure is of key %q", q, flags[0].Key)
		}
	}
	const named = `{"context":{"site":"demo"}}`
	f(request{body: named}, "welcome-back", 200, "", "")
	f(request{body: named, headers: origin(shopOrigin)}, "welcome-back", 200, "", "")
	f(request{body: `{"context":{}}`, headers: origin(shopOrigin)}, "welcome-back", 200, "", "")
	f(request{body: `{}`, headers: origin(shopOrigin)}, "welcome-back", 200, "", "") // a client without a context
	f(request{body: `{"context":{"Site":"open"}}`, headers: origin(shopOrigin)}, "welcome-back", 200, "", "")
	for _, offer := range []string{"welcome-back", ""} {
		f(request{body: `{`}, offer, 400, "malformed", "PARSE_ERROR")
		f(request{body: `null`}, offer, 400, "malformed", "PARSE_ERROR")
		f(request{body: `[]`}, offer, 400, "malformed", "PARSE_ERROR")
		f(request{body: `{"context":7}`}, offer, 400, "bad-context", "INVALID_CONTEXT")
		f(request{body: `{"context":{"site":7}}`}, offer, 400, "bad-context", "INVALID_CONTEXT")
		f(request{body: `{"context":{"site":"nowhere"}}`}, offer, 400, "bad-context", "INVALID_CONTEXT")
		f(request{body: `{"context":{}}`}, offer, 400, "bad-context", "INVALID_CONTEXT")
		f(request{body: `{"context":{}}`, headers: origin("https://evil.example")}, offer, 403, "origin-not-listed", "")
		f(request{body: named, headers: origin("https://evil.example")}, offer, 403, "origin-not-listed", "")
		f(request{body: named, headers: origin("https://open.example")}, offer, 403, "origin-not-listed", "")
		f(request{body: named, headers: origin("null")}, offer, 403, "origin-not-listed", "")
		f(request{body: named, headers: map[string]string{"Authorization": "Bearer wrong"}}, offer, 401, "bad-server-key", "")
		f(request{body: named, headers: map[string]string{"X-API-Key": "wrong"}}, offer, 401, "bad-server-key", "")
	}
	f(request{body: named}, "welcome-bach", 404, "unknown-offer", "FLAG_NOT_FOUND")
	f(request{body: `{"context":{"site":"open"}}`}, "welcome-back", 404, "unknown-offer", "FLAG_NOT_FOUND")
	if got := r.ask(request{method: http.MethodPost, path: ofrepPath + "/", body: named}); got.StatusCode != 404 {
		t.Errorf("an empty key: %d", got.StatusCode)
	}
	if got := r.ask(request{path: ofrepPath}); got.StatusCode != 405 || got.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
	// A page of another site of ours may read why not; a page of nobody may not.
	for from, want := range map[string]string{"https://open.example": "", "https://evil.example": "", shopOrigin: shopOrigin} {
		got := r.ask(request{method: http.MethodPost, path: ofrepPath + "/nothing", body: named, headers: origin(from)})
		if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != want {
			t.Errorf("from %s: a refusal may be read by %q", from, allowed)
		}
	}
}

func TestPreflightOfFlags(t *testing.T) {
	r := startReplica(t, newSetup(t))
	for from, status := range map[string]int{shopOrigin: 204, "https://open.example": 204, "https://evil.example": 403, "null": 403, "": 403} {
		got := r.ask(request{method: http.MethodOptions, path: ofrepPath, headers: map[string]string{"Origin": from}})
		h := got.Header
		if got.StatusCode != status {
			t.Errorf("%s: %d, want %d", from, got.StatusCode, status)
		}
		if status == 204 && (h.Get("Access-Control-Allow-Origin") != from || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "content-type, if-none-match") || h.Get("Access-Control-Max-Age") == "") {
			t.Errorf("%s: %v", from, h)
		}
		if status != 204 && h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q is let in", from)
		}
	}
}

func TestUnchangedFlagsAreNotSentAgain(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	first, _ := r.evaluate("", request{visit: visit})
	cookies := map[string]string{"_bk_d_demo": first.grantCookie()}
	tag := first.Header.Get("ETag")
	again := func(siteID, visit, header string) reply {
		got, _ := r.evaluate("", request{site: siteID, visit: visit, cookies: cookies, headers: map[string]string{"If-None-Match": header}})
		return got
	}
	for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		if got := again("demo", visit, header); got.StatusCode != http.StatusNotModified || len(got.body) != 0 || got.Header.Get("ETag") != tag || got.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("If-None-Match %s: %d with %d bytes, %v", header, got.StatusCode, len(got.body), got.Header)
		}
	}
	stranger, _ := r.visitor("demo")
	for _, got := range []reply{again("demo", visit, ""), again("demo", visit, `"other"`), again("demo", stranger, tag), again("held", "", tag)} {
		if got.StatusCode != http.StatusOK {
			t.Errorf("%d, want all flags: %v", got.StatusCode, got.Header)
		}
	}
	r.pass(31 * time.Minute)
	r.returning(key)
	if got := again("demo", visit, tag); got.StatusCode != http.StatusOK || got.Header.Get("ETag") == tag {
		t.Errorf("after the end of the grant: %d, %s", got.StatusCode, got.body)
	}

	// Each answer has another token for everyone. Who is told that nothing has changed has half of its life left.
	r.clock.Store(time.Date(2026, 11, 1, 0, 0, 1, 0, time.UTC).UnixMilli())
	open, _ := r.evaluate("", request{site: "open"})
	tag = open.Header.Get("ETag")
	if got := again("open", "", tag); got.StatusCode != http.StatusNotModified {
		t.Errorf("an offer for everyone, at once: %d", got.StatusCode)
	}
	r.pass(11 * time.Hour)
	if got := again("open", "", tag); got.StatusCode != http.StatusNotModified {
		t.Errorf("an offer for everyone, 13 hours left: %d", got.StatusCode)
	}
	r.pass(2 * time.Hour)
	if got := again("open", "", tag); got.StatusCode != http.StatusOK {
		t.Errorf("an offer for everyone, 11 hours left: %d", got.StatusCode)
	}
}

func TestAFaultIsSaidInTheWordsOfTheProtocol(t *testing.T) {
	s := newSetup(t)
	broken := true
	r := startReplica(t, s, func(c *Config) {
		now := c.Now
		c.Now = func() time.Time { // the first thing that is asked once the page was let in
			if broken {
				panic("BUG: for a test")
			}
			return now()
		}
	})
	for _, offer := range []string{"welcome-back", ""} {
		got, flags := r.evaluate(offer, request{headers: map[string]string{"Origin": shopOrigin}})
		if got.StatusCode != 500 || flags[0].Key != offer || flags[0].ErrorCode != "GENERAL" || got.Header.Get("Access-Control-Allow-Origin") != shopOrigin {
			t.Errorf("%q: %d %s %v", offer, got.StatusCode, got.body, got.Header)
		}
	}
	broken = false
	visit, key := r.visitor("demo")
	r.returning(key)
	r.server.Recorder.spool = fullSpool{}
	for _, offer := range []string{"welcome-back", ""} {
		if got, flags := r.evaluate(offer, request{visit: visit}); got.StatusCode != 200 || flags[0].Value != nil || flags[0].Reason != "DEFAULT" || flags[0].Metadata["detail"] != "ERROR" {
			t.Errorf("%q with a full spool: %d %s", offer, got.StatusCode, got.body)
		}
	}
}

// rivals is a site whose offers get into each other's way in every manner there is.
const rivals = `
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: count, allow: decide}
    holdout: 30%
    offers:
      - {id: a, title: A, when: visitor.sessions_7d >= 3, discount: {percent: 10}, valid_for: 30m, cooldown: 1d, priority: 9}
      - {id: b, title: B, when: visitor.pageviews_7d >= 4, discount: {amount: 5.00}, valid_for: 30m, priority: 5, min_cart_value: 50.00}
      - {id: c, title: C, when: visitor.purchases_90d == 0, discount: {percent: 5}, valid_for: 30m, priority: 5, holdout: 0%}
      - {id: d, title: D, when: visitor.sessions_7d >= 1, discount: {percent: 5}, valid_for: 30m, priority: 7, enabled: false}
      - {id: e, title: E, audience: everyone, discount: {free_shipping: true}, valid_for: 1d, priority: 1}
      - {id: f, title: F, when: visitor.device == "mobile", discount: {percent: 20}, valid_for: 30m, priority: 8, cap: 1}
`

// However a visitor is asked about, and in which order, one offer wins, and all answers name it.
func TestAllWaysToAskAgreeOnOneWinner(t *testing.T) {
	s := newSetup(t)
	s.use(t, rivals)
	r := startReplica(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	winners := map[string]int{}
	for range 300 {
		visit, key := r.visitor("demo")
		hour := r.now().Truncate(time.Hour).Unix()
		sessions := make([]uint64, random.IntN(5))
		for i := range sessions {
			sessions[i] = uint64(i)
		}
		p := &feature.Profile{
			ReadAt: r.now(), LastSeen: r.now().UnixMilli(), CartValue: float64(random.IntN(100)), Device: []string{"mobile", "desktop", "desktop"}[random.IntN(3)],
			Hours: []feature.Hour{{Start: hour, Pageviews: random.Uint32N(8), Sessions: sessions}},
		}
		if random.IntN(3) == 0 {
			p.Orders = []feature.Order{{At: r.now().UnixMilli(), Revenue: 10}}
		}
		r.store.Put(key, p, r.now())
		q := request{visit: visit}
		if random.IntN(8) == 0 {
			q.headers = map[string]string{"Sec-GPC": "1"}
		}
		winner, details := "", map[string]string{}
		agree := func(how, won string, detail map[string]string) {
			t.Helper()
			if winner == "" {
				winner = won
			}
			if won != "" && won != winner {
				t.Fatalf("%s: %s wins, before it was %s; profile %+v", how, won, winner, p)
			}
			for offer, d := range detail {
				if details[offer] == "" {
					details[offer] = d
				}
				if details[offer] != d {
					t.Fatalf("%s: %s is %s, before it was %s; profile %+v", how, offer, d, details[offer], p)
				}
			}
		}
		asks := []string{"", "decision", "a", "b", "c", "d", "e", "f"}
		random.Shuffle(len(asks), func(i, j int) { asks[i], asks[j] = asks[j], asks[i] })
		for _, ask := range asks {
			if ask == "decision" {
				got := r.ask(q)
				if got.Rule != nil {
					won, _, _ := strings.Cut(*got.Rule, "@")
					agree("decision", won+"/"+*got.Arm, nil)
				}
				continue
			}
			got, flags := r.evaluate(ask, q)
			on, won, detail := 0, "", map[string]string{}
			for _, f := range flags {
				detail[f.Key] = f.Metadata["detail"]
				if f.Value != nil {
					on++
				}
				if f.Variant != "" {
					won = f.Key + "/" + f.Variant
				}
				if (f.Value != nil) != (f.Variant == "treatment") {
					t.Fatalf("variant and value disagree: %s", got.body)
				}
			}
			if on > 1 || ask == "" && len(flags) != 6 || ask != "" && len(flags) != 1 {
				t.Fatalf("%d of %d flags are on: %s", on, len(flags), got.body)
			}
			agree("flag "+ask, won, detail)
		}
		winners[winner]++
	}
	for _, w := range []string{"a/treatment", "a/holdout", "b/treatment", "b/holdout", "c/treatment", "e/treatment", "f/treatment", "f/holdout"} {
		if winners[w] == 0 {
			t.Errorf("%s never wins, so nothing was tried with it: %v", w, winners)
		}
	}
	if len(winners) > 8 {
		t.Errorf("winners %v", winners)
	}
}

// Who asks for one offer hears nothing of another: nothing else is served, and no clock starts.
func TestAskingForALoserServesNothing(t *testing.T) {
	s := newSetup(t)
	r := startReplica(t, s)
	two := strings.Replace(sitesText, "  - id: open\n", "      - {id: second, title: Second, when: visitor.sessions_7d >= 2, discount: {percent: 5}, valid_for: 30m, priority: 1}\n  - id: open\n", 1)
	f, err := site.Parse("sites.yaml", []byte(two))
	if err != nil {
		t.Fatal(err)
	}
	var faults site.Faults
	if s.rules, faults = eligibility.Compile(f); len(faults) > 0 {
		t.Fatal(faults)
	}
	visit, key := r.visitor("demo")
	r.returning(key)
	got, flags := r.evaluate("second", request{visit: visit})
	if flags[0].Value != nil || flags[0].Metadata["detail"] != "OUTRANKED" || got.grantCookie() != "" {
		t.Fatalf("got %s, cookie %q", got.body, got.grantCookie())
	}
	r.server.Recorder.flush(func(fold) bool { return true })
	if rows := r.rows(); len(rows) != 1 || rows[0].FirstServe || rows[0].Offer != "second" || rows[0].Reason != "OUTRANKED" || rows[0].Arm != "" || rows[0].Eligible {
		t.Errorf("rows %+v, want what was answered", rows)
	}
	if p := r.store.Get(key); len(p.Serves) != 0 {
		t.Errorf("%d serves are remembered", len(p.Serves))
	}
}

func FuzzSiteOfAQuestion(f *testing.F) {
	for _, seed := range []string{`{"context":{"site":"demo"}}`, `{}`, `[]`, `{"context":{"site":["demo"]}}`, `{"context":null}`, strings.Repeat(`{"context":`, 50), `{"context":{"site":"dem\u006f"}}`} {
		f.Add([]byte(seed), shopOrigin)
	}
	file, err := site.Parse("sites.yaml", []byte(sitesText))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, origin string) {
		var h fasthttp.RequestHeader
		h.Set("Origin", origin)
		st, refused := siteOf(file, &h, body)
		if (st == nil) == (refused == nil) {
			t.Fatalf("site %v, refusal %v", st, refused)
		}
		if st != nil && !json.Valid(body) {
			t.Fatalf("%q was read", body)
		}
	})
}
