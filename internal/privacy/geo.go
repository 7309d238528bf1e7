package privacy

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// Geo looks countries up in a MaxMind DB file. It is safe for concurrent use.
//
// Two layouts are known: the nested one of GeoLite2, GeoIP2 and DB-IP as their vendors ship it, and the
// flat one of the ip-location-db packages ({"country_code": "GB"}), which geoip2-golang refuses by its
// type name. The look-up gets the truncated network, so a result cannot depend on the bits that were
// dropped; nothing finer than the country is read.
type Geo struct {
	nested *geoip2.Reader
	flat   *maxminddb.Reader // one of the two
	built  time.Time
}

// flatRecord is all that is decoded of a flat file's record.
type flatRecord struct {
	Country string `maxminddb:"country_code"`
}

// OpenGeo reads the file into memory and checks all of it. It is not mapped: a file that is replaced or
// cut while it is in use would end the process with SIGBUS.
func OpenGeo(path string) (*Geo, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read geo database: %w", err)
	}
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("geo database %s: not a MaxMind DB file: %w", path, err)
	}
	if err := readAll(db); err != nil {
		return nil, fmt.Errorf("geo database %s: damaged: %w", path, err)
	}
	g := &Geo{built: db.Metadata.BuildTime()}
	var unknown geoip2.UnknownDatabaseTypeError
	switch g.nested, err = geoip2.OpenBytes(b); {
	case errors.As(err, &unknown):
		g.nested, g.flat = nil, db
	case err != nil:
		return nil, fmt.Errorf("geo database %s: %w", path, err)
	}
	return g, nil
}

// readAll walks the whole tree and decodes each record once. (Reader.Verify also demands a description,
// which the flat files do not have.)
func readAll(db *maxminddb.Reader) error {
	seen := make(map[uintptr]bool)
	for result := range db.Networks() {
		if seen[result.Offset()] && result.Err() == nil {
			continue
		}
		var record any
		if err := result.Decode(&record); err != nil {
			return err
		}
		seen[result.Offset()] = true
	}
	return nil
}

// BuildTime returns when the database was made.
func (g *Geo) BuildTime() time.Time { return g.built }

// Country returns the ISO 3166-1 code of a network's country in capitals; empty when it is not known.
func (g *Geo) Country(n Network) Bucket {
	p := n.p
	if !p.IsValid() {
		return Bucket{}
	}
	var code string
	if g.nested != nil {
		record, err := g.nested.Country(p.Addr())
		if err != nil {
			return Bucket{}
		}
		code = record.Country.ISOCode
	} else {
		var record flatRecord
		if err := g.flat.Lookup(p.Addr()).Decode(&record); err != nil {
			return Bucket{}
		}
		code = record.Country
	}
	return countryCode(code)
}

// countryCode keeps two capital letters: the file comes from outside and must not put text into rows.
func countryCode(s string) Bucket {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return Bucket{}
	}
	return Bucket{s: s}
}
