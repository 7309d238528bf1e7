package backtest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"beckon/aggregator/experiment"
)

var update = flag.Bool("update", false, "write testdata anew")

// sample is a result with something of everything in it.
func sample() *Result {
	zone := time.FixedZone("CET", 3600)
	in := replay{tally: tally{outcome: experiment.Sums{Visitors: 4400, Orders: 1900, Converted: 1760, Revenue: 142505.5, RevenueSquared: 14_000_000}}}
	in.Options.Site = tenthHeldOut()
	in.site, in.offer = in.Options.Site, in.Options.Site.Offers[0]
	r := &Result{
		Site: "demo", Offer: "welcome-back", Title: "10% off <for you>", Rule: "welcome-back@3f2a9c1d", When: "visitor.sessions_7d >= 2 &&\n visitor.purchases_90d == 0", Timezone: "Europe/Berlin", Currency: "EUR",
		From: time.Date(2026, 10, 29, 0, 0, 0, 0, zone), To: time.Date(2026, 11, 27, 14, 30, 0, 0, zone), Events: 812345,
		VisitorsEligible: 4890, VisitorsServed: 3960, VisitorsHeldOut: 440, Failed: 3,
		Overlap:  []Overlap{{Offer: "large-cart", Visitors: 310, Won: 290}, {Offer: "winter"}},
		Warnings: []string{"the rule failed at 3 looks (such as a division by zero): nobody gets the offer there, and the reason is ERROR"}, Limits: []string{"a look is right after the last event of a minute"},
	}
	for i := range uint64(30) {
		wave := 60 + (i*37)%41 + 25*(i%7/5)
		d := Day{Day: r.From.AddDate(0, 0, int(i)).Format(time.DateOnly), Visitors: wave * 9, Eligible: wave * 2, Exposures: wave*2 - wave/2, HeldOut: wave / 6, Orders: wave / 20, Revenue: float64(wave*4) + 0.5, Cost: float64(wave) * 0.4, Partial: i == 29}
		r.Days = append(r.Days, d)
		r.Total.add(d)
	}
	in.result = r
	in.plans(29.6)
	return r
}

func TestOutputsStayWhatTheyAre(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{"result.txt": sample().WriteText, "result.json": sample().WriteJSON, "result.svg": sample().WriteSVG} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s has changed; look at the difference and run go test ./aggregator/backtest -run TestOutputs -update\n%s", name, got.String())
		}
		if err := write(full{}); !errors.Is(err, errFull) {
			t.Errorf("%s: a full disk gives %v", name, err)
		}
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// An offer's title is text of a file, and the chart may stand on a page.
func TestChartIsWellFormedWhateverIsInIt(t *testing.T) {
	f := func(change func(*Result)) {
		t.Helper()
		r := sample()
		change(r)
		var b strings.Builder
		if err := r.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, b.String())
			}
			if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "image" || e.Name.Local == "use") {
				t.Errorf("an element %s", e.Name.Local)
			}
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Error("a number that is none")
		}
	}
	f(func(r *Result) { r.Title = `</title><script>alert("x")</script>&` })
	f(func(r *Result) { r.Days, r.Total = nil, Day{} })
	f(func(r *Result) { r.Days = r.Days[:1] })
	f(func(r *Result) { r.Days[0].Eligible = 1 << 62 })
	f(func(r *Result) { r.Days = append(r.Days, make([]Day, 366)...) })
}
