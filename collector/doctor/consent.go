package doctor

import (
	"fmt"
	"regexp"
	"strings"

	"beckon/internal/privacy"
)

var tellsChoice = regexp.MustCompile(`\bbeckon\s*(?:\.\s*consent\s*\(|\(\s*["']consent["'])`)

// checkConsent says what becomes of visitors who have not chosen. The collector's answer to the doctor is such a case:
// it had no cookie, and said no choice.
func checkConsent(f *facts) (found []Finding) {
	if f.site == nil {
		return notChecked("the sites file does not know the site", "")
	}
	policy := f.site.Consent
	lane := max(policy.Default, privacy.LaneCount)
	highest := max(lane, policy.Allow)
	seen := fmt.Sprintf("without a choice a visitor is in lane %s, a choice may raise that to %s", lane, highest)
	if n := len(policy.Countries); n > 0 {
		seen += ", " + countOf(n, "country has its own default", "countries have defaults of their own")
	}
	var got, cause string
	if f.batch.ok() {
		got, cause, _ = strings.Cut(f.batch.header.Get("Beckon-Lane"), "; ")
	}
	if got != "" && cause == "default" && got != lane.String() {
		found = append(found, fault(fmt.Sprintf("the collector answers lane %s by default, and this sites file says %s", got, lane), "let the services and the doctor read the same sites file; look for \"sites file fault\" in the collector's log"))
	}
	if got != "" && (cause == "gpc" || cause == "dnt") {
		found = append(found, fault(fmt.Sprintf("something in between adds a wish for privacy (%s) to every request: all visitors are in lane %s", cause, got), "let no proxy set Sec-GPC or DNT"))
	}
	switch {
	case highest < privacy.LaneDecide:
		found = append(found, warning(seen+": nobody gets a visitor cookie or a personalised offer", "write consent: {default: "+lane.String()+", allow: decide} if visitors may choose that"))
	case lane == privacy.LaneDecide:
		found = append(found, ok(seen+": a visitor cookie is set at the first page"))
	case f.doc != nil && f.tag != nil && !f.tellsChoice():
		found = append(found, warning(seen+": until then there is no visitor cookie and no personalised offer, and nothing in the page's own HTML tells a choice", "let your consent tool call beckon.consent({decide: true, measure: true}), or write data-consent on the tag; a script in a file of its own may do it already"))
	default:
		found = append(found, ok(seen+": until then there is no visitor cookie and no personalised offer"))
	}
	return found
}

func (f *facts) tellsChoice() bool {
	if f.tag.has("data-consent") {
		return true
	}
	for _, s := range f.doc.inline() {
		if tellsChoice.MatchString(s.text) {
			return true
		}
	}
	return false
}
