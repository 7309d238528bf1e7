package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"math"
	"math/bits"
)

// idSet is an open-addressing set of fingerprints. Zero is not one.
type idSet struct {
	slots []uint64 // a power of two of them, at most 4/5 used; 0 is empty
	n     int
}

// home is where id is looked for first. Fingerprints are keyed hashes; the multiplication keeps the set
// fast for those who use plain numbers.
func (s *idSet) home(id uint64) int {
	return int(id * 0x9e3779b97f4a7c15 >> (64 - bits.TrailingZeros(uint(len(s.slots)))))
}

// slot is where id is, or would go.
func (s *idSet) slot(id uint64) int {
	mask := len(s.slots) - 1
	i := s.home(id)
	for s.slots[i] != 0 && s.slots[i] != id {
		i = (i + 1) & mask
	}
	return i
}

func (s *idSet) has(id uint64) bool { return s.n > 0 && s.slots[s.slot(id)] == id }

func (s *idSet) add(id uint64) {
	if 5*(s.n+1) > 4*len(s.slots) {
		s.grow(max(64, 2*len(s.slots)))
	}
	if i := s.slot(id); s.slots[i] == 0 {
		s.slots[i] = id
		s.n++
	}
}

func (s *idSet) grow(slots int) {
	old := s.slots
	s.slots = make([]uint64, slots)
	for _, id := range old {
		if id != 0 {
			s.slots[s.slot(id)] = id
		}
	}
}

func (s *idSet) all() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, id := range s.slots {
			if id != 0 && !yield(id) {
				return
			}
		}
	}
}

// clear empties the set. It gives back a table that one large commit had made, or every small commit
// after it would pay for wiping it.
func (s *idSet) clear() {
	if len(s.slots) > 1024 && s.n < len(s.slots)/16 {
		s.slots = nil
	}
	clear(s.slots)
	s.n = 0
}

// An ids file, little-endian: what is left of a segment that is done, so that a restart knows its
// records when they come again.
//
//	0             48        56          60                60+8n
//	| header      | unix ms | n of ids  | fingerprints    | CRC32C of all before |
//	| (segment.go)| of last |           |                 |                      |
//
// It is durable before the segment is removed. The newest one is kept for ever, since its name is
// also what keeps a segment number from being used twice.
const idsHead = headerBytes + 12

type idsFile struct {
	number uint64
	last   int64 // unix ms
	ids    int
}

func encodeIDs(h header, last int64, ids []uint64) []byte {
	b := h.appendTo(make([]byte, 0, idsHead+8*len(ids)+4), idsMagic)
	b = binary.LittleEndian.AppendUint64(b, uint64(last))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ids)))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, id)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeIDs(b []byte) (h header, last int64, ids []uint64, err error) {
	if h, err = parseHeader(b, idsMagic); err != nil {
		return h, 0, nil, err
	}
	end := len(b) - 4
	if end < idsHead || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return h, 0, nil, errDamaged
	}
	last = int64(binary.LittleEndian.Uint64(b[headerBytes:]))
	n := int(binary.LittleEndian.Uint32(b[headerBytes+8:]))
	if end-idsHead != 8*n {
		return h, 0, nil, errDamaged
	}
	ids = make([]uint64, n)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint64(b[idsHead+8*i:])
	}
	return h, last, ids, nil
}

// leaveIDs makes the ids of a finished segment durable and removes the segment.
func (s *Spool) leaveIDs(seg *segment, ids []uint64) error {
	from, to := seg.file, s.path(seg.number, idsExt)
	data := encodeIDs(header{id: s.id, segment: seg.number, created: s.millis()}, seg.last, ids)
	err := s.writeIDs(to, data)
	switch {
	case noSpace(err):
		return s.becomeIDs(from, to, data)
	case noRoom(err):
		return err
	case err != nil:
		return s.fail(err)
	}
	if err := s.fs.Remove(from); err != nil {
		return fmt.Errorf("remove a finished segment: %w", err)
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.fail(fmt.Errorf("sync directory after a removal: %w", err))
	}
	return nil
}

// setAside is leaveIDs for a segment that could not be read: its file is kept for a person, if it is there.
func (s *Spool) setAside(seg *segment, ids []uint64) error {
	data := encodeIDs(header{id: s.id, segment: seg.number, created: s.millis()}, seg.last, ids)
	err := s.writeIDs(s.path(seg.number, idsExt), data)
	switch {
	case noSpace(err): // what waits behind this batch must give room back
		s.log.Warn("no room for the ids of a segment that could not be read: after a restart repeats of them would be stored again", "segment", seg.number)
	case noRoom(err):
		return err
	case err != nil:
		return s.fail(err)
	}
	if err := s.reject(seg.file, seg.number, "it could not be read"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Spool) writeIDs(name string, data []byte) error {
	f, err := s.fs.Create(name)
	if err != nil { // left by a crash between here and the removal, or by a full disk
		if f, err = s.fs.Open(name); err != nil {
			return fmt.Errorf("open ids file: %w", err)
		}
	}
	defer f.Close()
	return errors.Join(s.fillIDs(f, data), s.fs.SyncDir(s.dir))
}

func (s *Spool) fillIDs(f File, data []byte) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("truncate ids file: %w", err)
	}
	if err := writeAt(f, data, 0); err != nil {
		return fmt.Errorf("write ids file: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync ids file: %w", err)
	}
	return nil
}

// becomeIDs turns the segment itself into its ids file, for a disk too full to hold both: a spool that
// needs room to give room back would be stuck. A crash in the middle loses these ids and nothing else.
func (s *Spool) becomeIDs(from, to string, data []byte) error {
	if err := s.fs.Rename(from, to); err != nil {
		return fmt.Errorf("turn a finished segment into its ids: %w", err)
	}
	if err := s.fs.SyncDir(s.dir); err != nil { // or a power loss leaves ids under the name of a segment
		return s.fail(fmt.Errorf("sync directory after a rename: %w", err))
	}
	if err := s.writeIDs(to, data); err != nil {
		s.log.Warn("the ids of a finished segment could not be kept: its records are known as repeats until the next restart only",
			"file", to, "ids_bytes", len(data), "error", err)
	}
	return nil
}

// sweepIDs removes the ids files that the window no longer needs, oldest first. It keeps the newest, and one below all
// that waits: by these a start knows that nothing is missing.
func (s *Spool) sweepIDs(nowMillis int64) {
	total := 0
	for _, f := range s.idsFiles {
		total += f.ids
	}
	cutoff := nowMillis - s.o.Window.Milliseconds()
	waiting := s.firstWaiting()
	for len(s.idsFiles) > 1 && s.idsFiles[1].number < waiting {
		oldest := s.idsFiles[0]
		if oldest.last >= cutoff && total-oldest.ids < s.o.WindowIDs {
			return
		}
		if err := s.fs.Remove(s.path(oldest.number, idsExt)); err != nil {
			s.log.Warn("an old ids file could not be removed", "segment", oldest.number, "error", err)
		}
		total -= oldest.ids
		s.idsFiles = s.idsFiles[1:]
	}
}

// firstWaiting is the lowest number that is not done.
func (s *Spool) firstWaiting() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, segs := range [][]*segment{s.sealed, s.unsealed} {
		if len(segs) > 0 {
			return segs[0].number
		}
	}
	return math.MaxUint64
}
