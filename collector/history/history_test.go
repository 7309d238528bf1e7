package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"beckon/collector/ingest"
	"beckon/internal/event"
	"beckon/internal/spool"
)

// words takes each line as the id of an event of site "demo"; "no" has a bad id, and "what" no site.
type words struct{}

func (words) Read(_ int, line []byte) (ingest.Old, ingest.Reason) {
	switch string(line) {
	case "no":
		return ingest.Old{Site: "demo"}, ingest.BadID
	case "what":
		return ingest.Old{}, ingest.Malformed
	}
	old := ingest.Old{Site: "demo", Record: line}
	copy(old.ID[:], line)
	return old, ingest.Taken
}

// table is ClickHouse behind a spool: what is appended is there after a drain.
type table struct {
	rows    map[event.UUID]int
	waiting []string
	ledger  map[string]int
	calls   int
	fail    error // of the next Append
}

func newTable() *table { return &table{rows: map[event.UUID]int{}, ledger: map[string]int{}} }

func (b *table) Has(_ context.Context, events []ingest.Old) ([]bool, error) {
	there := make([]bool, len(events))
	for i, e := range events {
		there[i] = b.rows[e.ID] > 0
	}
	return there, nil
}

func (b *table) Append(entries []spool.Entry, counts []spool.Count) error {
	if b.fail != nil {
		return b.fail
	}
	b.calls++
	for _, e := range entries {
		if e.Fingerprint != 0 || e.Site != "demo" {
			return fmt.Errorf("entry %+v", e)
		}
		b.waiting = append(b.waiting, string(e.Payload))
		b.ledger["accepted"]++ // as the spool counts it
		b.ledger["stored"]++
	}
	for _, c := range counts {
		b.ledger[c.Reason] += int(c.N)
	}
	return nil
}

func (b *table) drain(ctx context.Context) error {
	for _, w := range b.waiting {
		var id event.UUID
		copy(id[:], w)
		b.rows[id]++
	}
	b.waiting = nil
	return ctx.Err()
}

// read imports a text into b.
func (b *table) read(ctx context.Context, file io.Reader) (sum string, rejects string, err error) {
	var out bytes.Buffer
	im := Import{Lines: words{}, Known: b, Spool: b, Drain: b.drain, Rejects: &out, Tell: io.Discard, Now: func() time.Time { return time.Unix(0, 0) }}
	s, err := im.Run(ctx, file)
	return s.String(), out.String(), err
}

func TestEachLineHasOneFateAndTheLedgerHasIt(t *testing.T) {
	b := newTable()
	const text = "a\nb\n\n \t\r\nno\na\nwhat\r\nb\r\nc"
	sum, rejects, err := b.read(t.Context(), strings.NewReader(text))
	if err != nil || sum != "7 lines read, 3 stored, 2 already there, 2 rejected (malformed: 1, bad-id: 1), 0.0 s" {
		t.Errorf("%s, %v", sum, err)
	}
	if want := "{\"line\":5,\"reason\":\"bad-id\"}\n{\"line\":7,\"reason\":\"malformed\"}\n"; rejects != want {
		t.Errorf("rejects %s", rejects)
	}
	if got := fmt.Sprint(b.ledger); got != "map[accepted:6 dropped:bad-id:1 duplicate:2 stored:3]" {
		t.Errorf("ledger %s", got)
	}
	if sum, _, err = b.read(t.Context(), strings.NewReader(text)); err != nil || sum != "7 lines read, 0 stored, 5 already there, 2 rejected (malformed: 1, bad-id: 1), 0.0 s" {
		t.Errorf("again: %s, %v", sum, err)
	}
	for id, n := range b.rows {
		if n != 1 {
			t.Errorf("%x is there %d times", id, n)
		}
	}
}

