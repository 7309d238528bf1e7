package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// The header of every file of a spool, little-endian. Magic, version and checksum keep their places in
// all versions, so that a program can name a version that it does not read:
//
//	0       8         12          28        36          44
//	| magic | version | spool id  | segment | created   | CRC32C |
//	|       | 1       |           |         | unix ms   | of all before
//
// In a segment, frames follow (frame.go). What a file is called decides; the header only confirms it.
const (
	segmentMagic  = "BKSPOOL\n"
	idsMagic      = "BKSPIDS\n"
	identityMagic = "BKSPDIR\n" // the file that holds the spool id and is locked; segment 0

	formatVersion = 1
	headerBytes   = 48

	identityName = "spool"
	segmentExt   = "segment"
	idsExt       = "ids"
	rejectedExt  = "rejected" // set aside by recovery, for a person to look at; never read
)

var (
	errDamaged = errors.New("damaged")
	errVersion = errors.New("written by a newer version of this program, which must also empty it")
)

type header struct {
	id      ID
	segment uint64
	created int64 // unix ms
}

func (h header) appendTo(dst []byte, magic string) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, formatVersion)
	dst = append(dst, h.id[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.segment)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.created))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// parseHeader returns errDamaged, or errVersion for a sound header of another version.
func parseHeader(data []byte, magic string) (header, error) {
	if len(data) < headerBytes || string(data[:8]) != magic ||
		crc32.Checksum(data[:44], castagnoli) != binary.LittleEndian.Uint32(data[44:]) {
		return header{}, errDamaged
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v != formatVersion {
		return header{}, fmt.Errorf("format version %d: %w", v, errVersion)
	}
	return header{
		id:      ID(data[12:28]),
		segment: binary.LittleEndian.Uint64(data[28:]),
		created: int64(binary.LittleEndian.Uint64(data[36:])),
	}, nil
}

// path names the file of a segment: twenty digits, so that names sort as numbers do.
func (s *Spool) path(number uint64, ext string) string {
	return fmt.Sprintf("%s/%020d.%s", s.dir, number, ext)
}

// parseName is the reverse of path, for a base name.
func parseName(name string) (number uint64, ext string, ok bool) {
	digits, ext, _ := strings.Cut(name, ".")
	if len(digits) != 20 || (ext != segmentExt && ext != idsExt && ext != rejectedExt) {
		return 0, "", false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, "", false
		}
		number = number*10 + uint64(c-'0')
	}
	return number, ext, true
}

// segment is what is remembered of a segment, open or sealed, until it is done.
type segment struct {
	number      uint64
	file        string // full path; not always path(number), see recoverAstray
	bytes       int64
	records     int
	first, last int64 // unix ms of its first and last commit
	counts      counts
	recovered   bool   // by this Open
	salvaged    []byte // what could be read of an unreadable file; nil: the file is as good as any
}

// writer is the open segment as the committer sees it; nobody else touches it.
type writer struct {
	seg      *segment // shared: written under Spool.mu
	file     File
	seed     uint32
	sequence uint64 // of the next frame
	size     int64  // up to the end of the last good frame
	records  int
	began    time.Time // first commit; monotonic, unlike segment.first
	filled   time.Time // first commit with a record in it
}

// create makes the file of the next segment: empty, and durable as a name.
func (s *Spool) create() (*writer, error) {
	number := s.next
	name := s.path(number, segmentExt)
	f, err := s.fs.Create(name)
	if noRoom(err) { // there is no file, so the number is free: a gap would look like a segment that is missing
		return nil, fmt.Errorf("%w: create segment %d: %w", ErrFull, number, err)
	}
	s.next++
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return nil, s.fail(fmt.Errorf("create segment %d: %w", number, err))
	}
	seg := &segment{number: number, file: name, bytes: headerBytes, counts: make(counts)}
	return &writer{seg: seg, file: f, seed: checksumSeed(s.id, number), sequence: 1, size: headerBytes}, nil
}

// begin makes a new segment the open one. Its header is durable with the first commit, and tells its time.
func (s *Spool) begin() error {
	w, err := s.takeNext()
	if err != nil {
		return err
	}
	h := header{id: s.id, segment: w.seg.number, created: s.millis()}
	if err := writeAt(w.file, h.appendTo(nil, segmentMagic), 0); err != nil {
		s.spares <- w // as the next one it is written anew
		s.ordered = true
		err = fmt.Errorf("begin segment %d: %w", w.seg.number, err)
		if noRoom(err) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return s.fail(err)
	}
	s.writer = w
	s.mu.Lock()
	s.unsealed = append(s.unsealed, w.seg)
	s.used.Add(headerBytes)
	s.mu.Unlock()
	s.orderNext()
	return nil
}

// append writes finished frames after the last good one. When there is no room it takes back what it wrote
// before anybody is told: frames of a failed commit must not be found by recovery when their ids are forgotten.
func (s *Spool) append(w *writer, frames []byte) error {
	err := writeAt(w.file, frames, w.size)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("append %d bytes to segment %d: %w", len(frames), w.seg.number, err)
	if !noRoom(err) {
		return s.fail(err)
	}
	if undo := errors.Join(w.file.Truncate(w.size), w.file.Sync()); undo != nil {
		return s.fail(fmt.Errorf("%w; and then take them back: %w", err, undo))
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}
