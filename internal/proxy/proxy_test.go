package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// clientOf runs one request from peer with the given X-Forwarded-For lines.
func clientOf(s *Trusted, peer string, lines ...string) string {
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	for _, line := range lines {
		req.Header.Add("X-Forwarded-For", line)
	}
	ctx.Init(&req, &net.TCPAddr{IP: net.ParseIP(peer), Port: 1234}, nil)
	addr, _ := s.Client(&ctx)
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

func TestClientIsTheFirstAddressThatNoProxyOfOursHas(t *testing.T) {
	s := &Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	f := func(want, peer string, lines ...string) {
		t.Helper()
		if got := clientOf(s, peer, lines...); got != want {
			t.Errorf("from %s through %q: got %q, want %q", peer, lines, got, want)
		}
	}
	f("203.0.113.7", "203.0.113.7")
	f("203.0.113.7", "203.0.113.7", "198.51.100.1") // a stranger's header
	f("198.51.100.1", "10.0.0.1", "198.51.100.1")
	f("198.51.100.1", "fd00::1", "198.51.100.1")
	f("198.51.100.1", "::ffff:10.0.0.1", "198.51.100.1")
	f("198.51.100.1", "10.0.0.1", "192.0.2.66, 198.51.100.1")           // the left end is the client's invention
	f("198.51.100.1", "10.0.0.1", "192.0.2.66", "198.51.100.1")         // in a line of its own too
	f("198.51.100.1", "10.0.0.1", "198.51.100.1, 10.9.9.9, 10.0.0.2")   // through two of ours
	f("198.51.100.1", "10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.2") // with an invention before
	f("198.51.100.1", "10.0.0.1", "10.0.0.5, 198.51.100.1")             // an invention that looks like ours
	f("2001:db8::1", "10.0.0.1", "[2001:db8::1]:443")
	f("198.51.100.1", "10.0.0.1", "198.51.100.1:4711")
	f("10.0.0.1", "10.0.0.1")             // the proxy's own check
	f("10.0.0.2", "10.0.0.1", "10.0.0.2") // all ours: the farthest
	f("198.51.100.1", "10.0.0.1", "198.51.100.1"+strings.Repeat(", 10.0.0.2", maxHops-1))
	f("", "10.0.0.1", "198.51.100.1"+strings.Repeat(", 10.0.0.2", maxHops))
	f("", "10.0.0.1", "unknown")
	f("", "10.0.0.1", "198.51.100.1, _hidden")
	f("", "10.0.0.1", "198.51.100.1, ")
	f("", "10.0.0.1", "198.51.100.1\x00")
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.1", "192.0.2.66, 198.51.100.1:80, 10.0.0.2", "[::1]:1, ::ffff:1.2.3.4", ",,,", "10.0.0.1,10.0.0.1"} {
		f.Add(seed)
	}
	s := &Trusted{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, line string) {
		if got := clientOf(s, "203.0.113.7", line); got != "203.0.113.7" {
			t.Fatalf("a stranger's header %q made %q of it", line, got)
		}
		clientOf(s, "10.0.0.1", line)
	})
}
