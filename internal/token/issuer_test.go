package token

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/internal/keyring"
)

// issuerFile stands for the file and the clock.
type issuerFile struct {
	keys []keyring.IssuerKey
	err  error
	now  time.Time
}

func (f *issuerFile) open(t *testing.T) *Issuer {
	t.Helper()
	i, err := NewIssuer(func() ([]keyring.IssuerKey, error) { return f.keys, f.err }, func() time.Time { return f.now })
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// see reloads and says which key signs and which are on the page.
func see(t *testing.T, i *Issuer) string {
	t.Helper()
	if err := i.Reload(); err != nil {
		t.Fatal(err)
	}
	page := ""
	for _, id := range []string{"k1", "k2"} {
		if bytes.Contains(i.JWKS(), []byte(`"`+id+`"`)) {
			page += " " + id
		}
	}
	return i.Key().ID + " of" + page
}

func TestRotationIsFollowedWithoutARestart(t *testing.T) {
	f := &issuerFile{keys: []keyring.IssuerKey{oldKey}, now: noon}
	i := f.open(t)
	want := func(want string) {
		t.Helper()
		if got := see(t, i); got != want {
			t.Fatalf("at %s %s, want %s", f.now, got, want)
		}
	}
	want("k1 of k1")
	next, last := newKey, oldKey
	next.From, last.Until = noon.Add(time.Hour), noon.Add(time.Hour+keyring.Overlap)
	f.keys = []keyring.IssuerKey{next, last}
	want("k1 of k1 k2")
	f.now = next.From.Add(-1)
	want("k1 of k1 k2")
	f.now = next.From
	want("k2 of k1 k2")
	f.now = last.Until
	want("k2 of k2")
}

// A shop has just fetched the page here, and keeps it: no token may come from here under a key that was
// not on it.
func TestKeyThatComesLateIsPublishedHereBeforeItSigns(t *testing.T) {
	f := &issuerFile{keys: []keyring.IssuerKey{oldKey}, now: noon}
	i := f.open(t)
	late := newKey
	late.From = noon.Add(-time.Hour) // its time came while the file was not copied to this host
	f.keys = []keyring.IssuerKey{late, oldKey}
	if got := see(t, i); got != "k1 of k1 k2" {
		t.Fatal(got)
	}
	f.now = noon.Add(keyring.MinLead - 1)
	if got := see(t, i); got != "k1 of k1 k2" {
		t.Fatal(got)
	}
	f.now = noon.Add(keyring.MinLead)
	if got := see(t, i); got != "k2 of k1 k2" {
		t.Fatal(got)
	}
	if got := see(t, f.open(t)); got != "k2 of k1 k2" {
		t.Fatalf("a start goes by the file: %s", got)
	}
}

func TestLeakedKeyIsUsedAndPublishedNoMore(t *testing.T) {
	f := &issuerFile{keys: []keyring.IssuerKey{oldKey}, now: noon}
	i := f.open(t)
	f.keys = []keyring.IssuerKey{newKey}
	if got := see(t, i); got != "k2 of k2" {
		t.Fatal(got)
	}
}

func TestBrokenIssuerFileLeavesTheKeysInUse(t *testing.T) {
	f := &issuerFile{keys: []keyring.IssuerKey{oldKey}, now: noon}
	i := f.open(t)
	f.err = errors.New("half a file")
	if err := i.Reload(); !errors.Is(err, f.err) {
		t.Fatal(err)
	}
	f.err, f.keys = nil, nil
	if err := i.Reload(); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Fatalf("without a key: %v", err)
	}
	if i.Key().ID != "k1" || len(i.JWKS()) < 100 {
		t.Fatalf("%s signs, the page is %s", i.Key().ID, i.JWKS())
	}
	if _, err := NewIssuer(func() ([]keyring.IssuerKey, error) { return nil, errors.New("missing") }, time.Now); err == nil {
		t.Fatal("an issuer without keys")
	}
}

func TestWatchSaysAFaultOnceAndEveryChange(t *testing.T) {
	var mu sync.Mutex
	reads, keys, fault := 0, []keyring.IssuerKey{oldKey}, error(nil)
	i, err := NewIssuer(func() ([]keyring.IssuerKey, error) {
		mu.Lock()
		defer mu.Unlock()
		reads++
		return keys, fault
	}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.Watch(ctx, time.Millisecond, slog.New(slog.NewTextHandler(&said, nil)))
	}()
	rounds := func(change func()) { // three looks of Watch after change
		mu.Lock()
		change()
		until := reads + 3
		mu.Unlock()
		for {
			mu.Lock()
			n := reads
			mu.Unlock()
			if n >= until {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	rounds(func() { fault = errors.New("half a file") })
	rounds(func() { fault = nil })
	rounds(func() { keys = []keyring.IssuerKey{newKey} })
	cancel()
	<-done
	if n := strings.Count(said.String(), "half a file"); n != 1 {
		t.Errorf("a fault was said %d times", n)
	}
	if n := strings.Count(said.String(), "have changed"); n != 1 || !strings.Contains(said.String(), "signing=k2") {
		t.Errorf("a change was said %d times: %s", n, said.String())
	}
	if strings.Contains(said.String(), "Seed") {
		t.Error("the log holds a key")
	}
}
