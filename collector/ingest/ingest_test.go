package ingest

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"beckon/internal/event"
)

func TestOpenAPIIsSound(t *testing.T) {
	if ok, errs := contract.ValidateDocument(); !ok {
		t.Fatal(errs)
	}
}

func TestBatchOfAllGoodEventsIsStoredAndAnsweredWithoutBody(t *testing.T) {
	s := openShop(t)
	got := s.post(batch("demo", pageView, `{"n":"cart_add","p":{"product":"mug","price":12.5,"quantity":2}}`))
	if got.StatusCode != 204 || got.body != "" || got.reason() != "" || got.lane() != "decide; default" {
		t.Fatalf("got %d %q %q %q", got.StatusCode, got.body, got.reason(), got.lane())
	}
	all := s.stored()
	if len(all) != 2 || all[0].Kind != event.PageView || all[1].Product != "mug" || all[1].Quantity != 2 || all[1].Price.Units != 125_000 {
		t.Fatalf("stored %+v", all)
	}
	e := all[0]
	if e.Site != "demo" || e.Environment != "production" || e.Source != event.SourceBeacon || e.Network != "127.0.0.0/24" ||
		e.Browser != "firefox" || e.Bot != "" || e.Visitor == [16]byte{} || e.Session == [16]byte{} || e.Visitor != all[1].Visitor {
		t.Fatalf("stored %+v", e)
	}
	if days := int(e.ExpiresDay) - int(e.ReceivedAt/86_400_000); days != 395 {
		t.Fatalf("expires after %d days", days)
	}
	if days := int(e.ProfileExpiresDay) - int(e.ReceivedAt/86_400_000); days != 90 {
		t.Fatalf("profile expires after %d days", days)
	}
}

func TestEveryFixtureOfTheTagIsAccepted(t *testing.T) {
	names, err := filepath.Glob("../../pixel-js/fixtures/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var fixture struct{ Name, Body, Transport, ContentType string }
			if err := json.Unmarshal(readFile(t, name), &fixture); err != nil {
				t.Fatal(err)
			}
			asJSON, err := http.NewRequest(http.MethodPost, "http://collector.example/e", strings.NewReader(fixture.Body))
			if err != nil {
				t.Fatal(err)
			}
			asJSON.Header.Set("Content-Type", "application/json")
			if ok, errs := contract.ValidateHttpRequest(asJSON); !ok {
				t.Errorf("not as described: %v", errs)
			}
			s := openShop(t)
			got := s.post(fixture.Body, header("Origin", shopOrigin), func(r *http.Request) {
				r.Header.Set("Content-Type", fixture.ContentType)
			})
			// The tests of the tag draw few different ids, so a large batch may hold one twice.
			if got.StatusCode != 204 && got.reason() != "duplicate" {
				t.Fatalf("got %d %s: %s", got.StatusCode, got.reason(), got.body)
			}
		})
	}
}
