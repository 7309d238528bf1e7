package ingest

import (
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// cookieNames is how a site's cookies are called.
type cookieNames struct {
	plain, hostOnly string // the visitor cookie
	grant           string // the active grant, which the aggregator sets
}

func namesOf(st *site.Site) cookieNames {
	return cookieNames{privacy.CookieName(st.ID, false), privacy.CookieName(st.ID, true), privacy.GrantCookieName(st.ID)}
}

// cookies is how one site's cookies are spelled on one connection, and which of them came along.
type cookies struct {
	name, grant string
	domain      string // "" = the host that sets it
	secure      bool

	sent, grantSent, optedOut bool
}

func cookiesOf(t *tenant, https bool) cookies {
	c := cookies{name: t.names.plain, grant: t.names.grant, domain: t.site.CookieDomain, secure: https}
	if https && c.domain == "" {
		c.name = t.names.hostOnly
	}
	return c
}

// read looks through the request's cookies. Of several with the visitor cookie's name (an older Path or
// Domain) the first that is valid counts; one that is not valid is as good as none.
func (c *cookies) read(h *fasthttp.RequestHeader, keys *keyring.Site, now time.Time) (v privacy.Visit, known bool) {
	for key, value := range h.Cookies() {
		switch string(key) {
		case c.name:
			c.sent = true
			if !known {
				v, known = privacy.OpenVisit(keys, value, now)
			}
		case c.grant:
			c.grantSent = true
		case privacy.OptOutCookie:
			c.optedOut = c.optedOut || string(value) == "1"
		}
	}
	return v, known
}

// set sends the visitor cookie with what is left of its life.
func (c *cookies) set(h *fasthttp.ResponseHeader, v privacy.Visit, keys *keyring.Site, now time.Time) {
	var stack [128]byte
	c.write(h, c.name, v.AppendTo(stack[:0], keys), v.MaxAge(now))
}

// expire takes away what the browser sent of the visitor and grant cookies.
func (c *cookies) expire(h *fasthttp.ResponseHeader) {
	if c.sent {
		c.write(h, c.name, nil, 0)
	}
	if c.grantSent {
		c.write(h, c.grant, nil, 0)
	}
}

// write adds one Set-Cookie; a life of nothing expires the cookie. fasthttp keeps one line for each name,
// so a reply never sets one cookie twice.
func (c *cookies) write(h *fasthttp.ResponseHeader, name string, value []byte, life time.Duration) {
	cookie := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetKey(name)
	cookie.SetValueBytes(value)
	cookie.SetPath("/")
	cookie.SetDomain(c.domain)
	cookie.SetHTTPOnly(true)
	cookie.SetSecure(c.secure)
	cookie.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	if seconds := int(life / time.Second); seconds > 0 {
		cookie.SetMaxAge(seconds)
	} else {
		cookie.SetMaxAge(-1) // written as max-age=0
		cookie.SetExpire(fasthttp.CookieExpireDelete)
	}
	h.SetCookie(cookie)
}
