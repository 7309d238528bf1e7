// Command build bundles the tag: one small script from the TypeScript in src, and the same script
// compressed as hard as it goes, for the collector to embed and to serve without work.
//
// The same source and the same pinned modules give the same bytes on every machine. It needs no Node.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	root := flag.String("root", ".", "folder that holds src")
	out := flag.String("out", "dist", "folder to write to, below root")
	flag.Parse()
	if err := run(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	b, err := build(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range b.files() {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return err
		}
		fmt.Printf("%-8s %5d B\n", f.name, len(f.data))
	}
	return nil
}

// bundle is the tag in the three forms in which it is served.
type bundle struct{ script, brotli, gzip []byte }

type file struct {
	name string
	data []byte
}

func (b bundle) files() []file {
	return []file{{"b.js", b.script}, {"b.js.br", b.brotli}, {"b.js.gz", b.gzip}}
}

// build makes the bundle from root/src. Its error lists every fault that esbuild found, with its line.
func build(root string) (bundle, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return bundle{}, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     dir,
		EntryPoints:       []string{"src/main.ts"},
		Outfile:           "b.js",
		Bundle:            true,
		Format:            api.FormatIIFE,
		Platform:          api.PlatformBrowser,
		Target:            api.ES2021, // every browser since late 2020; an older one ignores the script
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetASCII, // the page's own charset cannot garble it
		LegalComments:     api.LegalCommentsNone,
		TsconfigRaw:       `{}`, // ours is for the type check; its "strict" would only add a directive here
	})
	if len(result.Errors) > 0 {
		return bundle{}, errors.New(faults(result.Errors))
	}
	script := result.OutputFiles[0].Contents

	var br, gz bytes.Buffer
	bw := brotli.NewWriterLevel(&br, brotli.BestCompression)
	gw, err := gzip.NewWriterLevel(&gz, gzip.BestCompression)
	if err != nil {
		return bundle{}, err
	}
	_, errBr := bw.Write(script)
	_, errGz := gw.Write(script)
	if err := errors.Join(errBr, errGz, bw.Close(), gw.Close()); err != nil {
		return bundle{}, fmt.Errorf("compress: %w", err)
	}
	return bundle{script: script, brotli: br.Bytes(), gzip: gz.Bytes()}, nil
}

// faults joins esbuild's messages as file:line: text, one a line.
func faults(messages []api.Message) string {
	var text bytes.Buffer
	for i, m := range messages {
		if i > 0 {
			text.WriteByte('\n')
		}
		if m.Location != nil {
			fmt.Fprintf(&text, "%s:%d: ", m.Location.File, m.Location.Line)
		}
		text.WriteString(m.Text)
	}
	return text.String()
}
