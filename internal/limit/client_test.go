package limit

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestKeysOfAddressesNeverMeet(t *testing.T) {
	seen := map[[16]byte]string{}
	for _, text := range []string{"0.0.0.1", "203.0.113.7", "::", "2001:db8::", "::1:0:0:0:0", "64:ff9b::", "2002:cb00:7100::"} {
		key := ClientKey(netip.MustParseAddr(text))
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", text, other)
		}
		seen[key] = text
	}
	if got := fmt.Sprintf("%x", NetworkKey(netip.MustParseAddr("2001:db8:ff12::1"))); got != "20010db8ff0000000000000000000000" {
		t.Errorf("network of an IPv6 address is %s", got)
	}
}
