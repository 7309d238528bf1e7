package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"beckon/internal/event"
)

func TestEveryBatchHasIDsOfItsOwn(t *testing.T) {
	b := newBatch("_bk_demo=x", batchEvents)
	seen := make(map[event.UUID]bool)
	for n := range uint64(1000) {
		_, body, _ := bytes.Cut(b.with(n), []byte("\r\n\r\n"))
		var batch struct {
			E []struct{ I string }
		}
		if err := json.Unmarshal(body, &batch); err != nil || len(batch.E) != batchEvents {
			t.Fatalf("batch %d has %d events: %v", n, len(batch.E), err)
		}
		for _, e := range batch.E {
			id, ok := event.ParseUUID([]byte(e.I))
			if !ok || seen[id] {
				t.Fatalf("batch %d has the id %s (good: %v), not for the first time", n, e.I, ok)
			}
			seen[id] = true
		}
	}
}

// TestLineReadsRepliesOneAfterTheOther holds the reader of replies against net/http's writer, a connection
// that the server ends included.
func TestLineReadsRepliesOneAfterTheOther(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served++; served%3 == 0 {
			w.Header().Set("Connection", "close")
		}
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Write([]byte(gif))
	})}
	go server.Serve(ln)
	defer server.Close()
	replies, sent := 0, 0
	next := func() []byte {
		switch sent++; {
		case sent > 20:
			return nil
		case sent%2 == 0:
			return head("POST", "/e", "a=b", "Content-Length: 0")
		}
		return head("GET", pixelURI, "a=b")
	}
	if err := repeat(ln.Addr().String(), next, func() { replies++ }); err != nil || replies != 20 || served != 20 {
		t.Fatalf("%d replies to %d requests: %v", replies, served, err)
	}
}

func TestProfilesOfSeveralPartsDoNotOverwriteEachOther(t *testing.T) {
	c := runCmd{Profile: "/tmp/cpu.pprof"}
	if one, other := c.profileOf("pixels"), c.profileOf("batches"); one != "/tmp/cpu-pixels.pprof" || other != "/tmp/cpu-batches.pprof" {
		t.Errorf("written to %s and %s", one, other)
	}
	if c.Only = "pixels"; c.profileOf("pixels") != c.Profile {
		t.Errorf("written to %s, asked for %s", c.profileOf("pixels"), c.Profile)
	}
}
