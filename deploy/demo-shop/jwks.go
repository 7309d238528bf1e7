package demoshop

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// keysFresh is for how long fetched keys are used without asking again. It bounds how long a
	// withdrawn key still counts.
	keysFresh = time.Hour
	// keysPause is the least time between two fetches: tokens with invented key ids must not make
	// the shop knock at the aggregator.
	keysPause = 5 * time.Second
	// maxKeysBytes bounds the answer; a key takes about 150 bytes.
	maxKeysBytes = 64 << 10
)

var (
	errUnknownKey = errors.New("no key has this id")
	errNoKeys     = errors.New("the key set could not be fetched")
)

// keySet is the aggregator's public keys, kept here so that a checkout does not depend on it. Keys
// outlive an outage of the aggregator: they are replaced, not dropped.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	fetching sync.Mutex // one fetch at a time; guards tried
	tried    time.Time

	mu      sync.Mutex                   // never held while fetching
	keys    map[string]ed25519.PublicKey // by kid; nil until the first fetch succeeded
	fetched time.Time
}

func newKeySet(aggregator *url.URL, now func() time.Time, log *slog.Logger) *keySet {
	return &keySet{
		url:    aggregator.JoinPath(".well-known", "jwks.json").String(),
		client: newClient(),
		now:    now,
		log:    log,
	}
}

// key returns the public key with that id. It fetches the set when the id is new or the set is old,
// at most once per keysPause. Errors: errUnknownKey, errNoKeys.
func (k *keySet) key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	key, fresh, err := k.lookup(kid)
	if err != nil || !fresh {
		k.refresh(ctx)
		key, _, err = k.lookup(kid)
	}
	return key, err
}

func (k *keySet) lookup(kid string) (key ed25519.PublicKey, fresh bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		return nil, false, errNoKeys
	}
	key, known := k.keys[kid]
	if !known {
		return nil, false, errUnknownKey
	}
	return key, k.now().Sub(k.fetched) < keysFresh, nil
}

// refresh replaces the keys if it is time and the aggregator answers.
func (k *keySet) refresh(ctx context.Context) {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	now := k.now()
	if now.Sub(k.tried) < keysPause {
		return
	}
	k.tried = now
	keys, err := k.fetch(ctx)
	if err != nil {
		k.log.Warn("offers cannot be checked with fresh keys", "error", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.fetched = keys, now
}

func (k *keySet) fetch(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	// A shopper who leaves must not cost the next one the pause.
	ask, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	reply, err := k.client.Do(ask)
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the key set: status %d", reply.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxKeysBytes))
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	return parseKeys(body)
}

// parseKeys reads a JSON Web Key Set (RFC 7517). Keys of other kinds are left out.
func parseKeys(body []byte) (map[string]ed25519.PublicKey, error) {
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X string } `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	keys := make(map[string]ed25519.PublicKey, len(set.Keys))
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if k.Kty == "OKP" && k.Crv == "Ed25519" && k.Kid != "" && err == nil && len(x) == ed25519.PublicKeySize {
			keys[k.Kid] = x
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("read the key set: it holds no Ed25519 key")
	}
	return keys, nil
}
