package spool

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
)

// recover takes the directory and reads what a former process left: which spool this is, the batches
// that are not done, the ids of the window, and the highest number ever used.
func (s *Spool) recover() error {
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	var err error
	if s.lock, err = s.fs.Lock(filepath.Join(s.dir, identityName)); err != nil {
		if errors.Is(err, ErrLocked) {
			return fmt.Errorf("%w: stop it, or give this process a directory of its own", err)
		}
		return err
	}
	if err := s.probe(); err != nil {
		return err
	}
	found, err := s.list()
	if err != nil {
		return err
	}
	if err := s.identify(found); err != nil {
		return err
	}
	for _, f := range found {
		s.next = max(s.next, f.number)
		switch f.ext {
		case idsExt:
			err = s.recoverIDs(f.number)
		case segmentExt:
			err = s.recoverSegment(f.number)
		}
		if err != nil {
			return err
		}
	}
	if err := s.recoverAstray(found); err != nil {
		return err
	}
	if err := s.refreshNewest(mostUnsealed); err != nil {
		return err
	}
	s.noticeMissing(found)
	s.next++
	s.window.expire(s.windowMillis())
	s.sweepIDs(s.millis())
	return nil
}

// noticeMissing tells of segments that somebody has removed before they were loaded. Numbers rise by one, what is done
// leaves an ids file, and sweepIDs keeps one below all that waits: so from the first ids file on, or from 1 when nothing was ever done,
// each number has a file.
func (s *Spool) noticeMissing(found []foundFile) {
	var numbers []uint64
	for _, f := range found {
		if f.ext != segmentExt {
			numbers = append(numbers, f.number)
		}
	}
	before := uint64(0)
	for _, f := range s.idsFiles {
		numbers = append(numbers, f.number) // those of empty segments too
	}
	if len(s.idsFiles) > 0 {
		before = s.idsFiles[0].number
	}
	for _, seg := range s.sealed {
		numbers = append(numbers, seg.number) // a segment may have another name
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if n > before+1 {
			s.metrics.missing.Add(float64(n - before - 1))
			s.log.Error("segments are missing that were not loaded: somebody has removed them, and what they held is lost unless they come back before the next start",
				"first", before+1, "last", n-1)
		}
		before = max(before, n)
	}
}

// probe finds out whether files may be made here, rather than at the first event. A disk that is full
// is no reason not to start: what is on it has to go somewhere.
func (s *Spool) probe() error {
	name := filepath.Join(s.dir, "probe")
	f, err := s.fs.Create(name)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("no files may be made in it: %w", err)
	}
	if err == nil {
		_ = f.Close()
	}
	_ = s.fs.Remove(name) // one that stays behind is taken by the next start
	return nil
}

type foundFile struct {
	number uint64
	ext    string
}

// list returns the numbered files, by number; "ids" comes before "segment". Other files are not ours
// and left alone.
func (s *Spool) list() ([]foundFile, error) {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var found []foundFile
	for _, name := range names {
		if number, ext, ok := parseName(name); ok {
			found = append(found, foundFile{number, ext})
		} else if name != identityName {
			s.log.Warn("a file that is not the spool's is left alone", "file", name)
		}
	}
	return found, nil
}

// identify finds the spool's id. Without any numbered file it is a new one, whatever the identity file
// says: the numbers begin again, and a token must never mean two things.
func (s *Spool) identify(found []foundFile) error {
	if len(found) == 0 {
		_, _ = rand.Read(s.id[:]) // never fails
		return s.writeIdentity()
	}
	data := make([]byte, headerBytes)
	if _, err := s.lock.ReadAt(data, 0); err == nil {
		h, err := parseHeader(data, identityMagic)
		if err == nil {
			s.id = h.id
			return nil
		}
		if errors.Is(err, errVersion) {
			return err
		}
	}
	for _, f := range slices.Backward(found) { // any sound header knows it too
		magic := segmentMagic
		if f.ext == idsExt {
			magic = idsMagic
		}
		data, err := readFile(s.fs, s.path(f.number, f.ext), nil)
		if err != nil {
			return err
		}
		if h, err := parseHeader(data, magic); err == nil && h.segment == f.number && f.ext != rejectedExt {
			s.id = h.id
			s.log.Warn("the identity file was damaged; the id was taken from another file", "id", s.id, "file", f.number)
			return s.writeIdentity()
		}
	}
	return fmt.Errorf("neither the file %q nor any other tells the spool's id, without which no record can be checked; "+
		"move the directory away to start afresh, and keep it for inspection", identityName)
}

