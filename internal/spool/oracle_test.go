package spool

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// oracle is what every fault is judged by. It knows what was sent and what was acknowledged, and stands for a
// ClickHouse that survives everything and takes each token once. Whatever happened in between:
//   - what was acknowledged is loaded, or can still be loaded;
//   - nothing is there twice, and no token has two meanings;
//   - nothing is there that nobody has sent.
type oracle struct {
	mu          sync.Mutex
	sent, acked map[int]bool
	batches     map[string][]string // by token
	records     map[string]string   // token by record
}

func newOracle() *oracle {
	return &oracle{sent: map[int]bool{}, acked: map[int]bool{}, batches: map[string][]string{}, records: map[string]string{}}
}

// append sends a numbered record.
func (o *oracle) append(t *testing.T, s *Spool, n int) error {
	t.Helper()
	o.sends(n)
	e := []Entry{numbered(n)}
	o.mu.Lock()
	known := o.acked[n]
	o.mu.Unlock()
	if err := s.Append(e, nil); err != nil {
		return err
	}
	if known && !e[0].Duplicate {
		t.Errorf("record %d was acknowledged before and is stored again", n)
	}
	o.acks(n)
	return nil
}

func (o *oracle) sends(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[n] = true
}

// acks notes an acknowledgement, and tells whether it is the first of this number.
func (o *oracle) acks(n int) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first = !o.acked[n]
	o.acked[n] = true
	return first
}

func (o *oracle) acknowledged() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked)
}

// load inserts a batch.
func (o *oracle) load(b *Batch) error {
	var records []string
	if err := b.Records(func(_ uint64, p []byte) error { records = append(records, string(p)); return nil }); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	token := b.ID.Token()
	if old, ok := o.batches[token]; ok {
		if !slices.Equal(old, records) {
			return fmt.Errorf("token %s meant %v and means %v now", token, old, records)
		}
		return nil
	}
	o.batches[token] = records
	for _, r := range records {
		if first, ok := o.records[r]; ok {
			return fmt.Errorf("%s is in %s and in %s", r, first, token)
		}
		o.records[r] = token
	}
	return nil
}

// verify loads what the spool still has, and judges.
func (o *oracle) verify(t *testing.T, what string, s *Spool) {
	t.Helper()
	for _, b := range batches(s) {
		if err := o.load(b); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := range o.acked {
		if name := fmt.Sprintf("record-%d", n); o.records[name] == "" {
			t.Fatalf("%s: %s was acknowledged and is lost", what, name)
		}
	}
	for name := range o.records {
		number, ok := strings.CutPrefix(name, "record-")
		if n, err := strconv.Atoi(number); !ok || err != nil || !o.sent[n] {
			t.Fatalf("%s: %q is there and nobody has sent it", what, name)
		}
	}
	if t.Failed() {
		t.Fatal(what)
	}
}
