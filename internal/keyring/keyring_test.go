package keyring

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// newRing makes a keyring for the sites and returns its folder.
func newRing(t *testing.T, sites ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	if _, err := Init(dir, sites); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInitMakesOneFileForEachSiteAndTheIssuer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "keyring")
	created, err := Init(dir, []string{"demo", "other"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "demo.json"), filepath.Join(dir, "other.json"), filepath.Join(dir, "issuer.key")}
	if !slices.Equal(created, want) {
		t.Fatalf("created %v, want %v", created, want)
	}
	for _, name := range want {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %#o, want 0640", name, info.Mode().Perm())
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&^0o750 != 0 {
		t.Errorf("folder has mode %#o, want 0750", info.Mode().Perm())
	}
}

func TestInitNeverOverwritesAndAddsWhatIsMissing(t *testing.T) {
	dir := newRing(t, "demo")
	site, issuer := read(t, filepath.Join(dir, "demo.json")), read(t, filepath.Join(dir, "issuer.key"))
	created, err := Init(dir, []string{"demo", "new"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(dir, "new.json")}; !slices.Equal(created, want) {
		t.Fatalf("created %v, want %v", created, want)
	}
	if !bytes.Equal(site, read(t, filepath.Join(dir, "demo.json"))) || !bytes.Equal(issuer, read(t, filepath.Join(dir, "issuer.key"))) {
		t.Fatal("an existing file was changed")
	}
}

func TestInitRefusesIDsThatCouldNameOtherFiles(t *testing.T) {
	for _, id := range []string{"", "../demo", "a/b", "Demo", "a.b", strings.Repeat("a", 33)} {
		dir := filepath.Join(t.TempDir(), "keyring")
		if _, err := Init(dir, []string{"good", id}); err == nil {
			t.Errorf("Init accepted %q", id)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("Init with %q made something before it refused", id)
		}
	}
}

func TestOpenReturnsDistinctKeys(t *testing.T) {
	r, err := Open(newRing(t, "demo", "other"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Key]string{}
	for _, id := range []string{"demo", "other"} {
		s, err := r.Site(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != id || len(s.Decide) != 1 || s.Newest().Number != 1 || s.Epoch(1) != &s.Decide[0].Key || s.Epoch(2) != nil {
			t.Fatalf("site %s is not what Init makes", id)
		}
		for name, k := range map[string]Key{"mac": s.MAC, "order": s.Order, "link": s.Link, "decision": s.Decision, "decide": s.Decide[0].Key} {
			if first, twice := seen[k]; twice {
				t.Errorf("%s/%s is the same key as %s", id, name, first)
			}
			seen[k] = id + "/" + name
		}
	}
}

func TestSiteFindsKeysMadeAfterOpen(t *testing.T) {
	dir := newRing(t, "demo")
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Site("late"); err == nil || !strings.Contains(err.Error(), "beckon-collector keyring init") {
		t.Fatalf("missing keys: %v, want the command that makes them", err)
	}
	if _, err := Init(dir, []string{"late"}); err != nil {
		t.Fatal(err)
	}
	first, err := r.Site("late")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := r.Site("late"); again != first {
		t.Fatal("the keys were read twice")
	}
	if _, err := r.Site("../demo"); err == nil {
		t.Fatal("an id reached a file elsewhere")
	}
}

func TestOpenDoesNotNeedTheIssuer(t *testing.T) {
	dir := newRing(t, "demo")
	if err := os.Remove(filepath.Join(dir, "issuer.key")); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Issuer(); err == nil || !strings.Contains(err.Error(), "keyring init") {
		t.Fatalf("Issuer without its file: %v, want the command that makes it", err)
	}
}

func TestIssuerSigns(t *testing.T) {
	r, err := Open(newRing(t, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.Issuer()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 1 || keys[0].ID == "" {
		t.Fatalf("issuer has %d keys", len(keys))
	}
	message := []byte("offer")
	if !ed25519.Verify(keys[0].Public(), message, ed25519.Sign(keys[0].Private(), message)) {
		t.Fatal("the public key does not verify what the private key signed")
	}
}

// TestOpenRefuses damages a good keyring in one way each; the error must say what to do and must not
// hold any key.
func TestOpenRefuses(t *testing.T) {
	rewrite := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, "demo.json")
			b := read(t, name)
			changed := bytes.Replace(b, []byte(from), []byte(to), 1)
			if bytes.Equal(b, changed) {
				t.Fatalf("%q is not in the file", from)
			}
			if err := os.WriteFile(name, changed, 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "demo.json"), []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		damage func(t *testing.T, dir string)
		says   string
	}{
		"a missing folder": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "keyring init"},
		"an empty folder": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "demo.json")))
		}, "keyring init"},
		"a folder that others may write":    {func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777)) }, "chmod 0750"},
		"a folder that the group may write": {func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o770)) }, "chmod 0750"},
		"a file that others may read":       {func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "demo.json"), 0o644)) }, "chmod 0640"},
		"a file that the group may write":   {func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "demo.json"), 0o660)) }, "chmod 0640"},
		"a folder instead of a file": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "b.json"), 0o750))
		}, "not a regular file"},
		"an unknown field":        {rewrite(`"mac"`, `"Mac2": 1, "mac"`), `unknown field "Mac2"`},
		"a missing key":           {rewrite(`"mac"`, `"order"`), `"mac": has 0 bytes`},
		"a short key":             {rewrite(`"mac": "`, `"mac": "AAAA`), `"mac": has`},
		"a key that is no base64": {rewrite(`"mac": "`, `"mac": "!`), "damaged or incomplete"},
		"a key of zeros": {func(t *testing.T, dir string) {
			name := filepath.Join(dir, "demo.json")
			var f siteFile
			must(t, json.Unmarshal(read(t, name), &f))
			f.Link = make([]byte, len(f.Link))
			b, err := json.Marshal(f)
			must(t, err)
			must(t, os.WriteFile(name, b, 0o640))
		}, `"link": is all zeros`},
		"an empty file":            {write(""), "cut off"},
		"a cut file":               {write(`{"site":"demo","mac":"AAAA`), "cut off"},
		"a file of zeros":          {write(strings.Repeat("\x00", 512)), "not JSON at byte"},
		"two values":               {write(`{"site":"demo"} {}`), "text after its JSON"},
		"a huge file":              {write(strings.Repeat(" ", maxFileBytes+1)), "larger than"},
		"another site's keys":      {rewrite(`"site": "demo"`, `"site": "shop"`), "keys of its own"},
		"an epoch number of zero":  {rewrite(`"number": 1`, `"number": 0`), "does not rise"},
		"an epoch number over 255": {rewrite(`"number": 1`, `"number": 256`), "wrong type at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRing(t, "demo")
			var f siteFile
			must(t, json.Unmarshal(read(t, filepath.Join(dir, "demo.json")), &f))
			test.damage(t, dir)
			_, err := Open(dir)
			if err == nil {
				t.Fatal("Open accepted it")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %q does not say %q", err, test.says)
			}
			secret, _ := json.Marshal(f.MAC)
			if strings.Contains(err.Error(), strings.Trim(string(secret), `"`)[:8]) {
				t.Fatalf("error %q holds a part of a key", err)
			}
		})
	}
}

