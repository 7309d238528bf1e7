package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPrivacyProof sends what names a person through every route, error path and panic of both services,
// kills them meanwhile, and then looks for it in all that outlives a request, in every spelling. It prints
// what it looked through: `make privacy-proof`.
func TestPrivacyProof(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "planted", "-o", bin, "./collector", "./aggregator")
	build.Dir = filepath.Join("..", "..")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with the planted panic: %v\n%s", err, said)
	}
	s := newStack(t)
	s.throughRelay()
	s.collector.binary, s.aggregator.binary = filepath.Join(bin, "collector"), filepath.Join(bin, "aggregator")
	p := newExposed(s)
	sum := sha256.Sum256([]byte(p.key.value))
	s.writeSites(strings.NewReplacer("    holdout: 0%\n", "    holdout: 0%\n    server_keys: [\"sha256:"+hex.EncodeToString(sum[:])+"\"]\n",
		" && visitor.purchases_90d == 0", "").Replace(sitesText))
	s.start()

	p.walk()
	p.v.comesTwice()
	p.v.draws(s.aggregator) // a decision that is kept, with a grant cookie
	s.killClickHouse()      // what comes now stays in the spools
	p.walk()
	s.collector.kill()
	s.aggregator.kill()
	found := places{}
	s.lookInto(found, "while ClickHouse is down: ")
	s.restartClickHouse()
	s.start()
	p.walk()
	p.optOut()
	eventually(t, func() error {
		for _, p := range []*service{s.collector, s.aggregator} {
			if n := p.metric(t, "beckon_spool_records"); n > 0 {
				return fmt.Errorf("%v records of %s are not in ClickHouse yet", n, p.name)
			}
		}
		return nil
	})
	for _, service := range []*service{s.collector, s.aggregator} {
		for _, page := range []string{"/metrics", "/ledger", "/readyz", "/healthz", "/debug/pprof/goroutine?debug=2"} {
			found.add("page "+page, get(t, service.admin, page))
		}
		if panics := service.metric(t, map[string]string{"beckon-collector": "beckon_http_panics_total", "beckon-aggregator": "beckon_decision_panics_total"}[service.name]); panics == 0 {
			t.Errorf("%s did not panic", service.name)
		}
	}
	s.lookInto(found, "")
	s.lookIntoTables(found)
	result := search(found, p.canaries)
	t.Logf("\n%s", result)
	if len(result.hits) > 0 {
		t.Errorf("%d hits, want none", len(result.hits))
	}
	for _, needed := range []string{"table beckon.events", "table beckon.decisions", "table beckon.consents", "table beckon.suppressed", "while ClickHouse is down: state folder", "logs", "ClickHouse's folder"} {
		if size := len(bytes.Join(found[needed], nil)); size == 0 {
			t.Errorf("nothing to look through in %s", needed)
		}
	}
	p.leaksAreFound(found)
}

// exposed is somebody with everything that names them.
type exposed struct {
	t *testing.T
	s *stack
	v *visitor

	canaries                                  []*canary
	v4, v6, agent, phone, order, coupon, key  *canary
	customer                                  *canary
	path, query, referrer, utm, search, field *canary
	link                                      string
}

func newExposed(s *stack) *exposed {
	p := &exposed{t: s.t, s: s, v: s.newVisitor("demo")}
	mail := func(where string) *canary {
		local := "canary." + randomHex(5)
		return p.with(newCanary("e-mail in "+where, local+"@mail.example", local))
	}
	p.v4, p.v6 = p.with(ipCanary("IPv4", "198.51.100.0/24")), p.with(ipCanary("IPv6", "2001:db8:7700::/40"))
	p.agent = p.with(newCanary("user agent", "Canary"+randomHex(6)))
	p.phone = p.with(newCanary("phone number", fmt.Sprintf("+49170%08d", 10_000_000+randomInt(89_000_000))))
	p.order, p.coupon = p.with(newCanary("order id", "ORDER"+randomHex(6))), p.with(newCanary("coupon", "SAVE"+randomHex(6)))
	p.customer, p.key = p.with(newCanary("customer id", "customer-"+randomHex(6))), p.with(newCanary("server key", "sk"+randomHex(16)))
	p.path, p.query, p.referrer, p.utm, p.search, p.field = mail("path"), mail("query"), mail("referrer"), mail("UTM"), mail("search"), mail("a property")
	return p
}

