//go:build unix

package fetch

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxUnpacked bounds what a tarball may grow to; the engine is 566 MB. A variable for the tests.
var maxUnpacked int64 = 2 << 30

type digest [sha512.Size]byte

// digest reads the pin.
func (p Package) digest() (d digest, err error) {
	if p.Integrity == "" {
		return d, fmt.Errorf("%s: %w", p.Name, ErrUnpinned)
	}
	text, ok := strings.CutPrefix(p.Integrity, "sha512-")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != len(d) {
		return d, fmt.Errorf("integrity %q of %s is not sha512-<base64>", p.Integrity, p.Name)
	}
	return digest(raw), nil
}

// verify compares the whole tarball with its pin before anything reads its content.
func verify(tarball string, want digest) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer f.Close()
	h := sha512.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("verify %s: %w", filepath.Base(tarball), err)
	}
	if got := digest(h.Sum(nil)); got != want {
		return fmt.Errorf("refused: the %d bytes that came have sha512 %s, pinned is %s",
			n, base64.StdEncoding.EncodeToString(got[:]), base64.StdEncoding.EncodeToString(want[:]))
	}
	return nil
}

// unpack writes the wanted files of the tarball into dir, synced. A tarball with a name that leads out
// of its own folder is refused as a whole, even where that name would not be written.
func (p Package) unpack(ctx context.Context, tarball, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	bounded := &io.LimitedReader{R: contextReader{ctx, zr}, N: maxUnpacked}
	missing := slices.Clone(p.Files)
	for tr := tar.NewReader(bounded); ; {
		head, err := tr.Next()
		if err == io.EOF {
			break
		}
		if bounded.N <= 0 {
			return fmt.Errorf("unpack: refused: larger than %d bytes", maxUnpacked)
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if !filepath.IsLocal(head.Name) {
			return fmt.Errorf("unpack: refused: the name %q leads out of the package", head.Name)
		}
		name := strings.TrimPrefix(head.Name, "package/")
		i := slices.Index(missing, name)
		if i < 0 {
			continue
		}
		if head.Typeflag != tar.TypeReg {
			return fmt.Errorf("unpack: refused: %q is not a regular file", head.Name)
		}
		if err := writeSynced(filepath.Join(dir, name), tr); err != nil {
			if bounded.N <= 0 {
				return fmt.Errorf("unpack: refused: larger than %d bytes", maxUnpacked)
			}
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if _, err := io.Copy(io.Discard, bounded); err != nil { // to the end, where gzip's checksum is
		return fmt.Errorf("unpack: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("unpack: the package has no %s", strings.Join(missing, ", "))
	}
	return syncPath(dir)
}

func writeSynced(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncPath makes the names in a folder durable.
func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// contextReader ends a long copy when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
