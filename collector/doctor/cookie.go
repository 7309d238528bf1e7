package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"beckon/internal/privacy"
)

// checkCookie looks at a cookie that the collector really sets through everything in front of it, and says what
// follows for the visitor cookie. It is the opt-out cookie, in the moment in which it is taken away: nobody has to
// become a visitor for that, and nothing is stored. All cookies of the collector have the same attributes.
func checkCookie(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.endpoint == nil:
		return notChecked("the address of the collector is not known", "")
	case f.site == nil:
		return notChecked("the sites file does not know the site", "")
	case !sameSite(f.self.Hostname(), f.endpoint.Hostname()):
		return []Finding{fault(fmt.Sprintf("page and collector are two sites to a browser, %s and %s: the cookie is SameSite=Lax and is not sent, and most browsers keep none from another site", f.self.Hostname(), f.endpoint.Hostname()),
			"publish the collector under a path of the shop, such as "+originOf(f.self)+"/px")}
	case !f.optIn.ok():
		return notChecked("the collector did not take a request that has a cookie in its answer, see collector", "")
	}
	found = append(found, f.judgeAttributes()...)
	found = append(found, f.judgeScope()...)
	if len(found) == 0 {
		found = append(found, ok(fmt.Sprintf("the visitor cookie is %s, for %s, with %s", f.cookieName(), f.cookieScope(), list(f.cookieAttributes()))))
	}
	return found
}

func (f *facts) cookieName() string {
	return privacy.CookieName(f.site.ID, f.endpoint.Scheme == "https" && f.site.CookieDomain == "")
}

func (f *facts) cookieScope() string {
	if f.site.CookieDomain != "" {
		return "every host of " + f.site.CookieDomain
	}
	return "the host " + f.endpoint.Hostname() + " alone"
}

func (f *facts) cookieAttributes() []string {
	all := []string{"HttpOnly", "SameSite=Lax", "Path=/"}
	if f.endpoint.Scheme == "https" {
		all = append(all, "Secure")
	}
	return all
}

// judgeAttributes compares what arrives with what the collector sends.
func (f *facts) judgeAttributes() (found []Finding) {
	var seen *http.Cookie
	for _, line := range f.optIn.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == privacy.OptOutCookie {
			seen = c
		}
	}
	if seen == nil {
		return []Finding{fault("the collector's Set-Cookie does not arrive: nobody becomes a visitor", "let no rule of a proxy or CDN take Set-Cookie off the prefix (such as proxy_hide_header, or caching)")}
	}
	change := func(what, mend string) { found = append(found, fault(what, mend)) }
	if seen.Path != "/" {
		change(fmt.Sprintf("something in between writes Path=%s into cookies: browsers refuse __Host- cookies with it, and the shop's pages do not get others", seen.Path), "take proxy_cookie_path, or what is like it, off the prefix")
	}
	if seen.Domain != "" {
		change(fmt.Sprintf("something in between writes Domain=%s into cookies: browsers refuse __Host- cookies with it", seen.Domain), "take proxy_cookie_domain, or what is like it, off the prefix; cookie_domain in the sites file shares the cookie between hosts")
	}
	if !seen.HttpOnly {
		change("something in between takes HttpOnly off cookies: every script of the page could read the visitor's", "let the collector's Set-Cookie through as it is")
	}
	if seen.SameSite != http.SameSiteLaxMode {
		change("something in between changes SameSite of cookies, which is Lax", "let the collector's Set-Cookie through as it is")
	}
	switch https := f.endpoint.Scheme == "https"; {
	case https && !seen.Secure:
		change("cookies come over https without Secure: the collector does not know that the visitor speaks https, so the name is "+privacy.CookieName(f.site.ID, false), "let the proxy write X-Forwarded-Proto, and name it at the collector with --trusted-proxy; see proxy")
	case !https && seen.Secure && !isLoopback(f.endpoint):
		change("cookies come over plain http with Secure: browsers refuse them", "let the shop speak https; else let the proxy write the true X-Forwarded-Proto")
	}
	return found
}

// judgeScope asks whether the hosts of the shop share the visitor, and whether they may.
func (f *facts) judgeScope() (found []Finding) {
	page, collector, domain := f.self.Hostname(), f.endpoint.Hostname(), f.site.CookieDomain
	if domain != "" {
		if !within(collector, domain) {
			return []Finding{fault(fmt.Sprintf("cookie_domain is %s, and the collector answers at %s: browsers refuse a cookie for another domain", domain, collector), "correct cookie_domain, or publish the collector at a host of it")}
		}
		if !within(page, domain) {
			return []Finding{warning(fmt.Sprintf("cookie_domain is %s, and the page is at %s: its visitors are others", domain, page), "name a domain that all hosts of the shop share")}
		}
		return nil
	}
	if !f.site.Lists([]byte(originOf(f.self))) {
		return nil // what the site's pages share says nothing of one that is none of them
	}
	var others []string
	for _, origin := range f.site.Origins {
		u, err := url.Parse(origin)
		if err != nil {
			continue
		}
		if host := u.Hostname(); host != page && sameSite(host, page) && !slices.Contains(others, host) {
			others = append(others, host)
		}
	}
	if len(others) > 0 && strings.EqualFold(page, collector) {
		shared, err := publicsuffix.EffectiveTLDPlusOne(page)
		if err != nil {
			return nil
		}
		return []Finding{warning(fmt.Sprintf("the cookie is for %s alone, and the site has pages at %s: whoever goes from one to the other is two visitors, if each host has a prefix of its own", page, list(others)), "write cookie_domain: "+shared+" for the site, if these are one shop")}
	}
	return nil
}

func within(host, domain string) bool {
	host, domain = strings.ToLower(host), strings.ToLower(domain)
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// sameSite reports whether two hosts are one site to a browser: they have one registrable domain.
func sameSite(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	x, errA := publicsuffix.EffectiveTLDPlusOne(a)
	y, errB := publicsuffix.EffectiveTLDPlusOne(b)
	return errA == nil && errB == nil && x == y && strings.Contains(x, ".") && !isNumber(x)
}

// isNumber tells an address: its last label is a number, or it has colons.
func isNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Trim(last, "0123456789") == "" || strings.Contains(host, ":")
}
