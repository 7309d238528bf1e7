package feature

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"beckon/internal/privacy"
)

// servesFile notes first serves behind a snapshot, one a line, each with its CRC. A line is there once it is
// written: it survives kill -9; of a power loss the spool of decisions takes care, when ClickHouse is up again.
// A new file begins with each snapshot, so that the lines before it can go.
type servesFile struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	number uint64 // of the file that is written
	file   *os.File
	size   int
}

const (
	servesPrefix   = "visitors.serves."
	maxServesBytes = 16 << 20 // serves of a day at a big shop: beyond it no snapshot has succeeded for long
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// noted is a line of the file.
type noted struct {
	Name hexID
	serveText
}

// serveText is a Serve as text.
type serveText struct {
	Offer, Rule         string
	Arm                 Arm
	DecisionID, Session hexID
	At, ValidUntil      time.Time
	Used                bool `json:",omitempty"`
}

func textOf(s Serve) serveText {
	return serveText{s.Offer, s.Rule, s.Arm, hexID(s.DecisionID.Bytes()), hexID(s.Session.Bytes()), s.At, s.ValidUntil, s.Used}
}

func (t serveText) serve() Serve {
	return Serve{t.Offer, t.Rule, t.Arm, privacy.StoredID(t.DecisionID), privacy.StoredID(t.Session), t.At, t.ValidUntil, t.Used}
}

// GobEncode is how a serve stands in a snapshot.
func (s Serve) GobEncode() ([]byte, error) { return json.Marshal(textOf(s)) }

// GobDecode reads what GobEncode wrote.
func (s *Serve) GobDecode(b []byte) error {
	var t serveText
	err := json.Unmarshal(b, &t)
	*s = t.serve()
	return err
}

// hexID is an id as 32 hexadecimal digits.
type hexID [16]byte

func (id hexID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

func (id *hexID) UnmarshalText(text []byte) error {
	if len(text) != 2*len(id) {
		return errors.New("not an id")
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// begin goes on in a new file.
func (s *servesFile) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.number
	for _, n := range s.numbers() {
		number = max(number, n)
	}
	number++
	f, err := os.OpenFile(s.path(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of serves: %w", err)
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.number, s.size = f, number, 0
	return nil
}

// add notes a serve.
func (s *servesFile) add(name privacy.ID, serve Serve) error {
	line, err := json.Marshal(noted{hexID(name.Bytes()), textOf(serve)})
	if err != nil {
		return fmt.Errorf("BUG: serve does not marshal: %w", err)
	}
	text := fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(line, castagnoli), line)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return errors.New("no file of serves is open")
	}
	if s.size += len(text); s.size > maxServesBytes {
		return fmt.Errorf("over %d bytes of serves without a snapshot", maxServesBytes)
	}
	_, err = s.file.Write(text)
	return err
}

// read gives all serves that were noted since the file with that number, and returns how many. A damaged line, such
// as the last one before a power loss, is passed over.
func (s *servesFile) read(since uint64, give func(privacy.ID, Serve)) (n int) {
	damaged := 0
	for _, number := range s.numbers() {
		if number < since {
			continue
		}
		f, err := os.Open(s.path(number))
		if err != nil {
			s.log.Error("serves not read", "error", err)
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if one, ok := parseNoted(lines.Text()); ok {
				give(privacy.StoredID(one.Name), one.serve())
				n++
			} else {
				damaged++
			}
		}
		f.Close()
	}
	if damaged > 0 {
		s.log.Warn("serves passed over that could not be read", "lines", damaged)
	}
	return n
}

func parseNoted(line string) (one noted, ok bool) {
	sum, text, _ := strings.Cut(line, " ")
	want, err := strconv.ParseUint(sum, 16, 32)
	if err != nil || crc32.Checksum([]byte(text), castagnoli) != uint32(want) {
		return one, false
	}
	return one, json.Unmarshal([]byte(text), &one) == nil
}

// removeBelow deletes the files before that number.
func (s *servesFile) removeBelow(number uint64) {
	for _, n := range s.numbers() {
		if n < number {
			_ = os.Remove(s.path(n)) // tried again with the next snapshot
		}
	}
}

// numbers are those of the files that are there, the oldest first.
func (s *servesFile) numbers() (list []uint64) {
	names, _ := filepath.Glob(filepath.Join(s.dir, servesPrefix+"*"))
	for _, name := range names {
		if n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(name), servesPrefix), 10, 64); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

func (s *servesFile) path(number uint64) string {
	return filepath.Join(s.dir, servesPrefix+strconv.FormatUint(number, 10))
}
