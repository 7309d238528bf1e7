package decision

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
	"beckon/internal/token"
)

func TestReturningVisitorGetsTheOfferWithATokenThatVerifies(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	got := r.ask(request{visit: visit, headers: map[string]string{"Origin": shopOrigin}})
	if !got.Eligible || got.Reason != "TARGETING_MATCH" || got.Reply.Offer.ID != "welcome-back" || *got.Reply.Offer.Percent != 10 || !got.Personalised {
		t.Fatalf("got %s, want the offer", got.body)
	}
	keys, err := token.ParseJWKS(r.ask(request{path: "/.well-known/jwks.json"}).body)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := keys.Verify(*got.Token, token.Expect{Issuer: "https://shop.example/px", Site: "demo", Now: r.now()})
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != *got.DecisionID || claims.Offer.Percent != 10 || claims.ExpiresAt.Sub(claims.IssuedAt) != 30*time.Minute {
		t.Errorf("claims %+v do not say what the answer says", claims)
	}
	if strings.Contains(*got.Token, privacy.StoredID(key.Visitor).Hex()) {
		t.Error("the token names the visitor")
	}
	for header, want := range map[string]string{
		"Cache-Control": "private, no-store", "Beckon-Lane": "decide; recorded",
		"Access-Control-Allow-Origin": shopOrigin, "Access-Control-Allow-Credentials": "true",
	} {
		if h := got.Header.Get(header); h != want {
			t.Errorf("%s: %q, want %q", header, h, want)
		}
	}
}

func TestFirstServeIsDurableAndExplainsItself(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	got := r.ask(request{visit: visit})
	for range 3 {
		again := r.ask(request{visit: visit})
		if *again.DecisionID != *got.DecisionID || *again.Token != *got.Token || *again.ExpiresAt != *got.ExpiresAt {
			t.Fatalf("the same session got\n%s, then\n%s", got.body, again.body)
		}
	}
	rows := r.rows()
	if len(rows) != 1 {
		t.Fatalf("%d rows durable, want the first serve", len(rows))
	}
	row := rows[0]
	if !row.FirstServe || row.Offer != "welcome-back" || row.Arm != "treatment" || row.Rule != *got.Rule ||
		privacy.StoredID(row.DecisionID).Hex() != *got.DecisionID || row.Visitor != key.Visitor || row.FreshAt == 0 {
		t.Errorf("row %+v does not say what was answered", row)
	}
	if row.Features["sessions_7d"] != "2" || row.Features["purchases_90d"] != "0" || len(row.Features) != 2 {
		t.Errorf("features %v, want what the rule read", row.Features)
	}
	var gates []string
	for _, g := range row.Gates {
		if !g.Pass {
			t.Errorf("gate %s of an eligible answer did not pass", g.Gate)
		}
		gates = append(gates, g.Gate)
	}
	if !slices.Contains(gates, "rule") || !slices.Contains(gates, "cooldown") {
		t.Errorf("gates %v, want each step", gates)
	}
}

// TestManyRequestsAtOnceGiveOneGrant asks for one visitor in two sessions at the same time: the rule
// and the cooldown allow one grant, however the requests fall.
func TestManyRequestsAtOnceGiveOneGrant(t *testing.T) {
	r := startReplica(t, newSetup(t))
	k, err := r.keys.Site("demo")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		choice := &privacy.Choice{Decide: true, Measure: true, At: r.now()}
		v := privacy.NewVisit(k, r.now().Add(-2*time.Hour), privacy.LaneDecide, choice)
		old := string(v.AppendTo(nil, k))
		v.Touch(r.now())
		fresh := string(v.AppendTo(nil, k))
		key := feature.Key{Site: "demo", Visitor: v.ID(k).Bytes()}
		r.returning(key)
		decisions := make(chan string, 8)
		for n := range 8 {
			go func() {
				got := r.ask(request{visit: []string{old, fresh}[n%2]})
				decisions <- fmt.Sprint(got.Eligible, *got.DecisionID, *got.Token)
			}()
		}
		first := <-decisions
		for range 7 {
			if other := <-decisions; other != first {
				t.Fatalf("one visitor was given\n%s and\n%s", first, other)
			}
		}
		if p := r.store.Get(key); len(p.Serves) != 1 {
			t.Fatalf("%d serves are remembered, want 1", len(p.Serves))
		}
	}
	if rows := r.rows(); len(rows) != 20 {
		t.Errorf("%d first serves are recorded for 20 visitors", len(rows))
	}
}

