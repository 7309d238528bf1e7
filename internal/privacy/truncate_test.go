package privacy

import (
	"net/netip"
	"testing"
)

func TestTruncate(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Truncate(ParseAddr([]byte(in))).String(); got != want {
			t.Errorf("Truncate(%q) = %q, want %q", in, got, want)
		}
	}
	f("203.0.113.77", "203.0.113.0/24")
	f("203.0.113.0", "203.0.113.0/24")
	f("255.255.255.255", "255.255.255.0/24")
	f("2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:1200::/40")
	f("2001:DB8::1", "2001:db8::/40")

	// v4-mapped addresses fold to v4 first, zones go.
	f("::ffff:203.0.113.77", "203.0.113.0/24")
	f("::ffff:cb00:714d", "203.0.113.0/24")
	f("fe80::1%eth0", "fe80::/40")
	f("::ffff:203.0.113.77%eth0", "203.0.113.0/24")

	// IPv4 inside IPv6: at most its first 24 bits are left.
	f("2002:cb00:714d::1", "2002:cb00:7100::/40")                 // 6to4: the /24
	f("64:ff9b::203.0.113.77", "64:ff9b::/40")                    // NAT64: nothing
	f("64:ff9b:1:cb00:71:4d00::", "64:ff9b::/40")                 // NAT64 for local use
	f("2001:db8:cb00:714d::", "2001:db8:cb00::/40")               // RFC 6052 with a /32 prefix: 8 bits
	f("2001:0:4136:e378:8000:63bf:34ff:8eb2", "2001:0:4100::/40") // Teredo: 8 bits of its server
	f("::203.0.113.77", "::/40")                                  // IPv4-compatible
	f("fe80::5efe:cb00:714d", "fe80::/40")                        // ISATAP

	// As proxies write it.
	f(" 203.0.113.77 ", "203.0.113.0/24")
	f("203.0.113.77:51234", "203.0.113.0/24")
	f("[2001:db8:ab12::1]:443", "2001:db8:ab00::/40")
	f("[2001:db8:ab12::1]", "2001:db8:ab00::/40")

	// What does not parse is unknown, never the text.
	for _, in := range []string{
		"", "unknown", "203.0.113", "203.0.113.256", "203.0.113.077", "203.0.113.77.1", "0xcb00714d", "3405803853",
		"[2001:db8::1", "[2001:db8::1]x", "2001:db8::1::", "203.0.113.77, 10.0.0.1", "203.0.113.77\x00", "visitor@example.com",
		string(make([]byte, 1<<16)),
	} {
		f(in, "")
	}
	if got := Truncate(netip.Addr{}); got != (Network{}) {
		t.Errorf("the zero address gave %q", got)
	}
	// A caller may bring an address that ParseAddr did not make.
	if got := Truncate(netip.MustParseAddr("::ffff:203.0.113.77%eth0")).String(); got != "203.0.113.0/24" {
		t.Errorf("a mapped address with a zone gave %q", got)
	}
}

func TestTruncateForgetsTheRest(t *testing.T) {
	all := Truncate(netip.MustParseAddr("203.0.113.0"))
	for last := range 256 {
		if Truncate(netip.AddrFrom4([4]byte{203, 0, 113, byte(last)})) != all {
			t.Fatalf("203.0.113.%d can be told from its neighbours", last)
		}
	}
}

func TestTruncateAllocatesTheResultOnly(t *testing.T) {
	for _, a := range []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:1234::1")} {
		allocs(t, "Truncate("+a.String()+")", 0, func() { _ = Truncate(a) })
	}
}
