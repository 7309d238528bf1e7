package shoppers_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/bench/shoppers"
	"beckon/collector/ingest"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// sites is a sites file that does not change.
type sites struct{ file *site.File }

func (s sites) File() *site.File { return s.file }

// collect starts a collector on a spool of its own. Stop returns all that it has taken, one by one.
func collect(t *testing.T) (target string, stop func() []event.Stored) {
	t.Helper()
	dir := t.TempDir()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := site.Parse("sites.yaml", []byte(`
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: decide, allow: decide}
`))
	try(err)
	_, err = keyring.Init(filepath.Join(dir, "keyring"), []string{"demo"})
	try(err)
	keys, err := keyring.Open(filepath.Join(dir, "keyring"))
	try(err)
	sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{Sync: spool.SyncOS})
	try(err)
	sp.Sealing(0)
	suppressed, err := suppress.Open(filepath.Join(dir, "suppressed"), suppress.Options{})
	try(err)
	server, err := ingest.New(ingest.Config{
		Spool: sp, Sites: sites{file}, Keys: keys, Suppressed: suppressed, Agents: privacy.NewAgents(1000), Registerer: prometheus.NewRegistry(),
		Proxies: proxy.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	try(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	try(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() (taken []event.Stored) {
		try(server.Shutdown(t.Context()))
		try(<-served)
		try(sp.Seal())
		for sp.Stats().Records > 0 {
			batch, err := sp.Next(t.Context())
			try(err)
			try(batch.Records(func(_ uint64, record []byte) error {
				var e event.Stored
				defer func() { taken = append(taken, e) }()
				return e.Decode(record)
			}))
			try(sp.Done(batch.ID))
		}
		try(sp.Close())
		return taken
	}
}

func TestTheCollectorKeepsWhatShoppersSayOnce(t *testing.T) {
	target, stop := collect(t)
	acks := map[event.UUID]shoppers.Ack{}
	result, err := shoppers.Run(t.Context(), shoppers.Config{
		Target: target, Site: "demo", Origin: "https://shop.example", Events: 5000,
		OnAck: func(a shoppers.Ack) { acks[a.ID] = a },
	})
	taken := stop()
	if err != nil || len(acks) != 5000 || len(result.Refused) != 0 || len(result.Faults) != 0 || result.TakenTwice != 0 {
		t.Fatalf("%d acknowledged, refused %v, faults %v, %d taken twice: %v",
			len(acks), result.Refused, result.Faults, result.TakenTwice, err)
	}

	visitors := map[int][16]byte{} // by shopper
	lanes := map[privacy.Lane]int{}
	for _, e := range taken {
		if e.Kind == event.Consent {
			continue // made by the collector
		}
		ack, ok := acks[e.ID]
		if !ok {
			t.Fatalf("%v is there twice, or nobody was told of it", e.ID)
		}
		delete(acks, e.ID)
		lanes[e.Lane]++
		if e.Kind.String() != ack.Kind || e.Lane.String() != ack.Lane || (e.Bot != "") != ack.Bot {
			t.Errorf("we were told of %+v, the collector kept %v %v %q", ack, e.Kind, e.Lane, e.Bot)
		}
		if known, again := visitors[ack.Shopper]; again && known != e.Visitor && !ack.Bot {
			t.Errorf("shopper %d became another visitor", ack.Shopper)
		}
		visitors[ack.Shopper] = e.Visitor
	}
	if len(acks) != 0 {
		t.Errorf("%d acknowledged events are not there", len(acks))
	}
	if lanes[privacy.LaneDecide] < 3000 || lanes[privacy.LaneCount] < 50 {
		t.Errorf("lanes %v: want mostly decide, and count for GPC and for those who said no", lanes)
	}
}
