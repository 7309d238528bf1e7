package spool

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	childDir  = "SPOOL_TEST_CHILD_DIR"
	childSync = "SPOOL_TEST_CHILD_SYNC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		crashChild(dir)
		return
	}
	os.Exit(m.Run())
}

// crashChild appends numbers until it is killed: first those that it reads from stdin, then its own. It says
// "s N" before it sends N, "a N" when N is acknowledged and "d N" when N was a repeat.
func crashChild(dir string) {
	mode := SyncAlways
	if os.Getenv(childSync) == "os" {
		mode = SyncOS
	}
	s, err := Open(dir, Options{Sync: mode, SegmentBytes: 8 << 10, Log: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Sealing(2 * time.Millisecond)
	numbers := make(chan int)
	for range 8 {
		go func() {
			for n := range numbers {
				e := []Entry{numbered(n)}
				word := "a"
				fmt.Printf("s %d\n", n)
				if err := s.Append(e, nil); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				if e[0].Duplicate {
					word = "d"
				}
				fmt.Printf("%s %d\n", word, n) // one write, so that lines do not mix
			}
		}()
	}
	in := bufio.NewScanner(os.Stdin)
	base := 0
	for in.Scan() {
		n, _ := strconv.Atoi(in.Text())
		base = max(base, n)
		numbers <- n
	}
	for n := base + 1; ; n++ {
		numbers <- n
	}
}

// rounds is how often the collector is killed: 20 times in `make test`, BECKON_FAULT_ROUNDS in `make fault`.
func rounds(t *testing.T) int {
	text := os.Getenv("BECKON_FAULT_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BECKON_FAULT_ROUNDS=%q is no number of rounds", text)
	}
	return n
}

func TestKill9LosesNothingAcknowledgedAndDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	world := newOracle()
	last, repeated := 0, 0
	for round := range rounds(t) {
		var repeats bytes.Buffer
		for n := max(0, last-100); n <= last+10; n++ { // acknowledged ones, and those in flight at the kill
			fmt.Fprintln(&repeats, n)
		}
		for _, line := range runAndKill(t, dir, round, &repeats, time.Duration(5+rng.IntN(120))*time.Millisecond) {
			word, number, _ := strings.Cut(line, " ")
			n, err := strconv.Atoi(number)
			switch {
			case err != nil:
				t.Fatalf("child said %q", line)
			case word == "s":
				world.sends(n)
				continue
			case word == "d":
				repeated++
			}
			if first := world.acks(n); word == "a" && !first {
				t.Fatalf("round %d: %d was acknowledged before and is stored again", round, n)
			}
			last = max(last, n)
		}
		s := mustOpen(t, dir, Options{SegmentBytes: 8 << 10})
		want(t, "the ledger closes", int64(ledgerSum(s.Ledger(), ReasonStored)), s.Stats().Records)
		world.verify(t, fmt.Sprint("round ", round), s)
		for i, b := range batches(s) {
			if i%3 > 0 || round%4 == 3 { // the others come again, with the same token
				if err := s.Done(b.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustClose(t, s)
	}
	t.Logf("%d rounds: %d acknowledged, %d of them repeated, %d stored in %d batches: 0 lost, 0 twice, 0 invented",
		rounds(t), len(world.acked), repeated, len(world.records), len(world.batches))
}

// runAndKill starts a child, kills it some time after its first word, and returns its whole lines.
func runAndKill(t *testing.T, dir string, round int, stdin *bytes.Buffer, after time.Duration) []string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childSync+"="+[]string{"always", "os"}[round%2])
	child.Stdin = stdin
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out := &watched{spoke: make(chan struct{})}
	child.Stdout = out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.spoke:
	case <-time.After(20 * time.Second):
	}
	time.Sleep(after) // the moment of the kill is meant to be any
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if stderr.Len() > 0 {
		t.Fatalf("child: %s", stderr.String())
	}
	text := out.String()
	text = text[:strings.LastIndex(text, "\n")+1]
	if text == "" {
		t.Fatal("the child acknowledged nothing")
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// watched is a buffer that tells of its first bytes.
type watched struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	spoke chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len() == 0 {
		close(w.spoke)
	}
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
