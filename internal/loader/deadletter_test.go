package loader_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"beckon/internal/loader"
	"beckon/internal/spool"
)

func TestATornDeadLetterStaysAloneOnItsLine(t *testing.T) {
	_, connect := server(t)
	dir := t.TempDir()
	s := openSpool(t, dir)
	dead := filepath.Join(dir, "dead")
	const torn = `{"batch":"00/1","sequence":1,"rea`
	if err := os.WriteFile(dead, []byte(torn), 0o640); err != nil {
		t.Fatal(err)
	}
	l := loader.New(loader.Config{Source: s, Table: loader.Events(), Connect: connect, Database: db, DeadLetter: dead})
	for n := range 2 {
		if err := s.Append([]spool.Entry{{Site: "demo", Payload: fmt.Appendf(nil, "no event %d", n)}}, nil); err != nil {
			t.Fatal(err)
		}
		seal(t, s)
		if err := l.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(dead)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) != 3 || string(lines[0]) != torn {
		t.Fatalf("%d lines: %s", len(lines), data)
	}
	for n, line := range lines[1:] {
		var letter struct{ Record string }
		if err := json.Unmarshal(line, &letter); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if record, err := base64.StdEncoding.DecodeString(letter.Record); err != nil || string(record) != fmt.Sprintf("no event %d", n) {
			t.Errorf("record %q, %v", record, err)
		}
	}
}
