package demoshop

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static pictures
var assetFiles embed.FS

// assets are the files below /static/: style, scripts and pictures, all made at start. Their
// addresses contain a hash of all of them, so a browser may keep them for ever.
type assets struct {
	prefix string            // "/static/3f2a9c1d0b7e/"
	files  map[string][]byte // by name below the prefix
}

// loadAssets reads the static files and paints every variant of every product.
func loadAssets() (assets, error) {
	files := make(map[string][]byte)
	static, err := fs.Glob(assetFiles, "static/*")
	if err != nil {
		return assets{}, fmt.Errorf("demo shop: list static files: %w", err)
	}
	for _, name := range static {
		if files[path.Base(name)], err = assetFiles.ReadFile(name); err != nil {
			return assets{}, fmt.Errorf("demo shop: read static file: %w", err)
		}
	}
	// The pictures are our own files and the tints our own constants: nothing in them comes from
	// outside, so text/template is right, and html/template would mangle the SVG.
	pictures, err := template.ParseFS(assetFiles, "pictures/*.svg")
	if err != nil {
		return assets{}, fmt.Errorf("demo shop: parse pictures: %w", err)
	}
	for i := range catalogue {
		p := &catalogue[i]
		for j := range p.Variants {
			var picture bytes.Buffer
			if err := pictures.ExecuteTemplate(&picture, p.ID+".svg", p.Variants[j].Tint); err != nil {
				return assets{}, fmt.Errorf("demo shop: paint %s: %w", p.ID, err)
			}
			files[pictureName(p, &p.Variants[j])] = picture.Bytes()
		}
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(hash, "%s %d\n", name, len(files[name]))
		hash.Write(files[name])
	}
	return assets{"/static/" + hex.EncodeToString(hash.Sum(nil))[:12] + "/", files}, nil
}

func pictureName(p *Product, v *Variant) string { return p.ID + "." + v.ID + ".svg" }

// url is the address of a file. A name that does not exist is a typing error in a template.
func (a assets) url(name string) string {
	if _, ok := a.files[name]; !ok {
		panic("BUG: no static file " + name)
	}
	return a.prefix + name
}

func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, current := strings.CutPrefix(r.URL.Path, a.prefix)
	body, ok := a.files[name]
	if !current || !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // an error means that the peer is gone
}
