package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"beckon/internal/keyring"
)

// jwk is one public key (RFC 7517, RFC 8037).
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// JWKS returns the document of /.well-known/jwks.json for keys: the public halves only, in the given
// order. The same keys give the same bytes, so its hash makes an ETag. A key stays in it for as long
// as tokens that it signed may be used: that is the overlap of a rotation.
func JWKS(keys []keyring.IssuerKey) []byte {
	doc := jwks{Keys: make([]jwk, len(keys))}
	for i, k := range keys {
		doc.Keys[i] = jwk{
			Type: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(k.Public()),
			ID: k.ID, Algorithm: "EdDSA", Use: "sig",
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: six strings have no JSON: " + err.Error())
	}
	return b
}

// Keys are the public keys of an issuer by `kid`.
type Keys map[string]ed25519.PublicKey

// ParseJWKS reads the document that JWKS writes. Keys of other types are left out, so that an issuer
// may publish them beside ours.
func ParseJWKS(document []byte) (Keys, error) {
	var doc jwks
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read JWKS: %w", err)
	}
	keys := Keys{}
	for i, k := range doc.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.ID == "" {
			return nil, fmt.Errorf("read JWKS: key %d has no kid or no Ed25519 public key", i)
		}
		if keys[k.ID] != nil {
			return nil, fmt.Errorf("read JWKS: two keys with the kid %q", k.ID)
		}
		keys[k.ID] = x
	}
	return keys, nil
}
