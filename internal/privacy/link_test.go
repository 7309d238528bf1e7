package privacy

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"beckon/internal/keyring"
)

func testLinks(t testing.TB, k *keyring.Site) *Links {
	t.Helper()
	ls, err := NewLinks(k)
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

// chosen is a visit whose visitor agreed to a policy text.
func chosen(k *keyring.Site) Visit {
	return NewVisit(k, now.Add(-time.Hour), LaneDecide, &Choice{Decide: true, Measure: true, Version: Label{"2026-05"}, At: now})
}

func TestLinkTokenSaysWhatAnEventNeedsOfTheVisit(t *testing.T) {
	k := testSite("demo", 1)
	ls := testLinks(t, k)
	v := chosen(k)
	token := ls.AppendTo([]byte("kept:"), v.Link(k, now))
	got, ok := ls.Open(bytes.TrimPrefix(token, []byte("kept:")), now)
	if !ok || got != v.Link(k, now) {
		t.Fatalf("opened %+v, %v", got, ok)
	}
	if got.Visitor != v.ID(k) || got.Session != v.Session(k) || got.VisitorSince != v.Created || got.Recorded() != LaneDecide {
		t.Errorf("it does not name the visit: %+v", got)
	}
	if got.Changes(LaneDecide, Choice{Version: Label{"2026-05"}}) || !got.Changes(LaneDecide, Choice{Version: Label{"2026-06"}}) || !got.Changes(LaneCount, Choice{Version: Label{"2026-05"}}) {
		t.Error("it does not know which choice was made")
	}
	for offset, in := range map[time.Duration]bool{0: true, sessionCap - time.Millisecond: true, sessionCap: false, -clockSlack: true, -clockSlack - time.Millisecond: false} {
		if got.InSession(time.Unix(v.SessionStart, 0).Add(offset).UnixMilli()) != in {
			t.Errorf("%s after its start: in the session %v", offset, !in)
		}
	}
	byDefault := NewVisit(k, now, LaneDecide, nil).Link(k, now)
	if byDefault.Recorded() != LaneNone || !byDefault.Changes(LaneDecide, Choice{}) {
		t.Errorf("nobody chose, and it says %v", byDefault.Recorded())
	}
}

func TestLinkTokenIsOpaqueAndNeverTheSameTwice(t *testing.T) {
	k := testSite("demo", 1)
	ls := testLinks(t, k)
	v := chosen(k)
	l := v.Link(k, now)
	first, second := ls.AppendTo(nil, l), ls.AppendTo(nil, l)
	if bytes.Equal(first, second) {
		t.Error("two tokens of one visit are the same: places that see both can tell that they are of one visitor")
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(first))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"random bits": v.Random[:], "visitor": l.Visitor.b[:], "session": l.Session.b[:]} {
		if bytes.Contains(raw, secret) {
			t.Errorf("the token shows the %s", name)
		}
	}
	plain, err := ls.aead.Open(nil, nil, raw[1:], ls.bound)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(plain, v.Random[:]) {
		t.Error("inside the token are the random bits that a cookie is made of")
	}
	if _, ok := OpenVisit(k, first, now); ok {
		t.Error("a token passes for a cookie")
	}
}

func TestOpenLinkIgnoresWhatItCannotTrust(t *testing.T) {
	k := testSite("demo", 1)
	ls := testLinks(t, k)
	l := chosen(k).Link(k, now)
	good := string(ls.AppendTo(nil, l))
	f := func(name, token string, want bool) {
		t.Helper()
		if _, ok := ls.Open([]byte(token), now); ok != want {
			t.Errorf("%s: opened %v", name, ok)
		}
	}
	f("good", good, true)
	f("empty", "", false)
	for n := range good {
		f("cut", good[:n], false)
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		f("flipped bit", base64.RawURLEncoding.EncodeToString(forged), false)
	}
	f("longer", good+"A", false)
	f("padded", good+"=", false)
	f("another spelling", good[:50]+"\n"+good[50:], false)
	f("line break for a letter", good[:50]+"\n"+good[51:], false)
	f("long", strings.Repeat("A", 4000), false)
	f("a cookie", string(chosen(k).AppendTo(nil, k)), false)

	sealed := func(ls *Links, change func(*Link)) string {
		l := l
		change(&l)
		return string(ls.AppendTo(nil, l))
	}
	f("at the end of its life", sealed(ls, func(l *Link) { l.Made = now.Add(-LinkLife).Unix() + 1 }), true)
	f("expired", sealed(ls, func(l *Link) { l.Made = now.Add(-LinkLife).Unix() }), false)
	f("from a clock that is a little ahead", sealed(ls, func(l *Link) { l.Made = now.Add(clockSlack).Unix() }), true)
	f("from the future", sealed(ls, func(l *Link) { l.Made = now.Add(clockSlack).Unix() + 1 }), false)
	f("without a visitor", sealed(ls, func(l *Link) { l.Visitor = ID{} }), false)
	f("of another lane", sealed(ls, func(l *Link) { l.Lane = LaneMeasure }), false)

	other := testSite("demo", 1)
	other.ID = "shop"
	f("of another site with the same keys", sealed(testLinks(t, other), func(*Link) {}), false)
	f("of another key", sealed(testLinks(t, testSite("demo", 100)), func(*Link) {}), false)
	later := testLinks(t, k)
	later.bound = append([]byte{linkVersion + 1}, later.bound[1:]...)
	f("of another version's data", sealed(later, func(*Link) {}), false)
}

func TestLinkTokensCostFewAllocations(t *testing.T) {
	k := testSite("demo", 1)
	ls := testLinks(t, k)
	l := chosen(k).Link(k, now)
	token := ls.AppendTo(nil, l)
	buffer := make([]byte, 0, 256)
	allocs(t, "making a token", 2, func() { ls.AppendTo(buffer, l) })
	allocs(t, "opening a token", 2, func() {
		if _, ok := ls.Open(token, now); !ok {
			t.Fatal("does not open")
		}
	})
}

// Whatever opens was made by us, and says again what it was made from.
func FuzzOpenLink(f *testing.F) {
	k := testSite("demo", 1)
	ls := testLinks(f, k)
	v := chosen(k)
	v.Random = [16]byte{1} // workers are processes of their own
	l := v.Link(k, now)
	good := ls.AppendTo(nil, l)
	f.Add(good)
	f.Add(good[:60])
	f.Add([]byte(strings.Repeat("A", len(good))))
	f.Add(chosen(k).AppendTo(nil, k))
	f.Add([]byte("AQ"))
	f.Fuzz(func(t *testing.T, token []byte) {
		got, ok := ls.Open(token, now)
		if ok && got != l {
			t.Fatalf("%q opens as %+v", token, got)
		}
		if !ok && (got != Link{} || bytes.Equal(token, good)) {
			t.Fatalf("%q does not open and says %+v", token, got)
		}
	})
}
