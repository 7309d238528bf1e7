package privacy

import (
	"net/netip"
	"testing"

	"beckon/internal/keyring"
)

func TestMeasureIDIsOfANetworkAndAKindOfBrowser(t *testing.T) {
	of := func(seed byte, addr string, words ...string) ID {
		k := key(seed)
		return MeasureID(&k, Truncate(netip.MustParseAddr(addr)), Agent{Device: Bucket{words[0]}, Browser: Bucket{words[1]}, OS: Bucket{words[2]}})
	}
	one := of(1, "203.0.113.7", "mobile", "chrome", "android")
	if one.IsZero() || one != of(1, "203.0.113.200", "mobile", "chrome", "android") {
		t.Error("two addresses of one network differ, or there is no id: more than the network went into it")
	}
	seen := map[ID]string{one: "the first"}
	for name, id := range map[string]ID{
		"another day or site": of(2, "203.0.113.7", "mobile", "chrome", "android"),
		"another network":     of(1, "203.0.112.7", "mobile", "chrome", "android"),
		"another device":      of(1, "203.0.113.7", "tablet", "chrome", "android"),
		"another browser":     of(1, "203.0.113.7", "mobile", "firefox", "android"),
		"another system":      of(1, "203.0.113.7", "mobile", "chrome", "ios"),
		"words moved":         of(1, "203.0.113.7", "mobile", "chromeandroid", ""),
		"IPv6":                of(1, "2001:db8::7", "mobile", "chrome", "android"),
	} {
		if seen[id] != "" {
			t.Errorf("%s has the id of %s", name, seen[id])
		}
		seen[id] = name
	}
	// What is not known has an id too: an estimate counts it as somebody.
	k, wide := key(1), Truncate(netip.MustParseAddr("2001:db8:ff00::1"))
	if MeasureID(&k, Network{}, Agent{}).IsZero() {
		t.Error("an unknown visitor has no id")
	}
	allocs(t, "MeasureID", 0, func() { MeasureID(&k, wide, Agent{Browser: samsung}) })
}

func TestMeasureIDLeavesTheKeyAsItIs(t *testing.T) {
	k := key(9)
	MeasureID(&k, Network{}, Agent{})
	if k != key(9) {
		t.Error("the key changed")
	}
	if k.Wipe(); k != (keyring.Key{}) {
		t.Error("Wipe left something")
	}
}
