package privacy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// sameInScratch holds that a Scratch only chooses where a text is kept, never what is kept.
func sameInScratch[T comparable](t *testing.T, own T, in func(*Scratch) T) {
	t.Helper()
	var s Scratch
	s.text([]byte("somebody was here before"))
	if got := in(&s); got != own {
		t.Fatalf("in a scratch %v, of its own %v", got, own)
	}
}

func TestScratchTextsAreCopiesUntilReset(t *testing.T) {
	var s Scratch
	for round := range 3 {
		raw := []byte("https://shop.example/shoes?utm_source=letter")
		page, host, label := s.URL(raw), s.Referrer(raw, nil), s.Label(raw[8:12])
		currency, _ := s.Currency([]byte("eur"))
		copy(raw, strings.Repeat("X", len(raw)))
		texts := func() string { return fmt.Sprint(page.Path, page.Source, host, label, currency) }
		if got, want := texts(), "/shoes letter shop.example shop EUR"; got != want {
			t.Fatalf("round %d: %s, want %s: a result changed with the request's buffer", round, got, want)
		}
		s.Reset()
		if strings.ContainsAny(texts(), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Fatalf("round %d: after the request %q can still be read", round, texts())
		}
	}
}

func TestScratchKeepsEarlierTextsWhenItGrows(t *testing.T) {
	var s Scratch
	var texts []string
	for i := range 300 {
		texts = append(texts, s.text(bytes.Repeat([]byte{byte(i)}, i)))
	}
	for i, text := range texts {
		if text != string(bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("text %d of %d bytes changed", i, len(text))
		}
	}
}

func TestScratchIsBounded(t *testing.T) {
	var s Scratch
	s.text(make([]byte, maxScratch+1))
	s.Reset()
	if cap(s.b) > maxScratch {
		t.Fatalf("%d bytes are kept for the next request", cap(s.b))
	}
	s.text(make([]byte, 100))
	before := cap(s.b)
	s.Reset()
	allocs(t, "a request like the last", 0, func() { s.text(make([]byte, 100)); s.Reset() })
	if cap(s.b) != before {
		t.Fatal("the memory was given back")
	}
}

func TestReducingIntoScratchAllocatesNothing(t *testing.T) {
	raw := []byte("https://shop.example/collections/sh%C3%B6es/products/blue-9?utm_source=news+letter&utm_medium=mail&utm_campaign=spring%20sale")
	var s Scratch
	allocs(t, "a page view", 0, func() {
		_, _, _ = s.URL(raw), s.Referrer(raw, []byte("other.example")), s.Label(raw[21:32])
		_, _ = s.Currency([]byte("eur"))
		s.Reset()
	})
}
