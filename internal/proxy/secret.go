package proxy

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http/httpguts"
)

// Secret is a header that only our own proxies can send. Whoever brings it is believed as a proxy
// whose address is trusted is: for proxies without fixed addresses, such as those of a content network.
type Secret struct {
	Header string
	value  []byte
}

// minSecretBytes is what nobody guesses: 32 hexadecimal digits.
const minSecretBytes = 32

// ParseSecrets reads lines of the form "Header: secret". Several lines let a secret be changed without
// a moment in which proxy and service disagree. Errors never quote a line.
func ParseSecrets(text []byte) ([]Secret, error) {
	var secrets []Secret
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSpace(value)
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(string(name)):
			return nil, fmt.Errorf("line %d: write the header's name, a colon and the secret, such as Beckon-Proxy: 3f2a9c1d7b6e5f408192a3b4c5d6e7f8", number)
		case len(value) < minSecretBytes:
			return nil, fmt.Errorf("line %d: the secret has %d characters, at least %d: make one with `openssl rand -hex 32`", number, len(value), minSecretBytes)
		case !httpguts.ValidHeaderFieldValue(string(value)):
			return nil, fmt.Errorf("line %d: the secret holds what no header can carry", number)
		}
		secrets = append(secrets, Secret{Header: string(name), value: bytes.Clone(value)})
	}
	if len(secrets) == 0 {
		return nil, errors.New("holds no secret: write the header's name, a colon and the secret, such as Beckon-Proxy: 3f2a9c1d7b6e5f408192a3b4c5d6e7f8")
	}
	return secrets, nil
}

// proved reports whether the request brings a secret of our proxies. A header that comes twice proves
// nothing: one of the two is the client's, who hopes that the proxy adds instead of replacing.
func (t *Trusted) proved(h *fasthttp.RequestHeader) bool {
	found := 0
	for i := range t.Secrets {
		secret := &t.Secrets[i]
		if lines := h.PeekAll(secret.Header); len(lines) == 1 {
			found |= subtle.ConstantTimeCompare(lines[0], secret.value)
		}
	}
	return found == 1
}
