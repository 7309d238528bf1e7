package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// MinLead is the least time for which a new issuer key is published before it signs: two lives of
	// the JWKS page (max-age 300), so that whoever keeps that page has fetched the key before the first
	// token under it.
	MinLead = 10 * time.Minute
	// Overlap is for how long a replaced issuer key stays published after it signed last: the longest
	// valid_for that a sites file may name (30 days) and a day for clocks and slow orders.
	Overlap = 31 * 24 * time.Hour

	unfinished = ".new"
)

// Rotation is what RotateIssuer did.
type Rotation struct {
	Added   IssuerKey
	Removed []string // the ids of keys that are gone from the file
}

// RotateIssuer adds an issuer key that signs from lead after now, and sets the end of the one that
// signs until then. Keys whose end has come are removed, so a seed is destroyed by the next rotation.
// Nobody who runs a verifier has to do anything.
func RotateIssuer(dir string, now time.Time, lead time.Duration) (Rotation, error) {
	if lead < MinLead {
		return Rotation{}, fmt.Errorf("a new key must be published for %s at least before it signs, not %s: shops keep the page of keys for a while", MinLead, lead)
	}
	return rewriteIssuer(dir, func(old []IssuerKey) (Rotation, []IssuerKey, error) {
		added := newIssuerKey(now, now.Add(lead))
		r, keys := Rotation{Added: added}, []IssuerKey{added}
		for _, k := range old {
			if k.From.After(now) {
				return r, nil, fmt.Errorf("key %s waits already to sign from %s: rotate again after that", k.ID, k.From.Format(time.RFC3339))
			}
			if k.ended(now) {
				r.Removed = append(r.Removed, k.ID)
				continue
			}
			if k.Until.IsZero() {
				k.Until = added.From.Add(Overlap)
			}
			keys = append(keys, k)
		}
		return r, keys, nil
	})
}

// ReplaceIssuer removes every issuer key and makes one that signs at once: for keys that leaked. Offers
// that are out are refused from then on, by each shop as soon as it fetches the page of keys again.
func ReplaceIssuer(dir string, now time.Time) (Rotation, error) {
	return rewriteIssuer(dir, func(old []IssuerKey) (Rotation, []IssuerKey, error) {
		r := Rotation{Added: newIssuerKey(now, time.Time{})}
		for _, k := range old {
			r.Removed = append(r.Removed, k.ID)
		}
		return r, []IssuerKey{r.Added}, nil
	})
}

// newIssuerKey makes a key. Its id is random: it must not say when or where the key was made.
func newIssuerKey(now, from time.Time) IssuerKey {
	k := IssuerKey{ID: base64.RawURLEncoding.EncodeToString(random(9)), Created: second(now)}
	if !from.IsZero() {
		k.From = second(from)
	}
	copy(k.Seed[:], random(len(k.Seed)))
	return k
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// rewriteIssuer replaces the issuer file by what change makes of its keys: a reader finds the old file
// or the new one, whole. One process at a time, or a key that was just published would be lost again.
func rewriteIssuer(dir string, change func([]IssuerKey) (Rotation, []IssuerKey, error)) (Rotation, error) {
	if err := checkDir(dir); err != nil {
		return Rotation{}, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return Rotation{}, fmt.Errorf("open keyring: %w", err)
	}
	defer folder.Close() // gives the lock back
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return Rotation{}, fmt.Errorf("another rotation is under way in %s: %w", dir, err)
	}
	name := filepath.Join(dir, issuerFile)
	old, err := readIssuer(name)
	if err != nil {
		return Rotation{}, err
	}
	r, keys, err := change(old)
	if err != nil {
		return Rotation{}, err
	}
	next := name + unfinished
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a rotation that was cut short
		return Rotation{}, fmt.Errorf("remove an unfinished issuer file: %w", err)
	}
	if err := create(next, issuerFileOf(keys)); err != nil {
		return Rotation{}, err
	}
	if err := errors.Join(giveTo(next, name), os.Rename(next, name)); err != nil {
		return Rotation{}, errors.Join(fmt.Errorf("replace the issuer's keys: %w", err), os.Remove(next))
	}
	return r, syncDir(dir)
}

// giveTo gives a file the owner and the group of another: those of the issuer file were set by hand.
func giveTo(name, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Chown(name, int(of.Uid), int(of.Gid))
	}
	return nil
}