func TestAnotherReplicaHonoursTheGrantCookie(t *testing.T) {
	s := newSetup(t)
	one, two := startReplica(t, s), startReplica(t, s)
	visit, key := one.visitor("demo")
	one.returning(key)
	two.returning(key)
	first := one.ask(request{visit: visit})
	grant := first.grantCookie()
	if grant == "" {
		t.Fatal("no grant cookie with the first serve")
	}
	one.pass(10 * time.Minute)
	two.clock.Store(one.clock.Load())
	cookies := map[string]string{"_bk_d_demo": grant}
	again := two.ask(request{visit: visit, cookies: cookies})
	if *again.DecisionID != *first.DecisionID || *again.ExpiresAt != *first.ExpiresAt || *again.Token != *first.Token {
		t.Errorf("replica two answered\n%s, want the grant of\n%s", again.body, first.body)
	}
	if rows := two.rows(); len(rows) != 0 {
		t.Errorf("replica two recorded %d first serves, want none", len(rows))
	}

	// The grant of one visitor is worth nothing to another, nor is a damaged one.
	thief, _ := two.visitor("demo")
	if got := two.ask(request{visit: thief, cookies: cookies}); got.Eligible {
		t.Errorf("somebody else's grant gave %s", got.body)
	}
	damaged := []byte(grant)
	damaged[5] ^= 1
	third := startReplica(t, s)
	third.returning(key)
	if got := third.ask(request{visit: visit, cookies: map[string]string{"_bk_d_demo": string(damaged)}}); got.grantCookie() == "" {
		t.Error("a damaged grant cookie was believed")
	}
}

// An order reaches a replica with the events, its decision with the spool of another one: either may come first.
func TestGrantOfACookieIsOverForWhoeverKnowsItsOrder(t *testing.T) {
	s := newSetup(t)
	one, two := startReplica(t, s), startReplica(t, s)
	visit, key := one.visitor("demo")
	one.returning(key)
	first := one.ask(request{visit: visit})
	hour := two.now().Truncate(time.Hour).Unix()
	two.store.Put(key, &feature.Profile{
		ReadAt: two.now(), Hours: []feature.Hour{{Start: hour, Pageviews: 2, Sessions: []uint64{1, 2}}}, LastSeen: two.now().UnixMilli(),
		Orders: []feature.Order{{At: two.now().UnixMilli(), Decision: *first.DecisionID}},
	}, two.now())
	again := two.ask(request{visit: visit, cookies: map[string]string{"_bk_d_demo": first.grantCookie()}})
	if again.Eligible || again.Token != nil {
		t.Errorf("a used grant was offered again: %s", again.body)
	}
}