func TestIssuerRefuses(t *testing.T) {
	seed := strings.Repeat("A", 42) + "E=" // 32 bytes
	for name, test := range map[string]struct{ content, says string }{
		"no key":            {`{"keys":[]}`, "holds no key"},
		"a key without kid": {`{"keys":[{"seed":"` + seed + `"}]}`, "no kid of its own"},
		"a kid twice":       {`{"keys":[{"kid":"a","seed":"` + seed + `"},{"kid":"a","seed":"` + seed + `"}]}`, "no kid of its own"},
		"a short seed":      {`{"keys":[{"kid":"a","seed":"AAAA"}]}`, "has 3 bytes, want 32"},
		"another file":      {`{"site":"demo"}`, "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRing(t, "demo")
			r, err := Open(dir)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, issuerFile), []byte(test.content), 0o640))
			if _, err := r.Issuer(); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("Issuer: %v, want %q", err, test.says)
			}
		})
	}
}

func TestInitLetsTheGroupReadUnderAnyUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	info, err := os.Stat(filepath.Join(newRing(t, "demo"), "demo.json"))
	must(t, err)
	if info.Mode().Perm() != fileMode {
		t.Fatalf("mode %#o, want 0640", info.Mode().Perm())
	}
}

func TestInitFollowsNoLinkAndNeedsAFolder(t *testing.T) {
	dir := newRing(t, "demo")
	must(t, os.Symlink(filepath.Join(dir, "missing", "x"), filepath.Join(dir, "new.json")))
	created, err := Init(dir, []string{"late", "new"})
	must(t, err) // a link counts as existing, whatever it points to
	if want := []string{filepath.Join(dir, "late.json")}; !slices.Equal(created, want) {
		t.Fatalf("created %v, want %v", created, want)
	}
	file := filepath.Join(dir, "demo.json")
	if _, err := Init(file, []string{"demo"}); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("Init in a file: %v, want its name", err)
	}
}

func TestOpenListsEveryFault(t *testing.T) {
	dir := newRing(t, "a", "b", "c")
	must(t, os.Chmod(filepath.Join(dir, "a.json"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "c.json"), nil, 0o640))
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), "c.json") || strings.Contains(err.Error(), "b.json") {
		t.Fatalf("Open: %v, want the faults of a.json and c.json", err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	dir := newRing(t, "demo")
	r, err := Open(dir)
	must(t, err)
	s, err := r.Site("demo")
	must(t, err)
	issuer, err := r.Issuer()
	must(t, err)

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, *s)
		fmt.Fprintf(&out, verb, s.MAC)
		fmt.Fprintf(&out, verb, issuer)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "site", s, "key", s.MAC, "issuer", issuer)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "site", s, "key", s.MAC, "issuer", issuer)
	b, err := json.Marshal(s)
	must(t, err)
	out.Write(b)

	for _, k := range []Key{s.MAC, s.Order, s.Decide[0].Key, issuer[0].Seed} {
		raw := k[:]
		base64, err := json.Marshal(raw)
		must(t, err)
		for _, form := range []string{
			string(raw[:6]), fmt.Sprintf("%x", raw[:6]), fmt.Sprintf("%X", raw[:6]), strings.Trim(fmt.Sprint(raw[:6]), "[]"),
			strings.Trim(fmt.Sprintf("%o", raw[:6]), "[]"), strings.Trim(string(base64), `"`)[:8],
		} {
			if strings.Contains(out.String(), form) {
				t.Fatalf("a key was printed, as %q", form)
			}
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Fatal("nothing was printed: this test does not look at what it should")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
