package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/spool"
)

const purchase = `{"n":"purchase","i":"019df26e-2d00-75af-89e3-8d27c16b05af","p":{"order":"A-1001","coupon":"SPRING","customer":"7321","value":"49.90"}}`

// panicking is a spool with a bug.
type panicking struct{}

func (panicking) Append([]spool.Entry, []spool.Count) error { panic("203.0.113.77") }

// everywhere is a country for every network that is known.
type everywhere struct{}

func (everywhere) Country(n privacy.Network) privacy.Bucket {
	if n.String() == "" {
		return privacy.Bucket{}
	}
	return privacy.NewBucket("DE")
}

func (everywhere) Region(privacy.Network) privacy.Bucket { return privacy.Bucket{} }

func TestShopServerSpeaksForTheVisitorItNames(t *testing.T) {
	s := openShop(t, func(c *Config) { c.Geo = everywhere{} })
	cookie, other := s.shopper("demo"), s.shopper("demo")
	token := s.link("demo", other)
	all := s.stored()
	owner := map[string]event.Stored{cookie: all[1], other: all[3]}
	f := func(name, who string, changes ...with) {
		t.Helper()
		s.pass(2 * time.Hour) // beyond the window of repeats
		body := batch("demo", purchase)
		if strings.HasSuffix(name, "k") {
			body = strings.Replace(body, `"e":`, `"k":"`+token+`","e":`, 1)
		}
		got := s.tell("demo", body, changes...)
		if got.StatusCode != 204 || len(got.Cookies()) != 0 || got.lane() == "" {
			t.Fatalf("%s: got %d %q %s, cookies %v", name, got.StatusCode, got.reason(), got.body, got.Cookies())
		}
		e, want := s.one(), owner[who]
		if e.Visitor != want.Visitor || e.Session != want.Session || e.VisitorSince != want.VisitorSince {
			t.Errorf("%s: visitor %x, session %x, since %d", name, e.Visitor, e.Session, e.VisitorSince)
		}
		if e.Source != event.SourceServer || e.Lane != privacy.LaneDecide || e.Customer == [16]byte{} || e.Order == [16]byte{} || e.Customer == e.Order {
			t.Errorf("%s: source %s, lane %s, order %x, customer %x", name, e.Source, e.Lane, e.Order, e.Customer)
		}
		if e.Network != "" || e.Country != "" || e.Device != "" || e.Browser != "" || e.OS != "" || e.Bot != "" {
			t.Errorf("%s: the shop's server is taken for the shopper: %+v", name, e)
		}
	}
	visitor := header("Beckon-Visitor", cookie)
	f("visitor", cookie, visitor)
	f("k", other)
	f("visitor and k", cookie, visitor)
	f("forged visitor and k", other, header("Beckon-Visitor", "AQ"))
	f("nobody", "")
	f("a cookie is not the server's own", "", withCookie("_bk_demo", cookie))
	f("forged visitor", "", header("Beckon-Visitor", cookie[:20]))
}

