// Package loader is about moving sealed batches from a spool into ClickHouse, each exactly once.
//
// One batch is one insert with one deduplication token, the batch's id. After the rows and the ledger
// lines of a batch are in, one row in `loads` says so, and only then is the batch removed from the
// spool. A batch that may have been sent before is looked up before anything of it is sent again (resume.go);
// so a lost reply, a crash of either side and a spool that comes back years later double and miss nothing.
//
// Records are checked before the first try; one that is no row goes to the dead-letter file with the
// reason. What the server refuses after that is never thrown away: the loader keeps trying the same
// batch, and says so in its metrics and log.
package loader

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/chconn"
	"beckon/internal/spool"
)

// Source is what the loader needs of a spool.
type Source interface {
	Next(ctx context.Context) (*spool.Batch, error)
	Done(id spool.BatchID) error
	Reread(id spool.BatchID) (*spool.Batch, error)  // after spool.ErrDamaged
	Salvage(id spool.BatchID) (*spool.Batch, error) // after spool.ErrUnreadable
	Sealing(interval time.Duration)
}

const (
	minSealing = 250 * time.Millisecond
	maxSealing = 500 * time.Millisecond // of the second within which a decision shall follow its event (docs/adr/0028) ...
	slowFactor = 1.5                    // ... but never less than this many inserts: batches must not come faster than they go
	slowest    = 10 * time.Second       // beyond it they are full by then, or few
	sealFactor = 8                      // where inserts are quick, a batch gathers for eight times as long as one takes
	recent     = 9                      // inserts whose median counts
	lateAfter  = 10 * time.Second       // a batch that waited so long is of an outage: what gathers now is not like it

	patience    = time.Minute      // with one try of one batch
	MaxPatience = 30 * time.Minute // what it may grow to
	minBackoff  = 200 * time.Millisecond
	maxBackoff  = 5 * time.Second
	maxReads    = 10                    // of a batch that the disk does not give back, in about half a minute
	drainWait   = 50 * time.Millisecond // a source that hands out nothing for so long is empty
)

// Config is what a Loader is made of.
type Config struct {
	Source         Source
	Table          inserter // of Events, or another *Table
	Connect        func(context.Context) (driver.Conn, error)
	Database       string
	DeadLetter     string        // file for records that are no rows
	Patience       time.Duration // with one try of one batch at first; 0 = 1 minute
	MaxDeadLetters int64         // bytes of that file; 0 = 64 MiB
	Gather         time.Duration // at least, while rows keep coming; 0 = as long as inserts ask for
	MaxReads       int           // tries to read a batch that the disk does not give back; 0 = 10
	Log            *slog.Logger
	Registerer     prometheus.Registerer
}

// Loader moves batches. It has one job and one goroutine: the caller of Run.
type Loader struct {
	Config
	conn      driver.Conn
	durations []time.Duration        // of the most recent inserts that were not late
	late      bool                   // the last one was
	behind    time.Duration          // what the last late one took; 0 = none is left
	gathering time.Duration          // what the source was told last
	refused   atomic.Bool            // the last try was answered with an error
	sent      map[spool.BatchID]bool // by this process and not done: at most the one at hand and one that a stop interrupted
	patience  time.Duration
	m         metrics
}

// New returns a loader that has not connected yet.
func New(c Config) *Loader {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Patience = cmp.Or(c.Patience, patience)
	c.MaxReads = cmp.Or(c.MaxReads, maxReads)
	c.MaxDeadLetters = cmp.Or(c.MaxDeadLetters, maxDeadLetters)
	return &Loader{Config: c, gathering: minSealing, sent: map[spool.BatchID]bool{}, patience: c.Patience, m: newMetrics(c.Registerer)}
}

