package shoppers

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Networks that documents and benchmarks may use freely.
var (
	documentation4 = []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	}
	documentation6 = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
)

// Networks that registries hand out to access providers around the world: where a country database has
// something to find. Addresses in them are only ever written into X-Forwarded-For; nothing is sent there.
var (
	public4 = []netip.Prefix{
		netip.MustParsePrefix("24.0.0.0/8"), netip.MustParsePrefix("46.0.0.0/8"), netip.MustParsePrefix("71.0.0.0/8"),
		netip.MustParsePrefix("80.0.0.0/5"), netip.MustParsePrefix("91.0.0.0/8"), netip.MustParsePrefix("109.0.0.0/8"),
		netip.MustParsePrefix("126.0.0.0/8"), netip.MustParsePrefix("178.0.0.0/8"), netip.MustParsePrefix("187.0.0.0/8"),
	}
	public6 = []netip.Prefix{
		netip.MustParsePrefix("2a00::/12"), netip.MustParsePrefix("2600::/12"), netip.MustParsePrefix("2400::/12"),
	}
)

// address invents where a shopper's connection comes from: a third is IPv6, one in eight is an address
// that exists in documents only.
func address(rng *rand.Rand) netip.Addr {
	six, documented := rng.IntN(3) == 0, rng.IntN(8) == 0
	networks := public4
	switch {
	case six && documented:
		networks = documentation6
	case six:
		networks = public6
	case documented:
		networks = documentation4
	}
	return within(networks[rng.IntN(len(networks))], rng)
}

// within returns any address of a network.
func within(network netip.Prefix, rng *rand.Rand) netip.Addr {
	var chance [16]byte
	binary.BigEndian.PutUint64(chance[:8], rng.Uint64())
	binary.BigEndian.PutUint64(chance[8:], rng.Uint64())
	b := network.Addr().AsSlice()
	for i := range b {
		kept := min(max(network.Bits()-8*i, 0), 8) // bits of this byte that belong to the network
		b[i] |= chance[i] & (0xff >> kept)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
