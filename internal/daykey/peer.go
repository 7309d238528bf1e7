package daykey

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"beckon/internal/keyring"
)

// Hosts that share visitors share keys: one makes them, the others ask it. The secret that both know never
// travels, and neither does a key that can be read: the question is signed with the secret, the answer is
// sealed under it and the question's nonce. So no buffer of an HTTP connection holds a key, and the
// call needs no TLS of its own.
//
//	GET /day-keys
//	Authorization: Beckon-Peer <unix seconds>.<nonce>.<HMAC-SHA-256("ask" time nonce)>     all hex but the time
//	200: 12 bytes nonce | AES-256-GCM( {length of id, site id, record}* )
const (
	scheme        = "Beckon-Peer "
	minSecret     = 32              // characters of the secret's file
	clockSlack    = 5 * time.Minute // between two hosts; a question that was overheard is of no use later
	askEvery      = time.Minute     // when nothing is missing
	askFirst      = time.Second     // when something is, twice as long after each failure, up to askEvery
	askWithin     = 3 * time.Second // so a host that hangs holds nothing up for long
	maxReplyBytes = 4 << 20         // some 10,000 sites
	maxSecret     = 4 << 10
)

// Secret is what the hosts that share keys know. It never prints.
type Secret struct{ key keyring.Key }

// Format keeps a secret out of every fmt verb: fmt does not ask the key in an unexported field.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// ReadSecret reads a secret's file: at least 32 characters, such as `openssl rand -hex 32` makes, readable
// by nobody but its owner and group.
func ReadSecret(name string) (*Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat secret: %w", err)
	}
	if perm := info.Mode().Perm(); !info.Mode().IsRegular() || perm&^0o640 != 0 {
		return nil, fmt.Errorf("secret %s: permissions %#o let others use it: run `chmod 0640 %s`", name, perm, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	defer clear(b)
	text := strings.TrimSpace(string(b))
	if len(text) < minSecret {
		return nil, fmt.Errorf("secret %s has %d characters, want at least %d: make one with `openssl rand -hex 32`", name, len(text), minSecret)
	}
	return &Secret{sha256.Sum256([]byte(text))}, nil
}

func (s *Secret) sign(parts ...string) []byte {
	h := hmac.New(sha256.New, s.key[:])
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// sealer seals the answer to one question.
func (s *Secret) sealer(nonce string) cipher.AEAD {
	block, err := aes.NewCipher(s.sign("answer", nonce))
	if err != nil {
		panic("BUG: a hash is no AES key: " + err.Error())
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("BUG: AES has no GCM: " + err.Error())
	}
	return gcm
}

// ask makes the Authorization of a question.
func (s *Secret) ask(now time.Time) (authorization, nonce string) {
	var chance [16]byte
	_, _ = rand.Read(chance[:])
	nonce = hex.EncodeToString(chance[:])
	at := strconv.FormatInt(now.Unix(), 10)
	return scheme + at + "." + nonce + "." + hex.EncodeToString(s.sign("ask", at, nonce)), nonce
}

// asked returns the nonce of a question that was signed with the secret, not long ago.
func (s *Secret) asked(authorization string, now time.Time) (nonce string, ok bool) {
	rest, ok := strings.CutPrefix(authorization, scheme)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return "", false
	}
	signed, err := hex.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signed, s.sign("ask", parts[0], parts[1])) {
		return "", false
	}
	at, err := strconv.ParseInt(parts[0], 10, 64)
	return parts[1], err == nil && now.Sub(time.Unix(at, 0)).Abs() <= clockSlack
}

// ServeHTTP answers other hosts with every key that is here. Without a secret, and to whoever does not
// know it, it says nothing.
func (k *Keys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.config.Secret == nil {
		http.NotFound(w, r)
		return
	}
	nonce, ok := k.config.Secret.asked(r.Header.Get("Authorization"), k.config.Now())
	if !ok {
		http.Error(w, "not signed with our secret, or by a clock that is over 5 minutes off", http.StatusUnauthorized)
		return
	}
	plain := k.export()
	defer clear(plain)
	gcm := k.config.Secret.sealer(nonce)
	sealed := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(plain)+gcm.Overhead())
	_, _ = rand.Read(sealed)
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(gcm.Seal(sealed, sealed[:gcm.NonceSize()], plain, nil)) // who hung up asks again
}

