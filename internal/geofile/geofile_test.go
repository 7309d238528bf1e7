package geofile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"beckon/internal/privacy"
)

const day = 24 * time.Hour

// made is when the databases of the tests were made; now is soon after.
var (
	made = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now  = made.Add(2 * day)
	home = privacy.Truncate(netip.MustParseAddr("203.0.113.77"))
)

// database makes one in which 203.0.113.0/24 is in the country, among others.
func database(t *testing.T, country string, at time.Time, others int) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "GeoLite2-City", RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: at.Unix(), Languages: []string{"en"},
		Description: map[string]string{"en": "for tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	add := func(network, country, region string) {
		_, n, err := net.ParseCIDR(network)
		if err == nil {
			err = tree.Insert(n, mmdbtype.Map{
				"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country)},
				"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(region)}},
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range others {
		add(fmt.Sprintf("10.0.%d.0/24", i), "FR", fmt.Sprint(i)) // all different, or they become one network
	}
	add("203.0.113.0/24", country, "R"+country[:1])
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put replaces the file as a careful operator does: by a rename.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, content []byte) (f *File, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "geo.mmdb")
	put(t, path, content)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return now }
	return f, path
}

func TestReloadTakesANewerFile(t *testing.T) {
	f, path := open(t, database(t, "DE", made, 40))
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	if got := f.Country(home).String() + f.Region(home).String(); got != "DEDE-RD" {
		t.Fatalf("before: %q", got)
	}
	put(t, path, database(t, "AT", made.Add(day), 40))
	f.reload(logger)
	if got := f.Country(home).String(); got != "DE" {
		t.Fatalf("a file that was seen once only is in force: %q", got)
	}
	f.reload(logger)
	if got := f.Country(home).String() + f.Region(home).String(); got != "ATAT-RA" {
		t.Fatalf("after: %q", got)
	}
	if !strings.Contains(log.String(), `"geo file reloaded"`) || !strings.Contains(log.String(), "2026-11-02") {
		t.Errorf("the log says %s", &log)
	}
	want := fmt.Sprintf(`
# HELP beckon_geo_build_timestamp_seconds When the geo database in force was made.
# TYPE beckon_geo_build_timestamp_seconds gauge
beckon_geo_build_timestamp_seconds %g
# HELP beckon_geo_reloads_total Changed geo files that were taken, or refused while the old one stays.
# TYPE beckon_geo_reloads_total counter
beckon_geo_reloads_total{outcome="refused"} 0
beckon_geo_reloads_total{outcome="taken"} 1
`, float64(made.Add(day).Unix()))
	if got := metrics(t, f); got != want {
		t.Errorf("the metrics are %s", got)
	}
}

// metrics returns the page of f's metrics.
func metrics(t *testing.T, f *File) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(f)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteByte('\n')
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&page, family); err != nil {
			t.Fatal(err)
		}
	}
	return page.String()
}

func TestReloadRefusesAStepBack(t *testing.T) {
	good := database(t, "AT", made.Add(day), 200)
	f := func(why string, content []byte, says string) {
		t.Helper()
		f, path := open(t, database(t, "DE", made, 200))
		var log bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&log, nil))
		if content == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			put(t, path, content)
		}
		for range 5 {
			f.reload(logger)
		}
		if got := f.Country(home).String(); got != "DE" {
			t.Errorf("%s: the country is %q", why, got)
		}
		if n := strings.Count(log.String(), "geo file refused, the old one stays"); n != 1 || !strings.Contains(log.String(), says) {
			t.Errorf("%s: want it said once, with %q: %s", why, says, &log)
		}
		if page := metrics(t, f); !strings.Contains(page, `{outcome="refused"} 1`) {
			t.Errorf("%s: want one refusal counted: %s", why, page)
		}
		// And what comes after it is taken.
		put(t, path, good)
		f.reload(logger)
		f.reload(logger)
		if got := f.Country(home).String(); got != "AT" {
			t.Errorf("%s: then the country is %q", why, got)
		}
		// A restart takes whatever can be read.
		if content != nil {
			put(t, path, content)
			if again, err := Open(path); err == nil && again.Country(home).String() != "CH" {
				t.Errorf("%s: a restart finds %v", why, again.Country(home))
			}
		}
	}
	f("older", database(t, "CH", made.Add(-time.Second), 200), "it was made on 2026-10-31, before the one in force")
	f("half as big", database(t, "CH", made.Add(day), 100), "nodes, that of the one in force")
	f("truncated", good[:len(good)/2], "not a MaxMind DB file")
	f("damaged", append(bytes.Repeat([]byte{0xff}, len(good)/2), good[len(good)/2:]...), "damaged")
	f("empty", []byte{}, "not a MaxMind DB file")
	f("gone", nil, "no such file")
}

