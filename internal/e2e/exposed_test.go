package e2e_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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

	mayFail  atomic.Bool              // services are killed meanwhile
	answered map[string]*atomic.Int64 // requests, by address
}

func newExposed(s *stack) *exposed {
	p := &exposed{t: s.t, s: s, v: s.newVisitor("demo"), answered: map[string]*atomic.Int64{}}
	for _, service := range []*service{s.collector, s.aggregator} {
		p.answered[service.public], p.answered[service.admin] = new(atomic.Int64), new(atomic.Int64)
	}
	mail := func(where string) *canary {
		local := "canary." + randomHex(5)
		return p.with(newCanary("e-mail in "+where, local+"@mail.example", local))
	}
	p.v4, p.v6 = p.with(ipCanary("IPv4", "198.51.100.0/24")), p.with(ipCanary("IPv6", "2001:db8:7700::/40"))
	p.agent = p.with(newCanary("user agent", "Canary"+randomHex(6)))
	digits := fmt.Sprintf("170%08d", 10_000_000+randomInt(89_000_000))
	p.phone = p.with(newCanary("phone number", "+49"+digits, "49"+digits, "0"+digits, digits)) // in a query + is a space
	p.order, p.coupon = p.with(newCanary("order id", "ORDER"+randomHex(6))), p.with(newCanary("coupon", "SAVE"+randomHex(6)))
	p.customer, p.key = p.with(newCanary("customer id", "customer-"+randomHex(6))), p.with(newCanary("server key", "sk"+randomHex(16)))
	p.path, p.query, p.referrer, p.utm, p.search, p.field = mail("path"), mail("query"), mail("referrer"), mail("UTM"), mail("search"), mail("a property")
	return p
}

// with makes it one to look for, under a name of its own.
func (p *exposed) with(c *canary) *canary {
	alike := 1
	for _, known := range p.canaries {
		if known.value == c.value {
			return known
		}
		if name, _, _ := strings.Cut(known.name, " #"); name == c.name {
			alike++
		}
	}
	if alike > 1 {
		c.name = fmt.Sprintf("%s #%d", c.name, alike)
	}
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
	switch {
	case err == nil:
		p.answered[address].Add(1)
	case p.mayFail.Load():
	case !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe"): // a panic closes
		p.t.Fatalf("%s %.20s: %v", method, path, err)
	}
	return a
}

// event is a purchase, or whatever else, that says more than it should.
func (p *exposed) event(kind string) string {
	return fmt.Sprintf(`{"n":%q,"i":%q,%s,"email":%q,"p":{"order":%q,"coupon":%q,"customer":%q,"product":%q,"category":%q,"offer":%q,"secret":%q,"query_length":7,"value":10,"items":[{"product":%q,"variant":%q,"price":1}]}}`,
		kind, newID(), p.page(), p.field.value, p.order.value, p.coupon.value, p.customer.value,
		p.field.value, p.phone.value, p.field.value, p.field.value, p.field.value, p.phone.value)
}

// page is the address and the referrer of a page, of an event or of a choice.
func (p *exposed) page() string {
	page := fmt.Sprintf("https://shop.example/u/%s/%s/orders?q=%s&email=%s&utm_source=%s&utm_campaign=%s#%s",
		p.path.value, p.phone.value, p.search.value, url.QueryEscape(p.query.value), p.utm.value, p.phone.value, p.query.value)
	return fmt.Sprintf(`"u":%q,"r":"https://canary@search.example/%s?q=%s"`, page, p.referrer.value, p.referrer.value)
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
	// Of this site everybody is in lane measure.
	p.sends("POST", c, "/e", `{"v":1,"s":"counted","e":[`+events+`]}`)
	p.sends("POST", c, "/e", `{"v":1,"s":"counted",`+choice+`,"e":[`+events+`]}`, "X-Forwarded-For", p.v6.value)
	// Who consents on this one brings the page on which they landed.
	for _, decide := range []bool{false, true} {
		p.sends("POST", c, "/e", fmt.Sprintf(`{"v":1,"s":"asks","c":{"decide":%v,"measure":true,"src":%q,"at":%d,%s},"e":[%s]}`, decide, p.field.value, time.Now().UnixMilli(), p.page(), events))
	}
	p.sends("GET", c, "/p.gif?s=counted&n=page_view&u="+url.QueryEscape("https://counted.example/"+everything)+"&r="+mail, "")
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
		for _, body := range []string{
			`{"context":{"site":"demo","targetingKey":"` + p.field.value + `","visitor":"` + p.cookieValue() + `","` + p.field.value + `":{"order":"` + p.order.value + `"}}}`,
			`{"context":{"site":"` + p.field.value + `"}}`, `{"context":"` + p.field.value + `"`,
		} {
			for _, path := range []string{"/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/welcome-back", "/ofrep/v1/evaluate/flags/" + mail} {
				p.sends("POST", server, path, body, "If-None-Match", p.field.value, "Origin", shopOrigin)
				p.sends("POST", server, path, body, "X-API-Key", p.key.value, "Beckon-Visitor", p.cookieValue(), "X-Forwarded-For", p.v6.value)
			}
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

// walkUntilKilled walks on and on while each of the services in turn answers for a while and is then killed.
func (p *exposed) walkUntilKilled(services ...*service) {
	p.t.Helper()
	p.mayFail.Store(true)
	var enough atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !enough.Load() {
			p.walk()
		}
	}()
	for i, service := range services {
		before := p.answered[service.public].Load()
		eventually(p.t, func() error {
			if n := p.answered[service.public].Load() - before; n < int64(15+10*i) {
				return fmt.Errorf("%s has answered %d requests", service.name, n)
			}
			return nil
		})
		service.kill()
	}
	enough.Store(true)
	<-ended
	p.mayFail.Store(false)
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
	if (p.cookieValue() == "" || p.link == "") && !p.mayFail.Load() {
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
	switch {
	case err != nil && p.mayFail.Load():
		return
	case err != nil:
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond)) // what it answers, or whether, is not the question
	_, _ = conn.Write([]byte(text))
	_, _ = io.Copy(io.Discard, conn)
}
