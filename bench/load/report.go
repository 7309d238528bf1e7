package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"beckon/bench/shoppers"
)

// report is a result without the ids, as it is printed.
type report struct {
	Seconds         float64        `json:"seconds"`
	Shoppers        int            `json:"shoppers"`
	Events          int            `json:"events"`
	Acknowledged    int            `json:"acknowledged"`
	Unacknowledged  int            `json:"unacknowledged"`
	Refused         map[string]int `json:"refused"`
	Requests        int            `json:"requests"`
	Faults          map[string]int `json:"faults"`
	Repeats         int            `json:"repeats"`
	TakenTwice      int            `json:"taken_twice"`
	EventsPerSecond float64        `json:"events_per_second"` // acknowledged
	P50             float64        `json:"p50_ms"`
	P95             float64        `json:"p95_ms"`
	P99             float64        `json:"p99_ms"`
	Max             float64        `json:"max_ms"`
}

func newReport(r *shoppers.Result) report {
	ms := func(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() * 1000 }
	return report{
		Seconds: r.Elapsed.Seconds(), Shoppers: r.Shoppers, Events: r.Events,
		Acknowledged: len(r.Acknowledged), Unacknowledged: len(r.Unacknowledged), Refused: r.Refused,
		Requests: r.Requests, Faults: r.Faults, Repeats: r.Repeats, TakenTwice: r.TakenTwice,
		EventsPerSecond: float64(len(r.Acknowledged)) / r.Elapsed.Seconds(),
		P50:             ms(r.Latency.P50), P95: ms(r.Latency.P95), P99: ms(r.Latency.P99), Max: ms(r.Latency.Max),
	}
}

func printJSON(w io.Writer, r report) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

func printText(w io.Writer, r report) error {
	_, err := fmt.Fprintf(w, `%d events of %d shoppers in %.2f s: %.0f events/s
acknowledged    %d
unacknowledged  %d
refused         %s
requests        %d, faults: %s
sent twice      %d messages, %d events of them taken for new
latency         p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms
`, r.Events, r.Shoppers, r.Seconds, r.EventsPerSecond, r.Acknowledged, r.Unacknowledged, counts(r.Refused),
		r.Requests, counts(r.Faults), r.Repeats, r.TakenTwice, r.P50, r.P95, r.P99, r.Max)
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// counts lists names and numbers in the order of the names.
func counts(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(list, ", ")
}