func TestShopServerPassesOnWhatTheVisitorWants(t *testing.T) {
	s := openShop(t)
	visitor := header("Beckon-Visitor", s.shopper("asks"))
	s.stored()
	f := func(lane, choice string, changes ...with) event.Stored {
		t.Helper()
		s.pass(2 * time.Hour)
		got := s.tell("asks", strings.Replace(batch("asks", purchase), `"e":`, `"c":`+choice+`,"e":`, 1), changes...)
		if got.StatusCode != 204 || got.lane() != lane || len(got.Cookies()) != 0 {
			t.Errorf("got %d %q, want %q, cookies %v", got.StatusCode, got.lane(), lane, got.Cookies())
		}
		all := s.stored()
		e := all[len(all)-1]
		if keeps := e.Customer != [16]byte{} && e.Order != [16]byte{} && e.Coupon != [16]byte{}; keeps != strings.HasPrefix(lane, "decide") {
			t.Errorf("lane %s: customer %x, order %x, coupon %x", lane, e.Customer, e.Order, e.Coupon)
		}
		return all[0]
	}
	f("decide; recorded", "null", visitor)
	f("count; default", "null") // nobody is named, and the site asks first
	f("decide; choice", yes)
	for _, named := range [][]with{{visitor}, nil} { // all shoppers would be one by the server's own address and agent
		s.pass(2 * time.Hour)
		got := s.tell("asks", strings.Replace(batch("asks", `{"n":"purchase"}`), `"e":`, `"c":`+measure+`,"e":`, 1), named...)
		all := s.stored()
		if e := all[len(all)-1]; got.lane() != "measure; choice" || e.Lane != privacy.LaneMeasure || e.Visitor != [16]byte{} {
			t.Errorf("measured at the shop's server: lane %q, visitor %x", got.lane(), e.Visitor)
		}
	}
	f("count; gpc", "null", visitor, header("Sec-GPC", "1"))
	f("count; dnt", "null", visitor, header("DNT", "1"))
	f("count; opt-out", yes, visitor, withCookie("_bk_out", "1"))
	if e := f("count; denied", no, visitor); e.Kind != event.Consent || e.Visitor == [16]byte{} {
		t.Errorf("a withdrawal left no proof: %+v", e)
	}
	if e := f("count; denied", no); e.Kind == event.Consent {
		t.Errorf("nobody's withdrawal is recorded: %+v", e)
	}
}

// A refund from the back office names an order, and not the person. Whether that person agreed to be known the loader
// finds out, so the order's key goes as far as the spool; whatever is known of the person decides here.
func TestARefundThatNamesNobodyKeepsItsOrderForTheLoader(t *testing.T) {
	s := openShop(t)
	bought := strings.Replace(purchase, `"i":"019df26e-2d00-75af-89e3-8d27c16b05af",`, "", 1)
	refund := strings.Replace(bought, "purchase", "refund", 1)
	f := func(name string, keeps bool, body string, changes ...with) {
		t.Helper()
		if got := s.tell("asks", body, changes...); got.StatusCode != 204 {
			t.Fatalf("%s: got %d %q", name, got.StatusCode, got.reason())
		}
		all := s.stored()
		e := all[len(all)-1]
		if e.Lane != privacy.LaneCount || (e.Order != [16]byte{}) != keeps || e.Coupon != [16]byte{} || e.Customer != [16]byte{} || e.Visitor != [16]byte{} {
			t.Errorf("%s: lane %s, order %x, coupon %x, customer %x, visitor %x", name, e.Lane, e.Order, e.Coupon, e.Customer, e.Visitor)
		}
	}
	says := func(c string) string { return strings.Replace(batch("asks", refund), `"e":`, `"c":`+c+`,"e":`, 1) }
	visitor := header("Beckon-Visitor", s.shopper("asks"))
	s.stored()
	f("nobody", true, batch("asks", refund))
	f("a purchase of nobody", false, batch("asks", bought))
	f("a customer who denies", false, says(no))
	f("GPC", false, batch("asks", refund), header("Sec-GPC", "1"))
	f("opted out", false, batch("asks", refund), withCookie("_bk_out", "1"))
	f("a visitor whom GPC lowers", false, batch("asks", refund), visitor, header("Sec-GPC", "1"))
	f("a visitor who withdraws", false, says(no), visitor)
	f("a visitor who said no", false, batch("asks", refund), visitor)
}

