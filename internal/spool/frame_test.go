package spool

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var (
	testID = ID{0xbe, 0xac, 0x04, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	update = flag.Bool("update", false, "write the golden segment again (never for a released format)")
)

const golden = "testdata/golden-v1.segment"

// sample is a sealed segment of two commits, byte by byte the work of the writer's functions.
func sample() []byte {
	const minute = 30_000_000
	data := header{id: testID, segment: 7, created: minute * 60_000}.appendTo(nil, segmentMagic)
	seed := checksumSeed(testID, 7)
	commit := func(first uint64, millis int64, c counts, entries ...Entry) uint64 {
		var frames []byte
		for i := range entries {
			frames = appendRecord(frames, &entries[i])
		}
		frames = appendCommit(frames, first, millis, c, c.keys(nil))
		next := finishFrames(frames, seed, first)
		data = append(data, frames...)
		return next
	}
	next := commit(1, minute*60_000+5,
		counts{{"demo", ReasonAccepted, minute}: 3, {"demo", ReasonStored, minute}: 2, {"demo", ReasonDuplicate, minute}: 1},
		Entry{Site: "demo", Fingerprint: 0x1122334455667788, Payload: []byte("first")},
		Entry{Site: "demo", Fingerprint: 2, Payload: []byte{}})
	next = commit(next, minute*60_000+6,
		counts{{"shop", ReasonAccepted, minute + 1}: 1, {"shop", ReasonStored, minute + 1}: 1, {"", "dropped:bad-value", minute}: 4_000_000_000},
		Entry{Site: "shop", Payload: []byte("payload with a mark " + frameMark + " in it")})
	seal := appendSeal(nil, 3, minute*60_000+7)
	finishFrames(seal, seed, next)
	return append(data, seal...)
}

func TestGoldenSegmentOfVersion1IsWrittenAndReadAsEver(t *testing.T) {
	if *update {
		if err := os.WriteFile(golden, sample(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, sample()) {
		t.Fatal("the writer no longer writes format version 1")
	}
	h, err := parseHeader(data, segmentMagic)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "header", h, header{testID, 7, 1_800_000_000_000})
	r := readSegment(data, testID, 7)
	want(t, "damage", r.damage, damage{})
	want(t, "ids", r.ids, []uint64{0x1122334455667788, 2})
	want(t, "facts", []any{r.seg.records, r.sealed, r.promised, r.frames, r.seg.first, r.seg.last},
		[]any{3, true, 3, 6, 1_800_000_000_005, 1_800_000_000_006})
	var lines []string
	for _, l := range r.seg.counts.lines() {
		lines = append(lines, strings.Join([]string{l.Site, l.Minute.Format("15:04"), l.Reason, strings.Repeat("+", int(l.N%10))}, " "))
	}
	want(t, "counts", lines, []string{
		" 08:00 dropped:bad-value ", "demo 08:00 accepted +++", "demo 08:00 duplicate +", "demo 08:00 stored ++",
		"shop 08:01 accepted +", "shop 08:01 stored +",
	})
	var payloads []string
	for sc := segmentScanner(data, testID, 7); sc.next(); {
		if rec, ok := parseRecord(sc.frame.body); ok && sc.frame.kind() == kindRecord {
			payloads = append(payloads, string(rec.site)+":"+string(rec.payload))
		}
	}
	want(t, "payloads", payloads, []string{"demo:first", "demo:", "shop:payload with a mark " + frameMark + " in it"})
}

func TestAFramePassesOnlyInItsOwnPlace(t *testing.T) {
	frame := appendRecord(nil, &Entry{Payload: []byte("x")})
	finishFrames(frame, checksumSeed(testID, 7), 1)
	f := func(id ID, segment uint64, ok bool) {
		t.Helper()
		if _, got := readFrame(frame, checksumSeed(id, segment)); got != ok {
			t.Fatalf("spool %s segment %d: %v", id, segment, got)
		}
	}
	f(testID, 7, true)
	f(testID, 8, false)
	f(ID{1}, 7, false)

	sc := scanner{data: slices.Concat(frame, frame), seed: checksumSeed(testID, 7)} // a block that came twice
	n := 0
	for sc.next() {
		n++
	}
	want(t, "frames", n, 1)
	want(t, "discarded", sc.damage.Bytes, len(frame))
}

func TestEveryFlippedBitOfAFrameIsNoticed(t *testing.T) {
	seed := checksumSeed(testID, 7)
	frame := appendRecord(nil, &Entry{Site: "demo", Fingerprint: 5, Payload: []byte("payload")})
	finishFrames(frame, seed, 9)
	for i := range 8 * len(frame) {
		bad := slices.Clone(frame)
		bad[i/8] ^= 1 << (i % 8)
		if _, ok := readFrame(bad, seed); ok {
			t.Fatalf("bit %d", i)
		}
	}
}

func TestManyCountersAreSpreadOverFrames(t *testing.T) {
	c := make(counts)
	for minute := range int64(10_000) {
		c.add("a-site-with-a-name", minute, "dropped:some-reason", uint64(minute)+1)
	}
	frames := appendCommit(nil, 1, 0, c, c.keys(nil))
	finishFrames(frames, checksumSeed(testID, 7), 1)
	r := readSegment(append(header{id: testID, segment: 7}.appendTo(nil, segmentMagic), frames...), testID, 7)
	want(t, "counts", r.seg.counts.lines(), c.lines())
	if r.frames < 4 {
		t.Fatalf("%d frames", r.frames)
	}
}

// FuzzReadSegment gives the reader any bytes, as a file and as bodies with right checksums.
func FuzzReadSegment(f *testing.F) {
	data := sample()
	f.Add(data)
	f.Add(data[:len(data)-9])
	f.Add(data[headerBytes:])
	f.Add(slices.Concat(data[:100], make([]byte, 200), data[100:]))
	f.Add(bytes.Repeat([]byte(frameMark), 50))
	f.Add([]byte{byte(kindCommit), 9: 255, 17: 3})
	f.Add([]byte{byte(kindRecord), 9: 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, data)
		if len(data) == 0 || len(data) > maxBodyBytes {
			return
		}
		body := openFrame(nil, kind(data[0]))
		body = closeFrame(append(body, data[1:]...), 0)
		finishFrames(body, checksumSeed(testID, 7), 1)
		check(t, body)
	})
}

// check reads data as a segment: whatever it holds, the good frames and the damage make up the file, sequences
// rise, and each frame written again has the same bytes.
func check(t *testing.T, data []byte) {
	r := readSegment(data, testID, 7)
	sc := segmentScanner(data, testID, 7)
	good, last := sc.at, uint64(0)
	for sc.next() {
		if sc.frame.sequence <= last {
			t.Fatalf("sequence %d after %d", sc.frame.sequence, last)
		}
		last = sc.frame.sequence
		again := closeFrame(append(openFrame(nil, sc.frame.kind()), sc.frame.body[1:]...), 0)
		finishFrames(again, sc.seed, last)
		if !bytes.Equal(again, data[sc.at-sc.frame.size:sc.at]) {
			t.Fatalf("frame %d is written otherwise than it was read", last)
		}
		good += sc.frame.size
	}
	if good+sc.damage.Bytes != len(data) || r.damage.Bytes != sc.damage.Bytes {
		t.Fatalf("%d good and %d bad bytes in %d", good, sc.damage.Bytes, len(data))
	}
	if n := len(r.ids); n > r.seg.records {
		t.Fatalf("%d ids in %d records", n, r.seg.records)
	}
}