func TestTokenSaysWhatTheAnswerSaysAfterTheTermsWereEdited(t *testing.T) {
	s := newSetup(t)
	r := startReplica(t, s)
	visit, key := r.visitor("demo")
	r.returning(key)
	r.ask(request{visit: visit})
	edited, err := site.Parse("sites.yaml", []byte(strings.Replace(sitesText, "percent: 10", "percent: 5", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var faults site.Faults
	if s.rules, faults = eligibility.Compile(edited); len(faults) > 0 {
		t.Fatal(faults)
	}
	got := r.ask(request{visit: visit})
	keys, err := token.ParseJWKS(r.server.Tokens.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := keys.Verify(*got.Token, token.Expect{Issuer: r.server.Issuer, Site: "demo", Now: r.now()})
	if err != nil || *got.Reply.Offer.Percent != 5 || claims.Offer.Percent != 5 {
		t.Errorf("the answer says %v %%, its token %v %% (%v), want 5", *got.Reply.Offer.Percent, claims.Offer.Percent, err)
	}
}

func TestGrantEndsAndCooldownBegins(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	r.ask(request{visit: visit})
	r.pass(31 * time.Minute)
	r.returning(key)
	if got := r.ask(request{visit: visit}); got.Eligible || got.Reason != "COOLDOWN" {
		t.Errorf("after the grant: %s, want COOLDOWN", got.body)
	}
}

func TestOnlyAValidCookieOrTheServerKeyMakesAVisitor(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	id := privacy.StoredID(key.Visitor).Hex()
	forged := []byte(visit)
	forged[10] ^= 1
	otherSite, _ := r.visitor("open")

	refused := func(name string, q request, reason string) {
		t.Helper()
		if got := r.ask(q); got.Eligible || got.Reason != reason || got.DecisionID != nil {
			t.Errorf("%s: %s, want %s", name, got.body, reason)
		}
	}
	refused("nobody", request{}, "NO_CONSENT") // the site's default is count
	refused("a bare id as cookie", request{visit: id}, "NO_CONSENT")
	refused("a bare id in the query", request{path: "/v1/decision?site=demo&visitor=" + id}, "NO_CONSENT")
	refused("a forged cookie", request{visit: string(forged)}, "NO_CONSENT")
	refused("a cookie of another site", request{visit: otherSite}, "NO_CONSENT")
	refused("the header without a key", request{headers: map[string]string{"Beckon-Visitor": visit}}, "NO_CONSENT")

	wrong := r.ask(request{headers: map[string]string{"Beckon-Visitor": visit, "Authorization": "Bearer wrong"}})
	if wrong.StatusCode != http.StatusUnauthorized || wrong.Header.Get("Beckon-Reason") != "bad-server-key" {
		t.Errorf("wrong key: %d %s", wrong.StatusCode, wrong.Header.Get("Beckon-Reason"))
	}
	right := r.ask(request{agent: "Go-http-client/1.1", headers: map[string]string{"Beckon-Visitor": visit, "Authorization": "Bearer " + serverKey}})
	if !right.Eligible {
		t.Errorf("a back end with the key got %s", right.body)
	}
}

func TestPrivacySignalsAndBotsGetNoOffer(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	for name, c := range map[string]struct {
		q      request
		reason string
		lane   string
	}{
		"GPC":                        {request{headers: map[string]string{"Sec-GPC": "1"}}, "NO_CONSENT", "count; gpc"},
		"DNT":                        {request{headers: map[string]string{"DNT": "1"}}, "NO_CONSENT", "count; dnt"},
		"opt-out":                    {request{cookies: map[string]string{"_bk_out": "1"}}, "OPTED_OUT", "count; opt-out"},
		"bot":                        {request{agent: "Googlebot/2.1 (+http://www.google.com/bot.html)"}, "BOT", "decide; recorded"},
		"webdriver":                  {request{path: "/v1/decision?site=demo&w=true"}, "BOT", "decide; recorded"},
		"webdriver, of an older tag": {request{path: "/v1/decision?site=demo&w=1"}, "BOT", "decide; recorded"},
		"no driver":                  {request{path: "/v1/decision?site=demo&w=0"}, "TARGETING_MATCH", "decide; recorded"},
		"prefetch":                   {request{headers: map[string]string{"X-Moz": "prefetch"}}, "BOT", "decide; recorded"},
		"GPC of zero":                {request{headers: map[string]string{"Sec-GPC": "0"}}, "TARGETING_MATCH", "decide; recorded"},
	} {
		c.q.visit = visit
		got := r.ask(c.q)
		if got.Reason != c.reason || got.Header.Get("Beckon-Lane") != c.lane {
			t.Errorf("%s: reason %s, lane %q; want %s, %q", name, got.Reason, got.Header.Get("Beckon-Lane"), c.reason, c.lane)
		}
	}
	r.server.Recorder.flush(func(fold) bool { return true })
	for _, row := range r.rows() {
		if row.Lane != "decide" && (row.Visitor != [16]byte{} || row.Session != [16]byte{} || len(row.Features) > 0) {
			t.Errorf("a row of lane %s names its visitor: %+v", row.Lane, row)
		}
	}
}

// TestCookiesAreReadAsTheCollectorReadsThem: whoever is a visitor, or has opted out, is so for both.
func TestCookiesAreReadAsTheCollectorReadsThem(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	f := func(cookies, proto, reason string) {
		t.Helper()
		headers := map[string]string{"Cookie": cookies, "X-Forwarded-Proto": proto}
		if got := r.ask(request{headers: headers}); got.Reason != reason {
			t.Errorf("%s over %s: %s, want %s", cookies, proto, got.Reason, reason)
		}
	}
	f("_bk_demo="+visit, "http", "TARGETING_MATCH")
	f("_bk_demo=old; _bk_demo="+visit, "http", "TARGETING_MATCH")
	f("__Host-_bk_demo="+visit, "https", "TARGETING_MATCH")
	f("_bk_demo="+visit, "https", "NO_CONSENT") // from before the shop moved to https: no longer the cookie
	f("_bk_demo="+visit+"; _bk_out=0; _bk_out=1", "http", "OPTED_OUT")
	f("_bk_demo="+visit+"; _bk_out=0", "http", "TARGETING_MATCH")
}

func TestAnswerHasOneShapeAndWithoutClickHouseAnAge(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	stranger, _ := r.visitor("demo")
	shape := func(body []byte) []string {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(m))
	}
	start := time.Now()
	unknown := r.ask(request{visit: stranger})
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a stranger waited %s for a ClickHouse that is down", took)
	}
	if unknown.Eligible || unknown.Reason != "STALE" || unknown.FreshAt != nil {
		t.Errorf("nothing is known: %s, want STALE", unknown.body)
	}
	known := r.ask(request{visit: visit})
	if !slices.Equal(shape(unknown.body), shape(known.body)) {
		t.Errorf("an unknown visitor's answer has another shape: %v, %v", shape(unknown.body), shape(known.body))
	}
	r.pass(20 * time.Minute) // the change feed stands still
	aged := r.ask(request{visit: visit})
	if !aged.Eligible || *aged.FreshAt != *known.FreshAt {
		t.Errorf("20 minutes into an outage: %s, want the same answer with its age", aged.body)
	}
	r.pass(time.Hour)
	late := r.ask(request{visit: visit})
	if late.Eligible || late.Reason != "STALE" {
		t.Errorf("beyond the limit: %s, want STALE", late.body)
	}
	r.completeAt.Store(r.clock.Load()) // a quiet visitor of a healthy system is not stale
	if quiet := r.ask(request{visit: visit}); quiet.Reason == "STALE" {
		t.Errorf("a quiet visitor got %s", quiet.body)
	}
}

func TestHoldoutIsRecordedLikeAServeAndShowsNothing(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("held")
	r.store.Put(key, &feature.Profile{ReadAt: r.now(), CartValue: 100, LastSeen: r.now().UnixMilli(), Hours: []feature.Hour{{Start: r.now().Unix(), Pageviews: 1}}}, r.now())
	got := r.ask(request{site: "held", visit: visit})
	if got.Eligible || got.Reason != "HOLDOUT" || got.Reply.Offer != nil || got.Token != nil {
		t.Fatalf("got %s, want a holdout that shows nothing", got.body)
	}
	if rows := r.rows(); len(rows) != 1 || !rows[0].FirstServe || rows[0].Arm != "holdout" || rows[0].Eligible {
		t.Errorf("rows %+v, want one holdout draw", rows)
	}
}

func TestOfferForEveryoneUsesNoVisitorAndEachTokenIsNew(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, _ := r.visitor("open")
	one := r.ask(request{site: "open", headers: map[string]string{"Sec-GPC": "1"}})
	two := r.ask(request{site: "open", visit: visit})
	for _, got := range []reply{one, two} {
		if !got.Eligible || got.Personalised || got.DecisionID != nil || got.grantCookie() != "" || *got.Reply.Offer.Code != "WINTER26" {
			t.Errorf("got %s, want the offer for everyone without a trace of who asked", got.body)
		}
	}
	if *one.Token == *two.Token {
		t.Error("two shoppers got one token: whoever redeems it first uses it up")
	}
}

func TestFullSpoolIsNoOfferAndNoErrorPage(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	r.server.Recorder.spool = fullSpool{}
	got := r.ask(request{visit: visit})
	if got.StatusCode != http.StatusOK || got.Eligible || got.Reason != "ERROR" || got.Token != nil || got.grantCookie() != "" {
		t.Fatalf("got %d %s, want ERROR without an offer", got.StatusCode, got.body)
	}
	r.server.Recorder.spool = r.decisions
	if got := r.ask(request{visit: visit}); !got.Eligible {
		t.Errorf("with room again: %s, want the offer", got.body)
	}
}

type fullSpool struct{}

func (fullSpool) Append([]spool.Entry, []spool.Count) error { return spool.ErrFull }

func TestRefusals(t *testing.T) {
	r := startReplica(t, newSetup(t))
	f := func(q request, status int, reason string) {
		t.Helper()
		got := r.ask(q)
		if got.StatusCode != status || got.Header.Get("Beckon-Reason") != reason {
			t.Errorf("%+v: %d %q, want %d %q", q, got.StatusCode, got.Header.Get("Beckon-Reason"), status, reason)
		}
		if got.Header.Get("Access-Control-Allow-Credentials") != "" && reason == "origin-not-listed" {
			t.Error("an origin that is not listed may read the refusal with credentials")
		}
	}
	f(request{site: "nowhere"}, 404, "unknown-site")
	f(request{headers: map[string]string{"Origin": "https://evil.example"}}, 403, "origin-not-listed")
	f(request{headers: map[string]string{"Origin": "null"}}, 403, "origin-not-listed")
	f(request{method: http.MethodPost}, 405, "method-not-allowed")
	f(request{path: "/v2/decision"}, 404, "not-found")
	f(request{headers: map[string]string{"Authorization": "Bearer wrong"}}, 401, "bad-server-key")
	f(request{headers: map[string]string{"Authorization": "Basic dGVzdA=="}}, 200, "") // a staging shop's password
}

func TestPreflightAndHead(t *testing.T) {
	r := startReplica(t, newSetup(t))
	pre := r.ask(request{method: http.MethodOptions, headers: map[string]string{"Origin": shopOrigin, "Access-Control-Request-Method": "GET"}})
	if pre.StatusCode != http.StatusNoContent || pre.Header.Get("Access-Control-Allow-Origin") != shopOrigin {
		t.Errorf("preflight: %d %v", pre.StatusCode, pre.Header)
	}
	visit, key := r.visitor("demo")
	r.returning(key)
	head := r.ask(request{method: http.MethodHead, visit: visit})
	if rows := r.rows(); len(rows) != 0 || head.grantCookie() != "" {
		t.Errorf("a HEAD request was given an offer: %d rows", len(rows))
	}
	if head.StatusCode != http.StatusOK || len(head.body) != 0 {
		t.Errorf("HEAD: %d with %d bytes", head.StatusCode, len(head.body))
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	broken := true
	s := newSetup(t)
	r := startReplica(t, s, func(c *Config) {
		c.Program = func() *eligibility.Program {
			if broken {
				panic("BUG: for a test")
			}
			return s.rules
		}
	})
	resp, err := http.Get(r.url + "/v1/decision?site=demo")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("a panic answered %d", resp.StatusCode)
	}
	broken = false
	if got := r.ask(request{}); got.StatusCode != http.StatusOK {
		t.Errorf("after a panic: %d", got.StatusCode)
	}
}

func TestRepeatsFoldAndAreBounded(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.store.Put(key, &feature.Profile{ReadAt: r.now()}, r.now()) // known, not eligible
	for range 5 {
		r.ask(request{visit: visit})
	}
	r.server.Recorder.flush(func(fold) bool { return true })
	rows := r.rows()
	if len(rows) != 1 || rows[0].Repeats != 4 || rows[0].FirstServe {
		t.Fatalf("rows %+v, want one with 4 repeats", rows)
	}
	for n := range maxFolded + 10 {
		r.server.Recorder.Repeat("demo", [16]byte{byte(n), byte(n >> 8), byte(n >> 16)}, "decide", "", "DEFAULT", r.now(), func() *Row { return &Row{} })
	}
	if n := len(r.server.Recorder.folded); n != maxFolded {
		t.Errorf("%d rows wait, want at most %d", n, maxFolded)
	}
}

func TestDevVisitorExplainsWithoutServing(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	req, err := http.NewRequest(http.MethodGet, "/dev/visitor?site=demo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", firefox)
	req.AddCookie(&http.Cookie{Name: privacy.CookieName("demo", false), Value: visit})
	w := &responseRecorder{header: http.Header{}}
	r.server.DevVisitor().ServeHTTP(w, req)
	var seen Explanation
	if err := json.Unmarshal(w.body, &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Reason != "TARGETING_MATCH" || fmt.Sprint(seen.Features["sessions_7d"]) != "2" || len(seen.Visitor) != 16 || len(seen.Gates) == 0 {
		t.Errorf("seen %+v", seen)
	}
	if rows := r.rows(); len(rows) != 0 {
		t.Errorf("looking recorded %d serves", len(rows))
	}
}

type responseRecorder struct {
	header http.Header
	body   []byte
}

func (w *responseRecorder) Header() http.Header { return w.header }
func (w *responseRecorder) WriteHeader(int)     {}
func (w *responseRecorder) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

// A copy of the cookie and of the grant cookie, or a back end that forwards them: whoever said no is nobody.
func TestSuppressedVisitorIsNobody(t *testing.T) {
	s := newSetup(t)
	r := startReplica(t, s)
	for cause, reason := range map[privacy.Cause]string{privacy.CauseOptOut: "OPTED_OUT", privacy.CauseDenied: "NO_CONSENT"} {
		cookie, key := r.visitor("demo")
		r.returning(key)
		grant := r.ask(request{visit: cookie}).grantCookie()
		if grant == "" {
			t.Fatal("no grant to begin with")
		}
		keys, err := r.keys.Site("demo")
		if err != nil {
			t.Fatal(err)
		}
		name := suppress.KeyOf(keys, privacy.StoredID(key.Visitor))
		if err := r.suppressed.Add(suppress.Entry{Key: name, Cause: cause, At: r.now()}); err != nil {
			t.Fatal(err)
		}
		r.returning(key) // a change of theirs that was on its way
		for _, q := range []request{
			{visit: cookie, cookies: map[string]string{"_bk_d_demo": grant}},
			{headers: map[string]string{"Authorization": "Bearer " + serverKey, "Beckon-Visitor": cookie}, cookies: map[string]string{"_bk_d_demo": grant}},
		} {
			if got := r.ask(q); got.Eligible || got.Personalised || got.Reason != reason || got.FreshAt != nil || got.DecisionID != nil {
				t.Errorf("%s: %s", cause, got.body)
			}
		}
		if row := r.rows(); len(row) == 0 || row[len(row)-1].Visitor != key.Visitor {
			t.Errorf("rows %+v, want that of the first serve and none after", row)
		}
	}
}

// With explain=1 the shop's server sees every gate, and nothing is served by looking.
func TestExplainIsForTheServerKeyAndLeavesNoTrace(t *testing.T) {
	r := startReplica(t, newSetup(t))
	visit, key := r.visitor("demo")
	r.returning(key)
	const path = "/v1/decision?site=demo&explain=1"
	for name, headers := range map[string]map[string]string{"a browser": nil, "a wrong key": {"Authorization": "Bearer wrong"}} {
		if got := r.ask(request{path: path, visit: visit, headers: headers}); got.StatusCode != http.StatusUnauthorized || got.Header.Get("Beckon-Reason") != "bad-server-key" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	keyed := map[string]string{"Authorization": "Bearer " + serverKey, "Beckon-Visitor": visit}
	got := r.ask(request{path: path, headers: keyed})
	var seen Explanation
	if err := json.Unmarshal(got.body, &seen); err != nil {
		t.Fatal(err)
	}
	if !seen.Eligible || seen.Reason != "TARGETING_MATCH" || *seen.Offer != "welcome-back" || *seen.Arm != "treatment" || fmt.Sprint(seen.Features["sessions_7d"]) != "2" || seen.FreshAt == nil {
		t.Errorf("seen %s", got.body)
	}
	var gates []string
	for _, g := range seen.Gates {
		gates = append(gates, fmt.Sprint(g.Gate, " ", g.Pass))
	}
	want := []string{
		"enabled true", "consent true", "bot true", "schedule true", "visitor true", "too-new true", "abandoner true", "rule true", "min-cart true", "cap true",
		"cooldown true", "rank true", "holdout true",
	}
	if !slices.Equal(gates, want) {
		t.Errorf("gates %q, want %q", gates, want)
	}
	if got.grantCookie() != "" || len(r.store.Get(key).Serves) != 0 {
		t.Error("looking serves")
	}
	r.server.Recorder.flush(func(fold) bool { return true })
	if rows := r.rows(); len(rows) != 0 {
		t.Errorf("looking leaves rows %+v", rows)
	}
	keyed["Beckon-Visitor"] = "nobody"
	if got := r.ask(request{path: path, headers: keyed}); !strings.Contains(string(got.body), `"reason":"NO_CONSENT"`) || !strings.Contains(string(got.body), `"features":{}`) {
		t.Errorf("nobody: %s", got.body)
	}
}
