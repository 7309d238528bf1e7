package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	fileMode     = 0o640
	dirMode      = 0o750
	maxFileBytes = 64 << 10 // a thousand epochs fit; anything larger is another file
	siteSuffix   = ".json"
	issuerFile   = "issuer.key"
	initHint     = "run `beckon-collector keyring init`"
)

// siteFile is a site's file as JSON; encoding/json writes []byte as base64.
type siteFile struct {
	Site     string      `json:"site"`
	Created  time.Time   `json:"created"`
	MAC      []byte      `json:"mac"`
	Order    []byte      `json:"order"`
	Link     []byte      `json:"link"`
	Decision []byte      `json:"decision"`
	Decide   []epochFile `json:"decide"`
}

type epochFile struct {
	Number  uint8     `json:"number"`
	Created time.Time `json:"created"`
	Key     []byte    `json:"key"`
}

// issuerKeys is the issuer file as JSON, the newest key first.
type issuerKeys struct {
	Keys []issuerKey `json:"keys"`
}

type issuerKey struct {
	ID      string    `json:"kid"`
	Created time.Time `json:"created"`
	From    time.Time `json:"signs_from,omitzero"`
	Until   time.Time `json:"published_until,omitzero"`
	Seed    []byte    `json:"seed"`
}

func issuerFileOf(keys []IssuerKey) issuerKeys {
	f := issuerKeys{Keys: make([]issuerKey, len(keys))}
	for i, k := range keys {
		f.Keys[i] = issuerKey{k.ID, k.Created, k.From, k.Until, k.Seed[:]}
	}
	return f
}

// Ring is an opened keyring folder. It is safe for concurrent use.
type Ring struct {
	dir   string
	mu    sync.RWMutex
	sites map[string]*Site
}

// Open reads the keys of every site in dir and reports every fault at once. It does not touch the
// issuer file: the collector may not read that one.
func Open(dir string) (*Ring, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list keyring: %w", err)
	}
	r := &Ring{dir: dir, sites: make(map[string]*Site, len(entries))}
	var faults []error
	for _, entry := range entries {
		id, isSite := strings.CutSuffix(entry.Name(), siteSuffix)
		if !isSite {
			continue
		}
		s, err := readSite(filepath.Join(dir, entry.Name()), id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.sites[id] = s
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if len(r.sites) == 0 {
		return nil, fmt.Errorf("keyring %s has no site's keys: %s", dir, initHint)
	}
	return r, nil
}

// Site returns the keys of a site. A site whose file was made after Open is read on its first use, so
// that a reloaded sites file may name it. An id without keys is an error that says how to make them.
func (r *Ring) Site(id string) (*Site, error) {
	r.mu.RLock()
	s := r.sites[id]
	r.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	if !siteShape.MatchString(id) {
		return nil, fmt.Errorf("site id of %d bytes is not 1 to 32 of a-z, 0-9 and -", len(id))
	}
	s, err := readSite(filepath.Join(r.dir, id+siteSuffix), id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.sites[id]; first != nil {
		return first, nil
	}
	r.sites[id] = s
	return s, nil
}

// Issuer reads the issuer's keys, see Signing and Published. It reads the file at each call and keeps
// nothing.
func (r *Ring) Issuer() ([]IssuerKey, error) { return readIssuer(filepath.Join(r.dir, issuerFile)) }

func readIssuer(name string) ([]IssuerKey, error) {
	var f issuerKeys
	if err := readFile(name, &f); err != nil {
		return nil, err
	}
	if len(f.Keys) == 0 {
		return nil, fmt.Errorf("%s: holds no key", name)
	}
	keys := make([]IssuerKey, len(f.Keys))
	seen := make(map[string]bool, len(f.Keys))
	for i, k := range f.Keys {
		if k.ID == "" || seen[k.ID] {
			return nil, fmt.Errorf("%s: key %d has no kid of its own", name, i)
		}
		seen[k.ID] = true
		keys[i] = IssuerKey{ID: k.ID, Created: k.Created, From: k.From, Until: k.Until}
		if err := setKey(&keys[i].Seed, k.Seed); err != nil {
			return nil, fmt.Errorf("%s: seed of key %d: %w", name, i, err)
		}
	}
	return keys, nil
}

// readSite reads and checks one site's file.
func readSite(name, id string) (*Site, error) {
	var f siteFile
	if err := readFile(name, &f); err != nil {
		return nil, err
	}
	if f.Site != id || !siteShape.MatchString(id) {
		return nil, fmt.Errorf("%s: holds the keys of site %.40q, not of %.40q: every site needs keys of its own", name, f.Site, id)
	}
	s := &Site{ID: id, Decide: make([]Epoch, len(f.Decide))}
	for _, k := range []struct {
		field string
		dst   *Key
		src   []byte
	}{
		{"mac", &s.MAC, f.MAC}, {"order", &s.Order, f.Order}, {"link", &s.Link, f.Link}, {"decision", &s.Decision, f.Decision},
	} {
		if err := setKey(k.dst, k.src); err != nil {
			return nil, fmt.Errorf("%s: key %q: %w", name, k.field, err)
		}
	}
	if len(f.Decide) == 0 {
		return nil, fmt.Errorf("%s: no decide epoch", name)
	}
	last := uint8(0)
	for i, e := range f.Decide {
		if e.Number <= last {
			return nil, fmt.Errorf("%s: decide epoch number %d does not rise above %d", name, e.Number, last)
		}
		last = e.Number
		s.Decide[i] = Epoch{Number: e.Number, Created: e.Created}
		if err := setKey(&s.Decide[i].Key, e.Key); err != nil {
			return nil, fmt.Errorf("%s: decide epoch %d: %w", name, e.Number, err)
		}
	}
	return s, nil
}

// setKey copies src into dst. A key of zeros is what an interrupted write leaves, never a key.
func setKey(dst *Key, src []byte) error {
	if len(src) != len(dst) {
		return fmt.Errorf("has %d bytes, want %d", len(src), len(dst))
	}
	copy(dst[:], src)
	if *dst == (Key{}) {
		return errors.New("is all zeros")
	}
	return nil
}

// readFile decodes a key file strictly. Its errors never quote the content.
func readFile(name string, into any) error {
	f, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keys missing: %w: %s", err, initHint)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("keys not readable: %w: make this process a member of the file's group", err)
	case err != nil:
		return fmt.Errorf("open keys: %w", err)
	}
	defer f.Close()
	// The open file is asked, not the name: nobody can swap it between the check and the read.
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat keys: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is not a regular file", name)
	}
	if perm := info.Mode().Perm(); perm&^fileMode != 0 {
		return fmt.Errorf("%s: permissions %#o let others use the keys: run `chmod 0640 %s`", name, perm, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if len(b) > maxFileBytes {
		return fmt.Errorf("%s: is larger than %d bytes", name, maxFileBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s: damaged or incomplete (%d bytes, %s): restore it from a backup, or, when it never held keys in use, remove it and %s",
			name, len(b), jsonFault(err), initHint)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: has text after its JSON", name)
	}
	return nil
}

// jsonFault says what is wrong without the value that is wrong: some errors of encoding/json quote it.
func jsonFault(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("wrong type at byte %d", kind.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return strings.TrimPrefix(err.Error(), "json: ")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut off"
	}
	return "not what `keyring init` writes"
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keyring missing: %w: %s", err, initHint)
	}
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("keyring %s is not a folder", dir)
	}
	// Reading names is harmless; writing would let another user put keys of their own in place.
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("keyring %s: permissions %#o let others replace the keys: run `chmod 0750 %s`", dir, perm, dir)
	}
	return nil
}
