package decision

import "sync"

// tokenCache keeps tokens of active grants, so that each is signed once and not per request. Two
// generations bound it; a token that fell out is signed again, to the same text.
type tokenCache struct {
	mu                sync.Mutex
	current, previous map[tokenKey]string
}

type tokenKey struct {
	decision [16]byte
	expires  int64
	rule     string // with the version of its terms
	kid      string // a key that was removed must not be heard of again
}

const tokensPerGeneration = 50_000

func newTokenCache() *tokenCache { return &tokenCache{current: map[tokenKey]string{}} }

// Get returns the token kept for k.
func (c *tokenCache) Get(k tokenKey) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.current[k]; ok {
		return t, true
	}
	t, ok := c.previous[k]
	return t, ok
}

// Put keeps t for k.
func (c *tokenCache) Put(k tokenKey, t string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.current) >= tokensPerGeneration {
		c.previous, c.current = c.current, map[tokenKey]string{}
	}
	c.current[k] = t
}
