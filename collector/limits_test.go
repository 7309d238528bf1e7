package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/collector/ingest"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
	"beckon/internal/site"
	"beckon/internal/spool"
)

// nowhere is a spool that keeps nothing.
type nowhere struct{}

func (nowhere) Append([]spool.Entry, []spool.Count) error { return nil }

// crowd is shoppers by the moment of their next page, the earliest first.
type crowd []time.Duration

func (c crowd) Len() int           { return len(c) }
func (c crowd) Less(i, j int) bool { return c[i] < c[j] }
func (c crowd) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *crowd) Push(x any)        { *c = append(*c, x.(time.Duration)) }
func (c *crowd) Pop() any          { panic("BUG: nobody leaves") }

// shopFor sends shoppers from one address to a server with the default limits: all of them come within ten
// seconds of a message from the shop, open a page every 17 s on average, as those of bench/shoppers do, and
// bring two events with each. It returns how many of their requests were refused.
func shopFor(t *testing.T, shoppers int, minutes time.Duration) (sent, refused int) {
	t.Helper()
	c := ready(t)
	sites, err := site.Open(c.Sites)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.Open(c.KeyringDir)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	now := begin
	s, err := ingest.New(ingest.Config{
		Spool: nowhere{}, Sites: sites, Keys: keys, Agents: privacy.NewAgents(10), Registerer: prometheus.NewRegistry(),
		Limits: c.limits(), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	var req fasthttp.Request
	req.Header.SetMethod("POST")
	req.SetRequestURI("/e")
	req.Header.SetContentType("text/plain")
	req.SetBodyString(`{"s":"demo","e":[{"n":"page_view"},{"n":"product_view"}]}`)
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7)}, nil)

	rng := rand.New(rand.NewPCG(1, 2))
	people := make(crowd, shoppers)
	for i := range people {
		people[i] = time.Duration(rng.Float64() * float64(10*time.Second))
	}
	heap.Init(&people)
	for people[0] < minutes {
		now = begin.Add(people[0])
		ctx.Response.Reset()
		s.Handler(&ctx)
		sent++
		switch status := ctx.Response.StatusCode(); status {
		case fasthttp.StatusNoContent:
		case fasthttp.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("got %d %s", status, ctx.Response.Header.Peek("Beckon-Reason"))
		}
		people[0] += 2*time.Second + time.Duration(rng.ExpFloat64()*float64(15*time.Second))
		heap.Fix(&people, 0)
	}
	return sent, refused
}

func TestMobileCarriersAddressBringsFiveThousandShoppers(t *testing.T) {
	if sent, refused := shopFor(t, 5_000, 3*time.Minute); refused > 0 {
		t.Errorf("%d of %d requests were refused", refused, sent)
	} else {
		t.Logf("%d requests of 5,000 shoppers in three minutes, none refused", sent)
	}
	if sent, refused := shopFor(t, 20_000, 30*time.Second); refused == 0 {
		t.Errorf("none of %d requests of 20,000 shoppers was refused: this test does not see a limit", sent)
	}
}

func TestLimitsAreWithinReason(t *testing.T) {
	if got, want := fmt.Sprint(parse(t).limits()), "{1000 20000 100000}"; got != want {
		t.Errorf("the defaults are %s, documented as %s", got, want)
	}
	if c := parse(t, "--limit-client=0", "--limit-network=0", "--limit-site=0"); c.limits() != (ingest.Limits{}) {
		t.Errorf("got %+v", c.limits())
	}
	t.Setenv("BECKON_LIMIT_CLIENT", "77")
	if got := parse(t).limits().Client; got != 77 {
		t.Errorf("from the environment: %d", got)
	}
}
