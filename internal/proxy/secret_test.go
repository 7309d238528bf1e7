package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const proxySecret = "3f2a9c1d7b6e5f408192a3b4c5d6e7f8"

// Who is believed about whom: a row is a peer, the header lines that it sends, and what we make of it.
func TestForwardingHeadersAreBelievedFromOurProxiesOnly(t *testing.T) {
	secrets, err := ParseSecrets([]byte("Beckon-Proxy: " + proxySecret + "\nBeckon-Proxy: the-one-before-it-0123456789abcdef\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Trusted{
		Secrets:  secrets,
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	f := func(name, peer string, lines []string, client string, https bool) {
		t.Helper()
		var req fasthttp.Request
		for _, line := range lines {
			key, value, _ := strings.Cut(line, ": ")
			req.Header.Add(key, value)
		}
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, &net.TCPAddr{IP: net.ParseIP(peer), Port: 1234}, nil)
		addr, throughProxy := s.Client(&ctx)
		got := ""
		if addr.IsValid() {
			got = addr.String()
		}
		if secure := OverHTTPS(&ctx, throughProxy); got != client || secure != https {
			t.Errorf("%s: got %q, https %v; want %q, https %v", name, got, secure, client, https)
		}
	}
	const (
		stranger, ours = "203.0.113.7", "10.0.0.1"
		said           = "X-Forwarded-For: 198.51.100.1"
		secure         = "X-Forwarded-Proto: https"
		right          = "Beckon-Proxy: " + proxySecret
		wrong          = "Beckon-Proxy: 3f2a9c1d7b6e5f408192a3b4c5d6e7f9"
	)
	f("stranger", stranger, []string{said, secure}, stranger, false)
	f("stranger with other headers", stranger, []string{"Forwarded: for=198.51.100.1;proto=https", "X-Real-IP: 198.51.100.1", "True-Client-IP: 198.51.100.1", secure}, stranger, false)
	f("stranger over v6", "2001:db8::9", []string{said, secure}, "2001:db8::9", false)
	f("stranger in v4-mapped", "::ffff:203.0.113.7", []string{said}, stranger, false)
	f("ours", ours, []string{said, secure}, "198.51.100.1", true)
	f("ours over v6", "fd00::1", []string{"X-Forwarded-For: 2001:db8::1", secure}, "2001:db8::1", true)
	f("ours, other headers", ours, []string{"X-Real-IP: 198.51.100.1", "Forwarded: for=198.51.100.1"}, ours, false)
	f("ours, said nothing of https", ours, []string{said}, "198.51.100.1", false)
	f("ours, http", ours, []string{said, "X-Forwarded-Proto: http"}, "198.51.100.1", false)
	f("client's https before ours", ours, []string{said, "X-Forwarded-Proto: https, http"}, "198.51.100.1", false)
	f("client's https in a line before ours", ours, []string{said, secure, "X-Forwarded-Proto: http"}, "198.51.100.1", false)
	f("no such scheme", ours, []string{said, "X-Forwarded-Proto: HTTPS://"}, "198.51.100.1", false)
	f("ours, port and brackets", ours, []string{"X-Forwarded-For: [2001:db8::1%25eth0]:443"}, "2001:db8::1", false)
	f("ours, junk", ours, []string{"X-Forwarded-For: 198.51.100.1, <script>"}, "", false)
	f("ours, number", ours, []string{"X-Forwarded-For: 3325256705"}, "", false)
	f("ours, octal", ours, []string{"X-Forwarded-For: 0306.063.0144.01"}, "", false)
	f("chain with an invention", ours, []string{"X-Forwarded-For: 192.0.2.66, 198.51.100.1, 10.0.0.2"}, "198.51.100.1", false)

	f("secret", stranger, []string{right, said, secure}, "198.51.100.1", true)
	f("the secret before it", stranger, []string{"Beckon-Proxy: the-one-before-it-0123456789abcdef", said}, "198.51.100.1", false)
	f("secret, spelled small", stranger, []string{"beckon-proxy: " + proxySecret, said}, "198.51.100.1", false)
	f("secret over v6", "2001:db8::9", []string{right, said}, "198.51.100.1", false)
	f("secret, and who asks is not said", stranger, []string{right, secure}, "", true)
	f("secret, chain", stranger, []string{right, "X-Forwarded-For: 192.0.2.66, 198.51.100.1"}, "198.51.100.1", false)
	f("secret, chain through ours", stranger, []string{right, "X-Forwarded-For: 198.51.100.1, 10.0.0.2"}, "198.51.100.1", false)
	f("secret, junk", stranger, []string{right, "X-Forwarded-For: unknown"}, "", false)
	f("wrong secret", stranger, []string{wrong, said, secure}, stranger, false)
	f("no secret", stranger, []string{"Beckon-Proxy: ", said, secure}, stranger, false)
	f("half a secret", stranger, []string{right[:len(right)-1], said}, stranger, false)
	f("secret and more", stranger, []string{right + "0", said}, stranger, false)
	f("secret twice", stranger, []string{right, right, said}, stranger, false)
	f("a guess beside the secret", stranger, []string{wrong, right, said}, stranger, false)
	f("secret in a list", stranger, []string{right + ", " + proxySecret, said}, stranger, false)
	f("secret under another name", stranger, []string{"Beckon-Proxies: " + proxySecret, said}, stranger, false)
	f("ours with a wrong secret", ours, []string{wrong, said}, "198.51.100.1", false)

	none := &Trusted{}
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.Set("Beckon-Proxy", "")
	if none.proved(&ctx.Request.Header) {
		t.Error("without secrets an empty header proves something")
	}
}

func TestFaultsOfProxySecretsAreNamedWithoutQuotingThem(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		secrets, err := ParseSecrets([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || secrets != nil {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("says too much: %v", err)
		}
	}
	f("", "no secret")
	f("\n\n", "no secret")
	f("hunter2hunter2hunter2hunter2hunter2", "line 1")
	f("two words: hunter2hunter2hunter2hunter2hunter2", "line 1")
	f("Beckon-Proxy: hunter2", "7 characters")
	f("Beckon-Proxy: "+proxySecret+"\nBeckon-Proxy: hunter2", "line 2")
	f("Beckon-Proxy: hunter2hunter2hunter2hunter2\x00hunter2", "no header can carry")
}
