package privacy

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

const built = 1_790_000_000

// geoFile writes a database of the given type. record makes the record of a country.
func geoFile(t *testing.T, kind string, record func(country string) mmdbtype.DataType) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: built, Languages: []string{"en"},
		Description: map[string]string{"en": "for tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for network, country := range map[string]string{
		"203.0.113.0/24": "DE", "198.51.100.0/25": "FR", "198.51.100.128/25": "CH", "2001:db8:1200::/40": "GB", "2001:db8:ff34::/48": "US",
		"192.0.2.0/24": "DEU", "192.88.99.0/24": "",
	} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, record(country)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "geo.mmdb")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func nestedRecord(country string) mmdbtype.DataType {
	return mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String("Town")}},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("XX")}},
	}
}

func flatCountry(country string) mmdbtype.DataType {
	return mmdbtype.Map{"country_code": mmdbtype.String(country), "city": mmdbtype.String("Town")}
}

func TestCountryReadsBothLayouts(t *testing.T) {
	for kind, record := range map[string]func(string) mmdbtype.DataType{
		"GeoLite2-Country": nestedRecord, "GeoLite2-City": nestedRecord, "GeoIP2-City": nestedRecord,
		"DBIP-Country-Lite": nestedRecord, "DBIP-City-Lite": nestedRecord,
		"country ipvAll": flatCountry, "city ipv4": flatCountry,
	} {
		t.Run(kind, func(t *testing.T) {
			g, err := OpenGeo(geoFile(t, kind, record))
			if err != nil {
				t.Fatal(err)
			}
			if g.BuildTime().Unix() != built {
				t.Errorf("built %v", g.BuildTime())
			}
			f := func(addr, want string) {
				t.Helper()
				if got := g.Country(Truncate(ParseAddr([]byte(addr)))).String(); got != want {
					t.Errorf("Country(%s) = %q, want %q", addr, got, want)
				}
			}
			f("203.0.113.77", "DE")
			f("::ffff:203.0.113.77", "DE")
			f("2001:db8:1234:5678::1", "GB")
			f("10.0.0.1", "")
			f("2001:4860::1", "")
			f("192.0.2.1", "")   // what the file says is no country code
			f("192.88.99.1", "") // a record without a country
			f("unknown", "")
			// The dropped bits have no say, though the file knows more.
			f("198.51.100.1", "FR")
			f("198.51.100.200", "FR")
			f("2001:db8:ff34::1", "")
		})
	}
}

func TestOpenGeoRefusesWhatItCannotRead(t *testing.T) {
	good := geoFile(t, "GeoLite2-Country", nestedRecord)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	f := func(why string, content []byte, says string) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "geo.mmdb")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenGeo(name); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %q and the name of the file", why, err, says)
		}
	}
	f("an empty file", nil, "not a MaxMind DB file")
	f("text", []byte("<html>not found</html>"), "not a MaxMind DB file")
	f("a cut file", b[:len(b)/2], "not a MaxMind DB file")
	f("a file without its beginning", b[64:], "damaged")
	if _, err := OpenGeo(filepath.Join(t.TempDir(), "none.mmdb")); err == nil {
		t.Error("a missing file was opened")
	}
}

func TestGeoIsNotTouchedByASwappedFile(t *testing.T) {
	name := geoFile(t, "country ipvAll", flatCountry)
	g, err := OpenGeo(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	if got := g.Country(Truncate(netip.MustParseAddr("203.0.113.77"))).String(); got != "DE" {
		t.Fatalf("after the file was cut, the country is %q", got)
	}
}
