package site

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones must not depend on what the container image ships

	"beckon/internal/privacy"

	"golang.org/x/net/publicsuffix"
)

// Bounds of the lists, far above what a real file needs: a fault is better than a slow start.
const (
	maxSites      = 1000
	maxOrigins    = 100
	maxOffers     = 100
	maxServerKeys = 10
	maxAppliesTo  = 100

	maxRetention = 3650 * day
)

// Parse reads a sites file. name is used in messages only. The error is Faults, every one of them in
// the order of the file; then the *File is nil.
func Parse(name string, data []byte) (*File, error) {
	sum := sha256.Sum256(data)
	f := &File{Name: name, Digest: hex.EncodeToString(sum[:4]), byID: map[string]*Site{}, byOrigin: map[string]*Site{}}
	r := newReader(name, string(data))
	root, ok := r.root()
	if !ok {
		return nil, r.faults.err()
	}
	root.mapping(required("sites", func(v node) {
		v.list(maxSites, func(v node) { f.add(readSite(v), v) })
	}))
	if len(f.Sites) == 0 && len(r.faults) == 0 {
		root.fault("sites: has no site")
	}
	if err := r.faults.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// add puts s into the file's indexes.
func (f *File) add(s *Site, v node) {
	f.Sites = append(f.Sites, s)
	if s.ID != "" && f.byID[s.ID] != nil {
		v.fault("another site has the id %q", s.ID)
		return
	}
	f.byID[s.ID] = s
	for _, o := range s.Origins {
		if _, shared := f.byOrigin[o]; shared {
			f.byOrigin[o] = nil // several shops under one host: the origin names none of them
			continue
		}
		f.byOrigin[o] = s
	}
}

// readSite reads one element of `sites:`.
func readSite(v node) *Site {
	s := &Site{
		Environment: "production",
		Timezone:    time.UTC,
		Events:      395 * day,
		Profiles:    90 * day,
		Consent:     privacy.Policy{Default: privacy.LaneCount, Allow: privacy.LaneDecide, GPC: privacy.LaneCount},
	}
	enabled := true
	var cookieDomain, rates, offers node
	v.mapping(
		required("id", func(v node) { v.readSiteID(&s.ID) }),
		optional("name", func(v node) { v.readText(&s.Name, 100) }),
		optional("environment", func(v node) { v.readID(&s.Environment) }),
		optional("enabled", func(v node) { v.readBool(&enabled) }),
		required("origins", func(v node) { v.readOrigins(s) }),
		optional("timezone", func(v node) { v.readTimezone(&s.Timezone) }),
		required("currency", func(v node) { v.readCurrency(&s.Currency) }),
		optional("consent", func(v node) { v.readConsent(&s.Consent) }),
		optional("geo", func(v node) { v.readGeo(&s.Region) }),
		optional("retention", func(v node) { v.readRetention(s) }),
		optional("holdout", func(v node) { v.readShare(&s.Holdout) }),
		optional("server_keys", func(v node) { v.readServerKeys(s) }),
		optional("cookie_domain", func(v node) { cookieDomain = v }),
		optional("rates", func(v node) { rates = v }),
		optional("offers", func(v node) { offers = v }),
	)
	s.Disabled = !enabled
	if s.Name == "" {
		s.Name = s.ID
	}
	// What refers to other keys is read after them, wherever it stands in the file.
	if cookieDomain.n != nil {
		cookieDomain.readCookieDomain(s)
	}
	if rates.n != nil {
		rates.readRates(s)
	}
	if offers.n != nil {
		offers.list(maxOffers, func(v node) {
			o := readOffer(v, s)
			if o.ID != "" && s.Offer(o.ID) != nil {
				v.fault("another offer of this site has the id %q", o.ID)
			}
			s.Offers = append(s.Offers, o)
		})
	}
	return s
}

func (v node) readOrigins(s *Site) {
	v.list(maxOrigins, func(v node) {
		o, ok := v.text()
		if !ok {
			return
		}
		if problem := originProblem(o); problem != "" {
			v.fault("%q %s", o, problem)
			return
		}
		if slices.Contains(s.Origins, o) {
			v.fault("%q is listed twice", o)
			return
		}
		s.Origins = append(s.Origins, o)
	})
}

// originProblem says why no browser would ever send o as its Origin, "" when one would.
func originProblem(o string) string {
	const form = "must be scheme://host or scheme://host:port, such as https://shop.example"
	u, err := url.Parse(o)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || strings.ContainsAny(o, "*\\%"):
		return form
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with http:// or https://"
	case o != u.Scheme+"://"+u.Host:
		return form + ", without user, path or slash at the end"
	case o != strings.ToLower(o):
		return "must be in lower case, as browsers send it"
	case strings.ContainsFunc(o, func(r rune) bool { return r > 0x7e }):
		return "must be in ASCII (xn--...), as browsers send it"
	case u.Scheme == "http" && u.Port() == "80", u.Scheme == "https" && u.Port() == "443", strings.HasSuffix(o, ":"):
		return "must not name the usual port: browsers leave it out"
	}
	return ""
}

