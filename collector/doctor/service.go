package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"beckon/internal/cors"
)

// mends says what to do about each refusal that a doctor can meet.
var mends = map[string]string{
	"origin-not-listed":  "add %s to the origins of the site in the sites file that the service reads",
	"unknown-site":       "the service reads another sites file than this one, or has refused it whole: look for \"sites file fault\" in its log",
	"not-found":          "the prefix that arrives is not the service's --path-prefix: pass the path on unchanged with --path-prefix, or strip it without",
	"method-not-allowed": "let POST, GET, HEAD and OPTIONS through to the service",
	"rate-limited":       "this machine, or the proxy for everybody, is over a limit: see proxy, and docs/operations.md, Rate limits",
	"spool-full":         "nothing is taken until ClickHouse takes events or the disk has room: docs/operations.md, What to do when",
	"shutting-down":      "the collector stops just now: ask again when it runs",
	"malformed":          "something in between changes the request; a batch must arrive as it is sent",
	"internal":           "the collector's log says what failed",
}

func checkCollector(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.endpoint == nil:
		return notChecked("the address of the collector is not known", "name it with --endpoint, such as https://shop.example/px")
	}
	a, where := &f.batch, f.at("e")
	if refused := f.refused(a, where.String(), "collector"); refused != nil {
		return refused
	}
	lane := a.header.Get("Beckon-Lane")
	if a.status != http.StatusNoContent || lane == "" {
		return []Finding{fault(fmt.Sprintf("%s answers a batch with %d and without Beckon-Lane: that is not the collector", where, a.status), "pass the prefix on to the collector before any other rule")}
	}
	found = f.readable(a, where.String())
	if took := a.came.Sub(a.sent); len(found) == 0 {
		found = append(found, ok(fmt.Sprintf("%s takes batches of this page, lane %s, in %d ms; nothing was stored", where, lane, took.Milliseconds())))
	}
	return found
}

// refused says why a service did not take a request, nil when it did.
func (f *facts) refused(a *answer, where, service string) []Finding {
	if a.err != nil {
		seen, mend := inWords(a.err, f.endpoint, f.config.Timeout)
		return []Finding{fault(seen, mend)}
	}
	reason := a.header.Get("Beckon-Reason")
	switch {
	case a.status >= 200 && a.status < 300 && reason == "":
		return nil
	case a.status >= 300 && a.status < 400:
		return []Finding{fault(fmt.Sprintf("%s is redirected (%d) to %s, which loses the request", where, a.status, a.header.Get("Location")), "write the address that it leads to into data-endpoint, or pass the prefix on before the rule that redirects")}
	case reason != "":
		mend, known := mends[reason]
		if !known {
			mend = "docs/reference.md, Reasons, says what it means"
		}
		mend = strings.ReplaceAll(mend, "%s", originOf(f.self))
		return []Finding{fault(fmt.Sprintf("%s answers %d: %s", where, a.status, quote(reason)), mend)}
	case a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout:
		return []Finding{fault(fmt.Sprintf("%s answers %d: the proxy does not reach the %s", where, a.status, service), fmt.Sprintf("is the %s running, and at the address that the proxy has?", service))}
	}
	return []Finding{fault(fmt.Sprintf("%s answers %d, and not Beckon", where, a.status), fmt.Sprintf("pass the prefix on to the %s, with its methods, headers and body", service))}
}

// readable asks whether a script of the page may read the answer: between two origins the browser decides by these
// headers, on one it does not ask.
func (f *facts) readable(a *answer, where string) (found []Finding) {
	allowed, origin := a.header.Values("Access-Control-Allow-Origin"), originOf(f.self)
	if f.sameOrigin() {
		return nil
	}
	pass := "pass the service's Access-Control headers on, and add none: it answers with the origin of each page that the site lists"
	switch {
	case len(allowed) > 1:
		return []Finding{fault(fmt.Sprintf("%s has Access-Control-Allow-Origin %d times: browsers refuse that", where, len(allowed)), pass)}
	case len(allowed) == 0:
		return []Finding{fault(fmt.Sprintf("%s has no Access-Control-Allow-Origin, so that the page does not see the answer", where), pass)}
	case allowed[0] == "*":
		return []Finding{fault(fmt.Sprintf("%s has Access-Control-Allow-Origin *, which browsers refuse where cookies go along", where), pass)}
	case allowed[0] != origin:
		return []Finding{fault(fmt.Sprintf("%s has Access-Control-Allow-Origin %s, and the page is of %s", where, quote(allowed[0]), origin), pass)}
	case !slices.Equal(a.header.Values("Access-Control-Allow-Credentials"), []string{"true"}):
		return []Finding{fault(where+" has no Access-Control-Allow-Credentials: true, so that no cookie is kept", pass)}
	}
	var exposed []string
	for name := range strings.SplitSeq(strings.Join(a.header.Values("Access-Control-Expose-Headers"), ","), ",") {
		exposed = append(exposed, strings.ToLower(strings.TrimSpace(name)))
	}
	var hidden []string
	for name := range strings.SplitSeq(cors.Exposed, ", ") {
		if !slices.Contains(exposed, strings.ToLower(name)) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) > 0 {
		found = append(found, warning(fmt.Sprintf("the page may not read %s of the answers: the tag does not learn why events were dropped, or when to come again", list(hidden)), pass))
	}
	return found
}

