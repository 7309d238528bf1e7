package privacy

import (
	"math/rand/v2"
	"testing"
)

// whatIsPlain fails when the short way keeps what a closer look would not.
func whatIsPlain(t *testing.T, b []byte) (plainly bool) {
	t.Helper()
	if !plain(b) {
		return false
	}
	if m := look(b); m != "" {
		t.Fatalf("%q is plain, and a closer look says %s", b, m)
	}
	if m := lookWord(b); m != "" {
		t.Fatalf("%q is plain, and as a word a closer look says %s", b, m)
	}
	return true
}

func TestPlainWordsNeedNoCloserLook(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := 0
	for _, alphabet := range []string{"abcdef0123456789", "abcxyzABC-_", "0123456789.-_ ", "a1B.- _%@+:/", "abcdefghijklmnopqrstuvwxyz-", "aB"} {
		for range 50_000 {
			b := make([]byte, r.IntN(48))
			for i := range b {
				b[i] = alphabet[r.IntN(len(alphabet))]
			}
			if whatIsPlain(t, b) {
				seen++
			}
		}
	}
	for _, s := range []string{"", "mugs", "blue-mug-9", "Blue Mug", "collections", "spring sale", "a-long-name-of-a-product-in-a-shop", "2026"} {
		if !whatIsPlain(t, []byte(s)) {
			t.Errorf("%q is not plain", s)
		}
	}
	if seen < 50_000 {
		t.Fatalf("only %d words were plain: the test shows little", seen)
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"mug-1.5", "deadbeefdeadbeef", "ABCdefGHIjklMNOp", "1234567", "x\x00", "%41", "a b_c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { whatIsPlain(t, b) })
}
