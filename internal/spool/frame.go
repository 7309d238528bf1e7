package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A frame, little-endian. Nothing of it may change within format version 1:
//
//	0       4           12      16                16+n    20+n
//	| mark  | sequence  | n     | body: n bytes   | crc   |
//	| FF 62 | rises by  | 1 ..  | first byte is   | CRC32C|
//	| 6B FE | 1, from 1 | 1 MiB | its kind        |       |
//
// The checksum covers spool id, segment number, sequence, n and body. So a zero-filled tail, a block of
// another file, a frame of an older segment and a cut never pass, and a reader that has lost its way
// finds the next frame by its mark. FF occurs in no UTF-8 text: a visitor cannot write a mark.
const (
	frameMark     = "\xffbk\xfe"
	frameSequence = 4  // offset
	frameLength   = 12 // offset
	frameBody     = 16 // offset
	frameOverhead = frameBody + 4

	maxBodyBytes = 1 << 20 // 16 times a full request; bounds what a damaged length can make a reader check
)

// kind is the first byte of a frame's body. A reader passes over kinds it does not know.
type kind byte

const (
	kindRecord kind = 1 // one record
	kindCommit kind = 2 // closes the records of one group commit and carries its counters
	kindSeal   kind = 3 // nothing comes after it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumSeed begins the checksum of every frame of one segment.
func checksumSeed(id ID, segment uint64) uint32 {
	return crc32.Update(0, castagnoli, binary.LittleEndian.AppendUint64(id[:], segment))
}

// openFrame appends a frame's head. Sequence, length and checksum stay zero until closeFrame and
// finishFrames: which segment a frame goes to is known only when its commit is written.
func openFrame(dst []byte, k kind) []byte {
	dst = append(dst, frameMark...)
	dst = append(dst, make([]byte, frameBody-frameSequence)...)
	return append(dst, byte(k))
}

// closeFrame sets the length of the frame that begins at start and ends with dst.
func closeFrame(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start+frameLength:], uint32(len(dst)-start-frameBody))
	return append(dst, 0, 0, 0, 0)
}

// finishFrames gives the closed frames in buf their sequences, from first on, and their checksums.
// It returns the sequence after the last.
func finishFrames(buf []byte, seed uint32, first uint64) uint64 {
	for len(buf) > 0 {
		binary.LittleEndian.PutUint64(buf[frameSequence:], first)
		end := frameBody + int(binary.LittleEndian.Uint32(buf[frameLength:]))
		sum := crc32.Update(seed, castagnoli, buf[frameSequence:end])
		binary.LittleEndian.PutUint32(buf[end:], sum)
		buf = buf[end+4:]
		first++
	}
	return first
}

// frame is one good frame. body aliases the data it was read from.
type frame struct {
	sequence uint64
	body     []byte
	size     int // bytes in the file
}

func (f frame) kind() kind { return kind(f.body[0]) }

// readFrame reads the frame that data begins with; false when there is none.
func readFrame(data []byte, seed uint32) (frame, bool) {
	if len(data) < frameOverhead+1 || string(data[:len(frameMark)]) != frameMark {
		return frame{}, false
	}
	n := binary.LittleEndian.Uint32(data[frameLength:])
	if n == 0 || n > maxBodyBytes || int(n) > len(data)-frameOverhead {
		return frame{}, false
	}
	end := frameBody + int(n)
	if crc32.Update(seed, castagnoli, data[frameSequence:end]) != binary.LittleEndian.Uint32(data[end:]) {
		return frame{}, false
	}
	sequence := binary.LittleEndian.Uint64(data[frameSequence:])
	return frame{sequence: sequence, body: data[frameBody:end], size: end + 4}, true
}

// region is a stretch of a file that held no good frame.
type region struct{ Offset, Bytes int }

// damage says what a reader had to pass over.
type damage struct {
	Bytes   int
	Regions []region // the first few
	Frames  uint64   // missing, by the gaps in the sequence
}

const maxRegions = 8 // a log line is read by a person

func (d *damage) add(offset, n int) {
	d.Bytes += n
	if last := len(d.Regions) - 1; last >= 0 && d.Regions[last].Offset+d.Regions[last].Bytes == offset {
		d.Regions[last].Bytes += n
	} else if len(d.Regions) < maxRegions {
		d.Regions = append(d.Regions, region{offset, n})
	}
}

// scanner steps through the good frames of a file: those with a mark, a right checksum and a sequence
// above the one before. What lies between them is damage: passed over, counted, never an error.
type scanner struct {
	data   []byte
	at     int
	seed   uint32
	last   uint64
	frame  frame
	damage damage
}

