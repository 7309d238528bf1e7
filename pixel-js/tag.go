// Package pixeljs holds the tag as browsers load it, in the three forms in which the collector serves
// it, so that one binary is enough. The files in dist are made from src by ./build; a test there
// fails when they are not what the source gives.
package pixeljs

import (
	"crypto/sha256"
	_ "embed" // for the files below
	"encoding/hex"
)

// Script is the tag; ScriptBrotli and ScriptGzip are the same bytes, compressed. Not to be written to.
var (
	//go:embed dist/b.js
	Script []byte
	//go:embed dist/b.js.br
	ScriptBrotli []byte
	//go:embed dist/b.js.gz
	ScriptGzip []byte
)

// Hash returns the first 12 hex digits of Script's SHA-256: the HASH of the immutable /b.HASH.js.
func Hash() string {
	sum := sha256.Sum256(Script)
	return hex.EncodeToString(sum[:6])
}