// Where the collector granted a lane by the shopper's country, the shop's server need not know it.
func TestLaneThatACountryGrantedStandsForTheShopServer(t *testing.T) {
	s := openShop(t, func(c *Config) { c.Geo = everywhere{} })
	policy := func(text string) {
		s.sites.file.Store(parseSites(t, strings.Replace(sitesText, "{default: count, allow: decide}", text, 1)))
	}
	policy("{default: count, allow: decide, countries: {DE: decide}}")
	cookie := s.post(batch("asks", pageView)).cookie("_bk_asks")
	if cookie == nil {
		t.Fatal("no cookie")
	}
	s.stored()
	if got := s.tell("asks", batch("asks", purchase), header("Beckon-Visitor", cookie.Value)); got.lane() != "decide; default" {
		t.Errorf("lane %q", got.lane())
	}
	policy("{default: count, allow: decide}")
	if got := s.tell("asks", batch("asks", purchase), header("Beckon-Visitor", cookie.Value)); got.lane() != "count; default" {
		t.Errorf("lane %q, which nobody is granted any more", got.lane())
	}
}

func TestOnlyTheShopServerRefundsAndNamesCustomers(t *testing.T) {
	s := openShop(t)
	refund := strings.Replace(purchase, "purchase", "refund", 1)
	if got := s.tell("demo", batch("demo", refund)); got.StatusCode != 204 {
		t.Fatalf("got %d %q %s", got.StatusCode, got.reason(), got.body)
	}
	if e := s.one(); e.Kind != event.Refund || e.Source != event.SourceServer {
		t.Errorf("stored %s from %s", e.Kind, e.Source)
	}
	if got := s.post(batch("demo", refund)); got.reason() != "unknown-kind" {
		t.Errorf("a browser's refund: %d %q", got.StatusCode, got.reason())
	}
	if got := s.post(batch("demo", purchase)); got.StatusCode != 204 {
		t.Errorf("a browser's customer: %d %q", got.StatusCode, got.reason())
	}
	if e := s.one(); e.Customer != [16]byte{} || e.Order == [16]byte{} {
		t.Errorf("a browser named customer %x of order %x", e.Customer, e.Order)
	}
	if got := s.tell("demo", batch("demo", `{"n":"consent"}`)); got.reason() != "unknown-kind" {
		t.Errorf("a server's consent row: %d %q", got.StatusCode, got.reason())
	}
}

func TestRepeatOfAnEventIsKnownByWhoSaysIt(t *testing.T) {
	s := openShop(t)
	status := func(got reply) string { return fmt.Sprint(got.StatusCode, got.reason()) }
	for _, step := range []struct {
		who  string
		got  reply
		want string
	}{
		{"browser", s.post(batch("demo", purchase)), "204"},
		{"browser again", s.post(batch("demo", purchase)), "200duplicate"},
		{"server", s.tell("demo", batch("demo", purchase)), "204"},
		{"server again", s.tell("demo", batch("demo", purchase)), "200duplicate"},
		{"server with other words", s.tell("demo", strings.Replace(batch("demo", purchase), "49.90", "1", 1)), "200duplicate"},
		{"another site's server", s.tell("asks", batch("asks", purchase)), "204"},
	} {
		if got := status(step.got); got != step.want {
			t.Errorf("%s: got %s, want %s", step.who, got, step.want)
		}
	}
	all := s.stored()
	if len(all) != 3 || all[0].ID != all[1].ID || all[0].Source != event.SourceBeacon || all[1].Source != event.SourceServer || all[1].Value.Units != 499_000 {
		t.Errorf("stored %+v", all)
	}
}

