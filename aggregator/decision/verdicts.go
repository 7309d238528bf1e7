package decision

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// Verdicts keeps the `eligibility` table: the last verdict for each visitor whose features changed,
// for analysts. Nothing that a shopper gets depends on it, so nobody waits for it: who changed gathers for a second,
// and a write that fails is logged and the next change writes again.
type Verdicts struct {
	Program  func() *eligibility.Program
	Keys     *keyring.Ring
	Store    *feature.Store
	Connect  func(context.Context) (driver.Conn, error)
	Database string
	Log      *slog.Logger

	mu      sync.Mutex
	changed map[string]map[feature.Key]bool // by site
	n       int
	conn    driver.Conn
}

const (
	verdictsEvery  = time.Second
	verdictTimeout = 10 * time.Second
	maxVerdicts    = 100_000 // that wait: while ClickHouse hangs, the later ones are left out
)

// Changed notes visitors, who are of one site, for the next write. Safe for concurrent use.
func (w *Verdicts) Changed(visitors []feature.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = map[string]map[feature.Key]bool{}
	}
	for _, k := range visitors {
		if w.n == maxVerdicts {
			return
		}
		of := w.changed[k.Site]
		if of == nil {
			of = map[feature.Key]bool{}
			w.changed[k.Site] = of
		}
		if !of[k] {
			of[k] = true
			w.n++
		}
	}
}

// Run writes until ctx ends, and then what still waits.
func (w *Verdicts) Run(ctx context.Context) error {
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), verdictsEvery)
			defer cancel()
			w.flush(last)
			return nil
		case <-time.After(verdictsEvery):
			w.flush(ctx)
		}
	}
}

func (w *Verdicts) flush(ctx context.Context) {
	w.mu.Lock()
	changed := w.changed
	w.changed, w.n = nil, 0
	w.mu.Unlock()
	for site, visitors := range changed {
		ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
		if err := w.write(ctx, site, visitors, time.Now()); err != nil {
			w.Log.Warn("verdicts not written", "count", len(visitors), "error", err)
		}
		cancel()
	}
}

func (w *Verdicts) write(ctx context.Context, site string, visitors map[feature.Key]bool, now time.Time) error {
	program := w.Program()
	st := program.File().Site(site)
	if st == nil {
		return nil // the site was taken out of the file; its late events change nobody's verdict
	}
	keys, err := w.Keys.Site(st.ID)
	if err != nil {
		return err
	}
	if w.conn == nil {
		if w.conn, err = w.Connect(ctx); err != nil {
			return err
		}
	}
	batch, err := w.conn.PrepareBatch(ctx, "INSERT INTO "+w.Database+
		".eligibility (site, visitor, environment, decided_at, eligible, offer, rule, arm, reason, valid_until, fresh_at, expires)")
	if err != nil {
		return fmt.Errorf("prepare insert into eligibility: %w", err)
	}
	defer batch.Close()
	expires := now.Add(st.Profiles)
	for k := range visitors {
		p := w.Store.Get(k)
		if p == nil {
			continue
		}
		values := p.At(now)
		v := program.Evaluate(eligibility.Input{
			Site: st, Features: &values, Visitor: privacy.StoredID(k.Visitor), Lane: privacy.LaneDecide,
			Since: p.Since(), Serves: p.Serves, DrawKey: (*[32]byte)(&keys.Decision),
		}, now)
		offer := ""
		if v.Offer != nil {
			offer = v.Offer.ID
		}
		if v.ValidUntil.IsZero() {
			v.ValidUntil = time.Unix(0, 0)
		}
		err := batch.Append(st.ID, k.Visitor[:], st.Environment, now, bit(v.Eligible), offer, v.Rule, string(v.Arm), v.Reason.String(), v.ValidUntil, p.ReadAt, expires)
		if err != nil {
			return fmt.Errorf("append verdict: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d verdicts: %w", len(visitors), err)
	}
	return nil
}
