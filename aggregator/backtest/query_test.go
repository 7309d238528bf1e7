package backtest

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"beckon/internal/event"
)

func TestSlicesAreEverybodyOnce(t *testing.T) {
	f := func(list []slice) {
		t.Helper()
		next := uint64(0)
		for _, s := range list {
			if uint64(s.first) != next || s.last < s.first {
				t.Fatalf("%x to %x begins elsewhere than at %x", s.first, s.last, next)
			}
			next = uint64(s.last) + 1
		}
		if next != 1<<32 {
			t.Fatalf("the last slice ends before %x", next)
		}
	}
	for _, n := range []int{1, 2, 3, 7, 1000, maxSlices} {
		f(slicesOf(n))
		var halves []slice
		for _, s := range slicesOf(n) {
			a, b := s.halves()
			halves = append(halves, a, b)
		}
		f(halves)
	}
	if everybody != (slice{0, math.MaxUint32}) {
		t.Error("somebody is missing")
	}
}

func TestQueriesCanChangeNothingAndAreBounded(t *testing.T) {
	s := newShop(t)
	ctx := limited(t.Context(), 10<<20, clickhouse.Parameters{})
	if err := s.conn.Exec(ctx, "INSERT INTO "+db+".schema_files SELECT * FROM "+db+".schema_files"); codeOf(err) != 164 {
		t.Errorf("an insert: %v, want it refused as readonly", err)
	}
	var n uint64
	if err := s.conn.QueryRow(ctx, "SELECT uniqExact(number) FROM numbers(10000000)").Scan(&n); !isOutOfMemory(err) {
		t.Errorf("much memory: %v, want it refused", err)
	}
	st := sites(t, offers)
	s.bring(s.event(event.PageView, "ann", "ann1", time.Now().Add(-time.Minute)))
	in := &replay{Options: s.options(st, "welcome-back", 2, time.Now()), from: time.Now().Add(-time.Hour), to: time.Now(), memory: 1}
	if err := in.switchOn(); err != nil {
		t.Fatal(err)
	}
	if err := in.prepare(in.rules); err != nil {
		t.Fatal(err)
	}
	err := in.explain(in.looks(t.Context(), everybody, maxHalving, func([]look) { t.Error("looks without memory") }))
	if err == nil || !strings.HasPrefix(err.Error(), "ClickHouse needs more than its memory") {
		t.Errorf("no memory at all: %v", err)
	}
}