func TestTimesOfTheShopServerAreNotClamped(t *testing.T) {
	s := openShop(t)
	now := s.now()
	keep := 395 * 24 * time.Hour
	f := func(at time.Time, reason string) {
		t.Helper()
		got := s.tell("demo", batch("demo", fmt.Sprintf(`{"n":"purchase","t":%d}`, at.UnixMilli())))
		if got.reason() != reason {
			t.Errorf("%s: got %d %q", at, got.StatusCode, got.reason())
		}
		if reason == "" {
			if e := s.one(); e.OccurredAt != at.UnixMilli() {
				t.Errorf("%s became %s", at, time.UnixMilli(e.OccurredAt).UTC())
			}
		}
	}
	f(now, "")
	f(now.Add(-48*time.Hour), "")
	f(now.Add(maxAhead), "")
	f(now.Add(maxAhead+time.Millisecond), "bad-value")
	today := now.Truncate(24 * time.Hour)
	f(today.Add(24*time.Hour-keep), "")
	f(today.Add(24*time.Hour-keep-time.Millisecond), "too-old") // its last day is today
	f(time.UnixMilli(0), "too-old")
	f(time.UnixMilli(maxMillis), "bad-value")
	// With z the sender's clock is corrected, also across 1970.
	got := s.tell("demo", fmt.Sprintf(`{"s":"demo","z":%d,"e":[{"n":"purchase","t":0}]}`, maxMillis))
	if got.reason() != "too-old" {
		t.Errorf("before 1970: got %d %q", got.StatusCode, got.reason())
	}
	got = s.tell("demo", fmt.Sprintf(`{"s":"demo","z":%d,"e":[{"n":"purchase","t":%d}]}`, now.Add(time.Hour).UnixMilli(), now.UnixMilli()))
	if e := s.one(); got.StatusCode != 204 || e.OccurredAt != now.Add(-time.Hour).UnixMilli() {
		t.Errorf("an hour by the sender's own clock: got %d, %s", got.StatusCode, time.UnixMilli(e.OccurredAt).UTC())
	}
	// A site that keeps its events for longer than there has been time still has a beginning of time.
	s.sites.file.Store(parseSites(t, strings.Replace(sitesText, "events: 395d", "events: 3650d", 1)))
	f(now.AddDate(-9, 0, 0), "")
}

func TestServerKeyIsNeededAndNothingTellsWhatItWouldOpen(t *testing.T) {
	s := openShop(t)
	authorization := func(values ...string) with {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	var first reply
	f := func(name, body string, change with) {
		t.Helper()
		got := s.tell("demo", body, change, header("Origin", shopOrigin))
		if got.StatusCode != 401 || got.reason() != "bad-server-key" || got.Header.Get("WWW-Authenticate") != "Bearer" || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %q %v", name, got.StatusCode, got.reason(), got.Header)
		}
		if first.Response == nil {
			first = got
		}
		got.Header.Del("Date")
		first.Header.Del("Date")
		if got.body != first.body || fmt.Sprint(got.Header) != fmt.Sprint(first.Header) {
			t.Errorf("%s: the answer differs: %v %s", name, got.Header, got.body)
		}
	}
	f("wrong key", batch("demo", purchase), authorization("Bearer bks_dem0"))
	f("no key", batch("demo", purchase), authorization())
	f("empty key", batch("demo", purchase), authorization("Bearer "))
	f("no scheme", batch("demo", purchase), authorization("bks_demo"))
	f("another scheme", batch("demo", purchase), authorization("Basic bks_demo"))
	f("two keys", batch("demo", purchase), authorization("Bearer bks_demo", "Bearer bks_demo"))
	f("long key", batch("demo", purchase), authorization("Bearer "+strings.Repeat("a", maxKeyBytes+1)))
	f("the hash itself", batch("demo", purchase), authorization("Bearer sha256:"+fmt.Sprintf("%x", s.sites.File().Site("demo").ServerKeys[0])))
	f("zero bytes' hash for a site that is not there", batch("elsewhere", purchase), authorization("Bearer bks_demo"))
	f("another site's key", batch("demo", purchase), authorization("Bearer bks_asks"))
	f("a site without keys", batch("wide", purchase), authorization("Bearer bks_demo"))
	f("no site", `{"e":[]}`, authorization("Bearer bks_demo"))
	f("no key and no JSON", `{`, authorization())
	f("wrong key and no JSON", `{`, authorization("Bearer bks_dem0"))
	f("wrong key and too much", batch("demo", purchase)+strings.Repeat(" ", event.MaxBodyBytes), authorization("Bearer bks_dem0"))
	if got := s.tell("demo", batch("demo", purchase), authorization("bearer  bks_demo ")); got.StatusCode != 204 {
		t.Errorf("a scheme in small letters: got %d", got.StatusCode)
	}
	if all := s.stored(); len(all) != 1 {
		t.Errorf("stored %+v", all)
	}
}

