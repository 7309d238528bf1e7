package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"beckon/bench/shoppers"
	"beckon/internal/event"
)

var someResult = shoppers.Result{
	Shoppers: 3, Events: 10, Requests: 9,
	Acknowledged: make([]event.UUID, 6), Unacknowledged: make([]event.UUID, 1),
	Refused: map[string]int{"too-old": 1, "bad-value": 2}, Faults: map[string]int{},
	Repeats: 2, TakenTwice: 1, Elapsed: 2 * time.Second,
	Latency: shoppers.Latency{P50: 1500 * time.Microsecond, P95: 2 * time.Millisecond, P99: 3 * time.Millisecond, Max: time.Second},
}

func TestTextSaysWhatBecameOfEveryEvent(t *testing.T) {
	var b bytes.Buffer
	if err := printText(&b, newReport(&someResult)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10 events of 3 shoppers in 2.00 s: 3 events/s", "acknowledged    6", "unacknowledged  1",
		"refused         bad-value 2, too-old 1", "requests        9, faults: none",
		"2 messages, 1 events of them taken for new", "p50 1.50 ms, p95 2.00 ms, p99 3.00 ms, max 1000.00 ms",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestJSONSaysTheSame(t *testing.T) {
	var b bytes.Buffer
	if err := printJSON(&b, newReport(&someResult)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Acknowledged int            `json:"acknowledged"`
		Refused      map[string]int `json:"refused"`
		P50          float64        `json:"p50_ms"`
		TakenTwice   int            `json:"taken_twice"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Acknowledged != 6 || got.Refused["bad-value"] != 2 || got.P50 != 1.5 || got.TakenTwice != 1 {
		t.Errorf("%+v of %s", got, b.String())
	}
}
