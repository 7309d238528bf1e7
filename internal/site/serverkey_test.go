package site

import (
	"strings"
	"testing"

	"beckon/internal/keyring"
)

func TestNewServerKeyIsWhatItsLineAccepts(t *testing.T) {
	secret, line := keyring.NewServerKey()
	other, _ := keyring.NewServerKey()
	f, err := Parse("sites.yaml", []byte("sites:\n  - id: demo\n    origins: [https://shop.example]\n    currency: EUR\n    server_keys: [\""+line+"\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Site("demo")
	if !s.HasServerKey([]byte(secret)) || !f.HasServerKey([]byte(secret)) {
		t.Error("the key does not fit its own line")
	}
	for name, key := range map[string]string{"another key": other, "the line": line, "nothing": "", "a part": secret[:len(secret)-1]} {
		if s.HasServerKey([]byte(key)) || f.HasServerKey([]byte(key)) {
			t.Errorf("%s fits", name)
		}
	}
	if secret == other || strings.Contains(line, secret) || len(secret) < 40 {
		t.Errorf("no secret: %d characters", len(secret))
	}
}
