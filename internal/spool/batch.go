package spool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// BatchID names a batch for ever.
type BatchID struct {
	Spool   ID
	Segment uint64
}

// Token is the batch's name as ClickHouse's insert_deduplication_token: "<32 hex>/<segment>".
func (id BatchID) Token() string { return fmt.Sprintf("%s/%d", id.Spool, id.Segment) }

// Batch is one sealed segment. Its records, their order and its counts never change.
type Batch struct {
	ID    BatchID
	Len   int   // records; 0 in a batch of counts alone
	Bytes int64 // of its file
	First time.Time
	Last  time.Time // when its first and last commit were made
	// Recovered says that it was there when the spool was opened: an earlier process may have sent it.
	Recovered bool

	spool *Spool
	seg   segment // as it was
	lines []LedgerLine
}

// Counts is what this batch adds to the ledger.
func (b *Batch) Counts() []LedgerLine { return b.lines }

// Records calls fn for every record, in order. seq names the record within the batch; payload is good
// until fn returns. An error of fn ends it. ErrDamaged comes at the end, when records that were
// there at sealing cannot be read any more: then what fn has seen must not be used.
func (b *Batch) Records(fn func(seq uint64, payload []byte) error) error {
	return b.each(func(seq uint64, r record) error { return fn(seq, r.payload) })
}

func (b *Batch) each(fn func(seq uint64, r record) error) error {
	n := 0
	err := b.spool.records(&b.seg, func(seq uint64, r record) error {
		n++
		return fn(seq, r)
	})
	if err != nil {
		return fmt.Errorf("read batch %s: %w", b.ID.Token(), err)
	}
	if n != b.Len {
		return fmt.Errorf("read batch %s: it had %d records and now has %d: the disk, or somebody, has changed %s: %w",
			b.ID.Token(), b.Len, n, b.seg.file, ErrDamaged)
	}
	return nil
}

