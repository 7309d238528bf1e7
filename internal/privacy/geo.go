package privacy

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Geo looks countries and regions up in a MaxMind DB file. It never changes and is safe for concurrent use.
//
// Two layouts are known: the nested one of GeoLite2, GeoIP2 and DB-IP as their vendors ship it, and the flat
// one of the ip-location-db packages ({"country_code": "GB"}). Only the fields of a layout are ever decoded:
// what else a file knows of an address (city, postcode, coordinates) is skipped. The look-up gets the truncated
// network, so a result cannot depend on the bits that were dropped.
type Geo struct {
	db        *maxminddb.Reader
	layout    geoLayout
	countries map[string]Bucket   // of every word that the file has, so that a look-up makes none
	regions   map[geoPlace]Bucket // by the words in the file
}

// geoPlace is what is decoded of a record.
type geoPlace struct{ country, region string }

// geoLayout says where a record keeps its fields.
type geoLayout struct {
	country []any
	regions []regionField // the first that a record has
}

type regionField struct {
	path []any
	word func(string) string // what of it is kept
}

var geoLayouts = []geoLayout{
	{[]any{"country", "iso_code"}, []regionField{
		{[]any{"subdivisions", 0, "iso_code"}, regionCode},
		{[]any{"subdivisions", 0, "names", "en"}, regionName}, // DB-IP Lite has no codes
	}},
	{[]any{"country_code"}, []regionField{{[]any{"state1"}, regionName}}},
}

// maxGeoWords bounds what a file can make us remember: there are 250 countries and some 5,000 regions.
const maxGeoWords = 20_000

// OpenGeo reads the file into memory and checks all of it. It is not mapped: a file that is replaced or
// cut while it is in use would end the process with SIGBUS.
func OpenGeo(path string) (*Geo, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read geo database: %w", err)
	}
	g, err := newGeo(b)
	if err != nil {
		return nil, fmt.Errorf("geo database %s: %w", path, err)
	}
	return g, nil
}

func newGeo(b []byte) (*Geo, error) {
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("not a MaxMind DB file: %w", err)
	}
	var damage error
	for _, layout := range geoLayouts {
		g := &Geo{db: db, layout: layout, countries: make(map[string]Bucket), regions: make(map[geoPlace]Bucket)}
		if err := g.readWords(); err != nil {
			damage = cmp.Or(damage, fmt.Errorf("damaged: %w", err))
		} else if len(g.countries) > 0 {
			return g, nil
		}
	}
	if damage != nil {
		return nil, damage
	}
	return nil, fmt.Errorf("type %q: no record has a country, neither at country.iso_code nor at country_code", db.Metadata.DatabaseType)
}

// readWords walks the whole tree and reads the fields of each record once. (Reader.Verify also demands a
// description, which the flat files do not have.)
func (g *Geo) readWords() error {
	seen := make(map[uintptr]struct{})
	leaves := uint(0)
	for result := range g.db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return err
		}
		// Where branches of the tree lead to one another there is no end of networks.
		if leaves++; leaves > g.db.Metadata.NodeCount+1 {
			return errors.New("the tree is none")
		}
		if !result.Found() {
			continue
		}
		if _, again := seen[result.Offset()]; again {
			continue
		}
		seen[result.Offset()] = struct{}{}
		var place geoPlace
		if err := result.DecodePath(&place.country, g.layout.country...); err != nil {
			return err
		}
		country := countryCode(place.country)
		if country == (Bucket{}) {
			continue
		}
		g.countries[country.s] = country
		for _, field := range g.layout.regions {
			place.region = ""
			if err := result.DecodePath(&place.region, field.path...); err != nil {
				return err
			}
			if word := field.word(place.region); word != "" && len(g.regions) < maxGeoWords {
				g.regions[geoPlace{country.s, strings.Clone(place.region)}] = Bucket{s: country.s + "-" + word}
			}
		}
	}
	return nil
}

// BuildTime returns when the database was made.
func (g *Geo) BuildTime() time.Time { return g.db.Metadata.BuildTime() }

// Nodes returns the size of the database's tree.
func (g *Geo) Nodes() uint { return g.db.Metadata.NodeCount }

// Country returns the ISO 3166-1 code of a network's country in capitals; empty when it is not known.
func (g *Geo) Country(n Network) Bucket {
	place := geoPlaces.Get().(*geoPlace)
	defer geoPlaces.Put(place)
	if !hasField(g.find(n), &place.country, g.layout.country) {
		return Bucket{}
	}
	return g.countries[place.country]
}

// Region returns the network's region, of its country's first level: the ISO 3166-2 code ("DE-BY"), or of a
// file that has no codes the name behind that of the country ("DE-bavaria"); empty when it is not known.
func (g *Geo) Region(n Network) Bucket {
	place := geoPlaces.Get().(*geoPlace)
	defer geoPlaces.Put(place)
	record := g.find(n)
	if !hasField(record, &place.country, g.layout.country) {
		return Bucket{}
	}
	for _, field := range g.layout.regions {
		if hasField(record, &place.region, field.path) {
			if b := g.regions[*place]; b != (Bucket{}) {
				return b
			}
		}
	}
	return Bucket{}
}

// geoPlaces spares the look-ups an allocation: what is decoded into escapes.
var geoPlaces = sync.Pool{New: func() any { return new(geoPlace) }}

// find returns the record of a network, which may be none.
func (g *Geo) find(n Network) maxminddb.Result {
	if !n.p.IsValid() {
		return maxminddb.Result{}
	}
	return g.db.Lookup(n.p.Addr())
}

// hasField reads one field; false when the record does not have it.
func hasField(record maxminddb.Result, word *string, path []any) bool {
	*word = ""
	return record.Found() && record.DecodePath(word, path...) == nil && *word != ""
}

// CountryOf takes the code of a country from a list that the shop kept; empty when it is none.
func CountryOf(code []byte) Bucket { return countryCode(string(code)) }

// countryCode keeps two capital letters: the file comes from outside and must not put text into rows.
func countryCode(s string) Bucket {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return Bucket{}
	}
	return Bucket{s: strings.Clone(s)}
}

// regionCode keeps one to three capital letters and digits.
func regionCode(s string) string {
	if len(s) > 3 || strings.ContainsFunc(s, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
		return ""
	}
	return strings.Clone(s)
}

// maxRegionBytes is more than the longest name of a region has.
const maxRegionBytes = 64

// regionName keeps a name's ASCII letters in lower case, with one hyphen for whatever stands between them.
func regionName(s string) string {
	if len(s) > maxRegionBytes {
		return ""
	}
	name := make([]byte, 0, maxRegionBytes)
	for _, c := range appendLower(nil, []byte(s)) {
		switch {
		case c >= 'a' && c <= 'z':
			name = append(name, c)
		case len(name) > 0 && name[len(name)-1] != '-':
			name = append(name, '-')
		}
	}
	return strings.TrimSuffix(string(name), "-")
}
