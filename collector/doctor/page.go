package doctor

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	certificateLeft = 14 * 24 * time.Hour // renewals by themselves come a month before the end
	clockUneasy     = 30 * time.Second    // half of what a verifier of offers forgives
	clockWrong      = 5 * time.Minute     // events would be corrected to another time
)

const production = "production" // what views show unless asked

func checkSite(f *facts) (found []Finding) {
	file := f.config.Sites
	if f.site == nil {
		var known []string
		for _, s := range file.Sites {
			known = append(known, s.ID)
		}
		return []Finding{fault(fmt.Sprintf("%s has no site %s; it has %s", file.Name, quote(f.config.Site), list(known)), "correct --site, or add the site to the file")}
	}
	if f.self == nil {
		return []Finding{ok(fmt.Sprintf("%s has the site %s", file.Name, f.site.ID))}
	}
	origin := originOf(f.self)
	if !f.site.Lists([]byte(origin)) {
		seen := fmt.Sprintf("the site lists %s, and the page is of %s", list(f.site.Origins), origin)
		if f.batch.ok() {
			return []Finding{fault(seen+"; the collector takes its events all the same, so it reads another sites file", "name the one that the services read with --sites")}
		}
		mend := fmt.Sprintf("add %q to the origins of the site %s, here and where the services read it", origin, f.site.ID)
		if other := file.ByOrigin(origin); other != nil {
			mend = fmt.Sprintf("the site %s lists it: correct --site, or %s", other.ID, mend)
		}
		return []Finding{fault(seen+": its events are refused with origin-not-listed", mend)}
	}
	seen := fmt.Sprintf("%s has the site %s, which lists %s", file.Name, f.site.ID, origin)
	if f.site.Environment != production {
		seen += fmt.Sprintf("; its environment is %s, which only the views ending in _all show", f.site.Environment)
	}
	return []Finding{ok(seen)}
}

func checkPage(f *facts) (found []Finding) {
	if f.page.err != nil {
		seen, mend := inWords(f.page.err, f.config.URL, f.config.Timeout)
		return []Finding{fault(seen, mend)}
	}
	a := &f.page
	seen := fmt.Sprintf("%s answers %d, %s, %d KiB", a.url, a.status, orNone(a.header.Get("Content-Type"), "without a Content-Type"), (len(a.body)+1023)/1024)
	if len(a.hops) > 0 {
		seen += fmt.Sprintf(", after %s from %s", count(len(a.hops), "redirect"), f.config.URL)
	}
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		found = append(found, fault(seen, "what protects the shop (a password, a bot filter, a limit) does not let the doctor in: let this machine's address through, or run it where the page opens"))
	case a.status != http.StatusOK:
		found = append(found, fault(seen, "name a page with --url that shoppers see"))
	case f.docErr != nil:
		found = append(found, fault(seen+"; its HTML cannot be read: "+f.docErr.Error(), "look at the page with an HTML validator: browsers give up at the same depth"))
	case f.doc == nil:
		found = append(found, fault(seen+": that is no HTML", "name a page of the shop with --url"))
	default:
		found = append(found, ok(seen))
	}
	if a.cut {
		found = append(found, warning(fmt.Sprintf("the page is longer than %d MiB, and only that much of it was looked at", maxPageBytes>>20), "put the tag into the head"))
	}
	return found
}

func orNone(text, none string) string {
	if text == "" {
		return none
	}
	return text
}

func checkTLS(f *facts) (found []Finding) {
	if f.page.err != nil {
		return notReached(f)
	}
	if f.page.url.Scheme != "https" {
		if isLoopback(f.page.url) {
			return notChecked(f.page.url.Host+" is this machine, and speaks plain http", "")
		}
		return []Finding{fault("the page is sent over plain http: whoever stands between can read and change everything, the visitor cookie has no Secure, and some browsers' newer functions are missing",
			"let the shop speak https, and redirect http there")}
	}
	if f.config.URL.Scheme == "https" {
		for _, hop := range f.page.hops {
			if strings.HasPrefix(hop, "http://") {
				found = append(found, warning("on its way the page is redirected through plain http: "+hop, "redirect to https at once"))
				break
			}
		}
	}
	if state := f.page.tls; state != nil && len(state.PeerCertificates) > 0 {
		ends := state.PeerCertificates[0].NotAfter
		left := ends.Sub(f.config.Now())
		seen := fmt.Sprintf("the certificate of %s is trusted here and valid until %s", f.page.url.Host, ends.UTC().Format(time.DateOnly))
		if left < certificateLeft {
			return append(found, warning(fmt.Sprintf("%s, which is %d days away", seen, int(left.Hours()/24)), "renew it, and look why it was not renewed by itself"))
		}
		found = append(found, ok(seen))
	}
	return found
}

func checkClock(f *facts) []Finding {
	a, whose := &f.batch, "the collector's side"
	if !a.asked || a.err != nil || a.header.Get("Date") == "" {
		a, whose = &f.page, "the shop's server"
	}
	if f.page.err != nil {
		return notReached(f)
	}
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return notChecked("no reply has a Date", "")
	}
	if age, err := strconv.Atoi(a.header.Get("Age")); err == nil && age > 0 { // a cache kept it that long
		date = date.Add(time.Duration(age) * time.Second)
	}
	// The date was cut to its second, somewhere between question and answer: less than that is no difference.
	skew := time.Duration(0)
	switch {
	case date.Add(time.Second).Before(a.sent):
		skew = date.Add(time.Second).Sub(a.sent)
	case date.After(a.came):
		skew = date.Sub(a.came)
	}
	skew = skew.Round(time.Second)
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	seen := fmt.Sprintf("the clock of %s is %s %s this machine's", whose, skew.Abs(), direction)
	mend := "let both machines follow a time server (chrony, systemd-timesyncd)"
	switch {
	case skew.Abs() > clockWrong:
		return []Finding{fault(seen+": events are given a wrong time, and signed offers are refused", mend)}
	case skew.Abs() > clockUneasy:
		return []Finding{warning(seen+": a verifier of offers forgives a minute", mend)}
	case skew == 0:
		return []Finding{ok("the clock of " + whose + " and this machine's agree")}
	}
	return []Finding{ok(seen)}
}

// notReached is the finding of all checks that need a page, without one.
func notReached(*facts) []Finding { return notChecked("the page could not be fetched", "") }

func isLoopback(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback() || slices.Contains([]string{"localhost"}, strings.ToLower(u.Hostname())) || strings.HasSuffix(strings.ToLower(u.Hostname()), ".localhost")
}
