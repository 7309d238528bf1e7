package doctor

import (
	"fmt"
	"net/netip"

	"golang.org/x/net/publicsuffix"

	"beckon/internal/privacy"
)

// checkSafari says how long Safari lets the cookie live that the collector sets. The rule is WebKit's, in
// Source/WebKit/NetworkProcess/cocoa/NetworkTaskCocoa.mm (setCookieTransformForFirstPartyRequest and
// shouldCapCookieExpiryForThirdPartyIPAddress; added with WebKit bug 246477, October 2022; read at commit 0860310d).
// For an answer to a request of a page to its own site, other than the page itself, with Tracking Prevention on:
//
//   - The last name of the DNS chain of the host asked, where it has a CNAME, is of another registrable domain than the
//     page, and than the last name of the page's own chain: cookies live 7 days at most.
//   - Without a CNAME, its address and the page's have less in common than the first 16 bits (IPv4) or 64 bits (IPv6):
//     7 days at most. An IPv4 and an IPv6 address have nothing in common; where both hosts have both kinds, a browser
//     uses one kind for both.
//   - Else the server's own word holds.
//
// A request to another site gets no cookie at all. A path of the page's own host is compared with itself, mostly over
// one connection, which is why that is the recommended way. What browsers compare are the addresses of their two connections; here all that the DNS
// names are compared, and the worst case is told. Other machines may be told other addresses.
func checkSafari(f *facts) []Finding {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.endpoint == nil:
		return notChecked("the address of the collector is not known", "")
	}
	page, host := f.self.Hostname(), f.endpoint.Hostname()
	whole := fmt.Sprintf("Safari lets the cookie live %d days, as the collector says", int(privacy.CookieLife.Hours()/24))
	mend := "publish collector and decisions under a path of the shop, such as " + originOf(f.self) + "/px"
	if !sameSite(page, host) {
		return []Finding{fault(fmt.Sprintf("Safari keeps no cookie: %s is another site than %s", host, page), mend)}
	}
	ours, theirs := f.names[page], f.names[host]
	if page == host {
		whole += ": page and collector are one host"
		if a, b, apart := strangers(ours.addrs, ours.addrs); apart && ours.cname == "" {
			whole += fmt.Sprintf(", seldom 7: its addresses %s and %s begin otherwise, and a browser may take one for the page and the other for the collector", a, b)
		}
		return []Finding{ok(whole)}
	}
	for name, r := range map[string]resolved{page: ours, host: theirs} {
		if r.err != nil {
			return notChecked("the DNS does not answer for "+name, "")
		}
	}
	if theirs.cname != "" {
		target := domainOf(theirs.cname)
		if target != domainOf(page) && (ours.cname == "" || target != domainOf(ours.cname)) {
			return []Finding{warning(fmt.Sprintf("Safari lets the cookie live 7 days: %s is a CNAME to %s, which is of another domain than %s", host, theirs.cname, page), mend)}
		}
		return []Finding{ok(fmt.Sprintf("%s: %s is a CNAME within %s", whole, host, target))}
	}
	if a, b, apart := strangers(ours.addrs, theirs.addrs); apart {
		return []Finding{warning(fmt.Sprintf("Safari lets the cookie live 7 days, on some connections at least: %s has the address %s and %s has %s, which differ in their first %d bits", page, a, host, b, comparedBits(b)), mend+"; or give both addresses of one network")}
	}
	return []Finding{ok(fmt.Sprintf("%s: the addresses of %s and %s begin alike", whole, page, host))}
}

const (
	safariBitsV4 = 16
	safariBitsV6 = 64
)

func comparedBits(a netip.Addr) int {
	if a.Is4() {
		return safariBitsV4
	}
	return safariBitsV6
}

// strangers finds two addresses that a browser may use together and that are not of one owner to it.
func strangers(ours, theirs []netip.Addr) (a, b netip.Addr, apart bool) {
	kinds := func(all []netip.Addr) (v4, v6 bool) {
		for _, a := range all {
			v4, v6 = v4 || a.Is4(), v6 || !a.Is4()
		}
		return v4, v6
	}
	ours4, ours6 := kinds(ours)
	theirs4, theirs6 := kinds(theirs)
	mixed := ours4 != theirs4 || ours6 != theirs6
	for _, a := range ours {
		for _, b := range theirs {
			if !neighbours(a, b) && (a.Is4() == b.Is4() || mixed) {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// neighbours reports whether WebKit takes two addresses for one owner's.
func neighbours(a, b netip.Addr) bool {
	p, err := a.Prefix(comparedBits(a)) // which holds no address of the other kind
	return err == nil && p.Contains(b)
}

// domainOf is the registrable domain of a host, or the host where there is none.
func domainOf(host string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return d
	}
	return host
}
