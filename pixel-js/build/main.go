// Command build bundles the tag: one small script, the core, and the parts that some pages load
// besides, from the TypeScript in src, and the same scripts compressed as hard as it goes, for the
// collector to embed and to serve without work.
//
// The same source and the same pinned modules give the same bytes on every machine. It needs no Node.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	root := flag.String("root", ".", "folder that holds src")
	out := flag.String("out", "dist", "folder to write to, below root")
	release := flag.Bool("release", false, "also put the scripts where they are served for ever, under the names that pages pin")
	others := flag.Bool("peers", false, "build nothing: fetch the peers' scripts from npm and measure them as the table of sizes has them")
	flag.Parse()
	if *others {
		if err := measurePeers(); err != nil {
			fmt.Fprintln(os.Stderr, "build:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*root, *out, *release); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(root, out string, release bool) error {
	b, err := build(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, out)
	if err := os.RemoveAll(dir); err != nil { // with the parts that are no more
		return err
	}
	if err := write(dir, "RELEASE", []byte(b.release)); err != nil {
		return err
	}
	for _, s := range b.scripts {
		if err := s.write(dir, s.name); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(root, "lib"), "beckon.js", b.module); err != nil {
		return err
	}
	if out == "dist" { // a build for tests says nothing of what is served
		fmt.Print(sizes(b))
		if err := write(root, "SIZES.md", []byte(sizes(b))); err != nil {
			return err
		}
	}
	if !release {
		return nil
	}
	for _, s := range b.scripts {
		if err := s.write(filepath.Join(root, "released"), s.pinned(b.release)); err != nil {
			return err
		}
	}
	return nil
}

// bundle is the tag: the core first, then the parts by their names.
type bundle struct {
	release string // names the parts in the core: hex digits of a hash over all of them
	scripts []script
	module  []byte // the core for bundlers, of the package that is published
}

// script is one file in the three forms in which it is served.
type script struct {
	name                 string // b.js is the core, b.NAME.js a part
	script, brotli, gzip []byte
}

func (s script) write(dir, name string) error {
	return errors.Join(write(dir, name, s.script), write(dir, name+".br", s.brotli), write(dir, name+".gz", s.gzip))
}

// pinned is the name that never stands for other bytes.
func (s script) pinned(release string) string {
	if s.name != "b.js" {
		return strings.TrimSuffix(s.name, "js") + release + ".js"
	}
	return "b." + hash(s.script)[:12] + ".js"
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func write(dir, name string, data []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), data, 0o644)
}

// build makes the bundle from root/src. Its error lists every fault that esbuild found, with its line.
func build(root string) (bundle, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return bundle{}, err
	}
	sources, err := filepath.Glob(filepath.Join(dir, "src", "parts", "*.ts"))
	if err != nil {
		return bundle{}, err
	}
	slices.Sort(sources)
	var b bundle
	var all []byte
	for _, source := range sources {
		part := strings.TrimSuffix(filepath.Base(source), ".ts")
		s, err := compile(options(dir, "src/parts/"+part+".ts", "b."+part+".js", api.FormatESModule, nil), asItIs)
		if err != nil {
			return bundle{}, err
		}
		all = fmt.Appendf(all, "%s %d\n%s", s.name, len(s.script), s.script)
		b.scripts = append(b.scripts, s)
	}
	core, err := b.name(hash(all), func(define map[string]string) (script, error) {
		return compile(options(dir, "src/main.ts", "b.js", api.FormatIIFE, define), inBlock)
	})
	if err != nil {
		return bundle{}, err
	}
	b.scripts = slices.Insert(b.scripts, 0, core)
	define := define(b.release)
	if b.module, err = transpile(options(dir, "src/esm.ts", "beckon.js", api.FormatESModule, define), false); err != nil {
		return bundle{}, err
	}
	return b, nil
}

const digits = 6 // of a release

// name gives the release some digits of this hash. Any of them name the parts as well as any other, so it takes those
// with which the core is smallest: where its digits repeat something of the script, that is a dozen bytes.
func (b *bundle) name(sum string, core func(define map[string]string) (script, error)) (smallest script, err error) {
	for at := 0; at+digits <= len(sum); at++ {
		s, err := core(define(sum[at : at+digits]))
		if err != nil {
			return script{}, err
		}
		if at == 0 || len(s.brotli) < len(smallest.brotli) {
			b.release, smallest = sum[at:at+digits], s
		}
	}
	return smallest, nil
}

func define(release string) map[string]string {
	return map[string]string{"RELEASE": fmt.Sprintf("%q", release)}
}

func options(dir, source, name string, format api.Format, define map[string]string) api.BuildOptions {
	return api.BuildOptions{
		AbsWorkingDir: dir,
		EntryPoints:   []string{source},
		Outfile:       name,
		Bundle:        true,
		Format:        format,
		Define:        define,
		Platform:      api.PlatformBrowser,
		Target:        api.ES2021,       // every browser since late 2020; an older one ignores the script
		Charset:       api.CharsetASCII, // the page's own charset cannot garble it
		LegalComments: api.LegalCommentsNone,
		TsconfigRaw:   `{}`, // ours is for the type check; its "strict" would only add a directive here
	}
}

// transpile returns the script of these options. Whoever bundles it again makes it small himself, and needs its comments.
func transpile(o api.BuildOptions, small bool) ([]byte, error) {
	o.MinifyWhitespace, o.MinifyIdentifiers, o.MinifySyntax = small, small, small
	result := api.Build(o)
	if len(result.Errors) > 0 {
		return nil, errors.New(faults(result.Errors))
	}
	return result.OutputFiles[0].Contents, nil
}

func asItIs(text []byte) ([]byte, error) { return text, nil }

// inBlock puts a block in the place of the function that a bundler wraps a classic script in: it keeps names to itself
// as well, and is shorter. It knows the text of esbuild's wrapper and refuses any other.
func inBlock(text []byte) ([]byte, error) {
	inner, begins := bytes.CutPrefix(text, []byte("(()=>{var "))
	inner, ends := bytes.CutSuffix(inner, []byte("})();\n"))
	if !begins || !ends || bytes.Contains(inner, []byte("var ")) {
		return nil, fmt.Errorf("esbuild wraps a script otherwise than it did: %.20s ... %.20s", text, text[max(0, len(text)-20):])
	}
	return fmt.Appendf(nil, "{let %s}\n", inner), nil
}

func compile(o api.BuildOptions, wrap func([]byte) ([]byte, error)) (script, error) {
	text, err := transpile(o, true)
	if err != nil {
		return script{}, err
	}
	if text, err = wrap(text); err != nil {
		return script{}, err
	}
	s := script{name: o.Outfile, script: text}

	if s.brotli, err = compressed(text); err != nil {
		return script{}, err
	}
	var gz bytes.Buffer
	gw, err := gzip.NewWriterLevel(&gz, gzip.BestCompression)
	if err != nil {
		return script{}, err
	}
	_, err = gw.Write(text)
	if err := errors.Join(err, gw.Close()); err != nil {
		return script{}, fmt.Errorf("gzip: %w", err)
	}
	s.gzip = gz.Bytes()
	return s, nil
}

// compressed is the text with brotli, as small as that makes it.
func compressed(text []byte) ([]byte, error) {
	var br bytes.Buffer
	w := brotli.NewWriterLevel(&br, brotli.BestCompression)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("brotli: %w", err)
	}
	return br.Bytes(), nil
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
