package decision

import (
	"path/filepath"
	"testing"
	"time"

	"beckon/internal/keyring"
	"beckon/internal/token"
)

// A shop that fetches the page of keys whenever it likes can check every token it is shown.
func TestGrantOutlivesARotationOfTheIssuerKeys(t *testing.T) {
	s := newSetup(t)
	r := startReplica(t, s)
	visit, key := r.visitor("demo")
	r.returning(key)
	jti := func(page []byte, text string) string {
		t.Helper()
		keys, err := token.ParseJWKS(page)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := keys.Verify(text, token.Expect{Issuer: r.server.Issuer, Site: "demo", Now: r.now()})
		if err != nil {
			t.Fatal(err)
		}
		return claims.ID
	}
	page := func() []byte { return r.ask(request{path: "/.well-known/jwks.json"}).body }
	first := r.ask(request{visit: visit})
	kept := page()
	rotated, err := keyring.RotateIssuer(filepath.Join(s.dir, "keyring"), time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.issuer.Reload(); err != nil {
		t.Fatal(err)
	}
	second := r.ask(request{visit: visit})
	if *second.Token != *first.Token {
		t.Error("a key that waits has signed")
	}
	jti(kept, *second.Token)
	if keys, err := token.ParseJWKS(page()); err != nil || len(keys) != 2 || keys[rotated.Added.ID] == nil {
		t.Fatalf("the page has %v, %v", keys, err)
	}

	// Its key leaked: the grant goes on, its old token is worth nothing.
	if _, err := keyring.ReplaceIssuer(filepath.Join(s.dir, "keyring"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.issuer.Reload(); err != nil {
		t.Fatal(err)
	}
	third := r.ask(request{visit: visit})
	if *third.Token == *first.Token || jti(page(), *third.Token) != jti(kept, *first.Token) {
		t.Error("want another token with the same jti")
	}
}
