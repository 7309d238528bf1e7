package e2e_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"beckon/bench/shoppers"
	"beckon/internal/chconn"
	"beckon/internal/event"
	"beckon/internal/recount"
)

// killRounds is how often something is killed: 4 times in `make test`, BECKON_FAULT_ROUNDS in `make fault`.
func killRounds(t *testing.T) int {
	text := os.Getenv("BECKON_FAULT_ROUNDS")
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BECKON_FAULT_ROUNDS=%q is no number of rounds", text)
	}
	return n
}

const (
	killRate  = 2000 // events per second that are asked for
	killFloor = 1000 // events a round that must be acknowledged at least: a kill with nothing under way proves nothing
)

// heard is what the collector has acknowledged, by the shoppers' own account.
type heard map[event.UUID]string // kinds

func TestCollectorAndClickHouseKilledInTurnsLoseNothingAndDoubleNothing(t *testing.T) {
	rounds := killRounds(t)
	s := newStack(t)
	s.collector.start()
	acked := heard{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var result shoppers.Result
	go func() {
		var err error
		result, err = shoppers.Run(ctx, shoppers.Config{
			Target: "http://" + s.collector.public, Site: "demo", Origin: shopOrigin, Seed: 7, Events: 1 << 30, Rate: killRate, Concurrency: 16,
			OnAck: func(a shoppers.Ack) { acked[a.ID] = a.Kind },
		})
		ended <- err
	}()
	began := time.Now()
	rng := rand.New(rand.NewPCG(uint64(rounds), 1))
	for round := range rounds {
		time.Sleep(300*time.Millisecond + time.Duration(rng.Int64N(int64(1200*time.Millisecond)))) // the moment of the kill, by chance
		if round%2 == 0 {
			s.collector.kill()
			s.collector.start()
		} else {
			s.killClickHouse()
			s.restartClickHouse()
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	took := time.Since(began)
	s.drained()
	if code := s.collector.stop(); code != 0 {
		t.Errorf("the collector ended with %d", code)
	}
	t.Logf("%d rounds in %s: %d events sent, %d acknowledged, %.0f/s of %d/s asked for, %d never settled, faults of tries %v",
		rounds, took.Round(time.Second), result.Events, len(acked), float64(len(acked))/took.Seconds(), killRate, len(result.Unacknowledged), result.Faults)
	if len(acked) < killFloor*rounds || result.TakenTwice != 0 || len(result.Refused) > 0 {
		t.Errorf("%d acknowledged, refused %v, %d taken twice: want at least %d, none, none", len(acked), result.Refused, result.TakenTwice, killFloor*rounds)
	}
	s.isExact(acked, result.Unacknowledged)
	s.ledgerCloses()
	s.killClickHouse() // a stop would wait for its merges
}

// drained waits until the collector has brought everything to ClickHouse, however much that is, as long as it
// becomes less.
func (s *stack) drained() {
	s.t.Helper()
	for left := s.spooled(s.t); left > 0; {
		eventually(s.t, func() error {
			if n := s.spooled(s.t); n >= left && n > 0 {
				return fmt.Errorf("%d records wait, and do not become fewer", n)
			}
			return nil
		})
		left = s.spooled(s.t)
	}
}

// isExact compares all tables with what was acknowledged. Of what never was settled, each event may be there or not.
func (s *stack) isExact(acked heard, unsettled []event.UUID) {
	s.t.Helper()
	conn, err := chconn.Open(s.t.Context(), s.clickhouse.DSN())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	stored, err := recount.Read(s.t.Context(), conn, "beckon")
	if err != nil {
		s.t.Fatal(err)
	}
	lost, invented, changed := 0, 0, 0
	for id, kind := range acked {
		switch e := stored[id]; {
		case e == nil:
			lost++
		case e.Kind.String() != kind:
			changed++
		}
	}
	open := map[event.UUID]bool{}
	for _, id := range unsettled {
		open[id] = true
	}
	for id, e := range stored {
		if acked[id] == "" && !open[id] && e.Kind != event.Consent { // those are the collector's own
			if invented++; invented == 1 {
				s.t.Logf("nobody sent %s %s", hex.EncodeToString(id[:]), e.Kind)
			}
		}
	}
	doubled := s.number("SELECT count() - uniqExact(event_id) FROM events")
	s.t.Logf("%d acknowledged: %d lost, %d doubled, %d invented, %d changed", len(acked), lost, doubled, invented, changed)
	if lost+doubled+invented+changed > 0 {
		s.t.Error("want none of these")
	}
	if err := stored.Compare(s.t.Context(), conn, "beckon"); err != nil {
		s.t.Error(err)
	}
}