// next moves to the next good frame and reports whether there is one.
func (s *scanner) next() bool {
	for s.at < len(s.data) {
		f, ok := readFrame(s.data[s.at:], s.seed)
		if ok && f.sequence > s.last {
			s.damage.Frames += f.sequence - s.last - 1
			s.frame, s.last = f, f.sequence
			s.at += f.size
			return true
		}
		resume := len(s.data)
		if i := bytes.Index(s.data[s.at+1:], []byte(frameMark)); i >= 0 {
			resume = s.at + 1 + i
		}
		s.damage.add(s.at, resume-s.at)
		s.at = resume
	}
	return false
}

// The body of a record:
//
//	0      1             9           10      10+n
//	| kind | fingerprint | n of site | site  | payload |
//
// The fingerprint makes the window of duplicates survive a crash, the site the ledger: a record whose
// commit frame was torn away can still be counted.
const recordHead = 10

type record struct {
	fingerprint uint64
	site        []byte
	payload     []byte
}

func recordSize(e *Entry) int { return frameOverhead + recordHead + len(e.Site) + len(e.Payload) }

func appendRecord(dst []byte, e *Entry) []byte {
	start := len(dst)
	dst = openFrame(dst, kindRecord)
	dst = binary.LittleEndian.AppendUint64(dst, e.Fingerprint)
	dst = append(dst, byte(len(e.Site)))
	dst = append(dst, e.Site...)
	dst = append(dst, e.Payload...)
	return closeFrame(dst, start)
}

func parseRecord(body []byte) (record, bool) {
	if len(body) < recordHead || len(body) < recordHead+int(body[9]) {
		return record{}, false
	}
	n := recordHead + int(body[9])
	return record{binary.LittleEndian.Uint64(body[1:]), body[recordHead:n], body[n:]}, true
}

// The body of a commit frame:
//
//	0      1                       9           17
//	| kind | first sequence of it  | unix ms   | lines ... |
//	line: n of site (1 byte), site, minute since 1970 (uvarint), n of reason (1 byte), reason, delta (uvarint)
//
// It comes last in its commit. A commit with many lines has several; each names the same first sequence.
const (
	commitHead     = 17
	maxCommitBytes = 64 << 10 // of lines in one frame, so that one damaged block costs few of them
)

// appendCommit appends the commit frames for the lines of c in the order of keys.
func appendCommit(dst []byte, first uint64, millis int64, c counts, keys []countKey) []byte {
	for {
		start := len(dst)
		dst = openFrame(dst, kindCommit)
		dst = binary.LittleEndian.AppendUint64(dst, first)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(millis))
		for len(keys) > 0 && len(dst)-start < maxCommitBytes {
			k := keys[0]
			dst = append(dst, byte(len(k.site)))
			dst = append(dst, k.site...)
			dst = binary.AppendUvarint(dst, uint64(k.minute))
			dst = append(dst, byte(len(k.reason)))
			dst = append(dst, k.reason...)
			dst = binary.AppendUvarint(dst, c[k])
			keys = keys[1:]
		}
		dst = closeFrame(dst, start)
		if len(keys) == 0 {
			return dst
		}
	}
}

// parseCommit adds the lines of a commit frame to c.
func parseCommit(body []byte, c counts) (first uint64, millis int64, ok bool) {
	if len(body) < commitHead {
		return 0, 0, false
	}
	first = binary.LittleEndian.Uint64(body[1:])
	millis = int64(binary.LittleEndian.Uint64(body[9:]))
	for b := body[commitHead:]; len(b) > 0; {
		site, rest, ok1 := cutString(b)
		minute, rest, ok2 := cutUvarint(rest)
		reason, rest, ok3 := cutString(rest)
		n, rest, ok4 := cutUvarint(rest)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return 0, 0, false
		}
		c[countKey{site: string(site), reason: string(reason), minute: int64(minute)}] += n
		b = rest
	}
	return first, millis, true
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

func cutUvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// The body of a seal frame:
//
//	0      1          9
//	| kind | records  | unix ms |
const sealBody = 17

func appendSeal(dst []byte, records int, millis int64) []byte {
	start := len(dst)
	dst = openFrame(dst, kindSeal)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(records))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(millis))
	return closeFrame(dst, start)
}

func parseSeal(body []byte) (records uint64, ok bool) {
	if len(body) < sealBody {
		return 0, false
	}
	return binary.LittleEndian.Uint64(body[1:]), true
}
