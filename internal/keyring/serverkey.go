package keyring

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// serverKeyPrefix lets scanners of leaked secrets know one when they see it.
const serverKeyPrefix = "bks_"

// NewServerKey makes the secret that a shop's server shows us, of 256 random bits, and what stands for it in
// server_keys of the sites file. Nothing is kept of it here: the file's hash does not lead back to it.
func NewServerKey() (secret, line string) {
	secret = serverKeyPrefix + base64.RawURLEncoding.EncodeToString(random(32))
	sum := sha256.Sum256([]byte(secret))
	return secret, "sha256:" + hex.EncodeToString(sum[:])
}