func TestReloadTakesAFileALittleSmaller(t *testing.T) {
	f, path := open(t, database(t, "DE", made, 100))
	put(t, path, database(t, "CH", made, 96))
	f.reload(slog.New(slog.DiscardHandler))
	f.reload(slog.New(slog.DiscardHandler))
	if got := f.Country(home).String(); got != "CH" {
		t.Fatalf("the country is %q", got)
	}
}

// A copy in place is not read before it is whole: each look finds it bigger than the last.
func TestReloadWaitsForAFileThatIsBeingWritten(t *testing.T) {
	f, path := open(t, database(t, "DE", made, 40))
	next := database(t, "AT", made.Add(day), 40)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	logger := slog.New(slog.DiscardHandler)
	for part := range len(next)/100 + 1 {
		if _, err := out.Write(next[part*100 : min(len(next), part*100+100)]); err != nil {
			t.Fatal(err)
		}
		f.reload(logger)
		if got := f.Country(home).String(); got != "DE" {
			t.Fatalf("in the middle of the copy the country is %q", got)
		}
	}
	f.reload(logger)
	if got := f.Country(home).String(); got != "AT" || !strings.Contains(metrics(t, f), `{outcome="refused"} 0`) {
		t.Fatalf("the country is %q: %s", got, metrics(t, f))
	}
}

// Every look-up is answered by one of the files, whole: the country and the region of a reply are not held
// against each other, as they are two questions.
func TestLookUpsGoOnWhileFilesAreSwapped(t *testing.T) {
	f, path := open(t, database(t, "DE", made, 40))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { f.Watch(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) })
	var asked, strange atomic.Int64
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				switch f.Country(home).String() + f.Region(home).String() {
				case "DEDE-RD", "ATAT-RA", "DEAT-RA", "ATDE-RD":
				default:
					strange.Add(1)
				}
				asked.Add(1)
			}
		})
	}
	for i := range 20 {
		country := []string{"AT", "DE"}[i%2]
		put(t, path, database(t, country, made.Add(time.Duration(i)*time.Minute), 40))
		if i%5 == 0 {
			put(t, path, []byte("<html>")) // often seen by no look
			put(t, path, database(t, country, made.Add(time.Duration(i)*time.Minute), 40))
		}
		for deadline := time.Now().Add(10 * time.Second); f.Country(home).String() != country; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("file %d was not taken", i)
			}
		}
	}
	cancel()
	all.Wait()
	if strange.Load() > 0 || asked.Load() == 0 {
		t.Fatalf("%d of %d answers are of no file", strange.Load(), asked.Load())
	}
}

func TestOldFilesAreWarnedOfOnceADay(t *testing.T) {
	f, path := open(t, database(t, "DE", made, 40))
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	at := func(age time.Duration, want int) {
		t.Helper()
		f.now = func() time.Time { return made.Add(age) }
		f.warnIfOld(logger)
		if n := strings.Count(log.String(), "the geo database is old"); n != want {
			t.Fatalf("at %s there are %d warnings, want %d", age, n, want)
		}
	}
	at(45*day, 0)
	at(45*day+time.Minute, 1)
	at(45*day+time.Hour, 1)
	at(46*day+time.Hour, 2)
	put(t, path, database(t, "DE", made.Add(60*day), 40))
	f.reload(logger)
	f.reload(logger)
	at(61*day, 2)
	at(106*day, 3)
}

func TestNoFileKnowsNoPlace(t *testing.T) {
	var f *File
	if f.Country(home) != (privacy.Bucket{}) || f.Region(home) != (privacy.Bucket{}) || metrics(t, f) != "\n" {
		t.Error("without a file a place is known")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Watch(ctx, time.Millisecond, slog.New(slog.DiscardHandler))
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	put(t, path, []byte("text"))
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("text: %v", err)
	}
}