func (s *Spool) writeIdentity() error {
	h := header{id: s.id, created: s.millis()}
	if err := s.lock.Truncate(0); err != nil {
		return fmt.Errorf("truncate identity file: %w", err)
	}
	if err := writeAt(s.lock, h.appendTo(nil, identityMagic), 0); err != nil {
		return fmt.Errorf("write identity file: %w", err)
	}
	if err := s.lock.Sync(); err != nil {
		return fmt.Errorf("sync identity file: %w", err)
	}
	return s.fs.SyncDir(s.dir)
}

func (s *Spool) recoverIDs(number uint64) error {
	name := s.path(number, idsExt)
	data, err := readFile(s.fs, name, nil)
	if err != nil {
		return err
	}
	h, last, ids, err := decodeIDs(data)
	switch {
	case errors.Is(err, errVersion):
		return fmt.Errorf("%s: %w", name, err)
	case err == nil && (h.id != s.id || h.segment != number):
		return s.reject(name, number, "its header names another spool or number")
	case err != nil: // torn, while its segment was still there or the disk was full
		s.log.Warn("a damaged ids file is passed over: repeats of its records would be stored again", "file", name, "bytes", len(data))
		s.metrics.discardedBytes.Add(float64(len(data)))
	}
	s.addIDsFile(idsFile{number: number, last: last, ids: len(ids)})
	for _, id := range ids {
		s.window.add(id, last)
	}
	return nil
}

// recoverSegment makes a batch of a segment file, sealed or not. One whose header has another number has to wait
// for recoverAstray.
func (s *Spool) recoverSegment(number uint64) error {
	name := s.path(number, segmentExt)
	data, err := readFile(s.fs, name, nil)
	if err != nil {
		return err
	}
	h, err := parseHeader(data, segmentMagic)
	switch {
	case errors.Is(err, errVersion):
		return fmt.Errorf("%s: %w", name, err)
	case err == nil && h.id != s.id:
		return s.reject(name, number, "its header names another spool")
	case err == nil && h.segment != number:
		return nil
	}
	return s.takeSegment(name, number, data)
}

