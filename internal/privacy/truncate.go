package privacy

import (
	"bytes"
	"net/netip"
	"unsafe"
)

const (
	bitsV4 = 24 // 256 addresses: a household hides among its neighbours
	bitsV6 = 40 // a /48 or /56 is often one household, so the cut is above it
)

// Truncate returns the network of a: IPv4 /24, IPv6 /40; empty for the zero Addr. A v4-mapped IPv6
// address is unwrapped first, and a zone (the name of a network card) is dropped.
//
// Other ways to carry an IPv4 address inside an IPv6 one need no unwrapping, because /40 keeps at most
// the first 24 bits of it: 6to4 has it in bits 16 to 48, so that its /24 is left; Teredo (2001::/32)
// keeps 8 bits of the server and nothing of the client; NAT64 (64:ff9b::/96 and the other lengths of
// RFC 6052) keeps at most 8 bits.
func Truncate(a netip.Addr) Network {
	a = a.Unmap().WithZone("")
	bits := bitsV6
	if a.Is4() {
		bits = bitsV4
	}
	p, err := a.Prefix(bits)
	if err != nil || !p.IsValid() {
		return Network{}
	}
	return Network{p: p}
}

// maxAddrBytes holds the longest address with brackets, a zone and a port.
const maxAddrBytes = 80

// ParseAddr reads an address as proxies write it in a header: bare, in brackets, or with a port, with
// spaces around it. Anything else gives the zero Addr, which Truncate turns into "unknown".
func ParseAddr(b []byte) netip.Addr {
	b = bytes.TrimSpace(b)
	if len(b) > maxAddrBytes {
		return netip.Addr{}
	}
	switch {
	case len(b) > 0 && b[0] == '[': // [2001:db8::1] or [2001:db8::1]:443
		end := bytes.IndexByte(b, ']')
		if end < 0 || end+1 < len(b) && b[end+1] != ':' {
			return netip.Addr{}
		}
		b = b[1:end]
	case bytes.Count(b, colon) == 1: // 203.0.113.7:443
		b = b[:bytes.IndexByte(b, ':')]
	}
	text := unsafe.String(unsafe.SliceData(b), len(b)) // which the error quotes, and nobody keeps that
	if bytes.IndexByte(b, '%') >= 0 {
		text = string(b) // an Addr holds its zone
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

var colon = []byte{':'}
