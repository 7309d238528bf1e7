package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/valyala/fasthttp"

	"beckon/collector/ingest"
	"beckon/internal/admin"
	"beckon/internal/daykey"
	"beckon/internal/geofile"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// sites is the shop of the bench: every event is in lane decide, so that every step of the way is taken.
const sites = `
sites:
  - id: demo
    origins: [http://127.0.0.1]
    currency: EUR
    consent: {default: decide, allow: decide}
    retention: {events: 395d, profiles: 90d}
`

// serveCmd is collector/main.go with the loader's last step taken away: batches are read back from the
// disk, their checksums verified, and marked as done. All else is what production does: who said no is looked up for
// every known visitor, the keys of the day are there and turned, the disk's free room is watched.
type serveCmd struct {
	Dir  string
	Geo  string
	Sync string
	Fill int // ids in the duplicate window at the start
}

// spoolReserve is the default of --spool-reserve.
const spoolReserve = 256 << 20

// unreached are limits that are counted and never met.
var unreached = ingest.Limits{Client: 10_000_000, Network: 10_000_000, Site: 10_000_000}

func (c *serveCmd) Run(ctx context.Context) error {
	service.KeepTwoThreads()
	service.LeanHeap()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	file, ring := filepath.Join(c.Dir, "sites.yaml"), filepath.Join(c.Dir, "keyring")
	if err := os.WriteFile(file, []byte(sites), 0o600); err != nil {
		return fmt.Errorf("write sites file: %w", err)
	}
	registry, err := site.Open(file)
	if err != nil {
		return err
	}
	if _, err = keyring.Init(ring, []string{"demo"}); err != nil {
		return err
	}
	keys, err := keyring.Open(ring)
	if err != nil {
		return err
	}
	var geo *geofile.File
	if c.Geo != "" {
		if geo, err = geofile.Open(c.Geo); err != nil {
			return err
		}
	}
	reg := admin.NewRegistry("collector")
	suppressed, err := suppress.Open(suppress.Dir(ring), suppress.Options{Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	defer suppressed.Close()
	days, err := daykey.Open(daykey.Config{Dir: filepath.Join(c.Dir, "volatile"), Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	options := spool.Options{Reserve: spoolReserve, Log: log, Registerer: reg}
	if c.Sync == "os" {
		options.Sync = spool.SyncOS
	}
	events, err := spool.Open(filepath.Join(c.Dir, "spool"), options)
	if err != nil {
		return err
	}
	defer events.Close()
	server, err := ingest.New(ingest.Config{
		Spool: events, Crowded: events.Crowded, Sites: registry, Keys: keys, DayKeys: days, Suppressed: suppressed, Agents: privacy.NewAgents(20_000), Geo: geo,
		Limits: unreached, Log: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	private := http.Server{Handler: admin.New(reg, nil, nil)}
	go sink(ctx, events)
	go suppressed.Follow(ctx)
	go days.Run(ctx)
	if err := fill(events, c.Fill); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	adminPort, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go private.Serve(adminPort)
	fmt.Println(ln.Addr(), adminPort.Addr())
	go func() { <-ctx.Done(); server.Shutdown(context.Background()) }()
	return server.Serve(ln)
}

// sink takes batches out of the spool as the loader does, and leaves them nowhere.
func sink(ctx context.Context, events *spool.Spool) {
	for {
		b, err := events.Next(ctx)
		if err != nil {
			return
		}
		err = b.Records(func(uint64, []byte) error { return nil })
		if err = errors.Join(err, events.Done(b.ID)); err != nil {
			panic(fmt.Sprintf("BUG: batch %s: %v", b.ID.Token(), err))
		}
	}
}

// fill brings n ids into the duplicate window.
func fill(events *spool.Spool, n int) error {
	entries := make([]spool.Entry, 5_000)
	var payload [16]byte
	for n > 0 {
		for i := range entries {
			id := rand.Uint64() | 1
			binary.LittleEndian.PutUint64(payload[:], id)
			entries[i] = spool.Entry{Site: "demo", Fingerprint: id, Payload: payload[:]}
		}
		if err := events.Append(entries, nil); err != nil {
			return fmt.Errorf("fill the duplicate window: %w", err)
		}
		n -= len(entries)
	}
	return nil
}

// fasthttpCmd answers everything with the picture, and does nothing else.
type fasthttpCmd struct{}

func (*fasthttpCmd) Run(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println(ln.Addr())
	go func() { <-ctx.Done(); ln.Close() }()
	return fasthttp.Serve(ln, func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("image/gif")
		ctx.SetBodyString(gif)
	})
}

const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"