func TestWhatARunHasLeftIsThereBeforeTheNextOneAsks(t *testing.T) {
	b := newTable()
	b.waiting = []string{"a", "c"} // a kill came between the spool and ClickHouse
	if sum, _, err := b.read(t.Context(), strings.NewReader("a\nb\nc\n")); err != nil || sum != "3 lines read, 1 stored, 2 already there, 0 rejected, 0.0 s" {
		t.Errorf("%s, %v", sum, err)
	}
}

func TestALongFileIsReadInChunksAndALongChunkIsAppendedInPieces(t *testing.T) {
	b := newTable()
	var text strings.Builder
	for i := range 2*chunkLines + 1 {
		fmt.Fprintf(&text, "%d\n", i)
	}
	text.WriteString("0\n") // which was in the first chunk
	if sum, _, err := b.read(t.Context(), strings.NewReader(text.String())); err != nil || !strings.HasPrefix(sum, "20002 lines read, 20001 stored, 1 already there, ") || b.calls != 3 {
		t.Errorf("%s, %v, %d calls", sum, err, b.calls)
	}
	b = newTable()
	wide := strings.Repeat("x", 60_000)
	text.Reset()
	for i := range 200 { // 12 MB
		fmt.Fprintf(&text, "%d %s\n", i, wide)
	}
	if sum, _, err := b.read(t.Context(), strings.NewReader(text.String())); err != nil || !strings.HasPrefix(sum, "200 lines read, 200 stored, ") || b.calls != 13 {
		t.Errorf("%s, %v, %d calls", sum, err, b.calls)
	}
}

func TestALineOverTheLimitCostsItselfOnly(t *testing.T) {
	b := newTable()
	most := strings.Repeat("m", ingest.MaxLineBytes)
	sum, rejects, err := b.read(t.Context(), strings.NewReader("a\n"+most+"\n"+most+"m\nb\n"+strings.Repeat("x", 5*ingest.MaxLineBytes)))
	if err != nil || sum != "5 lines read, 3 stored, 0 already there, 2 rejected (too-large: 2), 0.0 s" {
		t.Errorf("%s, %v", sum, err)
	}
	if rejects != "{\"line\":3,\"reason\":\"too-large\"}\n{\"line\":5,\"reason\":\"too-large\"}\n" {
		t.Errorf("rejects %s", rejects)
	}
}

func TestAnErrorIsOfTheFileOrOfTheSpoolAndCountsNothingUnfinished(t *testing.T) {
	b := newTable()
	cut := io.MultiReader(strings.NewReader("a\nb\nhalf a li"), iotest.ErrReader(errors.New("the disk is gone")))
	if sum, _, err := b.read(t.Context(), cut); err == nil || !strings.Contains(err.Error(), "after line 2: the disk is gone") || !strings.HasPrefix(sum, "2 lines read, 2 stored, ") {
		t.Errorf("%s, %v", sum, err)
	}
	b = newTable()
	b.fail = spool.ErrFull
	if sum, _, err := b.read(t.Context(), strings.NewReader("a\n")); !errors.Is(err, spool.ErrFull) || !strings.HasPrefix(sum, "0 lines read, 0 stored, ") {
		t.Errorf("%s, %v", sum, err)
	}
}

func TestAnInterruptDoesNotWaitForAPipe(t *testing.T) {
	b := newTable()
	out, in := io.Pipe()
	defer in.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := b.read(ctx, out)
		ended <- err
	}()
	in.Write([]byte("a\n"))
	interrupt()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestProgressIsToldAtMostOnceASecond(t *testing.T) {
	var said bytes.Buffer
	now := time.Unix(100, 0)
	im := Import{Tell: &said, Now: func() time.Time { return now }}
	for range 25 {
		im.tell(7)
		now = now.Add(100 * time.Millisecond)
	}
	if lines := slices.Collect(strings.Lines(said.String())); len(lines) != 3 || lines[0] != "line 7: 0 stored, 0 already there, 0 rejected\n" {
		t.Errorf("told %q", lines)
	}
}
