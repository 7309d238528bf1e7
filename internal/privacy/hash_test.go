package privacy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"beckon/internal/keyring"
)

func TestKeyedIDIsTruncatedHMAC(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	for n := 1; n < 1500; n += 7 { // across the size that stays on the stack
		value := make([]byte, n)
		_, _ = rnd.Read(value)
		k := key(byte(n))
		h := hmac.New(sha256.New, k[:])
		h.Write([]byte("visitor\x00"))
		h.Write(value)
		if got, want := KeyedID(&k, "visitor", value).Hex(), hex.EncodeToString(h.Sum(nil)[:16]); got != want {
			t.Fatalf("KeyedID of %d bytes = %s, want %s", n, got, want)
		}
	}
}

func TestKeyedIDKeepsUsesApart(t *testing.T) {
	a, b := key(1), key(2)
	value := []byte("order-1001")
	ids := map[ID]string{}
	for name, id := range map[string]ID{
		"one":             KeyedID(&a, "order", value),
		"another key":     KeyedID(&b, "order", value),
		"another purpose": KeyedID(&a, "coupon", value),
		"another value":   KeyedID(&a, "order", []byte("order-1002")),
	} {
		if id.IsZero() || ids[id] != "" {
			t.Errorf("%s: id %s is zero or that of %s", name, id.Hex(), ids[id])
		}
		ids[id] = name
	}
	if id := KeyedID(&a, "order", nil); !id.IsZero() {
		t.Errorf("no value gave the id %s", id.Hex())
	}
}

func TestStoredIDGivesTheTypeBack(t *testing.T) {
	k := key(1)
	id := KeyedID(&k, "visitor", []byte("x"))
	if StoredID(id.Bytes()) != id {
		t.Fatal("an id changed on its way through storage")
	}
}

func TestOpenValueReturnsWhatWasSealed(t *testing.T) {
	k := testSite("demo", 1)
	for _, payload := range [][]byte{{}, {0}, []byte("grant"), bytes.Repeat([]byte{0xff}, 400)} {
		value := SealValue(k, "grant", payload)
		got, ok := OpenValue(k, "grant", value)
		if !ok || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes came back as %d, %v", len(payload), len(got), ok)
		}
	}
}

func TestOpenValueRefuses(t *testing.T) {
	k := testSite("demo", 1)
	value := SealValue(k, "grant", []byte("payload8")) // 16 bytes with the MAC: the last character has bits to spare
	f := func(why string, k *keyring.Site, purpose string, value []byte) {
		t.Helper()
		if _, ok := OpenValue(k, purpose, value); ok {
			t.Errorf("OpenValue accepted %s", why)
		}
	}
	f("another purpose", k, "visit", value)
	f("another site's key", testSite("demo", 9), "grant", value)
	f("another site under the same key", testSite("shop", 1), "grant", value)
	f("nothing", k, "grant", nil)
	f("a MAC alone of other bytes", k, "grant", value[:11])
	f("padding", k, "grant", append(bytes.Clone(value), '='))
	f("a line break", k, "grant", append(bytes.Clone(value), '\n'))
	f("a line break within", k, "grant", bytes.Join([][]byte{value[:4], value[4:]}, []byte("\r\n")))
	for i := range value {
		f("a cut value", k, "grant", value[:i])
		for _, c := range []byte("AQgw_-+/= \x00") {
			if c != value[i] {
				changed := bytes.Clone(value)
				changed[i] = c
				f("a changed character", k, "grant", changed)
			}
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(value))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		f("a flipped bit", k, "grant", []byte(base64.RawURLEncoding.EncodeToString(raw)))
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

func TestHashingDoesNotAllocate(t *testing.T) {
	k := testSite("demo", 1)
	value := bytes.Repeat([]byte("x"), 512)
	allocs(t, "KeyedID", 0, func() { _ = KeyedID(&k.Order, "order", value) })
	v := NewVisit(k, now, LaneDecide, nil)
	cookie := v.AppendTo(nil, k)
	buf := make([]byte, 0, 128)
	allocs(t, "OpenVisit", 0, func() {
		if _, ok := OpenVisit(k, cookie, now); !ok {
			t.Fatal("the cookie was refused")
		}
	})
	allocs(t, "AppendTo", 0, func() { buf = v.AppendTo(buf[:0], k) })
	allocs(t, "ID and Session", 0, func() { _, _ = v.ID(k), v.Session(k) })
}

func BenchmarkKeyedID(b *testing.B) {
	k := key(1)
	value := []byte("0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		_ = KeyedID(&k, "visitor", value)
	}
}
