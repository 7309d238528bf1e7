// Package pixeljs holds the tag as browsers load it, in the three forms in which the collector serves
// it, so that one binary is enough. The files in dist are made from src by ./build; a test there
// fails when they are not what the source gives. Those in released are what pages out there may have
// pinned: they are served for ever.
package pixeljs

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed dist released
var files embed.FS

// File is a script and the same bytes compressed. Not to be written to.
type File struct{ Script, Brotli, Gzip []byte }

// Hash returns the first 12 hex digits of the script's SHA-256: the HASH of the immutable /b.HASH.js.
func (f File) Hash() string {
	sum := sha256.Sum256(f.Script)
	return hex.EncodeToString(sum[:6])
}

// Core is the script that a page loads.
func Core() File { return read(files, "dist/b.js") }

// Release names the parts that belong to Core: 8 hex digits of a hash over all of them.
func Release() string { return string(must(files.ReadFile("dist/RELEASE"))) }

// Immutable returns all files that never change by the name that they are served under: the core as b.HASH.js, its
// parts as b.PART.RELEASE.js, and both of all released versions.
var Immutable = sync.OnceValue(func() map[string]File { return immutable(files) })

func immutable(in fs.FS) map[string]File {
	core, release := read(in, "dist/b.js"), string(must(fs.ReadFile(in, "dist/RELEASE")))
	all := map[string]File{"b." + core.Hash() + ".js": core}
	for _, name := range scripts(in, "dist") {
		if name != "b.js" {
			all[strings.TrimSuffix(name, "js")+release+".js"] = read(in, "dist/"+name)
		}
	}
	for _, name := range scripts(in, "released") {
		all[name] = read(in, "released/"+name)
	}
	return all
}

func scripts(in fs.FS, dir string) (names []string) {
	for _, name := range must(fs.Glob(in, dir+"/*.js")) {
		names = append(names, path.Base(name))
	}
	return names
}

func read(in fs.FS, name string) File {
	return File{Script: must(fs.ReadFile(in, name)), Brotli: must(fs.ReadFile(in, name+".br")), Gzip: must(fs.ReadFile(in, name+".gz"))}
}

// must is for files that the build of this binary has embedded.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
