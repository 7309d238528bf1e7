package suppress

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"beckon/internal/privacy"
)

// An entry is a line of text, so that a person can read the list and count it:
//
//	1 2026-11-27T17:13:31.042Z opt-out 0123456789abcdef0123456789abcdef 89abcdef
//	| |                        |       |                                `- CRC32C of all before it
//	| `- when                  `- why  `- second keyed hash of the visitor's id
//	`- version
//
// Lines are only ever appended. Whatever is not such a line, whole, is skipped and counted.
const (
	lineVersion  = "1 "
	maxLineBytes = 128
	instant      = "2006-01-02T15:04:05.000Z"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends the line of e, its end included.
func appendLine(dst []byte, e Entry) []byte {
	start := len(dst)
	key := e.Key.Bytes()
	dst = append(dst, lineVersion...)
	dst = e.At.UTC().AppendFormat(dst, instant)
	dst = append(append(append(dst, ' '), e.Cause.String()...), ' ')
	dst = hex.AppendEncode(dst, key[:])
	return fmt.Appendf(dst, " %08x\n", crc32.Checksum(dst[start:], castagnoli))
}

// parseLine reads a line without its end.
func parseLine(line []byte) (e Entry, ok bool) {
	body, sum, found := cutLast(line, ' ')
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !found || len(sum) != 8 || err != nil || crc32.Checksum(body, castagnoli) != uint32(want) {
		return e, false
	}
	body, isOurs := bytes.CutPrefix(body, []byte(lineVersion))
	fields := bytes.Split(body, []byte{' '})
	if !isOurs || len(fields) != 3 {
		return e, false
	}
	if e.At, err = time.Parse(instant, string(fields[0])); err != nil || !bytes.Contains(fields[0], []byte{'.'}) { // it takes a comma too
		return e, false
	}
	switch string(fields[1]) {
	case privacy.CauseOptOut.String():
		e.Cause = privacy.CauseOptOut
	case privacy.CauseDenied.String():
		e.Cause = privacy.CauseDenied
	default:
		return e, false
	}
	var key [16]byte
	if n, err := hex.Decode(key[:], fields[2][:min(len(fields[2]), 2*len(key))]); err != nil || n != len(key) || len(fields[2]) != 2*len(key) {
		return e, false
	}
	e.Key = privacy.StoredID(key)
	return e, !e.Key.IsZero()
}

func cutLast(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.LastIndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}
