// Package cookie is about the cookies of one site on one connection: what they are called there, which
// of them came along, and how they are set and taken away.
//
// Both services read them here, so that whoever is a visitor, or has opted out, is so for both. A
// cookie under a name that this connection does not use (one from before a shop moved to https, say)
// makes nobody known, and goes when the others go.
package cookie

import (
	"bytes"
	"iter"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// Names is how the cookies of a site may be called.
type Names struct {
	plain, hostOnly string // the visitor cookie
	grant           string // the active grant, which the aggregator sets
	domain          string // of the site; "" = the host that sets it
}

// NamesOf returns the names of a site's cookies.
func NamesOf(s *site.Site) Names {
	return Names{privacy.CookieName(s.ID, false), privacy.CookieName(s.ID, true), privacy.GrantCookieName(s.ID), s.CookieDomain}
}

// Jar is a site's cookies on one connection.
type Jar struct {
	name, other string // of the visitor cookie: the one in use here, and the one that is not
	grant       string
	domain      string
	secure      bool

	// What the request had, after Read.
	OptedOut bool
	Grants   [][]byte // values of the grant cookie; they live as long as the request

	sent, otherSent bool
}

// On returns the jar of a connection. The visitor cookie is host-only (__Host-) where the shopper
// speaks https and the site does not share it between hosts.
func (n Names) On(https bool) Jar {
	j := Jar{name: n.plain, other: n.hostOnly, grant: n.grant, domain: n.domain, secure: https}
	if https && n.domain == "" {
		j.name, j.other = j.other, j.name
	}
	return j
}

// Host returns a jar for cookies that belong to the host and no site: the opt-out cookie.
func Host(https bool) Jar { return Jar{secure: https} }

// Read looks through the request's cookies. Of several with the visitor cookie's name (an older Path or
// Domain) the first that is valid counts; one that is not valid is as good as none.
func (j *Jar) Read(h *fasthttp.RequestHeader, keys *keyring.Site, now time.Time) (v privacy.Visit, known bool) {
	for key, value := range pairs(h) {
		switch string(key) {
		case j.name:
			j.sent = true
			if !known {
				v, known = privacy.OpenVisit(keys, value, now)
			}
		case j.other:
			j.otherSent = true
		case j.grant:
			j.Grants = append(j.Grants, value)
		case privacy.OptOutCookie:
			j.OptedOut = j.OptedOut || string(value) == "1"
		}
	}
	return v, known
}

// pairs goes through the cookies of a request as RFC 6265 reads them: at every semicolon, without the spaces
// around a name and a value. fasthttp's own reading copies each and checks each character; ours compares.
func pairs(h *fasthttp.RequestHeader) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for _, line := range h.PeekAll(fasthttp.HeaderCookie) {
			for len(line) > 0 {
				var pair []byte
				pair, line, _ = bytes.Cut(line, []byte{';'})
				if key, value, ok := bytes.Cut(pair, []byte{'='}); ok && !yield(bytes.TrimSpace(key), bytes.TrimSpace(value)) {
					return
				}
			}
		}
	}
}

// SetVisit sends the visitor cookie with what is left of its life.
func (j *Jar) SetVisit(h *fasthttp.ResponseHeader, v privacy.Visit, keys *keyring.Site, now time.Time) {
	var stack [128]byte
	j.write(h, j.name, v.AppendTo(stack[:0], keys), v.MaxAge(now))
}

// SetGrant sends the grant cookie.
func (j *Jar) SetGrant(h *fasthttp.ResponseHeader, value []byte, life time.Duration) {
	j.write(h, j.grant, value, max(life, time.Second))
}

// SetOptOut sends the opt-out cookie; ClearOptOut takes it away.
func (j *Jar) SetOptOut(h *fasthttp.ResponseHeader) {
	j.write(h, privacy.OptOutCookie, []byte("1"), privacy.OptOutLife)
}

// ClearOptOut takes the opt-out cookie away.
func (j *Jar) ClearOptOut(h *fasthttp.ResponseHeader) { j.write(h, privacy.OptOutCookie, nil, 0) }

// Expire takes away what the browser sent of the visitor and grant cookies, under every name.
func (j *Jar) Expire(h *fasthttp.ResponseHeader) {
	if j.sent {
		j.write(h, j.name, nil, 0)
	}
	if j.otherSent {
		j.write(h, j.other, nil, 0)
	}
	if len(j.Grants) > 0 {
		j.write(h, j.grant, nil, 0)
	}
}

// write adds one Set-Cookie; a life of nothing expires the cookie. fasthttp keeps one line for each name,
// so a reply never sets one cookie twice.
func (j *Jar) write(h *fasthttp.ResponseHeader, name string, value []byte, life time.Duration) {
	c := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(c)
	c.SetKey(name)
	c.SetValueBytes(value)
	c.SetPath("/")
	c.SetDomain(j.domain)
	c.SetHTTPOnly(true)
	c.SetSecure(j.secure)
	c.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	if seconds := int(life / time.Second); seconds > 0 {
		c.SetMaxAge(seconds)
	} else {
		c.SetMaxAge(-1) // written as max-age=0
		c.SetExpire(fasthttp.CookieExpireDelete)
	}
	h.SetCookie(c)
}

// Says reports whether any line of a header is exactly value. A browser sends one line, but a proxy or
// an extension may add another, and a wish for privacy counts wherever it stands.
func Says(h *fasthttp.RequestHeader, name, value string) bool {
	for _, line := range h.PeekAll(name) {
		if string(line) == value {
			return true
		}
	}
	return false
}
