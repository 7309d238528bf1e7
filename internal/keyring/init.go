package keyring

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Init makes the folder, one key file for each site that has none, and the issuer file. Existing files
// stay as they are, whatever they hold. It returns the paths it created. When it fails midway, what
// was created before is complete and is returned too; running it again continues.
//
// The files belong to the caller with mode 0640: give the folder the group of both services, and
// issuer.key the aggregator's own.
func Init(dir string, sites []string) (created []string, err error) {
	for _, id := range sites {
		if !siteShape.MatchString(id) {
			return nil, fmt.Errorf("site id %.40q is not 1 to 32 of a-z, 0-9 and -", id)
		}
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make keyring: %w", err)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	add := func(name string, content any) error {
		path := filepath.Join(dir, name)
		switch err := create(path, content); {
		case errors.Is(err, fs.ErrExist):
			return nil
		case err != nil:
			return err
		}
		created = append(created, path)
		return nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	for _, id := range sites {
		err := add(id+siteSuffix, siteFile{
			Site: id, Created: now, MAC: random(32), Order: random(32), Link: random(32), Decision: random(32),
			Decide: []epochFile{{Number: 1, Created: now, Key: random(32)}},
		})
		if err != nil {
			return created, err
		}
	}
	if err := add(issuerFile, issuerFileOf([]IssuerKey{newIssuerKey(now, time.Time{})})); err != nil {
		return created, err
	}
	return created, syncDir(dir)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}

// create writes a new file and makes it durable. A file that it could not finish is removed again, so
// that what exists is complete; only a power loss in between leaves a part, which Open refuses.
func create(path string, content any) (err error) {
	b, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("create keys: %w", err), os.Remove(path))
		}
	}()
	if err := f.Chmod(fileMode); err != nil { // a umask of 077 would shut the group out
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync keyring: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync keyring: %w", err)
	}
	return nil
}
