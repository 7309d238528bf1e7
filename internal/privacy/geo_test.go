package privacy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"
)

const built = 1_790_000_000

// geoNetworks are the networks of the test databases: the country and the region of each.
var geoNetworks = map[string][2]string{
	"203.0.113.0/24": {"DE", "Bavaria"}, "198.51.100.0/25": {"FR", "Île-de-France"}, "198.51.100.128/25": {"CH", "Zürich"},
	"2001:db8:1200::/40": {"GB", "England"}, "2001:db8:ff34::/48": {"US", "Texas"},
	"192.0.2.0/24": {"DEU", "x@example.com and more than sixty-four bytes of text in the name of a region"}, "192.88.99.0/24": {"", ""},
	"198.18.0.0/15": {"-", "-"}, "198.51.101.0/24": {"SE", "Skane"},
	"100.64.0.0/10": {"BR", "Rio Grande do Sul"}, "100.127.255.0/27": {"AR", "Salta"},
}

// regionCodes are the regions' codes where a file has them.
var regionCodes = map[string]string{
	"Bavaria": "BY", "Île-de-France": "IDF", "Zürich": "ZH", "England": "ENG", "Texas": "TX", "Rio Grande do Sul": "RS", "Salta": "A", "Skane": "LONG",
	"x@example.com and more than sixty-four bytes of text in the name of a region": "x@example.com",
}

type geoRecord func(country, region string) mmdbtype.DataType

// geoBytes makes a database of the given type.
func geoBytes(t testing.TB, kind string, epoch int64, record geoRecord) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: epoch, Languages: []string{"en"},
		Description: map[string]string{"en": "for tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The wide ones first, since the narrow ones take their part out of them.
	for _, network := range slices.SortedFunc(maps.Keys(geoNetworks), func(a, b string) int {
		return cmp.Or(netip.MustParsePrefix(a).Bits()-netip.MustParsePrefix(b).Bits(), strings.Compare(a, b))
	}) {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		data := record(geoNetworks[network][0], geoNetworks[network][1])
		if geoNetworks[network][0] == "-" {
			data = mmdbtype.Map{"registered": mmdbtype.Bool(true)} // a record that says nothing of where it is
		}
		if err := tree.Insert(n, data); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func geoFile(t testing.TB, kind string, record geoRecord) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "geo.mmdb")
	if err := os.WriteFile(name, geoBytes(t, kind, built, record), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What a file knows beyond the region must never be read.
const (
	secretCity     = "Garching-Hochbrueck"
	secretPostcode = "85748"
	secretLatitude = 48.2489
)

func nestedRecord(country, region string) mmdbtype.DataType {
	return nested(country, mmdbtype.Map{
		"iso_code": mmdbtype.String(regionCodes[region]), "names": mmdbtype.Map{"en": mmdbtype.String(region)},
	})
}

// namedRecord is how DB-IP Lite has it.
func namedRecord(country, region string) mmdbtype.DataType {
	return nested(country, mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(region)}})
}

func nested(country string, subdivision mmdbtype.Map) mmdbtype.DataType {
	return mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(secretCity)}},
		"postal":       mmdbtype.Map{"code": mmdbtype.String(secretPostcode)},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(secretLatitude), "longitude": mmdbtype.Float64(11.65)},
		"subdivisions": mmdbtype.Slice{subdivision, mmdbtype.Map{"iso_code": mmdbtype.String("2ND")}},
	}
}

// countryRecord is that of a country database.
func countryRecord(country, _ string) mmdbtype.DataType {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}
}

func flatRecord(country, region string) mmdbtype.DataType {
	return mmdbtype.Map{
		"country_code": mmdbtype.String(country), "state1": mmdbtype.String(region), "city": mmdbtype.String(secretCity),
		"postcode": mmdbtype.String(secretPostcode), "latitude": mmdbtype.Float32(secretLatitude),
	}
}

func flatCountry(country, _ string) mmdbtype.DataType {
	return mmdbtype.Map{"country_code": mmdbtype.String(country)}
}