func (v node) readCurrency(dst *string) {
	s, ok := v.text()
	if ok && !currencyShape.MatchString(s) {
		v.fault("%q must be a currency of ISO 4217 in capitals, such as EUR", s)
		return
	}
	*dst = s
}

// readGeo reads how fine a visitor's place is kept. The country is needed for consent in any case.
func (v node) readGeo(region *bool) {
	s, ok := v.text()
	if ok && s != "country" && s != "region" {
		v.fault("%q must be country or region", s)
		return
	}
	*region = s == "region"
}

func (v node) readConsent(p *privacy.Policy) {
	decide, measure, count := privacy.LaneDecide, privacy.LaneMeasure, privacy.LaneCount
	var byCountry node
	v.mapping(
		optional("default", func(v node) { v.readLane(&p.Default, count, measure, decide) }),
		optional("allow", func(v node) { v.readLane(&p.Allow, count, measure, decide) }),
		optional("gpc", func(v node) { v.readLane(&p.GPC, count, measure) }),
		optional("countries", func(v node) { byCountry = v }),
	)
	if p.Default > p.Allow {
		v.fault("default %s is more than allow %s", p.Default, p.Allow)
	}
	if byCountry.n == nil {
		return
	}
	p.Countries = map[string]privacy.Lane{}
	_, ok := byCountry.pairs(func(key, value node, name string) {
		if !countryShape.MatchString(name) {
			key.fault("must be a country of ISO 3166-1 in capitals, such as DE")
			return
		}
		var lane privacy.Lane
		if value.readLane(&lane, count, measure, decide) && lane > p.Allow {
			value.fault("%s is more than allow %s", lane, p.Allow)
		}
		p.Countries[name] = lane
	})
	if !ok {
		byCountry.fault("must be a mapping such as {DE: count}")
	}
}

func (v node) readRetention(s *Site) {
	v.mapping(
		optional("events", func(v node) { v.readDuration(&s.Events, day, maxRetention) }),
		optional("profiles", func(v node) { v.readDuration(&s.Profiles, day, maxRetention) }),
	)
}

func (v node) readServerKeys(s *Site) {
	v.list(maxServerKeys, func(v node) {
		sum, ok := v.readKeyHash()
		if !ok {
			return
		}
		if slices.Contains(s.ServerKeys, sum) {
			v.fault("is listed twice")
			return
		}
		s.ServerKeys = append(s.ServerKeys, sum)
	})
}

// readCookieDomain reads the domain whose hosts share the visitor cookie.
func (v node) readCookieDomain(s *Site) {
	d, ok := v.text()
	if !ok {
		return
	}
	_, err := netip.ParseAddr(d)
	if err == nil || !strings.Contains(d, ".") || strings.Contains(d, ":") || originProblem("https://"+d) != "" {
		v.fault("%q must be a domain such as shop.example", d)
		return
	}
	if suffix, _ := publicsuffix.PublicSuffix(d); suffix == d {
		v.fault("%q is open for anyone to register under: browsers refuse a cookie for it", d)
		return
	}
	if !slices.ContainsFunc(s.Origins, func(o string) bool {
		u, err := url.Parse(o)
		return err == nil && (u.Hostname() == d || strings.HasSuffix(u.Hostname(), "."+d))
	}) {
		v.fault("none of the origins is a host of %q", d)
		return
	}
	s.CookieDomain = d
}

func (v node) readRates(s *Site) {
	s.Rates = map[string]int64{}
	_, ok := v.pairs(func(key, value node, name string) {
		switch {
		case !currencyShape.MatchString(name):
			key.fault("must be a currency of ISO 4217 in capitals, such as USD")
		case name == s.Currency:
			key.fault("is the site's own currency: its rate is always 1")
		default:
			if rate, ok := value.readRate(); ok {
				s.Rates[name] = rate
			}
		}
	})
	if !ok {
		v.fault("must be a mapping such as {USD: 0.92}: one USD is 0.92 of the site's currency")
	}
}
