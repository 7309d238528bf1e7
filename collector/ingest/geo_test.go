package ingest

import (
	"strings"
	"testing"

	"beckon/internal/privacy"
)

// bavaria is a geo file that knows one place.
type bavaria struct{}

func (bavaria) Country(privacy.Network) privacy.Bucket { return privacy.NewBucket("DE") }
func (bavaria) Region(privacy.Network) privacy.Bucket  { return privacy.NewBucket("DE-BY") }

func TestRegionIsKeptOnlyWhereTheSiteAsksForIt(t *testing.T) {
	s := openShop(t, func(c *Config) { c.Geo = bavaria{} })
	f := func(geo, region string) {
		t.Helper()
		s.sites.file.Store(parseSites(t, strings.Replace(sitesText, "currency: EUR", "currency: EUR\n"+geo, 1)))
		s.post(batch("demo", pageView))
		all := s.stored()
		if e := all[len(all)-1]; e.Country != "DE" || e.Region != region {
			t.Errorf("with %q an event is from %q, %q, want the region %q", strings.TrimSpace(geo), e.Country, e.Region, region)
		}
	}
	f("", "")
	f("    geo: country", "")
	f("    geo: region", "DE-BY")
}
