// Package suppress is about visitors who said no: whoever opted out or withdrew a consent is, from then
// on, nobody to both services, also where a copy of the cookie turns up again.
//
//	collector --Add--> suppressed/list --read every 100 ms--> every collector and aggregator of the host
//	    \--consent row--> spool --> events --> suppressed (table) --asked every second--> all other hosts
//	      suppressed/list --what the table does not have a minute later--> suppressed (table)
//
// Promises. When Add returns nil, the entry is fsynced; it is in force in this process from the moment Add
// is called, also when the disk refuses it, and is then tried again until it is written. Other processes
// of the host know it within a second (list.go), other hosts as soon as ClickHouse has it (table.go); a line is
// enough for that, also where the row never came to be: a full spool, a crash between the two. An
// entry is a second keyed hash of the visitor's id: whoever reads the file cannot say which rows in
// ClickHouse are meant, and without the site's keys nobody can. It lives as long as the cookie can. A
// torn, damaged, truncated or deleted file costs nothing that a running process knows: it writes it anew.
// A service that cannot read the list does not start.
//
// It does not delete rows. Place in the path: asked in the privacy step (collector) and before a visitor
// is looked up (aggregator).
package suppress

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// life is how long an entry is kept: as long as a cookie that was made in the same moment lives, by the
// clock of whichever collector made it.
const life = privacy.CookieLife + 24*time.Hour

// maxEntries bounds memory (about 50 bytes an entry) and disk (92): more than the opt-outs of a large
// shop in a year. An opt-out beyond it is refused, aloud; its cookies expire all the same.
const maxEntries = 4_000_000

// ErrFull is returned when there are more entries than a process may hold.
var ErrFull = errors.New("the list of suppressed visitors is full")

// KeyOf is the second keyed hash of a visitor's id, by which an entry names them.
func KeyOf(k *keyring.Site, visitor privacy.ID) privacy.ID {
	id := visitor.Bytes()
	return privacy.KeyedID(&k.MAC, "suppress", id[:])
}

// Entry is one no.
type Entry struct {
	Key   privacy.ID    // of KeyOf
	Cause privacy.Cause // CauseOptOut or CauseDenied
	At    time.Time     // in milliseconds
}

// Options of a List.
type Options struct {
	OnNew      func(keys []privacy.ID) // told of entries once they are in force; may be nil
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// List is what one process knows. Its methods are safe for concurrent use.
type List struct {
	dir string
	Options
	metrics *metrics

	mu    sync.RWMutex
	marks map[privacy.ID]mark
	owed  map[privacy.ID]struct{} // in force here, not known to be on disk

	flushes atomic.Uint64 // that have begun

	io    sync.Mutex // of everything below
	file  *os.File
	next  int64 // behind the last whole line that was read
	lines int   // in the file
	torn  bool  // something without an end stands behind next
	// unsynced is set when the disk failed to keep what it had taken: what can be read of the file is
	// then no proof that it is there, and it has to be written anew.
	unsynced bool
	result   error                               // of the last flush
	write    func(*os.File, []byte) (int, error) // (*os.File).Write, but in tests
	sync     func(*os.File) error
}

// mark is an entry in memory.
type mark struct {
	seconds uint32 // Unix time
	millis  uint16 // of that second
	cause   privacy.Cause
	kept    bool // the file has it
	told    bool // ClickHouse has it
}

func markOf(e Entry, kept bool) mark {
	at := max(0, e.At.UnixMilli())
	return mark{seconds: uint32(at / 1000), millis: uint16(at % 1000), cause: e.Cause, kept: kept}
}

func (m mark) at() time.Time { return time.UnixMilli(int64(m.seconds)*1000 + int64(m.millis)) }

func (m mark) expires() time.Time { return m.at().Add(life) }

// Dir is where the list of a keyring stands: beside it, not in it, because the keyring is only ever read.
func Dir(keyringDir string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(keyringDir)), "suppressed")
}

// Open reads the list in dir, and makes both when they are missing.
func Open(dir string, o Options) (*List, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &List{
		dir: dir, Options: o, metrics: newMetrics(o.Registerer), marks: map[privacy.ID]mark{}, owed: map[privacy.ID]struct{}{},
		write: (*os.File).Write, sync: (*os.File).Sync,
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	l.io.Lock()
	defer l.io.Unlock()
	if err := l.flush(); err != nil {
		return nil, err
	}
	return l, l.compact()
}

// Close lets go of the file. What is owed to the disk is lost.
func (l *List) Close() error {
	l.io.Lock()
	defer l.io.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Find returns why and since when a visitor is suppressed, by KeyOf; CauseNone when they are not.
func (l *List) Find(key privacy.ID) (cause privacy.Cause, at time.Time) {
	l.mu.RLock()
	m, ok := l.marks[key]
	l.mu.RUnlock()
	if !ok {
		return privacy.CauseNone, at
	}
	return m.cause, m.at()
}

// Len is how many visitors are suppressed.
func (l *List) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.marks)
}

// Add puts entries in force and returns nil once they are on disk. Whoever waits at the same time shares
// one flush and its result, also who says again what is known: that was perhaps read, but not yet synced.
func (l *List) Add(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	news, err := l.enter(entries, true)
	l.tell(news)
	if err != nil {
		return err
	}
	before := l.flushes.Load()
	l.io.Lock()
	defer l.io.Unlock()
	if l.flushes.Load() == before { // else one began after our entries were in force, and has ended
		_ = l.flush() // its result is everybody's who waits
	}
	if err := l.result; err != nil {
		l.metrics.failures.WithLabelValues("write").Inc()
		return fmt.Errorf("write %d entries: %w", len(entries), err)
	}
	return nil
}

// enter puts entries in force and returns the keys of those that were not. They are owed to the disk
// unless they were read from it.
func (l *List) enter(entries []Entry, owed bool) (news []privacy.ID, err error) {
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		m := markOf(e, !owed)
		if !m.expires().After(now) {
			continue
		}
		if old, ok := l.marks[e.Key]; ok {
			// The first no stands. Of two that came side by side the opt-out is the wider one.
			old.kept = old.kept || m.kept
			if m.cause == privacy.CauseOptOut && old.cause != m.cause {
				old.cause, old.kept, old.told = m.cause, m.kept, false
				if owed {
					l.owed[e.Key] = struct{}{}
				}
			}
			l.marks[e.Key] = old
			continue
		}
		if len(l.marks) >= maxEntries {
			err = ErrFull
			l.metrics.failures.WithLabelValues("full").Inc()
			continue
		}
		l.marks[e.Key] = m
		if owed {
			l.owed[e.Key] = struct{}{}
		}
		news = append(news, e.Key)
	}
	l.metrics.entries.Set(float64(len(l.marks)))
	return news, err
}

func (l *List) tell(keys []privacy.ID) {
	if l.OnNew != nil && len(keys) > 0 {
		l.OnNew(keys)
	}
}

// forget drops what has expired and returns how much is left.
func (l *List) forget() int {
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, m := range l.marks {
		if !m.expires().After(now) {
			delete(l.marks, key)
			delete(l.owed, key)
		}
	}
	l.metrics.entries.Set(float64(len(l.marks)))
	return len(l.marks)
}
