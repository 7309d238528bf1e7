package token

import (
	"encoding/base64"
	"encoding/json"

	"beckon/internal/keyring"
	offer "beckon/verify/go"
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
type Keys offer.Keys

// ParseJWKS reads the document that JWKS writes.
func ParseJWKS(document []byte) (Keys, error) {
	keys, err := offer.ParseKeys(document)
	return Keys(keys), err
}
