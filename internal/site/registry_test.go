package site

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is a registry over a file of its own, looked at every millisecond.
type watched struct {
	*Registry
	t       *testing.T
	path    string
	log     *safeBuffer
	reloads chan error // what OnReload was told
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func watch(t *testing.T, checks ...Check) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "sites.yaml"), log: &safeBuffer{}, reloads: make(chan error, 100)}
	w.write(minimal)
	r, err := Open(w.path, checks...)
	if err != nil {
		t.Fatal(err)
	}
	w.Registry = r
	r.OnReload = func(inForce *File, err error) {
		if inForce != r.File() {
			t.Error("OnReload names another file than the one in force")
		}
		w.reloads <- err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Watch(ctx, time.Millisecond, slog.New(slog.NewTextHandler(w.log, nil)))
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// write replaces the file in one step, as editors and configuration tools do.
func (w *watched) write(text string) {
	w.t.Helper()
	next := w.path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(next, w.path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) nextReload() error {
	w.t.Helper()
	select {
	case err := <-w.reloads:
		return err
	case <-time.After(10 * time.Second):
		w.t.Fatal("the change was not seen within 10 s")
		return nil
	}
}

func TestWatchPutsAChangedFileInForce(t *testing.T) {
	w := watch(t)
	before := w.File()
	w.write(strings.ReplaceAll(minimal, "demo", "shop"))
	if err := w.nextReload(); err != nil {
		t.Fatal(err)
	}
	if w.Site("demo") != nil || w.Site("shop") == nil || w.ByOrigin("https://shop.example") != w.Site("shop") {
		t.Fatal("the new file is not in force")
	}
	if before.Site("demo") == nil {
		t.Fatal("the file that a request still holds has changed")
	}
}

func TestWatchSeesAChangeThatKeepsTheSize(t *testing.T) {
	w := watch(t)
	w.write(strings.Replace(minimal, "percent: 10", "percent: 20", 1))
	if err := w.nextReload(); err != nil || w.Site("demo").Offers[0].Percent != 20 {
		t.Fatalf("got %v, %v%%", err, w.Site("demo").Offers[0].Percent)
	}
}

func TestWatchKeepsTheOldFileWhileTheNewOneIsBroken(t *testing.T) {
	w := watch(t)
	before := w.File()
	w.write(strings.NewReplacer("EUR", "euro", "percent: 10", "percent: 0").Replace(minimal))
	var faults Faults
	if err := w.nextReload(); !errors.As(err, &faults) || len(faults) != 2 {
		t.Fatalf("got %v", err)
	}
	if w.File() != before {
		t.Fatal("the broken file is in force")
	}
	for _, want := range []string{"sites.yaml:4:15: ", "sites.yaml:8:29: ", "in_force=" + before.Digest} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, w.log)
		}
	}
	w.write(minimal + "\n")
	if err := w.nextReload(); err != nil || w.File() == before {
		t.Fatalf("the repaired file is not in force: %v", err)
	}
}

func TestWatchKeepsTheOldFileWhileThereIsNone(t *testing.T) {
	w := watch(t)
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := w.nextReload(); !errors.Is(err, fs.ErrNotExist) || w.Site("demo") == nil {
		t.Fatalf("got %v", err)
	}
	w.write(strings.ReplaceAll(minimal, "demo", "shop"))
	if err := w.nextReload(); err != nil || w.Site("shop") == nil {
		t.Fatalf("got %v", err)
	}
	if n := strings.Count(w.log.String(), "not read"); n != 1 {
		t.Fatalf("the missing file was reported %d times", n)
	}
}

func TestWatchSaysNothingWhenTheTextIsTheSame(t *testing.T) {
	w := watch(t)
	w.write(minimal)
	changed := minimal + "# changed\n"
	w.write(changed)
	if err := w.nextReload(); err != nil {
		t.Fatal(err)
	}
	want, err := Parse(w.path, []byte(changed))
	if err != nil {
		t.Fatal(err)
	}
	if w.File().Digest != want.Digest { // the first reload is that of the changed text
		t.Fatal("the same text was loaded again")
	}
}

func TestCheckRefusesAFileThatParseAccepts(t *testing.T) {
	w := watch(t, func(f *File) Faults {
		if f.Site("demo") == nil {
			return Faults{{File: f.Name, Text: "demo is gone"}}
		}
		return nil
	})
	w.write(strings.ReplaceAll(minimal, "demo", "shop"))
	if err := w.nextReload(); err == nil || !strings.HasSuffix(err.Error(), "sites.yaml: demo is gone") || w.Site("demo") == nil {
		t.Fatalf("got %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	f := func(path, want string) {
		t.Helper()
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %s", err, want)
		}
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("sites: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, bytes.Repeat([]byte("#"), maxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(dir, "none.yaml"), "read sites file: open ")
	f(dir, "is a directory")
	f(broken, "broken.yaml:1:8: sites: must be a list")
	f(huge, "is larger than 4194304 bytes")
}
