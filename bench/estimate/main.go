// Command estimate measures how far visitors_estimated is off: it sends shoppers in lane measure to a collector of
// its own, and counts the ids that the collector gave them against how many they were. What is counted is what
// report_traffic counts: different ids of people in lane measure on one UTC day. bench/README.md has the result.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/bench/shoppers"
	"beckon/collector/ingest"
	"beckon/internal/daykey"
	"beckon/internal/event"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/proxy"
	"beckon/internal/site"
	"beckon/internal/spool"
)

// Config is what one can choose.
type Config struct {
	Events   []int  `default:"1000,10000,100000" help:"Sizes of a day: events, one or two of each shopper."`
	Each     int    `default:"1" help:"Events of one shopper, at most."`
	Networks []int  `default:"0,20000,2000,200" help:"Over how many networks the shoppers are spread, some of them far more popular; 0 = over all there are."`
	Seed     uint64 `default:"1" help:"The same seed sends the same shoppers."`
}

func main() {
	var c Config
	kong.Parse(&c, kong.Name("estimate"), kong.UsageOnError(), kong.Description("Measures visitors_estimated against the truth."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Println("| networks | shoppers in lane measure | visitors_estimated | of the truth |")
	fmt.Println("|---|---|---|---|")
	for _, networks := range c.Networks {
		for _, events := range c.Events {
			d, err := day(ctx, shoppers.Config{Seed: c.Seed, Events: events, Each: c.Each, Networks: networks, Concurrency: 32})
			if err != nil {
				fmt.Fprintln(os.Stderr, "estimate:", err)
				os.Exit(1)
			}
			name := "anywhere"
			if networks > 0 {
				name = fmt.Sprint(networks)
			}
			fmt.Printf("| %s | %d | %d | %.1f %% |\n", name, d.shoppers, d.estimated, 100*float64(d.estimated)/float64(d.shoppers))
		}
	}
}

// counted is what one day came to.
type counted struct{ shoppers, estimated int }

// Everybody who does not object is measured, nobody more than that.
const sitesText = `
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: measure, allow: measure}
`

type fixed struct{ file *site.File }

func (f fixed) File() *site.File { return f.file }

// day lets shoppers come to a collector of their own, within one UTC day by its clock.
func day(ctx context.Context, c shoppers.Config) (d counted, err error) {
	dir, err := os.MkdirTemp("", "beckon-estimate-")
	if err != nil {
		return d, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	public, waiting, err := collector(dir)
	if err != nil {
		return d, err
	}
	defer waiting.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return d, fmt.Errorf("listen: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- public.Serve(ln) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, public.Shutdown(ctx), <-served)
	}()

	measured := map[int]bool{}
	c.Target, c.Site, c.Origin = "http://"+ln.Addr().String(), "demo", "https://shop.example"
	c.OnAck = func(a shoppers.Ack) {
		if a.Lane == privacy.LaneMeasure.String() && !a.Bot {
			measured[a.Shopper] = true
		}
	}
	if _, err := shoppers.Run(ctx, c); err != nil {
		return d, err
	}
	ids, err := visitors(ctx, waiting)
	return counted{len(measured), len(ids)}, err
}

// collector returns a collector whose clock stands still at noon, and the spool in which its events wait.
func collector(dir string) (*ingest.Server, *spool.Spool, error) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	clock := func() time.Time { return noon }
	file, err := site.Parse("sites.yaml", []byte(sitesText))
	if err != nil {
		return nil, nil, err
	}
	if _, err := keyring.Init(filepath.Join(dir, "keyring"), []string{"demo"}); err != nil {
		return nil, nil, err
	}
	keys, err := keyring.Open(filepath.Join(dir, "keyring"))
	if err != nil {
		return nil, nil, err
	}
	days, err := daykey.Open(daykey.Config{Dir: filepath.Join(dir, "volatile"), Now: clock})
	if err != nil {
		return nil, nil, err
	}
	waiting, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{Sync: spool.SyncOS})
	if err != nil {
		return nil, nil, err
	}
	public, err := ingest.New(ingest.Config{
		Spool: waiting, Sites: fixed{file}, Keys: keys, DayKeys: days, Agents: privacy.NewAgents(10_000), Now: clock,
		Proxies: proxy.Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return nil, nil, errors.Join(err, waiting.Close())
	}
	return public, waiting, nil
}

// visitors takes everything out of the spool and returns the different ids of people in lane measure.
func visitors(ctx context.Context, waiting *spool.Spool) (map[[16]byte]bool, error) {
	if err := waiting.Seal(); err != nil {
		return nil, err
	}
	ids := map[[16]byte]bool{}
	for waiting.Stats().Segments > 0 {
		b, err := waiting.Next(ctx)
		if err != nil {
			return nil, err
		}
		err = b.Records(func(_ uint64, payload []byte) error {
			var e event.Stored
			if err := e.Decode(payload); err != nil {
				return err
			}
			if e.Lane == privacy.LaneMeasure && e.Bot == "" && e.Kind != event.Consent {
				ids[e.Visitor] = true
			}
			return nil
		})
		if err := errors.Join(err, waiting.Done(b.ID)); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