func (p *exposed) with(c *canary) *canary {
	p.canaries = append(p.canaries, c)
	return c
}

// sends makes a request with all headers that name somebody; what is answered is looked at by other tests.
func (p *exposed) sends(method, address, path, body string, headers ...string) answer {
	p.t.Helper()
	headers = append([]string{
		"X-Forwarded-For", p.v4.value, "X-Forwarded-Proto", "http", "Forwarded", "for=" + p.v4.value, "X-Real-IP", p.v4.value,
		"User-Agent", userAgent + " " + p.agent.value, "Referer", "https://shop.example/" + p.path.value + "?q=" + p.search.value,
		"X-Customer", p.customer.value, "From", p.field.value,
	}, headers...)
	a, err := p.v.send(method, "http://"+address+path, body, headers...)
	if err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") { // a panic closes
		p.t.Fatalf("%s %.20s: %v", method, path, err)
	}
	return a
}

// event is a purchase, or whatever else, that says more than it should.
func (p *exposed) event(kind string) string {
	page := fmt.Sprintf("https://shop.example/u/%s/%s/orders?q=%s&email=%s&utm_source=%s&utm_campaign=%s#%s",
		p.path.value, p.phone.value, p.search.value, url.QueryEscape(p.query.value), p.utm.value, p.phone.value, p.query.value)
	return fmt.Sprintf(`{"n":%q,"i":%q,"u":%q,"r":"https://%s@search.example/%s?q=%s","email":%q,"p":{"order":%q,"coupon":%q,"customer":%q,"product":%q,"category":%q,"offer":%q,"secret":%q,"query_length":7,"value":10,"items":[{"product":%q,"variant":%q,"price":1}]}}`,
		kind, newID(), page, "canary", p.referrer.value, p.referrer.value, p.field.value, p.order.value, p.coupon.value, p.customer.value,
		p.field.value, p.phone.value, p.field.value, p.field.value, p.field.value, p.phone.value)
}

