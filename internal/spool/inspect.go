package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// Inspection is what one file of a spool says, for a person to look at. Its parts cover the file from the first
// byte to the last.
type Inspection struct {
	File    string    `json:"file"`
	Type    string    `json:"type"` // segment, ids or identity
	Version int       `json:"version"`
	Spool   string    `json:"spool,omitempty"` // its id
	Segment uint64    `json:"segment"`
	Created time.Time `json:"created,omitzero"`
	Faults  []string  `json:"faults,omitempty"`
	Parts   []Part    `json:"-"`
}

// Part is one stretch of a file.
type Part struct {
	At    int    `json:"at"`
	Bytes int    `json:"bytes"`
	Kind  string `json:"part"` // header, record, commit, seal, unknown, ids, damage

	Sequence    uint64       `json:"sequence,omitempty"`
	Site        string       `json:"site,omitempty"`
	Fingerprint string       `json:"fingerprint,omitempty"` // 16 hex digits
	Payload     []byte       `json:"payload,omitempty"`
	First       uint64       `json:"first_sequence,omitempty"` // of a commit
	Time        time.Time    `json:"time,omitzero"`
	Lines       []LedgerLine `json:"counts,omitempty"`
	Records     uint64       `json:"records,omitempty"` // that a seal promises
	IDs         []string     `json:"ids,omitempty"`     // 16 hex digits each
}

// maxInspected is far more than any segment has, and little enough for any machine.
const maxInspected = 1 << 30

// Inspect reads a file of a spool, sound or damaged, open or sealed, also one that was set aside. It only reads, and
// takes no lock: of the segment that is just being written it may see the beginning of a commit as damage. When the
// header is damaged, the spool's id is taken from the identity file beside it, and the number from the file's name.
func Inspect(name string) (*Inspection, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxInspected {
		return nil, fmt.Errorf("%s is no file of a spool: no regular file, or over 1 GiB", name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	beside, _ := os.ReadFile(filepath.Join(filepath.Dir(name), identityName)) // needed for damaged files only
	return inspect(name, data, beside)
}

// inspect reads the bytes of a file; beside is the identity file.
func inspect(name string, data, beside []byte) (*Inspection, error) {
	number, ext, named := parseName(filepath.Base(name))
	in := &Inspection{File: name, Type: fileType(data, ext, filepath.Base(name))}
	magic := map[string]string{"segment": segmentMagic, "ids": idsMagic, "identity": identityMagic}[in.Type]
	if magic == "" {
		return nil, fmt.Errorf("%s is no file of a spool: neither its first bytes nor its name say so", name)
	}
	h, err := parseHeader(data, magic)
	switch {
	case errors.Is(err, errVersion):
		return nil, fmt.Errorf("%s: %w", name, err)
	case in.Type == "segment" && len(data) == 0: // made ahead, and not begun
		h = header{segment: number}
		if known, err := parseHeader(beside, identityMagic); err == nil {
			h.id = known.id
		}
	case err != nil:
		in.Faults = append(in.Faults, "its header is damaged")
		h = header{segment: number}
		if known, err := parseHeader(beside, identityMagic); err == nil {
			h.id = known.id
		} else {
			in.Faults = append(in.Faults, "the spool's id is not known, so no frame can be checked: put the file beside its spool's file \"spool\"")
		}
	default:
		in.Version = formatVersion
		in.Created = time.UnixMilli(h.created).UTC()
		in.Parts = append(in.Parts, Part{Kind: "header", Bytes: headerBytes})
		if named && h.segment != number {
			in.Faults = append(in.Faults, fmt.Sprintf("its name has another number than its header: %d", number))
		}
	}
	in.Spool, in.Segment = h.id.String(), h.segment
	switch in.Type {
	case "segment":
		in.readFrames(data, h)
	case "ids":
		in.readIDs(data)
	default:
		in.damage(headerBytes*len(in.Parts), len(data))
	}
	return in, nil
}

// fileType goes by the first bytes, and by the name when they are damaged.
func fileType(data []byte, ext, base string) string {
	magic := string(data[:min(8, len(data))])
	switch {
	case magic == segmentMagic:
		return "segment"
	case magic == idsMagic:
		return "ids"
	case magic == identityMagic, base == identityName:
		return "identity"
	case ext == idsExt:
		return "ids"
	case ext == segmentExt, ext == rejectedExt:
		return "segment"
	}
	return ""
}

func (in *Inspection) damage(from, to int) {
	if from < to {
		in.Parts = append(in.Parts, Part{At: from, Bytes: to - from, Kind: "damage"})
	}
}

func (in *Inspection) readFrames(data []byte, h header) {
	sc := segmentScanner(data, h.id, h.segment)
	end, records, promised, sealed := sc.at, 0, uint64(0), false
	for sc.next() {
		at := sc.at - sc.frame.size
		in.damage(end, at)
		end = sc.at
		p := Part{At: at, Bytes: sc.frame.size, Sequence: sc.frame.sequence, Kind: "unknown"}
		body := sc.frame.body
		switch sc.frame.kind() {
		case kindRecord:
			if r, ok := parseRecord(body); ok {
				records++
				p.Kind, p.Site, p.Payload = "record", string(r.site), r.payload
				p.Fingerprint = fmt.Sprintf("%016x", r.fingerprint)
			}
		case kindCommit:
			c := make(counts)
			if first, millis, ok := parseCommit(body, c); ok {
				p.Kind, p.First, p.Time, p.Lines = "commit", first, time.UnixMilli(millis).UTC(), c.lines()
			}
		case kindSeal:
			if n, ok := parseSeal(body); ok {
				p.Kind, p.Records, p.Time = "seal", n, time.UnixMilli(int64(binary.LittleEndian.Uint64(body[9:]))).UTC()
				promised, sealed = n, true
			}
		}
		in.Parts = append(in.Parts, p)
	}
	in.damage(end, len(data))
	if sc.damage.Bytes > 0 {
		in.Faults = append(in.Faults, fmt.Sprintf("%d bytes are no good frame", sc.damage.Bytes))
	}
	if sc.damage.Frames > 0 {
		in.Faults = append(in.Faults, fmt.Sprintf("%d frames are missing", sc.damage.Frames))
	}
	if sealed && promised != uint64(records) {
		in.Faults = append(in.Faults, fmt.Sprintf("it was sealed with %d records and has %d", promised, records))
	}
}

func (in *Inspection) readIDs(data []byte) {
	_, last, ids, err := decodeIDs(data)
	if err != nil {
		from := headerBytes * len(in.Parts)
		in.damage(from, len(data))
		in.Faults = append(in.Faults, idsFault(data))
		return
	}
	p := Part{Kind: "ids", At: headerBytes, Bytes: len(data) - headerBytes, Time: time.UnixMilli(last).UTC()}
	for _, id := range ids {
		p.IDs = append(p.IDs, fmt.Sprintf("%016x", id))
	}
	in.Parts = append(in.Parts, p)
}

// idsFault says what is wrong with an ids file.
func idsFault(data []byte) string {
	end := len(data) - 4
	if end < idsHead {
		return fmt.Sprintf("it is cut: %d bytes", len(data))
	}
	if n := int(binary.LittleEndian.Uint32(data[headerBytes+8:])); end-idsHead != 8*n {
		return fmt.Sprintf("it should hold %d ids and has %d bytes for them", n, end-idsHead)
	}
	if crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return "its checksum is wrong"
	}
	return "its header is damaged, so its ids are not believed"
}
