package privacy

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNewLabelKeepsTheShopsWords(t *testing.T) {
	for _, s := range []string{
		"SKU-123", "7982341234567", "gid://shopify/Product/7982341234567", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "4006381333931",
		"00012345678905", "Größe 42, rot", "50% off", "100%25", "靴", "می\u200cخواهم", "👨\u200d👩\u200d👧 family", "Men::Shoes", "v1.2.3", "12:30:45", "a+b",
		"the-quick-brown-fox-jumps-over-the-lazy-dog-size-42", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "C++",
	} {
		if got := NewLabel([]byte(s)).String(); got != s {
			t.Errorf("NewLabel(%q) = %q", s, got)
		}
	}
}

func TestNewLabelReplacesPersonalWords(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := NewLabel([]byte(in)).String(); got != want {
			t.Errorf("NewLabel(%q) = %q, want %q", in, got, want)
		}
	}
	f("  SKU-1\t", "SKU-1")
	f("", "")
	f("ann@example.com", "[email]")
	f("gift for ann@example.com", "[email]")
	f("ann%40example.com", "[email]")
	f("ann%2540example.com", "[email]")
	f("+49 151 2345678", "[number]")
	f("call +1 (555) 010-9999 now", "[number]")
	f("1 + 2 = 3, +44 20 7946 0958", "[number]")
	f("＋49 151 2345678", "[number]")
	f("203.0.113.77", "[number]")
	f("from 203.0.113.77:80", "[number]")
	f("2001:db8:12::77", "[number]")
	f("abc2001:db8:12::77", "[number]") // glued to a letter that could be hex
	f("eyJhbGciOiJIUzI1NiJ9eyJzdWIiOiIxMjM0NTY3ODkwIn0", "[token]")
	f("%2525252525252540", "[token]")
	f("%00", "[token]")
	f("a\x00b", "")
	f("a\nb", "")
	f("a\xffb", "")
	f("right\u202eleft", "")
	f(strings.Repeat("a ", 255)+"ab", strings.Repeat("a ", 255)+"ab")
	f(strings.Repeat("a ", 256)+"b", "")
}

func TestNewBucketTakesConfiguredWordsOnly(t *testing.T) {
	for _, s := range []string{"demo", "my-shop-2", "production", "DE", "DE-BE", "samsung-internet", "New York", strings.Repeat("a", 32), "-x"} {
		if got := NewBucket(s).String(); got != s {
			t.Errorf("NewBucket(%q) = %q", s, got)
		}
	}
	for _, s := range []string{"", strings.Repeat("a", 33), "203.0.113.77", "2001:db8::1", "ann@example.com", "a/b", "a\nb", "größe", " x", "a\x00", "a%20b"} {
		if got := NewBucket(s); got != (Bucket{}) {
			t.Errorf("NewBucket(%q) = %q, want nothing", s, got)
		}
	}
}

func TestCurrency(t *testing.T) {
	f := func(in, want string, wantOK bool) {
		t.Helper()
		if got, ok := Currency([]byte(in)); got.String() != want || ok != wantOK {
			t.Errorf("Currency(%q) = %q, %v", in, got, ok)
		}
	}
	f("EUR", "EUR", true)
	f("usd", "USD", true)
	for _, in := range []string{"", "EU", "EURO", "E1R", "€", "EU\x00", "{|}", "[E]", "É\x00"} {
		f(in, "", false)
	}
}

func FuzzNewLabel(f *testing.F) {
	for _, s := range []string{"SKU-1", "x%40y", "+49 151 2345678", "1.2.3.4", "::1", "\u200d", "%", "%25", "%2525252541", "＠"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(9))
	}
	f.Fuzz(func(t *testing.T, around []byte, pick uint8) {
		sameInScratch(t, NewLabel(around), func(s *Scratch) Label { return s.Label(around) })
		label := NewLabel(around).String()
		if len(label) > maxLabelBytes || !utf8.ValidString(label) || strings.ContainsAny(label, "@\x00\n") {
			t.Fatalf("label %q", label)
		}
		// Whatever stands around a canary, it does not come through.
		forms := spellings(canaries[int(pick)%len(canaries)])
		canary := forms[int(pick/4)%len(forms)]
		half := len(around) / 2
		in := string(around[:half]) + " " + canary + " " + string(around[half:])
		if out := NewLabel([]byte(in)).String(); out != "" && strings.Contains(out, canary) {
			t.Fatalf("NewLabel(%q) = %q", in, out)
		}
	})
}
