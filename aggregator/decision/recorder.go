package decision

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"beckon/internal/spool"
)

// Appender is what the recorder needs of a spool.
type Appender interface {
	Append(entries []spool.Entry, counts []spool.Count) error
}

// Recorder makes decisions durable. The first serve of a grant or holdout draw is on disk before
// the shopper hears of it, since validity, cooldown and cap count from it. Repeats of an answer
// fold into one row per visitor, lane, verdict and minute, in bounded memory; what does not fit is
// counted as lost.
type Recorder struct {
	spool Appender
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	folded map[fold]*Row

	failing trouble // to append them
	lost    prometheus.Counter
}

// fold is what repeats share.
type fold struct {
	site    string
	visitor [16]byte // zero: all who are not named
	lane    string
	offer   string
	reason  string
	minute  int64
}

const (
	maxFolded  = 50_000 // rows waiting for their minute to end, about 1 KiB each
	foldFlush  = 500    // rows in one spool append
	flushEvery = 5 * time.Second
)

// NewRecorder returns a recorder that appends to s.
func NewRecorder(s Appender, now func() time.Time, log *slog.Logger, r prometheus.Registerer) *Recorder {
	return &Recorder{
		spool: s, log: log, now: now, folded: map[fold]*Row{},
		lost: promauto.With(r).NewCounter(prometheus.CounterOpts{Name: "beckon_decision_repeats_lost_total", Help: "Repeated answers that were not recorded, because memory or disk was full."}),
	}
}

// FirstServe makes row durable and returns when it is. The same decision recorded twice, by two
// requests at once, is one row.
func (r *Recorder) FirstServe(row *Row) error {
	row.FirstServe = true
	payload, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("BUG: decision row does not marshal: %w", err)
	}
	entry := spool.Entry{Site: row.Site, Fingerprint: binary.LittleEndian.Uint64(row.DecisionID[:8]), Payload: payload}
	return r.spool.Append([]spool.Entry{entry}, nil)
}

// Repeat counts an answer that is no first serve. makeRow is called only for the first of its
// minute, and not while others wait.
func (r *Recorder) Repeat(site string, visitor [16]byte, lane, offer, reason string, at time.Time, makeRow func() *Row) {
	k := fold{site, visitor, lane, offer, reason, at.Unix() / 60}
	if !r.repeated(k, nil) {
		r.repeated(k, makeRow())
	}
}

// repeated counts an answer into its row. Without one it puts first there, if that is not nil, and
// reports false if it is. What does not fit into memory is counted as lost.
func (r *Recorder) repeated(k fold, first *Row) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := r.folded[k]
	switch {
	case row != nil:
		row.Repeats++
	case len(r.folded) >= maxFolded:
		r.lost.Inc()
	case first == nil:
		return false
	default:
		r.folded[k] = first
	}
	return true
}

// Run writes folded rows when their minute is over, until ctx ends; then it writes all of them.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.flush(func(fold) bool { return true })
			return nil
		case <-tick.C:
			minute := r.now().Unix() / 60
			r.flush(func(k fold) bool { return k.minute != minute })
		}
	}
}

func (r *Recorder) flush(over func(fold) bool) {
	r.mu.Lock()
	var rows []*Row
	for k, row := range r.folded {
		if over(k) {
			rows = append(rows, row)
			delete(r.folded, k)
		}
	}
	r.mu.Unlock()
	for len(rows) > 0 {
		n := min(len(rows), foldFlush)
		entries := make([]spool.Entry, n)
		for i, row := range rows[:n] {
			payload, err := json.Marshal(row)
			if err != nil {
				panic("BUG: decision row does not marshal: " + err.Error())
			}
			entries[i] = spool.Entry{Site: row.Site, Payload: payload}
		}
		if err := r.spool.Append(entries, nil); err != nil {
			r.lost.Add(float64(n))
			if r.failing.failed(r.now()) {
				r.log.Error("repeated decisions are not recorded", "count", n, "error", err)
			}
		} else if n, over := r.failing.worked(r.now()); over {
			r.log.Info("repeated decisions are recorded again", "failed", n)
		}
		rows = rows[n:]
	}
}
