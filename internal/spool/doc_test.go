package spool

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestThePackagePageNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]string{"": ".", "loader": "../loader", "collector": "../../collector", "e2e": "../e2e"}
	sources := map[string]string{}
	for name, dir := range folders {
		for _, file := range must(filepath.Glob(dir + "/*_test.go")) {
			sources[name] += string(must(os.ReadFile(file)))
		}
	}
	named := regexp.MustCompile(`(?:(\w+)\.)?(Test\w+)`).FindAllStringSubmatch(string(page), -1)
	if len(named) < 40 {
		t.Fatalf("%d tests are named", len(named))
	}
	for _, m := range named {
		if !strings.Contains(sources[m[1]], "\nfunc "+m[2]+"(") {
			t.Errorf("%s does not exist", m[0])
		}
	}
}

// A reader made from the page alone, with no function of this package, reads the golden segment.
func TestThePackagePageIsEnoughToReadASegment(t *testing.T) {
	data := must(os.ReadFile(golden))
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	crc := crc32.MakeTable(crc32.Castagnoli)
	if string(data[:8]) != "BKSPOOL\n" || u32(data[8:]) != 1 || u64(data[28:]) != 7 || u32(data[44:]) != crc32.Checksum(data[:44], crc) {
		t.Fatal("the header is otherwise")
	}
	var story []string
	sequence, records := uint64(0), uint64(0)
	for b := data[48:]; len(b) > 0; {
		n := int(u32(b[12:]))
		covered := append(append([]byte{}, data[12:36]...), b[4:16+n]...)
		sequence++
		if string(b[:4]) != "\xFF\x62\x6B\xFE" || u64(b[4:]) != sequence || u32(b[16+n:]) != crc32.Checksum(covered, crc) {
			t.Fatalf("frame %d is otherwise", sequence)
		}
		body := b[16 : 16+n]
		switch body[0] {
		case 1:
			k := int(body[9])
			story = append(story, string(body[10:10+k])+":"+string(body[10+k:]))
			records++
		case 2:
			for line := body[17:]; len(line) > 0; {
				site := string(line[1 : 1+line[0]])
				line = line[1+line[0]:]
				_, size := binary.Uvarint(line)
				line = line[size:]
				reason := string(line[1 : 1+line[0]])
				line = line[1+line[0]:]
				_, size = binary.Uvarint(line)
				line = line[size:]
				story = append(story, site+" "+reason)
			}
		case 3:
			want(t, "records", u64(body[1:]), records)
		}
		b = b[20+n:]
	}
	want(t, "story", strings.Join(story, ", "), "demo:first, demo:, demo accepted, demo duplicate, demo stored, "+
		"shop:payload with a mark \xffbk\xfe in it,  dropped:bad-value, shop accepted, shop stored")

	ids := encodeIDs(header{testID, 3, 1}, 5, []uint64{7, 8})
	m := int(u32(ids[56:]))
	if string(ids[:8]) != "BKSPIDS\n" || u64(ids[48:]) != 5 || m != 2 || u64(ids[68:]) != 8 || len(ids) != 64+8*m || u32(ids[60+8*m:]) != crc32.Checksum(ids[:60+8*m], crc) {
		t.Fatal("the ids file is otherwise")
	}
}
