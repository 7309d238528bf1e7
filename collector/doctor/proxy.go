package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"beckon/internal/privacy"
)

const (
	nameProxy = "name the proxy with --trusted-proxy (its address) or --trusted-proxy-secret-file, at both services"
	setHeader = "let the proxy write X-Forwarded-For itself or append the visitor's address to it (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)"
)

func checkProxy(f *facts) (found []Finding) {
	var status *adminStatus
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.config.Admin == "":
		return notChecked("only the collector knows whom it took the doctor for", "name its private port with --admin, such as 127.0.0.1:8090")
	case f.endpoint == nil:
		return notChecked("the address of the collector is not known", "")
	case errors.As(f.plain.err, &status) && status.path == "/probe" && f.batch.ok():
		return []Finding{warning(status.Error()+": the batch did not come to this collector", "name the private port of the collector behind "+f.endpoint.String()+"; with several behind a balancer ask again, until the answer comes from that one")}
	case f.plain.err != nil:
		return notChecked(f.plain.err.Error(), "")
	}
	found = append(found, f.judgeAddress()...)
	if f.spoofed.err == nil && f.spoofed.saw.Network == truncated(netip.MustParseAddr(invented)) {
		found = append(found, fault("a visitor can choose the address: the collector believed an X-Forwarded-For that the doctor invented", setHeader+", so that what a visitor claims does not stand last"))
	}
	if saw := f.plain.saw; f.endpoint.Scheme == "https" && !saw.HTTPS {
		mend := "let the proxy write X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme)"
		if !saw.Proxied {
			mend = nameProxy + "; " + mend
		}
		found = append(found, fault("the visitor's connection is https, and the collector does not know it: the cookie has no Secure and no __Host-", mend))
	}
	return found
}

// judgeAddress compares the network that the collector noted with what can be known here: the address from which the
// doctor called, which a NAT may have changed since, and those of the shop.
func (f *facts) judgeAddress() []Finding {
	saw := f.plain.saw
	own := truncated(f.batch.local)
	from, err := netip.ParsePrefix(saw.Network)
	near := err == nil && (from.Addr().IsLoopback() || from.Addr().IsPrivate() || from.Addr().IsLinkLocalUnicast())
	through := "directly"
	if saw.Proxied {
		through = "through a trusted proxy"
	}
	here := saw.Network != "" && saw.Network == own
	switch {
	case !saw.Proxied && saw.Forwarded:
		return []Finding{fault(fmt.Sprintf("requests come from a proxy in %s that is not trusted: to the collector all visitors have its address, and share its rate limit", saw.Network), nameProxy)}
	case saw.Proxied && saw.Network == "":
		return []Finding{fault("requests come through a trusted proxy that does not say for whom, or says what is no address: all visitors are unknown", setHeader)}
	case here:
		return []Finding{ok(fmt.Sprintf("the collector sees requests of this machine as %s, %s", saw.Network, through))}
	case saw.Proxied && saw.Own:
		return []Finding{fault(fmt.Sprintf("the address found, in %s, is within the networks of --trusted-proxy, and this machine's is not: the proxy says its own", saw.Network), setHeader+"; name no more networks than the proxies'")}
	case !saw.Proxied && near:
		return []Finding{fault(fmt.Sprintf("requests come from %s, a network that is not on the internet, and without X-Forwarded-For: that is a proxy, and to the collector all visitors have its address", saw.Network), setHeader+"; "+nameProxy)}
	case slices.ContainsFunc(f.addresses(), func(a netip.Addr) bool { return truncated(a) == saw.Network }):
		return []Finding{fault(fmt.Sprintf("the collector takes this machine for one of %s, which is the network of %s itself", saw.Network, f.endpoint.Hostname()), nameProxy+"; "+setHeader)}
	}
	return []Finding{ok(fmt.Sprintf("the collector sees requests of this machine as %s, %s; compare that with the address that it has on the internet", saw.Network, through))}
}

// addresses are those of page and endpoint.
func (f *facts) addresses() (all []netip.Addr) {
	for _, r := range f.names {
		all = append(all, r.addrs...)
	}
	return all
}

// truncated is the network that the collector would note; "" for no address.
func truncated(a netip.Addr) string { return privacy.Truncate(a).String() }