// Sites counts some of the batch's records by site: those whose sequence is in of.
func (b *Batch) Sites(of map[uint64]bool) (map[string]uint64, error) {
	sites := map[string]uint64{}
	err := b.each(func(seq uint64, r record) error {
		if of[seq] {
			sites[string(r.site)]++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sites of some records: %w", err)
	}
	return sites, nil
}

// records reads the records of a sealed segment.
func (s *Spool) records(seg *segment, fn func(seq uint64, r record) error) error {
	data := seg.salvaged
	if data == nil {
		s.reading.Lock()
		defer s.reading.Unlock()
		var err error
		if data, err = readSealed(s.fs, seg.file, s.scratch); err != nil {
			return err
		}
		s.scratch = data
	}
	sc := segmentScanner(data, s.id, seg.number)
	for sc.next() {
		if sc.frame.kind() != kindRecord {
			continue
		}
		if r, ok := parseRecord(sc.frame.body); ok {
			if err := fn(sc.frame.sequence, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// freshFor is how old the last record of a batch may be that goes before older ones.
const freshFor = 10 * time.Second

// Next returns a sealed batch, waiting for one: the oldest, or, while that is left from an outage, the newest that is fresh,
// so that whoever is here now does not wait for those who were. Bytes of fresh ones go before an old one up to its own: after
// an outage they are small, and all go first; where more comes than goes, both ends of the row have their turn. A full one of
// an outage takes its time, and what is open gathers meanwhile: it is sealed when the next is asked for. A batch stays
// available until it is Done, so a caller whose insert failed may try the one it has again, or ask Next again. The error is
// ErrClosed or the context's.
func (s *Spool) Next(ctx context.Context) (*Batch, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if len(s.sealed) > 0 {
			if s.behind {
				s.behind = false
				s.mu.Unlock()
				_ = s.Seal() // a failure is told to who appends, and by Failed
				continue
			}
			b := s.pickLocked()
			s.mu.Unlock()
			return b, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Spool) pickLocked() *Batch {
	oldest, newest := s.sealed[0], s.sealed[len(s.sealed)-1]
	since := s.o.Now().Add(-freshFor).UnixMilli()
	if s.ahead > 0 && oldest.last <= since && newest.last > since {
		s.ahead -= newest.bytes
		return s.batch(newest)
	}
	s.ahead = oldest.bytes
	s.behind = oldest.last <= since && oldest.bytes > s.o.SegmentBytes/2
	return s.batch(oldest)
}

// batch describes a sealed segment; mu is held.
func (s *Spool) batch(seg *segment) *Batch {
	return &Batch{
		ID:    BatchID{s.id, seg.number},
		Len:   seg.records,
		Bytes: seg.bytes,
		First: time.UnixMilli(seg.first),
		Last:  time.UnixMilli(seg.last),

		Recovered: seg.recovered,
		spool:     s,
		seg:       *seg,
		lines:     seg.counts.lines(),
	}
}

// announce wakes those who wait in Next; mu is held.
func (s *Spool) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Reread describes a batch again after ErrDamaged, just as the next Open would: records that cannot be read any more
// are counted as lost, the others and their numbers stay. Whoever may have sent the batch before has to look it up,
// as after a restart. An error that is none of the content, such as EIO, changes nothing.
func (s *Spool) Reread(id BatchID) (*Batch, error) {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	seg, err := s.find(id)
	if err != nil {
		return nil, fmt.Errorf("read again: %w", err)
	}
	data, err := readSealed(s.fs, seg.file, nil)
	if err != nil {
		return nil, fmt.Errorf("read batch %s again: %w", id.Token(), err)
	}
	return s.describe(seg, data, "a sealed segment has changed on the disk"), nil
}

// Salvage describes what can be read of a batch after ErrUnreadable, as Reread does. What the disk does not give back is
// zeros from then on, even if it would later; Done keeps the file, as N.rejected, for a person.
func (s *Spool) Salvage(id BatchID) (*Batch, error) {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	seg, err := s.find(id)
	if err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	data, err := readPieces(s.fs, seg.file, seg.bytes)
	if err != nil {
		return nil, fmt.Errorf("salvage batch %s: %w", id.Token(), err)
	}
	b := s.describe(seg, data, "a sealed segment cannot be read; what can be is loaded, and its file will be set aside")
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.salvaged, b.seg.salvaged = data, data
	return b, nil
}

// describe makes of a sealed segment what these bytes say.
func (s *Spool) describe(seg *segment, data []byte, what string) *Batch {
	r := readSegment(data, s.id, seg.number)
	s.passedOver(what, seg.file, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.frames == 0 { // not even counters: those are still known here
		r.seg.first, r.seg.last, r.seg.counts = seg.first, seg.last, seg.counts
		r.seg.counts.add("", seg.last/60_000, ReasonLost, uint64(seg.records))
	}
	s.used.Add(r.seg.bytes - seg.bytes)
	r.seg.file, r.seg.recovered = seg.file, seg.recovered
	*seg = *r.seg
	return s.batch(seg)
}

// Done says that ClickHouse has the batch. Its file is removed, its ids stay for the window. After an
// error the batch is still there, and Done may be called again.
func (s *Spool) Done(id BatchID) error {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	seg, err := s.find(id)
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	ids := make([]uint64, 0, seg.records)
	err = s.records(seg, func(_ uint64, r record) error {
		if r.fingerprint != 0 {
			ids = append(ids, r.fingerprint)
		}
		return nil
	})
	if err != nil { // the batch is safe in ClickHouse: an unreadable file is no reason to keep it
		s.log.Warn("ids of a finished batch could not all be read; after a restart repeats of them would be stored again",
			"batch", id.Token(), "read", len(ids), "of", seg.records, "error", err)
	}
	leave := s.leaveIDs
	if seg.salvaged != nil {
		leave = s.setAside
	}
	if err := leave(seg, ids); err != nil {
		return fmt.Errorf("finish batch %s: %w", id.Token(), err)
	}
	s.addIDsFile(idsFile{number: seg.number, last: seg.last, ids: len(ids)})
	s.mu.Lock()
	s.used.Add(-seg.bytes)
	s.sealed = slices.DeleteFunc(s.sealed, func(x *segment) bool { return x == seg })
	s.mu.Unlock()
	s.sweepIDs(s.millis()) // after it has left sealed: the last one to be done need not be the highest
	return nil
}

func (s *Spool) find(id BatchID) (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if id.Spool == s.id {
		for _, seg := range s.sealed {
			if seg.number == id.Segment {
				return seg, nil
			}
		}
	}
	return nil, fmt.Errorf("batch %s: not a sealed batch of spool %s, or done before", id.Token(), s.id)
}

// addIDsFile keeps idsFiles sorted: batches are done in another order than they are sealed.
func (s *Spool) addIDsFile(f idsFile) {
	i, found := slices.BinarySearchFunc(s.idsFiles, f, func(a, b idsFile) int { return cmp.Compare(a.number, b.number) })
	if found {
		s.idsFiles[i] = f
		return
	}
	s.idsFiles = slices.Insert(s.idsFiles, i, f)
}
