package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func issuerOf(t *testing.T, dir string) []IssuerKey {
	t.Helper()
	keys, err := readIssuer(filepath.Join(dir, issuerFile))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func ids(keys []IssuerKey) []string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// The life of two keys through one rotation, instant by instant.
func TestNewIssuerKeyIsPublishedBeforeItSignsAndTheOldOneAfter(t *testing.T) {
	dir := newRing(t, "demo")
	old := issuerOf(t, dir)[0]
	r, err := RotateIssuer(dir, noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	added := r.Added
	f := func(at time.Time, signs string, published ...string) {
		t.Helper()
		keys := issuerOf(t, dir)
		if k := Signing(keys, at); k == nil || k.ID != signs {
			t.Errorf("at %s %v signs, want %s", at, k, signs)
		}
		if got := ids(Published(keys, at)); !slices.Equal(got, published) {
			t.Errorf("at %s %v are published, want %v", at, got, published)
		}
	}
	ends := noon.Add(time.Hour + Overlap)
	f(noon, old.ID, added.ID, old.ID)
	f(noon.Add(time.Hour-1), old.ID, added.ID, old.ID)
	f(noon.Add(time.Hour), added.ID, added.ID, old.ID)
	f(ends.Add(-1), added.ID, added.ID, old.ID)
	f(ends, added.ID, added.ID)

	third, err := RotateIssuer(dir, ends, MinLead)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(third.Removed, []string{old.ID}) || !slices.Equal(ids(issuerOf(t, dir)), []string{third.Added.ID, added.ID}) {
		t.Errorf("the next rotation removed %v and left %v", third.Removed, ids(issuerOf(t, dir)))
	}
	if strings.Contains(string(read(t, filepath.Join(dir, issuerFile))), old.ID) {
		t.Error("an ended key is still on the disk")
	}
}

func TestOverlapIsLongerThanAnyOffer(t *testing.T) {
	const longestOffer, skew = 30 * 24 * time.Hour, time.Minute // internal/site and internal/token, which import this package
	if Overlap < longestOffer+skew {
		t.Fatal("an offer signed in the last second of a key could not be checked to its end")
	}
}

func TestRotationIsRefusedWhereAShopWouldMeetAnUnknownKey(t *testing.T) {
	dir := newRing(t, "demo")
	before := read(t, filepath.Join(dir, issuerFile))
	if _, err := RotateIssuer(dir, noon, MinLead-1); err == nil || !strings.Contains(err.Error(), "10m0s at least") {
		t.Fatalf("a short lead: %v", err)
	}
	if after := read(t, filepath.Join(dir, issuerFile)); string(after) != string(before) {
		t.Fatal("a refused rotation changed the file")
	}
	if _, err := RotateIssuer(dir, noon, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := RotateIssuer(dir, noon.Add(time.Minute), time.Hour); err == nil || !strings.Contains(err.Error(), "waits already") {
		t.Fatalf("two new keys at once: %v", err)
	}
}

func TestLeakedIssuerKeysAreGoneAtOnce(t *testing.T) {
	dir := newRing(t, "demo")
	if _, err := RotateIssuer(dir, noon, time.Hour); err != nil {
		t.Fatal(err)
	}
	leaked := ids(issuerOf(t, dir))
	r, err := ReplaceIssuer(dir, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	keys := issuerOf(t, dir)
	if !slices.Equal(r.Removed, leaked) || len(keys) != 1 || keys[0].ID != r.Added.ID || Signing(keys, noon) == nil {
		t.Fatalf("removed %v of %v, kept %v", r.Removed, leaked, ids(keys))
	}
}

func TestIssuerFileKeepsItsOwnerAndModeThroughARotation(t *testing.T) {
	dir := newRing(t, "demo")
	name := filepath.Join(dir, issuerFile)
	group := os.Getgid()
	if os.Getuid() == 0 {
		group = 4242 // the aggregator's, say
	}
	if err := os.Chown(name, os.Getuid(), group); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+unfinished, []byte("cut short"), 0o600); err != nil { // a power loss in an earlier one
		t.Fatal(err)
	}
	if _, err := RotateIssuer(dir, noon, time.Hour); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t); int(got.Gid) != group || info.Mode().Perm() != fileMode {
		t.Errorf("group %d, mode %#o", got.Gid, info.Mode().Perm())
	}
	if _, err := os.Stat(name + unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unfinished file stayed: %v", err)
	}
}

func TestOneRotationAtATime(t *testing.T) {
	dir := newRing(t, "demo")
	_, err := rewriteIssuer(dir, func(keys []IssuerKey) (Rotation, []IssuerKey, error) {
		if _, err := ReplaceIssuer(dir, noon); err == nil || !strings.Contains(err.Error(), "another rotation") {
			t.Errorf("a second one: %v", err)
		}
		return Rotation{}, keys, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReplaceIssuer(dir, noon); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestSomeKeySignsWhateverTheClockSays(t *testing.T) {
	f := func(want string, keys ...IssuerKey) {
		t.Helper()
		got := ""
		if k := Signing(keys, noon); k != nil {
			got = k.ID
		}
		if got != want {
			t.Errorf("%s signs, want %q", got, want)
		}
	}
	waits, waitsLonger, ended := IssuerKey{ID: "waits", From: noon.Add(1)}, IssuerKey{ID: "waits longer", From: noon.Add(2)}, IssuerKey{ID: "ended", Until: noon}
	first, second := IssuerKey{ID: "first"}, IssuerKey{ID: "second", From: noon.Add(-1)}
	f("waits", waitsLonger, waits)
	f("waits", waits, waitsLonger)
	f("first", waits, first)
	f("second", first, second)
	f("second", second, first)
	f("first", ended, first, waits)
	f("", ended)
}