func TestRefusalsOfServerRouteAreProblemDocumentsWithoutCORS(t *testing.T) {
	s := openShop(t)
	f := func(status int, reason, title string, got reply) {
		t.Helper()
		want := fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"reason":%q}`+"\n", title, status, reason)
		if got.StatusCode != status || got.reason() != reason || got.body != want || got.Header.Get("Content-Type") != "application/problem+json" || !json.Valid([]byte(got.body)) {
			t.Errorf("got %d %q %s, want %s", got.StatusCode, got.reason(), got.body, want)
		}
		for name := range got.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", reason, name)
			}
		}
	}
	from := header("Origin", shopOrigin)
	f(400, "malformed", "Bad Request", s.tell("demo", `{"s":"demo","s":"demo"}`, from))
	f(400, "too-many-events", "Bad Request", s.tell("demo", batch("demo", strings.Repeat(pageView+",", event.MaxBatchEvents)+pageView), from))
	f(401, "bad-server-key", "Unauthorized", s.tell("nobody", batch("demo"), from))
	f(413, "too-large", "Request Entity Too Large", s.tell("demo", batch("demo", pageView)+strings.Repeat(" ", event.MaxBodyBytes), from))
	f(405, "method-not-allowed", "Method Not Allowed", s.get("/v1/events", from))
	f(405, "method-not-allowed", "Method Not Allowed", s.do("OPTIONS", "/v1/events", "", from, header("Access-Control-Request-Method", "POST")))
	full := openShop(t, refusing(spool.ErrFull))
	f(503, "spool-full", "Service Unavailable", full.tell("demo", batch("demo", pageView), from))
	broken := openShop(t, func(c *Config) { c.Spool = panicking{} })
	f(500, "internal", "Internal Server Error", broken.tell("demo", batch("demo", pageView), from))
	if got := s.tell("demo", batch("demo", pageView, `{"n":"refund","p":{"value":-1}}`), from); got.StatusCode != 200 || got.reason() != "bad-value" || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a batch in part: %d %q %v", got.StatusCode, got.reason(), got.Header)
	}
}

func TestOnlyTriesOfKeysCountForTheSender(t *testing.T) {
	s := openShop(t, func(c *Config) { c.Limits.Client = 1 })
	for range 2 * int(limitBurst/time.Second) {
		if got := s.tell("demo", batch("demo", `{"n":"purchase"}`)); got.StatusCode != 204 {
			t.Fatalf("the shop's server got %d %q", got.StatusCode, got.reason())
		}
	}
	for name, try := range map[string]func() reply{
		"a wrong key":             func() reply { return s.tell("guess", batch("demo", purchase)) },
		"a wrong key and no JSON": func() reply { return s.tell("guess", "{") },
		"no key and no JSON":      func() reply { return s.do("POST", "/v1/events", "{") },
		"another site's key":      func() reply { return s.tell("asks", batch("demo", purchase)) },
	} {
		s.pass(time.Hour) // the debts of the last one are paid
		var last reply
		for range 2 * int(limitBurst/time.Second) {
			last = try()
		}
		if last.StatusCode != 429 || last.reason() != "rate-limited" || last.Header.Get("Retry-After") == "" {
			t.Errorf("whoever comes with %s over and over got %d %q", name, last.StatusCode, last.reason())
		}
	}
	if got := s.tell("demo", batch("demo", `{"n":"purchase"}`)); got.StatusCode != 204 {
		t.Errorf("the shop's server beside it got %d %q", got.StatusCode, got.reason())
	}
}
