//go:build unix

package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDirHoldsTheWantedFilesAndNothingElse(t *testing.T) {
	tarball := pack(file("package/package.json", "{}"), file("package/data/big.bin", "the content"), file("package/junk.js", "junk"))
	r := serve(t, tarball)
	dir, err := r.pkg("data/big.bin").Dir(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "data/big.bin")); err != nil || string(got) != "the content" {
		t.Fatalf("big.bin holds %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "junk.js")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("junk.js: %v", err)
	}
	if left := r.leftovers(t); left != filepath.Base(dir) {
		t.Errorf("the cache holds %q, want the package's folder and its lock alone", left)
	}
}

func TestWhatIsThereIsNotFetchedAgain(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	first, err := r.pkg("big.bin").Dir(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "") // no npm either
	second, err := r.pkg("big.bin").Dir(t.Context(), nil)
	if err != nil || second != first {
		t.Fatalf("second time %q, %v; first %q", second, err, first)
	}
}

func TestAFolderThatLostAFileIsFetchedAgain(t *testing.T) {
	r := serve(t, pack(file("package/a", "1"), file("package/b", "2")))
	dir, err := r.pkg("a", "b").Dir(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pkg("a", "b").Dir(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "b")); string(got) != "2" {
		t.Fatalf("b holds %q, %v", got, err)
	}
}

func TestSeveralAtOnceFetchOnce(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	var all sync.WaitGroup
	for range 4 { // a flock excludes by open file, so goroutines stand for processes here
		all.Go(func() {
			if _, err := r.pkg("big.bin").Dir(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.asked(); n != 1 {
		t.Fatalf("the tarball was fetched %d times", n)
	}
}

func TestWaitingForAnotherFetchEndsWithTheContext(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	p := r.pkg("big.bin")
	want, err := p.digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.cache, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), filepath.Join(r.cache, p.slug(want)+".lock"), newReporter(nil, p))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var log bytes.Buffer
	if _, err := p.Dir(ctx, &log); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if n := strings.Count(log.String(), "waiting for another process"); n != 1 {
		t.Fatalf("told %d times:\n%s", n, &log)
	}
}

func TestOtherBytesThanThePinnedAreRefused(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "what was pinned")))
	p := r.pkg("big.bin")
	evil := pack(file("package/big.bin", "what an evil registry serves")) // with an integrity to match
	r.change(func() { r.tarball = evil })
	var log bytes.Buffer
	_, err := p.Dir(t.Context(), &log)
	if err == nil || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), p.Integrity[len("sha512-"):]) {
		t.Fatalf("got %v", err)
	}
	if n := r.asked(); n != attempts {
		t.Errorf("tried %d times, want %d", n, attempts)
	}
	if left := r.leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestTornDownloadIsTriedAgain(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	r.change(func() { r.tear = 1 })
	var log bytes.Buffer
	if _, err := r.pkg("big.bin").Dir(t.Context(), &log); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "attempt 1 of 3 failed") {
		t.Fatalf("the log does not tell of the torn one:\n%s", &log)
	}
}

func TestTornDownloadsLeaveNothing(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	r.change(func() { r.tear = attempts })
	if _, err := r.pkg("big.bin").Dir(t.Context(), nil); err == nil {
		t.Fatal("accepted")
	}
	if left := r.leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestHostileTarballsAreRefusedEvenWhenPinned(t *testing.T) {
	before := maxUnpacked
	maxUnpacked = 64 << 10
	defer func() { maxUnpacked = before }()
	f := func(name, want string, tarball []byte) {
		t.Run(name, func(t *testing.T) {
			r := serve(t, tarball)
			_, err := r.pkg("big.bin").Dir(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q in it", err, want)
			}
			if n := r.asked(); n != 1 {
				t.Errorf("tried %d times; the bytes will not change", n)
			}
			if left := r.leftovers(t); left != "" {
				t.Errorf("left behind: %s", left)
			}
			for _, out := range []string{filepath.Join(r.cache, "../evil"), filepath.Join(r.cache, "evil"), "/evil-of-beckon-test"} {
				if _, err := os.Lstat(out); err == nil {
					t.Errorf("%s was written", out)
				}
			}
		})
	}
	good := file("package/big.bin", "x")
	f("parent folder", "leads out of the package", pack(file("package/../../evil", "x"), good))
	f("absolute name", "leads out of the package", pack(file("/evil-of-beckon-test", "x"), good))
	f("symbolic link", "not a regular file", pack(link("package/big.bin", "/etc/passwd")))
	f("wanted file too large", "larger than", pack(file("package/big.bin", strings.Repeat("x", 70<<10))))
	f("unwanted file too large", "larger than", pack(file("package/junk", strings.Repeat("x", 70<<10)), good))
	f("file missing", "has no big.bin", pack(file("package/other", "x")))
	f("no gzip", "gzip: invalid header", []byte("<html>please log in to the proxy, it will be only a moment</html>"))
}

// npm reads a tarball before it hands it over, so these reach unpack only when npm changes its ways.
func TestUnpackRefusesACutTarball(t *testing.T) {
	whole := pack(file("package/big.bin", "x"))
	for n := range whole {
		dir := t.TempDir()
		tarball := filepath.Join(dir, "thing.tgz")
		if err := os.WriteFile(tarball, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (Package{Files: []string{"big.bin"}}).unpack(t.Context(), tarball, filepath.Join(dir, "out")); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(whole))
		}
	}
}

