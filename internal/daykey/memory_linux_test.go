package daykey

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// A process of its own makes ids under a key, destroys it, and then looks through all of its own memory for it.
func TestNoKeyIsLeftInMemory(t *testing.T) {
	if dir := os.Getenv("BECKON_TEST_MEMORY"); dir != "" {
		lookThroughMyself(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "BECKON_TEST_MEMORY="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}

func lookThroughMyself(t *testing.T, dir string) {
	at := noon
	k, err := Open(Config{Dir: filepath.Join(dir, "volatile"), Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	day := DayOf(at.UnixMilli())
	s := k.Site("demo")
	id := func() {
		var key keyring.Key
		if s.Key(day, &key) {
			privacy.MeasureID(&key, privacy.Network{}, privacy.Agent{})
			key.Wipe()
		}
	}
	// As the workers of a server do: each has a stack of its own, on which the id was made, and waits.
	var made sync.WaitGroup
	hold := make(chan struct{})
	defer close(hold)
	for range 10 {
		made.Add(1)
		go func() {
			id()
			made.Done()
			<-hold
		}()
	}
	made.Wait()
	k.Turn(t.Context())
	// What to look for is kept as its complement, in a place of its own, so that looking finds nothing of ours.
	var inverse keyring.Key
	copyInverse(s, day, &inverse)
	if found := search(t, &inverse); found == 0 {
		t.Fatal("the key in use is not found: the search cannot find anything")
	}
	at = at.Add(48 * time.Hour)
	k.Turn(t.Context())
	id()
	if found := search(t, &inverse); found != 0 {
		t.Errorf("the destroyed key is found %d times", found)
	}
}

//go:noinline
func copyInverse(s *Site, day Day, into *keyring.Key) {
	var key keyring.Key
	if !s.Key(day, &key) {
		panic("no key")
	}
	for i := range key {
		into[i] = ^key[i]
	}
	key.Wipe()
}

// search counts where the key stands in this process's memory: raw, and as HMAC's two pads hold it. It
// compares piece by piece, against the complement.
func search(t *testing.T, inverse *keyring.Key) (found int) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	defer clear(buf)
	bytesSeen := 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || strings.Contains(lines.Text(), "[v") {
			continue
		}
		for at := from; at < to; at += int64(len(buf) - len(inverse)) {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if n == 0 || err != nil && n < len(inverse) {
				break
			}
			bytesSeen += n
			for _, pad := range []byte{0, 0x36, 0x5c} {
				found += count(buf[:n], inverse, ^pad)
			}
			clear(buf[:n]) // the buffer is part of what is searched
		}
	}
	t.Logf("looked through %d MiB: %d", bytesSeen>>20, found)
	return found
}

// count counts the places at which b is inverse XOR mask.
func count(b []byte, inverse *keyring.Key, mask byte) (n int) {
	for i := 0; i+len(inverse) <= len(b); {
		next := bytes.IndexByte(b[i:], inverse[0]^mask)
		if next < 0 {
			return n
		}
		i += next
		match := 0
		for i+match < len(b) && match < len(inverse) && b[i+match] == inverse[match]^mask {
			match++
		}
		if match >= 16 { // half a key is too much
			n++
		}
		i++
	}
	return n
}
