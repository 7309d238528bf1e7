package pixeljs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"
)

func TestCompressedFormsHoldTheScript(t *testing.T) {
	for name, file := range Immutable() {
		gz, err := gzip.NewReader(bytes.NewReader(file.Gzip))
		if err != nil {
			t.Fatal(err)
		}
		f := func(form string, r io.Reader) {
			t.Helper()
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("read %s of %s: %v", form, name, err)
			}
			if !bytes.Equal(got, file.Script) {
				t.Errorf("%s of %s holds %d bytes that are not the script's %d", form, name, len(got), len(file.Script))
			}
		}
		f("gzip", gz)
		f("brotli", brotli.NewReader(bytes.NewReader(file.Brotli)))
	}
}

func TestHashNamesTheScript(t *testing.T) {
	sum := sha256.Sum256(Core().Script)
	if got := Core().Hash(); len(got) != 12 || !strings.HasPrefix(hex.EncodeToString(sum[:]), got) {
		t.Errorf("Hash() = %q, want the first 12 digits of %x", got, sum)
	}
}

// There is no release yet, so the files of one are made here.
func TestReleasedFilesStayServed(t *testing.T) {
	in := fstest.MapFS{"dist/RELEASE": {Data: []byte("22222222")}, "released/README.md": {Data: []byte("Never remove one.")}}
	put := func(name, script string) {
		in[name], in[name+".br"], in[name+".gz"] = &fstest.MapFile{Data: []byte(script)}, &fstest.MapFile{Data: []byte(script + " in brotli")}, &fstest.MapFile{Data: []byte(script + " in gzip")}
	}
	put("dist/b.js", "new core")
	put("dist/b.parts.js", "new parts")
	put("released/b.0123456789ab.js", "old core")
	put("released/b.parts.11111111.js", "old parts")
	got := immutable(in)
	want := map[string]string{
		"b." + File{Script: []byte("new core")}.Hash() + ".js": "new core", "b.parts.22222222.js": "new parts",
		"b.0123456789ab.js": "old core", "b.parts.11111111.js": "old parts",
	}
	if len(got) != len(want) {
		t.Errorf("%d files are served, want %d", len(got), len(want))
	}
	for name, script := range want {
		if f := got[name]; string(f.Script) != script || string(f.Brotli) != script+" in brotli" || string(f.Gzip) != script+" in gzip" {
			t.Errorf("%s is served as %q, %q and %q, want %q and its compressed forms", name, f.Script, f.Brotli, f.Gzip, script)
		}
	}
}

// A name is for ever: the hash in a core's is that of its bytes, and the parts that it loads are served too.
func TestEachCoreFindsItsParts(t *testing.T) {
	named := regexp.MustCompile(`^b\.[0-9a-f]{12}\.js$`)
	release := regexp.MustCompile(`/b\.parts\.([0-9a-f]{6})\.js`)
	cores := 0
	for name, file := range Immutable() {
		if !named.MatchString(name) {
			continue
		}
		cores++
		if name != "b."+file.Hash()+".js" {
			t.Errorf("%s has the hash %s", name, file.Hash())
		}
		found := release.FindSubmatch(file.Script)
		if found == nil {
			t.Fatalf("%s loads no parts", name)
		}
		if _, ok := Immutable()["b.debug."+string(found[1])+".js"]; !ok {
			t.Errorf("the parts of %s are not served: %s", name, found[0])
		}
	}
	if cores == 0 {
		t.Error("no core is served")
	}
}

// A shop's policy names the stub by its hash: whoever changes a letter of it changes what they have to allow.
func TestStubHasThePublishedHash(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	stub := regexp.MustCompile(`<script>(window\.beckon=.*)</script>`).FindSubmatch(page)
	if stub == nil {
		t.Fatal("README.md shows no stub")
	}
	sum := sha256.Sum256(stub[1])
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !bytes.Contains(page, []byte(want)) {
		t.Errorf("README.md does not say that the stub's hash is %s", want)
	}
}
