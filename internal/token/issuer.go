package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"beckon/internal/keyring"
)

// ReloadEvery is how soon a rotation is seen: far within keyring.MinLead.
const ReloadEvery = time.Second

// Issuer holds the keys of the issuer file as they stand: which one signs, which are published. It
// follows the file, so a rotation needs no restart. Safe for concurrent use.
//
// Who keeps the JWKS page meets no token whose key was not on it: the file says from when a key signs,
// and one that comes late to this host is published here for keyring.MinLead first, as long as another
// may sign.
type Issuer struct {
	read  func() ([]keyring.IssuerKey, error)
	now   func() time.Time
	since map[string]time.Time // when this process first saw a key; of those it started with: never
	state atomic.Pointer[issued]
}

// issued is the keys at one instant.
type issued struct {
	signing *keyring.IssuerKey // a pointer, or fmt would print it
	ids     []string           // of what is published
	jwks    []byte
}

// NewIssuer reads the keys with read, now and at each Reload.
func NewIssuer(read func() ([]keyring.IssuerKey, error), now func() time.Time) (*Issuer, error) {
	i := &Issuer{read: read, now: now}
	return i, i.Reload()
}

// Key returns the key that signs now.
func (i *Issuer) Key() keyring.IssuerKey { return *i.state.Load().signing }

// JWKS returns the page of published keys. It is not to be changed.
func (i *Issuer) JWKS() []byte { return i.state.Load().jwks }

// Reload reads the file and lets the time of keys come and end. After an error the keys stay as they
// were. Not for concurrent use with itself.
func (i *Issuer) Reload() error {
	keys, err := i.read()
	if err != nil {
		return err
	}
	now := i.now()
	keys = keyring.Published(keys, now)
	since := make(map[string]time.Time, len(keys))
	usable := slices.Clone(keys)
	for n := range keys {
		at, known := i.since[keys[n].ID]
		if !known && i.since != nil {
			at = now
		}
		since[keys[n].ID] = at
		if from := at.Add(keyring.MinLead); !at.IsZero() && from.After(usable[n].From) {
			usable[n].From = from
		}
	}
	signing := keyring.Signing(usable, now)
	if signing == nil {
		return errors.New("every key of the issuer file has ended: run `beckon-collector keyring rotate --leaked` for a new one")
	}
	next := &issued{signing: signing, jwks: JWKS(keys)}
	for _, k := range keys {
		next.ids = append(next.ids, k.ID)
	}
	i.since = since
	i.state.Store(next)
	return nil
}

// Watch reloads until ctx ends. It says what has changed, and what is wrong once and not every second.
func (i *Issuer) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	fault := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before := i.state.Load()
		if err := i.Reload(); err != nil {
			if text := fmt.Sprint(err); text != fault {
				fault = text
				log.Error("the issuer's keys cannot be read again, those in use stay", "error", err)
			}
			continue
		}
		fault = ""
		if after := i.state.Load(); after.signing.ID != before.signing.ID || !slices.Equal(after.ids, before.ids) {
			log.Info("the issuer's keys have changed", "signing", after.signing.ID, "published", after.ids)
		}
	}
}