// Run loads batches until ctx ends or the spool fails. It needs no ClickHouse to start with: while
// there is none, batches wait on disk and Run keeps trying.
func (l *Loader) Run(ctx context.Context) error {
	defer l.disconnect()
	for {
		b, err := l.next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("next batch to load: %w", err)
		}
		if err := l.loadUntilDone(ctx, b); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// next waits for a batch. Batches gather so that inserts do not follow each other too closely: once
// nothing has come for as long as one gathers, the next one need not.
func (l *Loader) next(ctx context.Context) (*spool.Batch, error) {
	quiet, cancel := context.WithTimeout(ctx, l.gathering)
	defer cancel()
	b, err := l.Source.Next(quiet)
	if err == nil || quiet.Err() == nil || ctx.Err() != nil {
		return b, err
	}
	l.gather(minSealing)
	return l.Source.Next(ctx)
}

func (l *Loader) gather(interval time.Duration) {
	l.gathering = interval
	l.Source.Sealing(interval)
}

// loadUntilDone brings one batch to its end. One that has lost records on the disk meanwhile, or that the disk does not
// give back for long, is described again and begins anew, as after a restart: if it was sent before, it is looked up.
func (l *Loader) loadUntilDone(ctx context.Context, b *spool.Batch) error {
	err := l.tryUntilDone(ctx, b)
	for {
		var describe func(spool.BatchID) (*spool.Batch, error)
		switch {
		case errors.Is(err, spool.ErrUnreadable):
			describe = l.Source.Salvage
		case errors.Is(err, spool.ErrDamaged):
			describe = l.Source.Reread
		default:
			return err
		}
		err = l.retry(ctx, b.ID, step{"read", func() error {
			again, err := describe(b.ID)
			if err == nil {
				b = again
			}
			return err
		}})
		if err == nil {
			err = l.tryUntilDone(ctx, b)
		}
	}
}

// tryUntilDone retries every step for ever: a full disk or a shortage of files is no better a reason to stop
// than a ClickHouse that is down. Only the end of ctx, a spool that has failed, a damaged batch and one that cannot be read stop it.
func (l *Loader) tryUntilDone(ctx context.Context, b *spool.Batch) error {
	var rows decoded
	for _, s := range []step{
		{"read", func() (err error) { rows, err = l.Table.decode(b, nil); return err }},
		{"dead-letter", func() error { return l.bury(b.ID, rows.refused()) }},
		{"connection", func() error { return l.load(ctx, b, rows) }}, // or ClickHouse's own code
		{"done", func() error { return l.Source.Done(b.ID) }},
	} {
		if err := l.retry(ctx, b.ID, s); err != nil {
			return err
		}
	}
	delete(l.sent, b.ID)
	return nil
}

// step is one thing to be done for a batch, and what a failure of it is counted as.
type step struct {
	code string
	run  func() error
}

func (l *Loader) retry(ctx context.Context, id spool.BatchID, s step) error {
	reads := 0
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := s.run()
		if err == nil || errors.Is(err, spool.ErrFailed) || errors.Is(err, spool.ErrClosed) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.failed(id, s.code, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff):
		}
		if errors.Is(err, spool.ErrUnreadable) {
			reads++
		}
		if errors.Is(err, spool.ErrDamaged) || reads == l.MaxReads {
			return err
		}
	}
}

// load makes one try: rows, ledger lines, then the mark that both are in. A try that took too long is
// made again with twice the time: a view can be slow, and the server gives up when we do.
func (l *Loader) load(ctx context.Context, b *spool.Batch, rows decoded) (err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	defer func() {
		if err != nil && time.Since(start) >= l.patience {
			l.patience = min(2*l.patience, MaxPatience)
		}
	}()
	if l.conn == nil {
		conn, err := l.Connect(ctx)
		if err != nil {
			return err
		}
		l.conn = conn
		if err := l.oneTable(ctx); err != nil {
			l.disconnect() // to look again next time
			return err
		}
	}
	again := b.Recovered || l.sent[b.ID]
	l.sent[b.ID] = true
	token := b.ID.Token()
	if again {
		token += "/" + rand.Text() // what ClickHouse remembers of earlier tries must not decide about this one
	}
	ctx = chconn.WithToken(ctx, token)
	// Of the rows alone: one query follows the other so closely that the server may not have put the one before
	// away, and ledger lines and marks may come twice or late, since equal ones replace each other.
	of := ctx
	if l.Table.resumable() {
		of = chconn.WithQueryID(ctx, "beckon/"+b.ID.Token())
	}
	if again {
		if rows, err = l.resume(of, b); err != nil {
			return err
		}
		if rows == nil { // it was complete
			l.wentWell()
			return nil
		}
	} else if rows.rows() > 0 {
		if err := rows.insert(of, l.conn, l.Database); err != nil {
			return err
		}
	}
	if err := l.insertLedger(ctx, b, rows.refused()); err != nil {
		return err
	}
	if err := l.insertMark(ctx, b, rows.rows()); err != nil {
		return err
	}
	l.succeeded(time.Since(start), rows.rows(), time.Since(b.Last) > lateAfter)
	return nil
}

