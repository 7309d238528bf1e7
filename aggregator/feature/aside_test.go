package feature

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	dto "github.com/prometheus/client_model/go"
)

// poisoned cannot read one visitor, nor whoever is read with it.
type poisoned struct {
	visitor Key
	err     error
	reading func()
}

func (p *poisoned) Read(_ context.Context, _ string, keys []Key) ([]*Profile, error) {
	if p.reading != nil {
		p.reading()
	}
	profiles := make([]*Profile, len(keys))
	for i, k := range keys {
		if k == p.visitor && p.err != nil {
			return nil, p.err
		}
		profiles[i] = &Profile{ReadAt: time.Now()}
	}
	return profiles, nil
}

// unreadable is a ClickHouse that reads nobody.
type unreadable struct{ err error }

func (u unreadable) Read(context.Context, string, []Key) ([]*Profile, error) { return nil, u.err }

// asideTest is a follower of 2,500 visitors, the 1,234th of whom cannot be read.
func asideTest(t *testing.T, err error) (f *Follower, ch *poisoned, keys []Key, clock *time.Time, log *strings.Builder) {
	t.Helper()
	for n := range 2500 {
		keys = append(keys, visitorOf("demo", n))
	}
	log, now := &strings.Builder{}, time.Now()
	ch = &poisoned{visitor: keys[1234], err: err}
	f = NewFollower(nil, newTestStore(t, 10_000), nil, slog.New(slog.NewTextHandler(log, nil)), nil)
	f.profiles, f.now = ch, func() time.Time { return now }
	return f, ch, keys, &now, log
}

func (f *Follower) isAside() float64 {
	var m dto.Metric
	_ = f.aside.now.Write(&m)
	return m.GetGauge().GetValue()
}

func (f *Follower) tryAll(t *testing.T) {
	for range 100 {
		f.tryAside(t.Context())
	}
}

func TestWhoCannotBeReadDoesNotHoldUpTheOthers(t *testing.T) {
	for name, err := range map[string]error{"too slow": context.DeadlineExceeded, "refused": &clickhouse.Exception{Code: 241}} {
		t.Run(name, func(t *testing.T) {
			f, ch, keys, clock, log := asideTest(t, err)
			f.store.Put(keys[1234], &Profile{ReadAt: *clock}, *clock)
			if err := f.refresh(t.Context(), keys); err != nil {
				t.Fatalf("the feed stops: %v", err)
			}
			if f.store.Get(keys[0]) == nil || f.store.Get(keys[2499]) == nil {
				t.Error("other reads do not go on")
			}
			if f.store.Get(keys[1234]) != nil {
				t.Error("what is decided goes by what the visitor was")
			}
			if n := f.isAside(); n != chunk || !strings.Contains(log.String(), "count=1000") {
				t.Errorf("%v are aside, want those of the one read, and a line of log: %s", n, log)
			}
			f.tryAll(t)
			if n := f.isAside(); n != chunk {
				t.Errorf("tried again at once: %v are aside", n)
			}
			*clock = clock.Add(asideFor)
			f.tryAll(t)
			if n := f.isAside(); n != 1 || f.store.Get(keys[1233]) == nil || f.store.Get(keys[1235]) == nil || f.store.Get(keys[1234]) != nil {
				t.Errorf("%v are aside, want the one alone", n)
			}
			ch.err = nil
			f.tryAll(t)
			if f.store.Get(keys[1234]) != nil {
				t.Error("who has just failed alone is tried again at once")
			}
			*clock = clock.Add(asideAtMost)
			f.tryAll(t)
			if n := f.isAside(); n != 0 || f.store.Get(keys[1234]) == nil || !strings.Contains(log.String(), "all visitors are read again") {
				t.Errorf("%v are aside after the trouble: %s", n, log)
			}
		})
	}
}

func TestWhoChangesWhileAsideIsReadAsLateAsThat(t *testing.T) {
	f, ch, keys, clock, _ := asideTest(t, context.DeadlineExceeded)
	if err := f.refresh(t.Context(), keys[1234:1235]); err != nil {
		t.Fatal(err)
	}
	f.store.Put(keys[1234], &Profile{ReadAt: *clock}, *clock) // somebody asked, and it could be read
	if err := f.refresh(t.Context(), keys[1234:1235]); err != nil || f.store.Get(keys[1234]) != nil {
		t.Errorf("%v; who changed again is known as they were", err)
	}
	ch.err, ch.reading = nil, func() {
		ch.reading = nil
		_, again := f.aside.without(keys[1234:1235])
		if len(again) != 1 {
			t.Error("who is being tried is read by the feed as well")
		}
	}
	*clock = clock.Add(asideFor)
	f.tryAside(t.Context())
	if f.isAside() != 1 || f.store.Get(keys[1234]) != nil {
		t.Error("a change during the try is lost")
	}
	f.tryAside(t.Context())
	if f.isAside() != 0 || f.store.Get(keys[1234]) == nil {
		t.Error("who changed during the try is not read again")
	}
}

func TestTheFeedWaitsWhenClickHouseHasTroubleWithEverybody(t *testing.T) {
	f, ch, keys, _, _ := asideTest(t, errors.New("connection refused"))
	if err := f.refresh(t.Context(), keys); !errors.Is(err, ch.err) || f.isAside() != 0 {
		t.Errorf("ClickHouse is down: %v, %v are aside", err, f.isAside())
	}
	ch.err = context.DeadlineExceeded
	for n := range maxAside {
		ch.visitor = visitorOf("demo", n)
		if err := f.refresh(t.Context(), []Key{ch.visitor}); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
	}
	ch.visitor = visitorOf("other", 1)
	if err := f.refresh(t.Context(), []Key{ch.visitor}); !errors.Is(err, ch.err) || len(f.aside.changed) != maxAside {
		t.Errorf("nobody can be read: %v, %d are aside", err, len(f.aside.changed))
	}
	f, _, keys, _, _ = asideTest(t, nil)
	missing := unreadable{&clickhouse.Exception{Code: 60}}
	f.profiles = missing
	if err := f.refresh(t.Context(), keys); !errors.Is(err, missing.err) || f.isAside() != 0 {
		t.Errorf("a table is missing: %v, %v are aside", err, f.isAside())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	f, _, keys, _, _ = asideTest(t, context.DeadlineExceeded)
	if err := f.refresh(ended, keys); err == nil || f.isAside() != 0 {
		t.Error("who could not be read since we stop is set aside")
	}
}
