package spool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// outline is what an inspection found, a word each.
func outline(in *Inspection) string {
	var words []string
	for _, p := range in.Parts {
		word := p.Kind
		if p.Kind == "damage" {
			word = fmt.Sprint("damage:", p.Bytes)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestInspectReadsTheGoldenSegment(t *testing.T) {
	in, err := Inspect(golden)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "outline", outline(in), "header record record commit record commit seal")
	want(t, "head", []any{in.Type, in.Version, in.Spool, in.Segment, in.Created.UnixMilli(), in.Faults}, []any{"segment", 1, testID, 7, 1_800_000_000_000, []string{}})
	first, commit, seal := in.Parts[1], in.Parts[3], in.Parts[6]
	want(t, "record", fmt.Sprintf("%d %s %s %s", first.Sequence, first.Site, first.Fingerprint, first.Payload), "1 demo 1122334455667788 first")
	want(t, "commit", fmt.Sprint(commit.First, commit.Time.UnixMilli(), len(commit.Lines), commit.Lines[0].N), "1 1800000000005 3 3")
	want(t, "seal", fmt.Sprint(seal.Records, seal.Time.UnixMilli()), "3 1800000000007")
}

func TestInspectShowsWhereTheDamageIs(t *testing.T) {
	whole, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	identity := header{id: testID}.appendTo(nil, identityMagic)
	const name = "x/00000000000000000007.segment"
	f := func(what string, data []byte, parts string, faults ...string) {
		t.Helper()
		in, err := inspect(name, data, identity)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want(t, what, outline(in), parts)
		want(t, what+": faults", in.Faults, faults)
	}
	flipped := func(at int) []byte { data := slices.Clone(whole); flip(data, at); return data }
	f("sound", whole, "header record record commit record commit seal")
	f("torn", whole[:400], "header record record commit record commit damage:21", "21 bytes are no good frame")
	f("a bit", flipped(60), "header damage:39 record commit record commit seal", "39 bytes are no good frame", "1 frames are missing", "it was sealed with 3 records and has 2")
	f("a bit of the header", flipped(20), "damage:48 record record commit record commit seal", "its header is damaged", "48 bytes are no good frame")
	f("zeros behind", append(slices.Clone(whole), make([]byte, 10)...), "header record record commit record commit seal damage:10", "10 bytes are no good frame")
	f("nothing, as it is before its turn", nil, "")

	in, err := inspect("x/00000000000000000009.rejected", whole, identity)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "another name", fmt.Sprint(in.Segment, in.Faults), "7 [its name has another number than its header: 9]")
	in, err = inspect(name, flipped(20), nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "without the id", len(in.Faults), 3)
}

func TestInspectReadsIDsAndIdentity(t *testing.T) {
	ids := encodeIDs(header{testID, 3, 1}, 5, []uint64{7, 8})
	f := func(what, name string, data []byte, parts string, faults ...string) {
		t.Helper()
		in, err := inspect(name, data, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want(t, what, outline(in), parts)
		want(t, what+": faults", in.Faults, faults)
	}
	const name = "00000000000000000003.ids"
	f("ids", name, ids, "header ids")
	in, err := inspect(name, ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "ids", fmt.Sprint(in.Parts[1].IDs, in.Parts[1].Time.UnixMilli()), "[0000000000000007 0000000000000008] 5")
	flipped := slices.Clone(ids)
	flip(flipped, 62)
	f("a flipped bit", name, flipped, "header damage:32", "its checksum is wrong")
	f("cut", name, ids[:70], "header damage:22", "it should hold 2 ids and has 6 bytes for them")
	f("cut short", name, ids[:50], "header damage:2", "it is cut: 50 bytes")
	f("no header", name, append(make([]byte, 48), ids[48:]...), "damage:80", "its header is damaged",
		`the spool's id is not known, so no frame can be checked: put the file beside its spool's file "spool"`, "its checksum is wrong")
	f("identity", "spool", header{id: testID}.appendTo(nil, identityMagic), "header")
	f("identity with a tail", "spool", append(header{id: testID}.appendTo(nil, identityMagic), 1, 2), "header damage:2")
}

func TestInspectRefusesWhatIsNoFileOfASpool(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/dead-letter.jsonl", []byte("{}\n"))
	newer := bytes.Clone(sample())
	newer[8] = 2
	copy(newer[44:], checksumOf(newer[:44]))
	write(t, dir+"/00000000000000000007.segment", newer)
	for name, part := range map[string]string{
		"dead-letter.jsonl": "neither its first bytes nor its name", "none.segment": "no such file", "": "no regular file",
		"00000000000000000007.segment": "format version 2",
	} {
		if _, err := Inspect(dir + "/" + name); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want %q in it", name, err, part)
		}
	}
}

// FuzzInspect gives the reader any bytes under any of the names: parts cover the file without gaps.
func FuzzInspect(f *testing.F) {
	f.Add(uint8(0), sample())
	f.Add(uint8(1), encodeIDs(header{testID, 3, 1}, 5, []uint64{7, 8}))
	f.Add(uint8(2), header{id: testID}.appendTo(nil, identityMagic))
	f.Add(uint8(3), sample()[10:])
	names := []string{"00000000000000000007.segment", "00000000000000000003.ids", "spool", "00000000000000000007.rejected"}
	f.Fuzz(func(t *testing.T, name uint8, data []byte) {
		in, err := inspect(names[int(name)%len(names)], data, header{id: testID}.appendTo(nil, identityMagic))
		if err != nil {
			return
		}
		end, damaged := 0, 0
		for _, p := range in.Parts {
			if p.At != end || p.Bytes <= 0 {
				t.Fatalf("%s at %d of %d bytes, after %d", p.Kind, p.At, p.Bytes, end)
			}
			end += p.Bytes
			if p.Kind == "damage" {
				damaged += p.Bytes
			}
		}
		if end != len(data) {
			t.Fatalf("%d bytes shown of %d", end, len(data))
		}
		if damaged > 0 && len(in.Faults) == 0 && in.Type != "identity" {
			t.Fatalf("%d bytes of damage and no fault", damaged)
		}
	})
}