// walk takes every route, in ways that are taken and in ways that are refused.
func (p *exposed) walk() {
	c, a := p.s.collector.public, p.s.aggregator.public
	mail, everything := url.QueryEscape(p.query.value), p.path.value+"/"+p.phone.value+"?q="+p.search.value+"&order="+p.order.value+"&coupon="+p.coupon.value+"&ip="+p.v4.value
	choice := fmt.Sprintf(`"c":{"decide":true,"measure":true,"src":%q,"ver":%q,"at":%d}`, p.field.value, p.field.value, time.Now().Add(time.Second).UnixMilli())
	events := p.event("page_view") + "," + p.event("purchase") + "," + p.event("search")
	p.sends("POST", c, "/e", `{"v":1,"s":"demo",`+choice+`,"e":[`+events+`]}`)
	p.cookies()
	for _, body := range []string{
		`{"v":1,"s":"demo","k":"` + p.link + `","e":[` + events + `]}`,
		`{"v":1,"s":"` + p.field.value + `","e":[` + events + `]}`, `{"v":9,"s":"demo","e":[` + events + `]}`, `{"` + p.field.value,
		`{"v":1,"s":"demo","e":[{"n":"` + p.field.value + `","i":"` + p.order.value + `","t":"` + p.phone.value + `"}]}`,
		`{"v":1,"s":"demo","e":[` + strings.Repeat(p.event("search")+",", 3) + `{}]}`, strings.Repeat(p.field.value, 2500),
	} {
		for _, headers := range [][]string{
			nil,
			{"X-Forwarded-For", p.v6.value},
			{"X-Forwarded-For", "[" + p.v6.value + "]:443, " + p.field.value},
			{"Origin", shopOrigin},
			{"Origin", "https://" + p.path.value},
			{"Origin", "null"},
			{"Sec-GPC", "1"},
			{"DNT", "1"},
			{"Sec-CH-UA", `"` + p.agent.value + `";v="1"`},
		} {
			if headers != nil && (headers[0] == "Sec-GPC" || headers[0] == "DNT") {
				continue // would take the cookie: see optOut
			}
			p.sends("POST", c, "/e", body, headers...)
		}
	}
	for _, server := range []string{p.s.collector.public, p.s.aggregator.public} {
		p.sends("POST", server, "/v1/events", `{"v":1,"s":"demo","k":"`+p.link+`","e":[`+p.event("purchase")+`,`+p.event("refund")+`]}`, "Authorization", "Bearer "+p.key.value)
		for _, path := range []string{
			"/p.gif?s=demo&n=page_view&u=" + url.QueryEscape("https://shop.example/"+everything) + "&r=" + mail, "/p.gif?s=demo&n=" + mail, "/p.gif?s=" + mail + "&n=page_view&i=" + p.order.value,
			"/p.gif?s=demo&n=page_view", "/link?s=demo", "/link?s=" + mail, "/b.js?" + everything, "/" + everything, "/planted?" + everything, "/openapi.json?" + everything,
			"/.well-known/gpc.json?" + everything, "/.well-known/jwks.json?" + everything,
			"/v1/decision?site=demo&" + everything, "/v1/decision?site=" + mail, "/ofrep/v1/evaluate/flags?" + everything, "/dev/visitor?site=" + mail,
		} {
			p.sends("GET", server, path, "")
			p.sends("GET", server, path, "", "X-Forwarded-For", p.v6.value, "Authorization", "Bearer "+p.key.value, "Beckon-Visitor", p.cookieValue(), "Origin", shopOrigin)
			p.sends("DELETE", server, path, "", "Authorization", "Bearer "+p.key.value+"x")
		}
		for _, path := range []string{"/optin?" + everything, "/dev/tomorrow?s=demo&" + everything, "/ofrep/v1/evaluate/flags/welcome-back?" + everything} {
			p.sends("POST", server, path, `{"context":{"targetingKey":"`+p.field.value+`"}}`)
		}
		for _, raw := range []string{
			"GET /" + everything + " HTTP/1.1\r\nHost: " + p.path.value + "\r\nX: " + p.v4.value + "\x00\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat(p.field.value, 500) + "\r\n\r\n", p.field.value + " " + p.v4.value + "\r\n\r\n",
			"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + p.field.value,
		} {
			p.raw(server, raw)
		}
	}
	for range 20 { // until the aggregator knows enough to give something
		p.sends("GET", a, "/v1/decision?site=demo", "")
	}
	p.sends("GET", p.s.aggregator.admin, "/dev/visitor?site=demo&"+everything, "")
	p.sends("GET", p.s.collector.admin, "/"+everything, "")
}

// cookies makes canaries of what the browser has now, and asks for a link token.
func (p *exposed) cookies() {
	host, _ := url.Parse("http://" + p.s.collector.public)
	for _, cookie := range p.v.client.Jar.Cookies(host) {
		c := newCanary("cookie "+cookie.Name, cookie.Value)
		if raw, err := base64.RawURLEncoding.DecodeString(cookie.Value); err == nil && cookie.Name == "_bk_demo" && len(raw) > 18 {
			c.addBinary(raw[2:18]) // the random part, by which the rest is found
		}
		if cookie.Name != "_bk_out" {
			p.with(c)
		}
	}
	a := p.sends("GET", p.s.collector.public, "/link?s=demo", "")
	if _, rest, ok := strings.Cut(string(a.body), `"k":"`); ok {
		p.link, _, _ = strings.Cut(rest, `"`)
		p.with(newCanary("link token", p.link))
	}
	if p.cookieValue() == "" || p.link == "" {
		p.t.Fatal("no cookie or no link token to look for")
	}
}

func (p *exposed) cookieValue() string {
	host, _ := url.Parse("http://" + p.s.collector.public)
	for _, cookie := range p.v.client.Jar.Cookies(host) {
		if cookie.Name == "_bk_demo" {
			return cookie.Value
		}
	}
	return ""
}

