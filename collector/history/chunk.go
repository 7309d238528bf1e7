package history

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"beckon/collector/ingest"
	"beckon/internal/event"
	"beckon/internal/spool"
)

// A chunk ends at either. It is one question to ClickHouse and one insert or a few.
const (
	chunkLines = 10_000
	chunkBytes = 8 << 20 // of records: a line's items can make a long one
)

// chunk is some lines of the file, read.
type chunk struct {
	last    int // number of its last line
	read    int // lines that are not blank
	events  []ingest.Old
	repeats int // of an event of the same chunk, whose sites are in again
	again   []string
	rejects []reject
	err     error // what ended the file, other than its end
}

// reject is a line that cannot be taken.
type reject struct {
	line   int
	site   string // where it is known
	reason ingest.Reason
}

// counts are the ledger's lines of what is not stored. Where no site is known there is nothing to count for.
func (c *chunk) counts() (counts []spool.Count) {
	add := func(site, reason string) {
		counts = append(counts, spool.Count{Site: site, Reason: spool.ReasonAccepted, N: 1}, spool.Count{Site: site, Reason: reason, N: 1})
	}
	for _, site := range c.again {
		add(site, spool.ReasonDuplicate)
	}
	for _, r := range c.rejects {
		if r.site != "" {
			add(r.site, r.reason.Ledger())
		}
	}
	return counts
}

// list is the rejects as lines of JSON. Nothing of the lines themselves is in it.
func (c *chunk) list() (b []byte) {
	for _, r := range c.rejects {
		b = fmt.Appendf(b, "{\"line\":%d,\"reason\":%q}\n", r.line, r.reason)
	}
	return b
}

// gather sends the file in chunks and closes the channel at its end. Of an error the last chunk tells.
func gather(ctx context.Context, file io.Reader, lines Lines, chunks chan<- *chunk) {
	defer close(chunks)
	in := lineReader{in: bufio.NewReaderSize(file, ingest.MaxLineBytes+1)}
	for ended := false; !ended; {
		var c *chunk
		c, ended = in.chunk(lines)
		select {
		case chunks <- c:
		case <-ctx.Done():
			return
		}
	}
}

// lineReader cuts a file into lines.
type lineReader struct {
	in     *bufio.Reader
	number int
}

// chunk reads the next chunk; ended when nothing follows it.
func (l *lineReader) chunk(lines Lines) (c *chunk, ended bool) {
	type key struct {
		site string
		id   event.UUID
	}
	c = &chunk{}
	seen := map[key]bool{}
	var records []byte
	for c.read < chunkLines && len(records) < chunkBytes {
		line, long, err := l.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.err = err
			}
			return c, true
		}
		c.last = l.number
		if !long && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		c.read++
		old, reason := ingest.Old{}, ingest.TooLarge
		if !long {
			old, reason = lines.Read(l.number, line)
		}
		switch k := (key{old.Site, old.ID}); {
		case reason != ingest.Taken:
			c.rejects = append(c.rejects, reject{l.number, old.Site, reason})
		case seen[k]:
			c.repeats++
			c.again = append(c.again, old.Site)
		default:
			seen[k] = true
			start := len(records)
			records = append(records, old.Record...) // earlier ones keep the old array alive when this one moves
			old.Record = records[start:]
			c.events = append(c.events, old)
		}
	}
	return c, false
}

// next returns the next line without its end, good until the next call; long when it is over the limit, and then
// without its text. A last line without an end is a line.
func (l *lineReader) next() (line []byte, long bool, err error) {
	line, err = l.in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		line, err = l.in.ReadSlice('\n')
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long) {
		return nil, false, err // of a line that a failing disk has cut nobody knows the rest
	}
	l.number++
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	if long {
		return nil, true, nil
	}
	return line, false, nil
}