func TestGeoReadsBothLayouts(t *testing.T) {
	for _, file := range []struct {
		kind   string
		record geoRecord
		region string // the form of a region: code, name or none
	}{
		{"GeoLite2-Country", countryRecord, ""},
		{"GeoLite2-City", nestedRecord, "code"},
		{"GeoIP2-City", nestedRecord, "code"},
		{"DBIP-Country-Lite", countryRecord, ""},
		{"DBIP-City-Lite", namedRecord, "name"},
		{"country ipvAll", flatCountry, ""},
		{"city ipv4", flatRecord, "name"},
	} {
		t.Run(file.kind, func(t *testing.T) {
			g, err := OpenGeo(geoFile(t, file.kind, file.record))
			if err != nil {
				t.Fatal(err)
			}
			if g.BuildTime().Unix() != built || g.Nodes() == 0 {
				t.Errorf("built %v, %d nodes", g.BuildTime(), g.Nodes())
			}
			f := func(addr, country, code, name string) {
				t.Helper()
				n := Truncate(ParseAddr([]byte(addr)))
				region := map[string]string{"code": code, "name": name}[file.region]
				if c, r := g.Country(n).String(), g.Region(n).String(); c != country || r != region {
					t.Errorf("%s is in %q, %q, want %q, %q", addr, c, r, country, region)
				}
			}
			f("203.0.113.77", "DE", "DE-BY", "DE-bavaria")
			f("::ffff:203.0.113.77", "DE", "DE-BY", "DE-bavaria")
			f("2001:db8:1234:5678::1", "GB", "GB-ENG", "GB-england")
			f("10.0.0.1", "", "", "")
			f("2001:4860::1", "", "", "")
			f("192.0.2.1", "", "", "")   // what the file says is no country code, and no region's
			f("192.88.99.1", "", "", "") // a record without a country
			f("unknown", "", "", "")
			f("198.51.101.1", "SE", "SE-skane", "SE-skane") // a code that is none: the name
			f("198.18.0.1", "", "", "")                     // nothing of the look-up before it is left over
			// Odd boundaries: the last network of a wide one is another country's, and only its first part.
			f("100.64.0.1", "BR", "BR-RS", "BR-rio-grande-do-sul")
			f("100.127.254.255", "BR", "BR-RS", "BR-rio-grande-do-sul")
			f("100.127.255.200", "AR", "AR-A", "AR-salta")
			f("100.128.0.0", "", "", "")
			// The dropped bits have no say, though the file knows more.
			f("198.51.100.1", "FR", "FR-IDF", "FR-le-de-france")
			f("198.51.100.200", "FR", "FR-IDF", "FR-le-de-france")
			f("2001:db8:ff34::1", "", "", "")
		})
	}
}

// Whatever address of a network is asked for, the answer is that of the network.
func TestGeoDoesNotDependOnDroppedBits(t *testing.T) {
	g, err := OpenGeo(geoFile(t, "GeoLite2-City", nestedRecord))
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"198.51.100.0", "100.127.255.0", "203.0.113.0", "2001:db8:1200::", "2001:db8:ff00::"} {
		first := netip.MustParseAddr(base)
		n := Truncate(first)
		country, region := g.Country(n), g.Region(n)
		raw := first.AsSlice()
		for i := range 256 {
			raw[len(raw)-1] = byte(i)
			if len(raw) == 16 {
				raw[5], raw[6] = byte(i), byte(i)
			}
			addr, _ := netip.AddrFromSlice(raw)
			if m := Truncate(addr); g.Country(m) != country || g.Region(m) != region {
				t.Fatalf("%s is in %v, %v, its network in %v, %v", addr, g.Country(m), g.Region(m), country, region)
			}
		}
	}
}