// insertLedger writes what the batch counted, and how many of its records are dead letters: those
// were counted as stored.
func (l *Loader) insertLedger(ctx context.Context, b *spool.Batch, refused []refusal) error {
	lines, err := deadLetterLines(b, refused)
	if err != nil {
		return err
	}
	lines = append(lines, b.Counts()...)
	if len(lines) == 0 || !l.Table.ledger() {
		return nil
	}
	batch, err := l.conn.PrepareBatch(ctx, "INSERT INTO "+l.Database+".ledger (site, minute, reason, spool, segment, n)")
	if err != nil {
		return fmt.Errorf("prepare insert into ledger: %w", err)
	}
	defer batch.Close()
	for _, line := range lines {
		if err := batch.Append(line.Site, line.Minute, line.Reason, b.ID.Spool[:], b.ID.Segment, line.N); err != nil {
			return fmt.Errorf("append ledger line: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d lines into ledger: %w", len(lines), err)
	}
	return nil
}

// insertMark writes the row of `loads` that the aggregator follows: only from then on may it look
// at what the batch changed.
func (l *Loader) insertMark(ctx context.Context, b *spool.Batch, rows int) error {
	batch, err := l.conn.PrepareBatch(ctx, "INSERT INTO "+l.Database+".loads (table_name, spool, segment, rows, first_received, last_received, waited_ms)")
	if err != nil {
		return fmt.Errorf("prepare insert into loads: %w", err)
	}
	defer batch.Close()
	if err := batch.Append(l.Table.name(), b.ID.Spool[:], b.ID.Segment, uint64(rows), b.First, b.Last, uint64(max(0, time.Since(b.Last).Milliseconds()))); err != nil {
		return fmt.Errorf("append load mark: %w", err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into loads: %w", err)
	}
	return nil
}

// succeeded adapts how long a batch gathers to how long inserts take here. The late ones of an outage are far larger than what
// gathers now, so say nothing about it; but while one of them is loaded, several that gather would each wait for it.
func (l *Loader) succeeded(took time.Duration, rows int, late bool) {
	l.m.inserts.Inc()
	l.m.rows.Add(float64(rows))
	l.m.seconds.Observe(took.Seconds())
	l.wentWell()
	if late {
		l.behind = min(took, slowest)
	} else {
		if len(l.durations) == recent {
			l.durations = slices.Delete(l.durations, 0, 1)
		}
		l.durations = append(l.durations, took)
		if !l.late { // two in a row: the source has no late one any more
			l.behind = 0
		}
	}
	l.late = late
	l.gather(max(sealingFor(l.durations), l.behind, l.Gather))
}

// wentWell ends what failed tries began. The source hears it with the next batch that is sent.
func (l *Loader) wentWell() {
	l.m.failing.Set(0)
	l.refused.Store(false)
	l.patience = l.Patience
}

// sealingFor returns how long a batch should gather, from the durations of recent inserts.
func sealingFor(durations []time.Duration) time.Duration {
	if len(durations) == 0 {
		return minSealing
	}
	sorted := slices.Sorted(slices.Values(durations))
	insert := sorted[len(sorted)/2]
	quick := min(max(sealFactor*insert, minSealing), maxSealing)
	return min(max(quick, time.Duration(slowFactor*float64(insert))), slowest)
}

// failed stops sealing by time, so that an outage ends in few large inserts, and drops the
// connection when the fault is not the server's answer.
func (l *Loader) failed(id spool.BatchID, code string, err error) {
	l.Source.Sealing(0)
	l.m.failures.WithLabelValues(failureCode(code, err)).Inc()
	l.m.failing.Set(1)
	l.Log.Error("batch not loaded, trying again", "table", l.Table.name(), "batch", id.Token(), "error", err)
	var answer *clickhouse.Exception
	l.refused.Store(errors.As(err, &answer))
	if !l.refused.Load() {
		l.disconnect()
	}
}

// Refused reports whether ClickHouse answers and refuses the batch that is being tried. Safe for
// concurrent use.
func (l *Loader) Refused() bool { return l.refused.Load() }

func (l *Loader) disconnect() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// Drain loads what the source holds and returns when it is empty or ctx ends, for a service that
// stops; Run must have returned. What is left waits on disk for the next start.
func (l *Loader) Drain(ctx context.Context) error {
	defer l.disconnect()
	for {
		wait, cancel := context.WithTimeout(ctx, drainWait)
		b, err := l.Source.Next(wait)
		cancel()
		if err != nil {
			return nil
		}
		if err := l.loadUntilDone(ctx, b); err != nil {
			if ctx.Err() != nil {
				return nil // the source still has the batch, and would hand it out again at once
			}
			return err
		}
	}
}
