// Package history is about bringing what a shop kept of its past to ClickHouse: a file with one event a line,
// through the same privacy step, the same kind of spool and the same loader as what browsers send.
//
//	file --ingest.Lines--> a chunk of records --not there yet?--> spool --loader--> ClickHouse, then the next chunk
//
// Promises. A line is stored once, however often the file is read, and wherever a run was cut off: an event's id
// depends on nothing but the file and the site's keys; before a chunk is looked up nothing of this import waits
// on disk, so ClickHouse is the whole truth; what ClickHouse has is left out, what it has not goes through the spool. Memory is
// bounded by two chunks. A line that cannot be taken is counted by its reason and listed by its number, and nothing that
// stood in it is written anywhere.
//
// It does not look out for others: two imports of one file at the same time, from two folders, can store an event
// twice (a second row of `events`, which views and aggregates count once). An event whose id stayed the same and
// whose day changed is another one in this respect.
//
// Place in the path: beside the HTTP server, for events that are over.
package history

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"beckon/collector/ingest"
	"beckon/internal/spool"
)

// Lines turns a line into a record.
type Lines interface {
	Read(number int, line []byte) (ingest.Old, ingest.Reason)
}

// Known reports which events are in ClickHouse.
type Known interface {
	Has(ctx context.Context, events []ingest.Old) ([]bool, error)
}

// Spool takes records and counts.
type Spool interface {
	Append(entries []spool.Entry, counts []spool.Count) error
}

// Import is one run over one file.
type Import struct {
	Lines   Lines
	Known   Known
	Spool   Spool
	Drain   func(context.Context) error // brings everything in Spool to ClickHouse
	Rejects io.Writer
	Tell    io.Writer // hears how far it is, at most once a second
	Now     func() time.Time

	told time.Time
	sum  Summary
}

// Summary is what became of the lines.
type Summary struct {
	Read     int // lines, without blank ones
	Stored   int
	There    int // already, or twice in the file
	Rejected map[ingest.Reason]int
	Took     time.Duration
}

// Refused is how many lines were rejected.
func (s *Summary) Refused() (n int) {
	for _, k := range s.Rejected {
		n += k
	}
	return n
}

// String is a line for people: "10000 lines read, 9990 stored, ...".
func (s *Summary) String() string {
	text := fmt.Sprintf("%d lines read, %d stored, %d already there, %d rejected", s.Read, s.Stored, s.There, s.Refused())
	var reasons []ingest.Reason
	for r := range s.Rejected {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for i, r := range reasons {
		text += fmt.Sprintf("%s%s: %d", map[bool]string{true: " (", false: ", "}[i == 0], r, s.Rejected[r])
	}
	if len(reasons) > 0 {
		text += ")"
	}
	return fmt.Sprintf("%s, %.1f s", text, s.Took.Seconds())
}

// Run reads the file to its end. With an error, the summary is of what was finished by then.
func (im *Import) Run(ctx context.Context, file io.Reader) (Summary, error) {
	began := im.Now()
	im.sum = Summary{Rejected: map[ingest.Reason]int{}}
	err := im.run(ctx, file)
	im.sum.Took = im.Now().Sub(began)
	return im.sum, err
}

func (im *Import) run(ctx context.Context, file io.Reader) error {
	if err := im.Drain(ctx); err != nil { // what a run before this one has left
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan *chunk)
	go gather(ctx, file, im.Lines, chunks) // waits for the file alone: an interrupt does not wait for a pipe
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c, more := <-chunks:
			if !more {
				return nil
			}
			if err := im.store(ctx, c); err != nil {
				return err
			}
			if c.err != nil {
				return fmt.Errorf("read after line %d: %w", c.last, c.err)
			}
			im.tell(c.last)
		}
	}
}

// tell says how far the import is.
func (im *Import) tell(line int) {
	if now := im.Now(); now.Sub(im.told) >= time.Second {
		im.told = now
		fmt.Fprintf(im.Tell, "line %d: %d stored, %d already there, %d rejected\n", line, im.sum.Stored, im.sum.There, im.sum.Refused())
	}
}

const maxAppendBytes = 1 << 20 // of one call; a segment is 8 MiB

// store brings what is new of a chunk to ClickHouse. An error says nothing of the chunk, which the next
// run reads again.
func (im *Import) store(ctx context.Context, c *chunk) error {
	known, err := im.Known.Has(ctx, c.events)
	if err != nil {
		return err
	}
	counts := c.counts()
	there := c.repeats
	var entries []spool.Entry
	bytes := 0
	for i, e := range c.events {
		if known[i] {
			there++
			counts = append(counts, spool.Count{Site: e.Site, Reason: spool.ReasonAccepted, N: 1}, spool.Count{Site: e.Site, Reason: spool.ReasonDuplicate, N: 1})
			continue
		}
		if bytes += len(e.Record); bytes > maxAppendBytes {
			if err := im.Spool.Append(entries, nil); err != nil {
				return fmt.Errorf("spool: %w", err)
			}
			entries, bytes = entries[:0], len(e.Record)
		}
		entries = append(entries, spool.Entry{Site: e.Site, Payload: e.Record}) // no fingerprint: ClickHouse was asked
	}
	if len(entries)+len(counts) > 0 {
		if err := im.Spool.Append(entries, counts); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	if err := im.Drain(ctx); err != nil {
		return err
	}
	im.sum.Read += c.read
	im.sum.Stored += len(c.events) - (there - c.repeats)
	im.sum.There += there
	for _, r := range c.rejects {
		im.sum.Rejected[r.reason]++
	}
	if _, err := im.Rejects.Write(c.list()); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	return nil
}