// export lists the keys in memory.
func (k *Keys) export() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	plain := make([]byte, 0, len(k.sites)*3*(1+32+recordBytes)) // it never moves, which would leave a copy behind
	var key keyring.Key
	var r record
	defer r.wipe()
	defer key.Wipe()
	today := DayOf(k.config.Now().UnixMilli())
	for id, s := range k.sites {
		for day := today - 1; day <= today+1; day++ {
			if !s.slot(day).read(day, &key) {
				continue
			}
			copy(r.key(), key[:])
			r.seal(id, day)
			plain = append(append(append(plain, byte(len(id))), id...), r.b[:]...)
		}
	}
	return plain
}

// peer is the host that makes the keys.
type peer struct {
	url      string
	secret   *Secret
	client   *http.Client
	next     time.Time // when to ask again; by the machine's clock, which does not step
	failures int
}

func newPeer(url string, secret *Secret) *peer {
	return &peer{url: url, secret: secret, client: &http.Client{
		Timeout:       askWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fetch asks the other host when it is time to, and puts what it says into the folder. Requests do not wait
// for it: only Turn calls it, and it holds no lock while it waits.
func (k *Keys) fetch(ctx context.Context) {
	if now := time.Now(); now.Before(k.peer.next) && !(k.peer.failures == 0 && k.wanting()) {
		return
	}
	plain, err := k.peer.get(ctx, k.config.Now())
	defer clear(plain)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		err = k.importLocked(plain)
	}
	if err != nil {
		k.peer.next = time.Now().Add(min(askFirst<<min(k.peer.failures, 10), askEvery))
		k.peer.failures++
		k.faultLocked(ofPeer, k.peer.url, err)
		return
	}
	k.peer.failures, k.peer.next = 0, time.Now().Add(askEvery)
	delete(k.reported, k.peer.url)
}

// wanting reports whether a key of today is missing.
func (k *Keys) wanting() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	today := DayOf(k.config.Now().UnixMilli())
	for _, s := range k.sites {
		if !s.slot(today).holds(today) {
			return true
		}
	}
	return false
}

func (p *peer) get(ctx context.Context, now time.Time) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for day keys: %w", err)
	}
	authorization, nonce := p.secret.ask(now)
	req.Header.Set("Authorization", authorization)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for day keys: %w", err)
	}
	defer resp.Body.Close()
	sealed, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes))
	if err != nil {
		return nil, fmt.Errorf("ask for day keys: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for day keys: %s: is --peer-secret-file the same on both hosts, and their clocks?", resp.Status)
	}
	gcm := p.secret.sealer(nonce)
	if len(sealed) < gcm.NonceSize() {
		return nil, errors.New("ask for day keys: the answer is cut off")
	}
	plain, err := gcm.Open(nil, sealed[:gcm.NonceSize()], sealed[gcm.NonceSize():], nil)
	if err != nil {
		return nil, errors.New("ask for day keys: the answer is not sealed with our secret")
	}
	return plain, nil
}

// importLocked puts fetched keys into the folder, where they are other ones than those. Keys of sites that
// are not ours and of days that are over are left out.
func (k *Keys) importLocked(plain []byte) error {
	today := DayOf(k.config.Now().UnixMilli())
	var faults []error
	var r record
	var key keyring.Key
	defer r.wipe()
	defer key.Wipe()
	for len(plain) > 0 {
		n := int(plain[0])
		if len(plain) < 1+n+recordBytes {
			return errors.New("ask for day keys: the answer is cut off")
		}
		s := k.sites[string(plain[1:1+n])]
		copy(r.b[:], plain[1+n:])
		plain = plain[1+n+recordBytes:]
		day := Day(binary.BigEndian.Uint64(r.b[dayAt:]))
		if s == nil || !alive(day, today) {
			continue
		}
		if err := r.check(s.id, day); err != nil {
			faults = append(faults, fmt.Errorf("ask for day keys: the key of %s for %s %w", s.id, day, err))
			continue
		}
		if s.slot(day).read(day, &key) && string(key[:]) == string(r.key()) {
			continue
		}
		if err := k.folder.replace(fileName(s.id, day), &r); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}
