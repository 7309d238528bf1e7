package daykey

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"beckon/internal/keyring"
)

// secretOf makes a secret's file and reads it.
func secretOf(t testing.TB, text string) *Secret {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSecret(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const words = "an owl that nobody else has ever seen"

func withSecret(s *Secret) func(*Config) { return func(c *Config) { c.Secret = s } }

// away is a second host that fetches from the first. next makes it ask in its next turn.
type away struct {
	*host
	keys *Keys
}

func newAway(t testing.TB, url string, s *Secret) *away {
	h := newHost(t)
	return &away{h, h.collector(withSecret(s), func(c *Config) { c.From = url })}
}

func (a *away) next() {
	a.keys.peer.next, a.keys.peer.failures = time.Time{}, 0
	turn(a.keys)
}

func TestOtherHostsFetchTheKeysAndMakeNone(t *testing.T) {
	secret := secretOf(t, words)
	home := newHost(t)
	maker := home.collector(withSecret(secret))
	maker.Site("demo")
	maker.Site("only here")
	server := httptest.NewServer(maker)
	defer server.Close()
	a := newAway(t, server.URL, secretOf(t, " "+words+"\n")) // an editor's line break is not part of it

	if keyOf(a.keys, "demo", a.day(0)) != (keyring.Key{}) || len(a.files()) != 0 {
		t.Fatal("it made a key of its own before it was answered")
	}
	a.next()
	key := keyOf(maker, "demo", home.day(0))
	if got := keyOf(a.keys, "demo", a.day(0)); got != key || key == (keyring.Key{}) {
		t.Fatal("the hosts have two keys")
	}
	if len(a.files()) != 1 {
		t.Errorf("it keeps %v, want the key of its own site", a.files())
	}
	// Another collector over there needs nobody for it, nor does a restart.
	if second := a.collector(); keyOf(second, "demo", a.day(0)) != key {
		t.Error("the collectors of that host do not agree")
	}

	// The first host lost its keys: the others follow within a minute.
	if err := os.Remove(filepath.Join(home.dir, home.name(0))); err != nil {
		t.Fatal(err)
	}
	turn(maker)
	a.next()
	if got := keyOf(a.keys, "demo", a.day(0)); got == key || got != keyOf(maker, "demo", home.day(0)) {
		t.Error("the hosts have two keys after one of them began the day anew")
	}

	// A new day: both had its key before it began.
	next := home.day(1).start()
	for _, h := range []*host{home, a.host} {
		h.set(next.Add(-9 * time.Minute))
	}
	turn(maker)
	a.next()
	for _, h := range []*host{home, a.host} {
		h.set(next)
	}
	if got := keyOf(a.keys, "demo", a.day(0)); got == (keyring.Key{}) || got != keyOf(maker, "demo", home.day(0)) {
		t.Error("the hosts do not begin the day with one key")
	}
	// And both destroy the old one, also when nobody answers any more.
	server.Close()
	a.pass(47 * time.Hour)
	a.next()
	for _, name := range a.files() {
		if strings.Contains(name, noon.Format(time.DateOnly)) {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestWithoutAnAnswerThereIsNoKeyAndNobodyWaits(t *testing.T) {
	secret := secretOf(t, words)
	f := func(why string, answer http.HandlerFunc) {
		t.Helper()
		server := httptest.NewServer(answer)
		defer server.Close()
		a := newAway(t, server.URL, secret)
		a.keys.Site("demo")
		a.next()
		if keyOf(a.keys, "demo", a.day(0)) != (keyring.Key{}) || len(a.files()) != 0 {
			t.Errorf("%s: there is a key", why)
		}
		if !strings.Contains(a.log.String(), "ask for day keys") || strings.Contains(a.log.String(), words) {
			t.Errorf("%s: it logged %s", why, a.log.String())
		}
	}
	other := newHost(t).collector(withSecret(secretOf(t, strings.ToUpper(words))))
	f("another secret over there", other.ServeHTTP)
	f("no secret over there", newHost(t).collector().ServeHTTP)
	f("an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	f("a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	f("nothing", func(http.ResponseWriter, *http.Request) {})
	f("some page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("welcome ", 100)) })

	// One that was sealed for another question, as somebody in between might play back.
	home := newHost(t).collector(withSecret(secret))
	home.Site("demo")
	old := httptest.NewRecorder()
	home.ServeHTTP(old, question(secret, noon))
	f("an old answer", func(w http.ResponseWriter, _ *http.Request) { w.Write(old.Body.Bytes()) })
	f("a cut answer", func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		home.ServeHTTP(whole, r)
		w.Write(whole.Body.Bytes()[:whole.Body.Len()-1])
	})
	f("a flipped bit", func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		home.ServeHTTP(whole, r)
		b := whole.Body.Bytes()
		b[20] ^= 1
		w.Write(b)
	})

	// A host that hangs: requests ask for keys meanwhile and are answered.
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	a := newAway(t, server.URL, secret)
	a.keys.Site("demo")
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		a.next()
	}()
	for i := range 1000 {
		keyOf(a.keys, "demo", a.day(0))
		a.keys.Site(fmt.Sprint("new", i%7))
	}
	select {
	case <-asking:
		t.Error("it did not wait for the answer: the test shows nothing")
	default:
	}
	a.keys.peer.client.CloseIdleConnections()
}

// question is a request with an Authorization by that clock.
func question(s *Secret, at time.Time) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/day-keys", nil)
	authorization, _ := s.ask(at)
	r.Header.Set("Authorization", authorization)
	return r
}

func TestOnlyWhoKnowsTheSecretIsAnswered(t *testing.T) {
	secret := secretOf(t, words)
	home := newHost(t)
	k := home.collector(withSecret(secret))
	key := keyOf(k, "demo", home.day(0))
	f := func(why string, want int, change func(r *http.Request)) {
		t.Helper()
		r := question(secret, noon)
		change(r)
		w := httptest.NewRecorder()
		k.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", why, w.Code, want)
		}
		if bytes.Contains(w.Body.Bytes(), key[:16]) || bytes.Contains(w.Body.Bytes(), []byte("demo")) {
			t.Errorf("%s: the key or a site travels in the open", why)
		}
		if w.Code != 200 && w.Body.Len() > 200 {
			t.Errorf("%s: it is told much", why)
		}
	}
	set := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	good := question(secret, noon).Header.Get("Authorization")
	f("the secret", 200, func(*http.Request) {})
	f("a clock 5 minutes behind", 200, func(r *http.Request) { *r = *question(secret, noon.Add(-5*time.Minute)) })
	f("an overheard question, later", 401, func(r *http.Request) { *r = *question(secret, noon.Add(-5*time.Minute-time.Second)) })
	f("a clock ahead", 401, func(r *http.Request) { *r = *question(secret, noon.Add(6*time.Minute)) })
	f("another secret", 401, func(r *http.Request) { *r = *question(secretOf(t, words+"!"), noon) })
	f("nothing", 401, func(r *http.Request) { r.Header.Del("Authorization") })
	f("the secret itself", 401, set("Bearer "+words))
	f("cut", 401, set(good[:len(good)-2]))
	f("no signature", 401, set(good[:strings.LastIndexByte(good, '.')+1]))
	f("one part", 401, set(scheme))
	f("another time under the same signature", 401, set(strings.Replace(good, scheme+"1", scheme+"2", 1)))
	f("another nonce under the same signature", 401, func(r *http.Request) {
		parts := strings.Split(good, ".")
		r.Header.Set("Authorization", parts[0]+"."+strings.Repeat("0", len(parts[1]))+"."+parts[2])
	})

	silent := newHost(t).collector()
	w := httptest.NewRecorder()
	if silent.ServeHTTP(w, question(secret, noon)); w.Code != 404 {
		t.Errorf("a collector without a secret answers %d", w.Code)
	}
}

func TestFetchedKeysOfOtherSitesAndDaysAreLeftOut(t *testing.T) {
	a := newAway(t, "http://127.0.0.1:1", secretOf(t, words))
	a.keys.Site("demo")
	entry := func(site, sealedFor string, day Day) []byte {
		var r record
		copy(r.key(), strings.Repeat("k", 32))
		r.seal(sealedFor, day)
		return append(append([]byte{byte(len(site))}, site...), r.b[:]...)
	}
	take := func(plain []byte) error {
		a.keys.mu.Lock()
		defer a.keys.mu.Unlock()
		return a.keys.importLocked(plain)
	}
	f := func(why string, fault bool, files int, plain []byte) {
		t.Helper()
		if err := take(plain); (err != nil) != fault || len(a.files()) != files {
			t.Errorf("%s: %v, files %v", why, err, a.files())
		}
	}
	f("none", false, 0, nil)
	f("another site", false, 0, entry("shop", "shop", a.day(0)))
	f("a path", false, 0, entry("../demo", "../demo", a.day(0)))
	f("a day that is over", false, 0, entry("demo", "demo", a.day(-2)))
	f("a day to come", false, 0, entry("demo", "demo", a.day(2)))
	f("another site's key", true, 0, entry("demo", "shop", a.day(0)))
	f("cut", true, 0, entry("demo", "demo", a.day(0))[:20])
	f("cut after the first", true, 1, append(entry("demo", "demo", a.day(0)), 4))
	f("a good one beside a bad one", true, 2, append(entry("demo", "shop", a.day(0)), entry("demo", "demo", a.day(-1))...))
}

func TestAFailingHostIsAskedLessAndLess(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(500)
	}))
	defer server.Close()
	a := newAway(t, server.URL, secretOf(t, words))
	a.keys.Site("demo")
	for range 50 {
		turn(a.keys)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times within a second", n)
	}
	var waits []time.Duration
	for range 8 {
		a.keys.peer.next = time.Time{}
		turn(a.keys)
		waits = append(waits, time.Until(a.keys.peer.next).Round(time.Second))
	}
	if waits[0] != 2*time.Second || waits[7] != time.Minute {
		t.Errorf("waits %v", waits)
	}
	if n := strings.Count(a.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestSecretsAreLongAndPrivate(t *testing.T) {
	f := func(why, text string, mode os.FileMode, good bool) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSecret(name)
		if (err == nil) != good {
			t.Errorf("%s: %v", why, err)
		}
		if err != nil && len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error shows it", why)
		}
		if s != nil && fmt.Sprintf("%v %+v %#v %x", s, *s, s, *s) != strings.TrimSpace(strings.Repeat("[secret] ", 4)) {
			t.Errorf("%s: it prints", why)
		}
	}
	f("good", words, 0o640, true)
	f("only its owner's", words, 0o400, true)
	f("everybody's", words, 0o644, false)
	f("short", "correct horse battery staple", 0o600, false)
	f("spaces", strings.Repeat(" ", 50), 0o600, false)
	if _, err := ReadSecret(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("there was no file")
	}
	if _, err := Open(Config{Dir: t.TempDir(), From: "http://127.0.0.1:1"}); err == nil {
		t.Error("it would ask without a secret")
	}
}