func checkDecision(f *facts) (found []Finding) {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.endpoint == nil:
		return notChecked("the address of the decision service is not known", "name it with --endpoint, such as https://shop.example/px")
	case f.site == nil:
		return notChecked("the sites file does not know the site", "")
	}
	a, where := &f.decision, f.at("v1", "decision")
	if refused := f.refused(a, where.String(), "aggregator"); refused != nil {
		if len(f.site.Offers) == 0 {
			refused[0].Outcome = Warning // the shop asks for none
			refused[0].Seen += "; the site has no offers"
		}
		return refused
	}
	if a.header.Get("Beckon-Lane") == "" {
		return []Finding{fault(fmt.Sprintf("%s answers %d without Beckon-Lane: that is not the aggregator", where, a.status), "pass "+where.Path+" on to the aggregator, the rest of the prefix to the collector")}
	}
	found = f.readable(a, where.String())
	if f.site.Disabled {
		found = append(found, warning("the site is switched off: every decision is DISABLED", "take enabled: false off the site in the sites file"))
	}
	if cache := a.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
		found = append(found, fault(fmt.Sprintf("decisions come with Cache-Control %s: one visitor could get another's offer", quote(cache)), "let no rule of a proxy or CDN change it: private, no-store"))
	}
	if len(found) == 0 {
		found = append(found, ok(where.String()+" answers this page"))
	}
	return found
}

func checkJWKS(f *facts) []Finding {
	switch {
	case f.page.err != nil:
		return notReached(f)
	case f.endpoint == nil:
		return notChecked("the address of the decision service is not known", "")
	case f.site == nil || len(f.site.Offers) == 0:
		return notChecked("the site has no offers to check", "")
	}
	a, where := &f.jwks, f.at(".well-known", "jwks.json")
	if a.err != nil {
		seen, mend := inWords(a.err, f.endpoint, f.config.Timeout)
		return []Finding{fault(seen, mend)}
	}
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
			Crv string `json:"crv"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(a.body, &set); a.status != http.StatusOK || err != nil || len(set.Keys) == 0 {
		return []Finding{fault(fmt.Sprintf("%s answers %d, and no keys: a shop's server that fetches them cannot check an offer", where, a.status), "pass "+where.Path+" on to the aggregator")}
	}
	return []Finding{ok(fmt.Sprintf("%s has %s", where, count(len(set.Keys), "key")))}
}

func checkGPC(f *facts) []Finding {
	if f.page.err != nil {
		return notReached(f)
	}
	a, where := &f.gpc, f.root("/.well-known/gpc.json")
	mend := "serve {\"gpc\":true,\"lastUpdate\":\"YYYY-MM-DD\"} as application/json there, or pass that path on to the collector, which has it"
	var says struct {
		GPC *bool `json:"gpc"`
	}
	switch {
	case a.err != nil:
		seen, _ := inWords(a.err, where, f.config.Timeout)
		return []Finding{warning(seen, mend)}
	case a.status != http.StatusOK:
		return []Finding{warning(fmt.Sprintf("%s answers %d: nobody can see that the shop honours Global Privacy Control", where, a.status), mend)}
	case json.Unmarshal(a.body, &says) != nil || says.GPC == nil:
		return []Finding{warning(fmt.Sprintf("%s does not say whether the shop honours Global Privacy Control", where), mend)}
	case !*says.GPC:
		return []Finding{warning(fmt.Sprintf("%s says that the shop does not honour Global Privacy Control; Beckon does", where), mend)}
	}
	return []Finding{ok(where.String() + " says that the shop honours Global Privacy Control")}
}
