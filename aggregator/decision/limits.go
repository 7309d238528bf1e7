package decision

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"beckon/internal/limit"
	"beckon/internal/site"
)

// Limits are the questions a second that are answered for long: of one client, and for one site; 0 = no limit.
type Limits struct{ Client, Site int }

const (
	limitBurst  = 20 * time.Second // how much of each rate may come at once
	limitPlaces = 1 << 17          // clients in debt at once, before the smallest debts are forgotten: 2 MiB
)

// limits knows who asked how often. Addresses go in and nothing comes out: see package limit.
type limits struct {
	clients *limit.Table
	perSite int
	sites   sync.Map  // *limit.Bucket by id; an edit of the sites file gives nobody a second burst
	started time.Time // what they count from
	refused *prometheus.CounterVec
}

func newLimits(c Limits, r prometheus.Registerer) *limits {
	l := &limits{
		clients: limit.NewTable(c.Client, limitBurst, limitPlaces), perSite: c.Site, started: time.Now(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_limit_refusals_total", Help: "Requests refused with rate-limited, by whose limit it was: the client's or the site's.",
		}, []string{"by"}),
	}
	r.MustRegister(l.refused, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "beckon_limit_forgotten_total", Help: "Debts of clients that were forgotten for want of room.",
		ConstLabels: prometheus.Labels{"by": "client"},
	}, func() float64 { return float64(l.clients.Forgotten()) }))
	return l
}

// withinRate refuses a client that asks too often, before anything of the question is read. A shop's server is
// one address for all its customers, so with a key that fits any site it is limited as its site alone; an
// unknown address and one of our own proxies stand for any number of people too.
func (s *Server) withinRate(ctx *fasthttp.RequestCtx, f *site.File, key []byte) *refusal {
	from, _ := s.Proxies.Client(ctx)
	if !from.IsValid() || s.Proxies.Trusts(from) || key != nil && f.HasServerKey(key) {
		return nil
	}
	return s.limits.answer(ctx, s.limits.clients.Take(time.Since(s.limits.started), limit.ClientKey(from), 1), "client")
}

// withinSiteRate refuses more questions than may be asked for a site.
func (s *Server) withinSiteRate(ctx *fasthttp.RequestCtx, st *site.Site) *refusal {
	if s.limits.perSite == 0 {
		return nil
	}
	bucket, ok := s.limits.sites.Load(st.ID)
	if !ok {
		bucket, _ = s.limits.sites.LoadOrStore(st.ID, limit.NewBucket(s.limits.perSite, limitBurst))
	}
	return s.limits.answer(ctx, bucket.(*limit.Bucket).Take(time.Since(s.limits.started), 1), "site")
}

func (l *limits) answer(ctx *fasthttp.RequestCtx, wait time.Duration, by string) *refusal {
	if wait == 0 {
		return nil
	}
	l.refused.WithLabelValues(by).Inc()
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, limit.RetryAfter(wait))
	return rateLimited
}
