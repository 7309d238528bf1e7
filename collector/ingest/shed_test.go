package ingest

import (
	"slices"
	"strings"
	"testing"

	"beckon/internal/event"
	"beckon/internal/spool"
)

func TestANearlyFullSpoolKeepsItsRoomForMoneyAndConsent(t *testing.T) {
	s := openShop(t, crowded)
	var events, kept []string
	for k := event.PageView; k.String() != ""; k++ {
		if event.ParseKind([]byte(k.String()), false) != k {
			continue
		}
		events = append(events, `{"n":"`+k.String()+`"}`)
		if !k.Expendable() {
			kept = append(kept, k.String())
		}
	}
	got := s.post(`{"v":1,"s":"demo","c":{"decide":true,"measure":true,"src":"banner","ver":"1"},"e":[` + strings.Join(events, ",") + `]}`)
	if got.StatusCode != 200 || got.reason() != "shed" {
		t.Fatalf("got %d %q", got.StatusCode, got.reason())
	}
	shed := uint64(len(events) - len(kept))
	accepted, counted := s.counted(spool.ReasonAccepted), s.counted("dropped:shed")
	if counted != shed || accepted != shed+s.counted(spool.ReasonStored) {
		t.Errorf("the ledger has %d accepted and %d shed; %d were", accepted, counted, shed)
	}
	var stored []string
	choices := 0
	for _, e := range s.stored() {
		if e.Kind == event.Consent {
			choices++
			continue
		}
		stored = append(stored, e.Kind.String())
	}
	if !slices.Equal(stored, kept) || choices != 1 {
		t.Errorf("stored %v and %d choices, want %v and the choice", stored, choices, kept)
	}
}

// counted is what the ledger says of a reason.
func (s *shop) counted(reason string) (n uint64) {
	for _, line := range s.spool.Ledger() {
		if line.Reason == reason {
			n += line.N
		}
	}
	return n
}

func TestABatchOfShedEventsAloneIsAnsweredAndCounted(t *testing.T) {
	s := openShop(t, crowded)
	if got := s.post(batch("demo", pageView, pageView)); got.StatusCode != 200 || got.reason() != "shed" {
		t.Fatalf("got %d %q", got.StatusCode, got.reason())
	}
	if n := s.counted("dropped:shed"); n != 2 || len(s.stored()) != 0 {
		t.Fatalf("counted %d, stored some", n)
	}
}

func TestAShedPixelMayComeAgain(t *testing.T) {
	full := true
	s := openShop(t, func(c *Config) { c.Crowded = func() bool { return full } })
	const query = "/p.gif?s=demo&n=page_view&i=019df26e-2d00-75af-89e3-8d27c16b05af"
	got := s.get(query)
	if got.StatusCode != 503 || got.reason() != "shed" || got.Header.Get("Retry-After") == "" || got.body != "" || len(got.Cookies()) != 0 {
		t.Fatalf("got %d %q", got.StatusCode, got.reason())
	}
	if got := s.get("/p.gif?s=demo&n=cart_add"); got.StatusCode != 200 {
		t.Fatalf("a cart got %d %q", got.StatusCode, got.reason())
	}
	full = false
	if got := s.get(query); got.StatusCode != 200 || got.reason() != "" {
		t.Fatalf("again got %d %q", got.StatusCode, got.reason())
	}
	if n := len(s.stored()); n != 2 {
		t.Fatalf("stored %d", n)
	}
}

func TestAServersEventsAreNotShed(t *testing.T) {
	s := unplugged(t, sink{})
	crowded(&s.config)
	r := &request{event: event.Event{Kind: event.PageView}}
	for source, want := range map[event.Source]Reason{
		event.SourcePixel: Shed, event.SourceBeacon: Shed, event.SourceServer: Taken, event.SourceImport: Taken,
	} {
		r.source = source
		if got := worthItsRoom(s, r); got != want {
			t.Errorf("%s: %q", source, got)
		}
	}
}
