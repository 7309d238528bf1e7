package pixeljs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func TestCompressedFormsHoldTheScript(t *testing.T) {
	gz, err := gzip.NewReader(bytes.NewReader(ScriptGzip))
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, r io.Reader) {
		t.Helper()
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("read %s: %v", name, err)
		}
		if !bytes.Equal(got, Script) {
			t.Errorf("%s holds %d bytes that are not the script's %d", name, len(got), len(Script))
		}
	}
	f("dist/b.js.gz", gz)
	f("dist/b.js.br", brotli.NewReader(bytes.NewReader(ScriptBrotli)))
}

func TestHashNamesTheScript(t *testing.T) {
	sum := sha256.Sum256(Script)
	if got := Hash(); len(got) != 12 || !strings.HasPrefix(hex.EncodeToString(sum[:]), got) {
		t.Errorf("Hash() = %q, want the first 12 digits of %x", got, sum)
	}
}
