package decision

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// busyShop is a server, and requests of browsers whose visitors are in memory and have a grant, as in make bench-decision.
// Nothing is behind the server, and there are no sockets.
func busyShop(b testing.TB, visitors int) (*Server, []fasthttp.RequestCtx) {
	b.Helper()
	shop := newSetup(b)
	store, err := feature.NewStore(10_000)
	if err != nil {
		b.Fatal(err)
	}
	decisions, err := spool.Open(b.TempDir(), spool.Options{Sync: spool.SyncOS})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { decisions.Close() })
	suppressed, err := suppress.Open(filepath.Join(b.TempDir(), "suppressed"), suppress.Options{OnNew: store.Drop})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { suppressed.Close() })
	store.Refuse(feature.SuppressedBy(shop.keys, suppressed))
	reg, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	s := New(Config{
		Program: func() *eligibility.Program { return shop.rules }, Keys: shop.keys, Suppressed: suppressed, Tokens: shop.issuer,
		Issuer: "https://shop.example/px", Store: store, CompleteAt: time.Now,
		Recorder: NewRecorder(decisions, time.Now, log, reg), Agents: privacy.NewAgents(100),
		ColdDeadline: 20 * time.Millisecond, StaleAfter: time.Hour, Log: log, Registerer: reg,
	})
	keys, err := shop.keys.Site("demo")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	asks := make([]fasthttp.RequestCtx, visitors)
	for i := range asks {
		visit := privacy.NewVisit(keys, now, privacy.LaneDecide, &privacy.Choice{Decide: true, Measure: true, Source: privacy.NewLabel([]byte("banner")), At: now})
		p := &feature.Profile{FirstSeen: now.UnixMilli(), LastSeen: now.UnixMilli(), VisitorSince: now.UnixMilli(), Country: "DE", Device: "mobile", ReadAt: now}
		for h := range 2 {
			p.Hours = append(p.Hours, feature.Hour{Start: now.Truncate(time.Hour).Unix() - int64(1-h)*3600, Pageviews: 3, Sessions: []uint64{uint64(i)<<8 | uint64(h)}, Products: []uint64{uint64(i), uint64(h)}})
		}
		store.Put(feature.Key{Site: "demo", Visitor: visit.ID(keys).Bytes()}, p, now)
		request := fmt.Sprintf("GET /v1/decision?site=demo HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: %s\r\nAccept: */*\r\nAccept-Language: de\r\nCookie: %s=%s\r\nSec-Fetch-Mode: cors\r\n\r\n",
			firefox, privacy.CookieName("demo", false), visit.AppendTo(nil, keys))
		if err := asks[i].Request.Read(bufio.NewReader(bytes.NewReader([]byte(request)))); err != nil {
			b.Fatal(err)
		}
		asks[i].Init2(nil, nil, false)
		if s.handle(&asks[i]); !bytes.Contains(asks[i].Response.Body(), []byte(`"eligible":true`)) {
			b.Fatalf("%s", &asks[i].Response)
		}
	}
	return s, asks
}

// BenchmarkAnswer is what an answer costs between the reading of a request and the writing of its reply.
func BenchmarkAnswer(b *testing.B) {
	s, asks := busyShop(b, 1000)
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	b.ResetTimer()
	for i := range b.N {
		ctx := &asks[i%len(asks)]
		ctx.Response.Reset()
		s.handle(ctx)
	}
	b.ReportMetric(float64((threadTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") // what counts on a busy machine
}

// One allocation is the rules' own. What an answer is made of is used again, so the collector has little to do.
func TestAnAnswerFromMemoryAllocatesHardlyAnything(t *testing.T) {
	s, asks := busyShop(t, 1)
	if n := testing.AllocsPerRun(500, func() { asks[0].Response.Reset(); s.handle(&asks[0]) }); n > 2 {
		t.Errorf("%v allocations in an answer, want at most 2", n)
	}
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1 /* RUSAGE_THREAD */, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
