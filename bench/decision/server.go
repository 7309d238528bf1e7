package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/valyala/fasthttp"

	"beckon/aggregator/decision"
	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/admin"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/service"
	"beckon/internal/site"
	"beckon/internal/spool"
	"beckon/internal/suppress"
	"beckon/internal/token"
)

// The rule has five terms, and every visitor of the bench gets the offer.
const sites = `
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    consent: {default: count, allow: decide}
    holdout: 0%
    offers:
      - id: welcome-back
        title: 10% off
        when: visitor.sessions_7d >= 2 && visitor.purchases_90d == 0 && visitor.cart_value < 500 && visitor.minutes_since_last_seen < 1440 && visitor.country == "DE"
        discount: {percent: 10}
        valid_for: 1d
        cooldown: 7d
        disclosure: You came back.
`

// serveCmd is aggregator/main.go without the parts that are not on the path of an answer: nothing follows
// ClickHouse, and what the recorder writes is read back and marked as done.
type serveCmd struct {
	Dir      string
	Visitors int // who have cookies, in the file cookies
	Cached   int // visitors in memory
}

func (c *serveCmd) Run(ctx context.Context) error {
	service.KeepTwoThreads()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	file, err := site.Parse("sites.yaml", []byte(sites))
	if err != nil {
		return err
	}
	program, faults := eligibility.Compile(file)
	if len(faults) > 0 {
		return faults
	}
	ring := filepath.Join(c.Dir, "keyring")
	if _, err = keyring.Init(ring, []string{"demo"}); err != nil {
		return err
	}
	keys, err := keyring.Open(ring)
	if err != nil {
		return err
	}
	issuer, err := token.NewIssuer(keys.Issuer, time.Now)
	if err != nil {
		return err
	}
	siteKeys, err := keys.Site("demo")
	if err != nil {
		return err
	}
	store, err := feature.NewStore(2 * c.Cached) // two generations: none fades into the other cache
	if err != nil {
		return err
	}
	reg := admin.NewRegistry("aggregator")
	decisions, err := spool.Open(filepath.Join(c.Dir, "spool"), spool.Options{Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	defer decisions.Close()
	suppressed, err := suppress.Open(suppress.Dir(ring), suppress.Options{OnNew: store.Drop, Log: log, Registerer: reg})
	if err != nil {
		return err
	}
	defer suppressed.Close()
	store.Refuse(feature.SuppressedBy(keys, suppressed))
	down := func(context.Context) (driver.Conn, error) {
		return nil, errors.New("there is no ClickHouse in this bench")
	}
	reader := feature.NewReader("beckon", down)
	defer reader.Close()
	recorder := decision.NewRecorder(decisions, time.Now, log, reg)
	server := decision.New(decision.Config{
		Program: func() *eligibility.Program { return program }, Keys: keys, Suppressed: suppressed, Tokens: issuer,
		Issuer: "https://shop.example", Store: store, Cold: feature.NewCold(reader, store, log), CompleteAt: time.Now, Recorder: recorder,
		Agents: privacy.NewAgents(20_000), ColdDeadline: 25 * time.Millisecond, StaleAfter: time.Hour, Log: log, Registerer: reg,
	})
	if err := c.fill(store, siteKeys); err != nil {
		return err
	}
	go func() { _ = recorder.Run(ctx) }()
	go sink(ctx, decisions)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	adminPort, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	private := http.Server{Handler: admin.New(reg, nil, nil), ReadHeaderTimeout: time.Second}
	go private.Serve(adminPort)
	fmt.Println(ln.Addr(), adminPort.Addr())
	go func() { <-ctx.Done(); server.Shutdown(context.Background()) }()
	return server.Serve(ln)
}

// size is what the profiles of a store take.
type size struct {
	Visitors             int
	BytesEach            float64 // of the heap after a collection, keys and maps included
	HeapMiB, ResidentMiB float64
}

// fill brings visitors into the store and writes the cookies of the first of them, and what all of them take.
func (c *serveCmd) fill(store *feature.Store, keys *keyring.Site) error {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	now := time.Now()
	var cookies []string
	for i := range max(c.Cached, c.Visitors) {
		var id [16]byte
		if i < c.Visitors {
			choice := &privacy.Choice{Decide: true, Measure: true, Source: privacy.NewLabel([]byte("banner")), At: now}
			visit := privacy.NewVisit(keys, now, privacy.LaneDecide, choice)
			cookies = append(cookies, privacy.CookieName("demo", false)+"="+string(visit.AppendTo(nil, keys)))
			id = visit.ID(keys).Bytes()
		} else {
			binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
		}
		store.Put(feature.Key{Site: "demo", Visitor: id}, profile(i, now), now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	n := max(c.Cached, c.Visitors)
	s := size{Visitors: n, BytesEach: float64(after.HeapAlloc-before.HeapAlloc) / float64(n), HeapMiB: float64(after.HeapAlloc) / (1 << 20)}
	for name, value := range map[string]any{"cookies": cookies, "size": s} {
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(c.Dir, name), b, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// profile is somebody who was here on some of the last days: as the middle of a shop's visitors, with a
// handful of events; one in ten was here more often.
func profile(i int, now time.Time) *feature.Profile {
	p := &feature.Profile{
		FirstSeen: now.Add(-20 * 24 * time.Hour).UnixMilli(), LastSeen: now.Add(-time.Minute).UnixMilli(), VisitorSince: now.Add(-20 * 24 * time.Hour).UnixMilli(),
		LastCart: now.Add(-time.Hour).UnixMilli(), CartValue: 40,
		Country: "DE", Device: "mobile", Browser: "Safari", OS: "iOS", Referrer: "news.example", UTMSource: "newsletter", ReadAt: now,
	}
	hours := 2
	if i%10 == 0 {
		hours = 8
	}
	for h := range hours {
		p.Hours = append(p.Hours, feature.Hour{
			Start:     now.Truncate(time.Hour).Add(-time.Duration(hours-1-h) * 7 * time.Hour).Unix(),
			Pageviews: 3, ProductViews: 2, CartAdds: 1, Sessions: []uint64{uint64(i)<<8 | uint64(h)}, Products: []uint64{uint64(i), uint64(h)},
		})
	}
	return p
}

// sink takes decisions out of the spool as the loader does, and leaves them nowhere.
func sink(ctx context.Context, decisions *spool.Spool) {
	for {
		b, err := decisions.Next(ctx)
		if err != nil {
			return
		}
		err = b.Records(func(uint64, []byte) error { return nil })
		if err = errors.Join(err, decisions.Done(b.ID)); err != nil {
			panic(fmt.Sprintf("BUG: batch %s: %v", b.ID.Token(), err))
		}
	}
}

// fasthttpCmd answers everything with the bytes of a file, and does nothing else.
type fasthttpCmd struct{ Body string }

func (c *fasthttpCmd) Run(ctx context.Context) error {
	body, err := os.ReadFile(c.Body)
	if err != nil {
		return fmt.Errorf("--body: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println(ln.Addr())
	go func() { <-ctx.Done(); ln.Close() }()
	return fasthttp.Serve(ln, func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		ctx.SetBody(body)
	})
}
