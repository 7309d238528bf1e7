package spool

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestADiskThatFillsUpIsAFullSpoolBeforeAWriteFails(t *testing.T) {
	m := newMemFS()
	m.setFree(1 << 20)
	s := mustOpen(t, "/s", Options{FS: m, MaxBytes: 1 << 30, Reserve: 600_000})
	big := make([]byte, 10_000)
	stored := 0
	var err error
	for ; err == nil; stored++ {
		err = s.Append([]Entry{{Site: "demo", Payload: big}}, nil)
	}
	wantError(t, err, ErrFull)
	if free, _, _ := m.Space("/s"); free < 600_000 || free > 640_000 {
		t.Fatalf("%d bytes are free, of which 600000 are to stay", free)
	}
	want(t, "it was crowded before", s.Crowded(), true)
	want(t, "bytes of counters still fit", s.Seal(), nil)

	m.setFree(2 << 20) // somebody has tidied up
	eventually(t, "there is room again", func() bool { return !s.Crowded() })
	mustAppend(t, s, numbered(1))
	m.setFree(10_000) // and somebody else fills the disk
	eventually(t, "a neighbour is seen", s.Crowded)
	wantError(t, s.Append([]Entry{numbered(2)}, nil), ErrFull)
	loaded := 0
	for _, records := range drain(t, sealNow(t, s)) { // there is room to finish
		loaded += len(records)
	}
	want(t, "loaded", loaded, stored) // the last of the first was refused, and one came later
	want(t, "number 2 was refused, so it is forgotten", s.window.has(numbered(2).Fingerprint), false)
}

func TestTheReserveIsAtMostATwentiethOfTheDisk(t *testing.T) {
	m := newMemFS()
	m.setFree(memDisk/20 + 100_000)
	s := mustOpen(t, "/s", Options{FS: m, Reserve: 1 << 40})
	mustAppend(t, s, Entry{Site: "demo", Payload: make([]byte, 90_000)})
	wantError(t, s.Append([]Entry{{Site: "demo", Payload: make([]byte, 20_000)}}, nil), ErrFull)
}

func TestADiskThatDoesNotTellItsSpaceIsBoundedByTheSettingAlone(t *testing.T) {
	m := newMemFS()
	reg := prometheus.NewRegistry()
	mustOpen(t, "/s", Options{FS: m, Reserve: 1, MaxBytes: 1 << 20, Registerer: reg})
	m.setFree(0)
	eventually(t, "full", func() bool { return metric(t, reg, "beckon_spool_max_bytes") < 1<<20 })
	m.breaks(func(op, name string) error {
		if op == "space" {
			return syscall.ENOSYS
		}
		return nil
	})
	eventually(t, "bounded by the setting", func() bool { return metric(t, reg, "beckon_spool_max_bytes") == 1<<20 })
}

func TestTheMachineTellsItsSpace(t *testing.T) {
	free, total, err := osFS{}.Space(t.TempDir())
	if err != nil || free <= 0 || total < free {
		t.Fatalf("%d of %d bytes free, %v", free, total, err)
	}
}

func TestCrowdedComesBeforeFullAndGoesAgain(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{MaxBytes: 80_000})
	e := Entry{Site: "demo", Payload: make([]byte, 1000)}
	before := 0
	for !s.Crowded() {
		mustAppend(t, s, e)
		before++
	}
	if used := s.Stats().Bytes; used < 70_000 || used > 72_000 {
		t.Fatalf("crowded at %d of 80000 bytes", used)
	}
	after := 0
	for s.Append([]Entry{e}, nil) == nil {
		after++
	}
	if after < 5 {
		t.Fatalf("%d records before it was crowded, only %d between crowded and full", before, after)
	}
	drain(t, sealNow(t, s))
	want(t, "crowded after loading", s.Crowded(), false)
}

// An outage with a full disk may last for days: what is counted meanwhile must not fill the memory.
func TestCountsThatWaitForRoomAreBounded(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	m := newMemFS()
	s := mustOpen(t, "/s", Options{FS: m, MaxBytes: 4096, Now: func() time.Time { return clock }})
	for s.Append([]Entry{{Site: "demo", Payload: make([]byte, 100)}}, nil) == nil {
	}
	sealNow(t, s)
	for n := 0; s.Stats().Bytes < 4096; n++ { // the counters' own share
		if err := s.Append(nil, []Count{{"demo", fmt.Sprint("filler ", n), 1}}); err != nil {
			t.Fatal(err)
		}
		sealNow(t, s)
	}
	const minutes = 3 * maxLooseLines
	for range minutes {
		clock = clock.Add(time.Minute)
		if err := s.Append(nil, []Count{{"demo", "dropped:shed", 2}}); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	lines := len(s.loose)
	s.mu.Unlock()
	if lines > maxLooseLines {
		t.Fatalf("%d lines wait in memory", lines)
	}
	want(t, "counted", ledgerSum(s.Ledger(), "dropped:shed"), 2*minutes)
}
