package decision

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// Verdicts keeps the `eligibility` table: the last verdict for each visitor whose features changed,
// for analysts. Nothing that a shopper gets depends on it, so a write that fails is logged and the
// next change writes again.
type Verdicts struct {
	Program  func() *eligibility.Program
	Keys     *keyring.Ring
	Store    *feature.Store
	Connect  func(context.Context) (driver.Conn, error)
	Database string
	Log      *slog.Logger

	conn driver.Conn
}

// verdictTimeout bounds how long a table for analysts may keep the follower from the next change.
const verdictTimeout = time.Second

// Changed evaluates the visitors, who are of one site, and writes their verdicts. It is called by
// one goroutine, the follower's.
func (w *Verdicts) Changed(ctx context.Context, visitors []feature.Key) {
	ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
	defer cancel()
	if err := w.write(ctx, visitors, time.Now()); err != nil {
		w.Log.Warn("verdicts not written", "count", len(visitors), "error", err)
	}
}

func (w *Verdicts) write(ctx context.Context, visitors []feature.Key, now time.Time) error {
	program := w.Program()
	st := program.File().Site(visitors[0].Site)
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
	for _, k := range visitors {
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
