package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"beckon/internal/spool"
)

// dump runs the command over every file of a folder that matches.
func dump(t *testing.T, asJSON bool, pattern string) (string, error) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files, %v", pattern, err)
	}
	var out bytes.Buffer
	err = (&spooldumpCmd{JSON: asJSON, Files: files}).dump(&out)
	return out.String(), err
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func TestSpooldumpShowsWhatARunningCollectorIsWriting(t *testing.T) {
	c := ready(t)
	at, stop := start(t, c)
	if status := send(t, at); status != 204 {
		t.Fatalf("got %d", status)
	}
	before := contents(t, c.SpoolDir)
	text, err := dump(t, false, c.SpoolDir+"/*.segment")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, text, "segment 1 of spool ", "record  #1 site \"demo\" fingerprint ", `"kind":"page_view"`, `"lane":"`, `"received_at":"20`, "accepted 1]", "1 records, 0 damaged bytes")
	lines, err := dump(t, true, c.SpoolDir+"/*.segment")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(lines) {
		var part struct {
			Part, Type string
			Event      map[string]any
		}
		if err := json.Unmarshal([]byte(line), &part); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds = append(kinds, part.Part+part.Type)
		if part.Part == "record" && part.Event["kind"] != "page_view" {
			t.Errorf("record %v", part.Event)
		}
	}
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, "segment header record commit") {
		t.Errorf("parts %s", got)
	}
	if text, err := dump(t, false, c.SpoolDir+"/spool"); err != nil || !strings.Contains(text, "identity 0 of spool ") {
		t.Errorf("%v: %s", err, text)
	}
	if status := send(t, at); status != 204 {
		t.Fatalf("after the dump got %d", status)
	}
	for name, data := range before {
		if now := contents(t, c.SpoolDir)[name]; !bytes.HasPrefix(now, data) {
			t.Errorf("%s was changed", name)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// contents reads a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[name], err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSpooldumpShowsTheGoldenSegmentAndDamage(t *testing.T) {
	const golden = "../internal/spool/testdata/golden-v1.segment"
	text, err := dump(t, false, golden)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, text, "segment 7 of spool beac04030405060708090a0b0c0d0e0f, format version 1", `["" 2027-01-15T08:00Z dropped:bad-value 4000000000]`,
		"5 bytes: 6669727374", "seal    #6 3 records", "3 records, 0 damaged bytes")

	dir := t.TempDir()
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	data[60] ^= 1
	name := filepath.Join(dir, "00000000000000000007.segment")
	if err := os.WriteFile(name, data[:400], 0o400); err != nil {
		t.Fatal(err)
	}
	text, err = dump(t, false, name)
	if err == nil || !strings.Contains(err.Error(), "1 of 1 files") {
		t.Errorf("got %v", err)
	}
	contains(t, text, "        48      39  damage", "       379      21  damage", "2 records, 60 damaged bytes", "FAULT: 60 bytes are no good frame", "FAULT: 1 frames are missing")
	if left := contents(t, dir); len(left) != 1 || !bytes.Equal(left[filepath.Base(name)], data[:400]) {
		t.Error("the folder was changed")
	}
}

func TestSpooldumpShowsIDsAndOtherRecords(t *testing.T) {
	dir := t.TempDir()
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Append([]spool.Entry{{Site: "demo", Fingerprint: 0xabc, Payload: []byte(`{"offer":"welcome-back"}`)}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	text, err := dump(t, true, dir+"/*.segment")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, text, `"json":{"offer":"welcome-back"}`)
	b, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Done(b.ID); err != nil {
		t.Fatal(err)
	}
	if text, err = dump(t, false, dir+"/*.ids"); err != nil {
		t.Fatal(err)
	}
	contains(t, text, "ids 1 of spool ", "0000000000000abc")
	var out bytes.Buffer
	if err := (&spooldumpCmd{Files: []string{dir + "/none.segment", dir + "/spool"}}).dump(&out); err == nil || !strings.Contains(out.String(), "identity") {
		t.Errorf("a missing file keeps the others from being shown: %v %s", err, out.String())
	}
}

func TestFieldsAreNamedLikeColumns(t *testing.T) {
	for name, want := range map[string]string{"OccurredAt": "occurred_at", "UTMName": "utm_name", "ID": "id", "OS": "os", "ProfileExpiresDay": "profile_expires_day"} {
		if got := snake(name); got != want {
			t.Errorf("%s became %s", name, got)
		}
	}
}