func TestCancelledFetchLeavesNothing(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	ctx, cancel := context.WithCancel(t.Context())
	r.change(func() { r.onTarball = cancel })
	if _, err := r.pkg("big.bin").Dir(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if left := r.leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestWhatAKilledFetchLeftIsRemoved(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	p := r.pkg("big.bin")
	want, err := p.digest()
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(r.cache, p.slug(want)+".tmp-123")
	if err := os.MkdirAll(filepath.Join(stale, "unpacked"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := p.Dir(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if left := r.leftovers(t); left != filepath.Base(dir) {
		t.Errorf("the cache holds %q", left)
	}
}

func TestUnknownVersionIsSaidOnce(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	p := r.pkg("big.bin")
	p.Version = "9.9.9"
	var log bytes.Buffer
	_, err := p.Dir(t.Context(), &log)
	if err == nil || !strings.Contains(err.Error(), "does not have it") || strings.Contains(log.String(), "attempt") {
		t.Fatalf("got %v after\n%s", err, &log)
	}
}

func TestMissingNpmIsNamed(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	t.Setenv("PATH", t.TempDir())
	_, err := r.pkg("big.bin").Dir(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "install Node.js") {
		t.Fatalf("got %v", err)
	}
}

func TestFullDiskSaysWhatToDoAndIsNotTriedAgain(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	bin := t.TempDir()
	npm := "#!/bin/sh\necho 'npm error code ENOSPC' >&2\necho 'npm error nospc no space left on device, write' >&2\nexit 228\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(npm), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	var log bytes.Buffer
	_, err := r.pkg("big.bin").Dir(t.Context(), &log)
	if err == nil || !strings.Contains(err.Error(), "make room in "+r.cache) || strings.Contains(log.String(), "attempt") {
		t.Fatalf("got %v after\n%s", err, &log)
	}
	if left := r.leftovers(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestUnusableCacheFolderSaysWhatToSet(t *testing.T) {
	r := serve(t, pack(file("package/big.bin", "x")))
	occupied := filepath.Join(t.TempDir(), "a-file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BECKON_CACHE", occupied)
	_, err := r.pkg("big.bin").Dir(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "set BECKON_CACHE") {
		t.Fatalf("got %v", err)
	}
}

func TestWithoutAPinNothingIsFetched(t *testing.T) {
	if _, err := (Package{Name: "the engine for plan9/mips"}).Dir(t.Context(), nil); !errors.Is(err, ErrUnpinned) || !strings.Contains(err.Error(), "plan9/mips") {
		t.Fatalf("got %v", err)
	}
	for _, integrity := range []string{"sha1-AAAA", "sha512-AAAA", "sha512-!", "AAAA"} {
		if _, err := (Package{Name: "p", Integrity: integrity}).Dir(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is not sha512-<base64>") {
			t.Fatalf("integrity %q: got %v", integrity, err)
		}
	}
}

// registry is an npm registry with one package in one version. Its requests come from another process,
// so only the mutex orders them with the test.
type registry struct {
	t     *testing.T
	cache string

	mu        sync.Mutex
	tarball   []byte
	tarballs  int    // how often it was asked for
	tear      int    // so many answers break off
	onTarball func() // called in the middle of an answer that then goes no further
}

const packageName, packageVersion = "@beckon-test/thing", "1.2.3"

// serve points npm at a registry of this test and the cache at a fresh folder.
func serve(t *testing.T, tarball []byte) *registry {
	t.Helper()
	r := &registry{t: t, tarball: tarball, cache: filepath.Join(t.TempDir(), "cache")}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	t.Setenv("BECKON_CACHE", r.cache)
	t.Setenv("npm_config_registry", server.URL)
	t.Setenv("npm_config_userconfig", filepath.Join(t.TempDir(), "npmrc"))
	t.Setenv("npm_config_noproxy", "127.0.0.1")
	before := pause
	pause = time.Millisecond
	t.Cleanup(func() { pause = before })
	return r
}

func (r *registry) change(how func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how()
}

func (r *registry) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tarballs
}

// pkg pins what the registry serves now.
func (r *registry) pkg(files ...string) Package {
	return Package{Name: packageName, Version: packageVersion, Integrity: integrity(r.tarball), Files: files, Packed: int64(len(r.tarball))}
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	tarball, onTarball := r.tarball, r.onTarball
	isTarball := strings.HasSuffix(req.URL.Path, ".tgz")
	if isTarball {
		r.tarballs++
	}
	torn := r.tarballs <= r.tear
	r.mu.Unlock()

	if !isTarball {
		answer := map[string]any{
			"name": packageName, "dist-tags": map[string]string{"latest": packageVersion},
			"versions": map[string]any{packageVersion: map[string]any{
				"name": packageName, "version": packageVersion,
				"dist": map[string]string{"tarball": "http://" + req.Host + "/thing.tgz", "integrity": integrity(tarball)},
			}},
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			r.t.Error(err)
		}
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(tarball)))
	switch {
	case onTarball != nil:
		_, _ = w.Write(tarball[:len(tarball)/2])
		onTarball()
		<-req.Context().Done()
	case torn:
		_, _ = w.Write(tarball[:len(tarball)/2])
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write(tarball)
	}
}

// leftovers lists the cache without the lock file, which stays on purpose.
func (r *registry) leftovers(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(r.cache)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func integrity(tarball []byte) string {
	sum := sha512.Sum512(tarball)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// entry is one file of a tarball.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func link(name, to string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}}
}

func pack(entries ...entry) []byte {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		if err := tw.WriteHeader(&e.Header); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(tw, e.content); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}