// A file is asked for two fields. What it knows beyond them is in no result and in no memory of ours.
func TestGeoKeepsNoCityPostcodeOrCoordinates(t *testing.T) {
	for kind, record := range map[string]geoRecord{"GeoIP2-City": nestedRecord, "DBIP-City-Lite": namedRecord, "city ipv4": flatRecord} {
		g, err := OpenGeo(geoFile(t, kind, record))
		if err != nil {
			t.Fatal(err)
		}
		kept := fmt.Sprint(g.countries, g.regions) // the texts of the file too: they are the keys
		if len(g.countries) == 0 || len(g.regions) == 0 {
			t.Errorf("%s: nothing was read", kind)
		}
		for _, secret := range []string{secretCity, strings.ToLower(secretCity), secretPostcode, "48.2", "x@example", "2ND"} {
			if strings.Contains(kept, secret) {
				t.Errorf("%s: %q was read: %s", kind, secret, kept)
			}
		}
		for _, layout := range geoLayouts {
			paths := [][]any{layout.country}
			for _, field := range layout.regions {
				paths = append(paths, field.path)
			}
			for _, path := range paths {
				for _, word := range []any{"city", "postal", "postcode", "location", "latitude", "longitude", "state2", "timezone"} {
					if slices.Contains(path, word) {
						t.Errorf("the field %v is read", path)
					}
				}
			}
		}
	}
}

func TestGeoLooksUpWithoutAllocating(t *testing.T) {
	n := Truncate(netip.MustParseAddr("203.0.113.77"))
	for kind, record := range map[string]geoRecord{"GeoLite2-City": nestedRecord, "DBIP-City-Lite": namedRecord, "city ipv4": flatRecord} {
		g, err := OpenGeo(geoFile(t, kind, record))
		if err != nil {
			t.Fatal(err)
		}
		g.Country(n)
		g.Region(n)
		allocs(t, kind+": a country", 0, func() { g.Country(n) })
		allocs(t, kind+": a region", 0, func() { g.Region(n) })
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
	f("a tree whose branches lead to one another", entangled(t, b), "damaged: the tree is none")
	f("a file without a country", geoBytes(t, "GeoLite2-ASN", built, func(string, string) mmdbtype.DataType {
		return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496)}
	}), "no record has a country")
	f("a file whose country is a number", geoBytes(t, "GeoLite2-Country", built, func(string, string) mmdbtype.DataType {
		return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(49)}}
	}), "damaged")
	if _, err := OpenGeo(filepath.Join(t.TempDir(), "none.mmdb")); err == nil {
		t.Error("a missing file was opened")
	}
}

// entangled gives each of the first nodes one successor twice: as many ways lead down as the powers of two.
func entangled(t *testing.T, b []byte) []byte {
	t.Helper()
	const size, nodes = 6, 60 // two records of 24 bits
	b = bytes.Clone(b)
	var end [4]byte
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		next := uint32(i + 1)
		if i == nodes-1 {
			next = uint32(db.Metadata.NodeCount) // no record
		}
		binary.BigEndian.PutUint32(end[:], next)
		copy(b[i*size:], end[1:])
		copy(b[i*size+3:], end[1:])
	}
	return b
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

// FuzzGeo gives a file from anywhere: it is refused, or answers with words of a safe form.
func FuzzGeo(f *testing.F) {
	for kind, record := range map[string]geoRecord{"GeoLite2-City": nestedRecord, "DBIP-City-Lite": namedRecord, "city ipv4": flatRecord} {
		b := geoBytes(f, kind, built, record)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(b[128:])
	}
	var networks []Network
	for network := range geoNetworks {
		networks = append(networks, Truncate(netip.MustParsePrefix(network).Addr()))
	}
	region := regexp.MustCompile(`^([A-Z]{2}-([A-Z0-9]{1,3}|[a-z]([a-z-]{0,62}[a-z])?))?$`)
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := newGeo(b)
		if err != nil {
			return
		}
		for _, n := range networks {
			if c := g.Country(n).String(); c != "" && countryCode(c) == (Bucket{}) {
				t.Fatalf("the country %q", c)
			}
			if r := g.Region(n).String(); !region.MatchString(r) {
				t.Fatalf("the region %q", r)
			}
		}
	})
}

func BenchmarkGeo(b *testing.B) {
	g, err := OpenGeo(geoFile(b, "GeoLite2-City", nestedRecord))
	if err != nil {
		b.Fatal(err)
	}
	n := Truncate(netip.MustParseAddr("203.0.113.77"))
	b.Run("country", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.Country(n)
		}
	})
	b.Run("region", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.Region(n)
		}
	})
}