// recoverAstray looks after segments that somebody has renamed or copied. What a segment is stands in its header
// and in the checksum of its frames, so a renamed one is as good as ever; a second file of a number is a copy.
func (s *Spool) recoverAstray(found []foundFile) error {
	for _, f := range found {
		name := s.path(f.number, segmentExt)
		known := func(seg *segment) bool { return seg.file == name }
		if f.ext != segmentExt || slices.ContainsFunc(s.sealed, known) {
			continue
		}
		data, err := readFile(s.fs, name, nil)
		if errors.Is(err, fs.ErrNotExist) { // rejected, or empty and removed
			continue
		} else if err != nil {
			return err
		}
		h, err := parseHeader(data, segmentMagic)
		if err != nil {
			return fmt.Errorf("%s has changed while it was read: %w", name, err)
		}
		if slices.ContainsFunc(s.sealed, func(seg *segment) bool { return seg.number == h.segment }) {
			if err := s.reject(name, f.number, "it is a copy of another segment"); err != nil {
				return err
			}
			continue
		}
		s.log.Warn("a segment has another name than it was given; it is read all the same", "file", name, "number", h.segment)
		s.next = max(s.next, h.segment)
		if err := s.takeSegment(name, h.segment, data); err != nil {
			return err
		}
	}
	slices.SortFunc(s.sealed, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}

// takeSegment makes a batch of a segment's bytes.
func (s *Spool) takeSegment(name string, number uint64, data []byte) error {
	r := readSegment(data, s.id, number)
	r.seg.file = name
	if r.frames == 0 {
		if len(data) <= headerBytes { // made ahead; its number is used up
			r.seg.last = s.millis()
			if err := s.leaveIDs(r.seg, nil); err != nil {
				return err
			}
			s.addIDsFile(idsFile{number: number, last: r.seg.last})
			return nil
		}
		s.metrics.discardedBytes.Add(float64(len(data)))
		at, _, _ := parseName(filepath.Base(name))
		return s.reject(name, at, "nothing in it can be read")
	}
	if !r.sealed {
		// Its last bytes may be in the page cache alone. They go out with this batch, so they have to stay.
		if err := s.refresh(name, data); err != nil {
			return err
		}
	}
	s.passedOver("recovery passed over damage in a segment", name, r)
	for _, id := range r.ids {
		s.window.add(id, r.seg.last)
	}
	r.seg.recovered = true
	s.used.Add(r.seg.bytes)
	s.sealed = append(s.sealed, r.seg)
	return nil
}

// passedOver counts and reports what could not be read of a segment.
func (s *Spool) passedOver(what, name string, r recovered) {
	if r.damage.Bytes == 0 && r.damage.Frames == 0 {
		return
	}
	s.metrics.discardedBytes.Add(float64(r.damage.Bytes))
	s.metrics.lostFrames.Add(float64(r.damage.Frames))
	s.log.Warn(what, "file", name, "sealed", r.sealed, "records_kept", r.seg.records, "records_sealed", r.promised,
		"bytes_discarded", r.damage.Bytes, "frames_missing", r.damage.Frames, "where", fmt.Sprint(r.damage.Regions))
}

// refreshNewest does for the last n segments what is done for every one without a seal: a seal, too, may be in the page
// cache alone, when the fsync that was to make it durable failed or was never reached.
func (s *Spool) refreshNewest(n int) error {
	for _, seg := range s.sealed[max(0, len(s.sealed)-n):] {
		data, err := readFile(s.fs, seg.file, nil)
		if err != nil {
			return err
		}
		if err := s.refresh(seg.file, data); err != nil {
			return err
		}
	}
	return nil
}

// refresh makes durable what was read from a file. An fsync alone would not do: after one that has failed,
// Linux calls the pages clean that it could not write, and the next fsync succeeds without them. Writing the same
// bytes over themselves makes them dirty again, and cannot tear what is there.
func (s *Spool) refresh(name string, data []byte) error {
	f, err := s.fs.Open(name)
	if err != nil {
		return err
	}
	err = writeAt(f, data, 0)
	if noSpace(err) { // a disk that never writes in place is full: it has nothing dirty either
		err = nil
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// reject sets a file aside. It keeps its number, and is never read again.
func (s *Spool) reject(from string, number uint64, why string) error {
	to := s.path(number, rejectedExt)
	s.log.Error("a file is set aside", "file", from, "now", to, "why", why)
	s.metrics.rejectedFiles.Inc()
	if err := s.fs.Rename(from, to); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

// segmentScanner reads the frames of a segment. A damaged header is damage like any other: what the
// file is called, and the frames' checksums, say whose they are.
func segmentScanner(data []byte, id ID, number uint64) *scanner {
	sc := &scanner{data: data, seed: checksumSeed(id, number)}
	if _, err := parseHeader(data, segmentMagic); err == nil {
		sc.at = headerBytes
	}
	return sc
}

// recovered is all that a segment's bytes say. The same bytes always say the same.
type recovered struct {
	seg      *segment
	ids      []uint64
	frames   int
	sealed   bool
	promised uint64 // records, by the seal frame
	damage   damage
}

// readSegment reads a segment and rebuilds its ledger. Records whose commit frame is missing (torn off, or
// damaged) are counted here; records that a commit frame has counted and that are missing are counted as lost.
func readSegment(data []byte, id ID, number uint64) recovered {
	r := recovered{seg: &segment{number: number, bytes: int64(len(data)), counts: make(counts)}}
	if h, err := parseHeader(data, segmentMagic); err == nil {
		r.seg.first, r.seg.last = h.created, h.created
	}
	var (
		sc      = segmentScanner(data, id, number)
		open    []sequenced // records that no commit frame has covered yet
		covered uint64      // sequences below it are accounted for
		commits int
	)
	for sc.next() {
		f := sc.frame
		r.frames++
		switch f.kind() {
		case kindRecord:
			rec, ok := parseRecord(f.body)
			if !ok {
				continue
			}
			r.seg.records++
			if rec.fingerprint != 0 {
				r.ids = append(r.ids, rec.fingerprint)
			}
			open = append(open, sequenced{f.sequence, string(rec.site)})
		case kindCommit:
			first, millis, ok := parseCommit(f.body, r.seg.counts)
			if !ok {
				continue
			}
			if commits == 0 {
				r.seg.first = millis
			}
			commits++
			r.seg.last = millis
			present := uint64(0)
			for _, o := range open {
				if o.sequence >= first {
					present++
				} else {
					r.seg.countOne(o.site)
				}
			}
			open = open[:0]
			if from := max(first, covered); f.sequence > from+present {
				r.seg.counts.add("", millis/60_000, ReasonLost, f.sequence-from-present)
			}
			covered = f.sequence + 1
		case kindSeal:
			r.promised, r.sealed = parseSeal(f.body)
		}
	}
	for _, o := range open {
		r.seg.countOne(o.site)
	}
	r.damage = sc.damage
	return r
}

// sequenced is the site of a record, and where the record is.
type sequenced struct {
	sequence uint64
	site     string
}

// countOne counts a record in the segment's last known minute.
func (seg *segment) countOne(site string) {
	minute := seg.last / 60_000
	seg.counts.add(site, minute, ReasonAccepted, 1)
	seg.counts.add(site, minute, ReasonStored, 1)
}