// optOut is every way of saying no, each by another visitor, with all that names them.
func (p *exposed) optOut() {
	c := p.s.collector.public
	for _, no := range []func(){
		func() { p.sends("POST", c, "/optout?"+p.path.value, p.field.value) },
		func() {
			p.sends("POST", c, "/e", `{"v":1,"s":"demo","c":{"decide":false,"measure":false,"src":"`+p.field.value+`"},"e":[`+p.event("search")+`]}`)
		},
		func() { p.sends("POST", c, "/e", `{"v":1,"s":"demo","e":[`+p.event("search")+`]}`, "Sec-GPC", "1") },
		func() { p.sends("GET", c, "/p.gif?s=demo&n=page_view", "", "DNT", "1") },
	} {
		p.v = p.s.newVisitor("demo")
		p.sends("POST", c, "/e", `{"v":1,"s":"demo","e":[`+p.event("page_view")+`]}`)
		p.cookies()
		no()
	}
}

func (p *exposed) raw(address, text string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond)) // what it answers, or whether, is not the question
	_, _ = conn.Write([]byte(text))
	_, _ = io.Copy(io.Discard, conn)
}

// lookInto adds what is on disk now, and what the processes have said.
func (s *stack) lookInto(found places, when string) {
	s.t.Helper()
	found.addFolder(s.t, when+"state folder", s.dir)
	found.addFolder(s.t, when+"ClickHouse's folder", s.clickhouse.Dir())
	found.add(when+"logs", []byte(s.collector.said.String()))
	found.add(when+"logs", []byte(s.aggregator.said.String()))
	found.add(when+"logs", []byte(s.clickhouse.Log()))
}

// lookIntoTables adds every column of every table as the server hands it out, uncompressed; its own logs too.
func (s *stack) lookIntoTables(found places) {
	s.t.Helper()
	tables, err := s.query("SELECT database || '.`' || name || '`', database || '.' || name FROM system.tables WHERE engine LIKE '%MergeTree' OR database = 'system' AND name LIKE '%\\_log' OR (database, name) = ('system', 'processes')")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, table := range tables {
		reply, err := http.Post("http://"+s.clickhouse.HTTPAddr(), "text/plain", strings.NewReader("SELECT * FROM "+table[0]+" FORMAT RowBinary SETTINGS asterisk_include_alias_columns = 1, asterisk_include_materialized_columns = 1"))
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || reply.StatusCode != http.StatusOK {
			s.t.Fatalf("read %s: %d %.200s (%v)", table[1], reply.StatusCode, body, err)
		}
		found.add("table "+table[1], body)
	}
}

func get(t *testing.T, address, path string) []byte {
	t.Helper()
	reply, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// leaksAreFound plants each canary once in each spelling, in a file of the state folder, and one in a table:
// a search that misses one proves nothing.
func (p *exposed) leaksAreFound(found places) {
	p.t.Helper()
	planted := 0
	for _, c := range p.canaries {
		for _, n := range c.needles {
			leak := places{"leak": {append(append([]byte("some \x00 text "), n.bytes...), " and more"...)}}
			if !n.exact {
				leak = places{"leak": {bytes.ToUpper(leak["leak"][0])}}
			}
			if len(search(leak, []*canary{c}).hits) != 1 {
				p.t.Errorf("%s is not found as %s", c.name, n.encoding)
			}
			planted++
		}
		if _, err := p.s.query("INSERT INTO beckon.events (site, path, received_at) VALUES ('leak', '/" + c.value + "', now())"); err != nil {
			p.t.Fatal(err)
		}
	}
	again := places{}
	p.s.lookIntoTables(again)
	result := search(again, p.canaries)
	for _, c := range p.canaries {
		if len(result.hits[[2]string{c.name, "table beckon.events"}]) == 0 {
			p.t.Errorf("%s in a row of events is not found", c.name)
		}
	}
	p.t.Logf("%d leaks planted in all spellings and %d in rows were found", planted, len(p.canaries))
}
