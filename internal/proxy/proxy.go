// Package proxy is about the proxies in front of us: which of them are ours, and whom a request comes from
// when it came through them.
//
// The client never chooses its own address: what it writes into X-Forwarded-For itself is never believed. An
// address found here lives as long as its request, in the memory of both services alike.
package proxy

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
)

// maxHops bounds how far back X-Forwarded-For is read. Nobody has more proxies of their own.
const maxHops = 16

// Trusted are the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
type Trusted struct {
	Networks []netip.Prefix
	Secrets  []Secret // or a header that tells such a proxy
}

// Client returns the address of whoever sent the request: the socket's other end, or, when that is a
// proxy we trust, by its address or by a secret header, what the proxies wrote down. X-Forwarded-For is read from its right end, because
// only that end was written by our own proxies: the first address that is none of them is the
// client's. An entry that is no address, or too many of ours, make the client unknown (the zero Addr).
func (t *Trusted) Client(ctx *fasthttp.RequestCtx) (addr netip.Addr, throughProxy bool) {
	addr = peer(ctx.RemoteAddr())
	if !t.Trusts(addr) {
		if !t.proved(&ctx.Request.Header) {
			return addr, false
		}
		addr = netip.Addr{} // a proxy's own, and it stands for everybody behind it
	}
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor)
	for hops := 0; len(lines) > 0; lines = lines[:len(lines)-1] {
		for rest := lines[len(lines)-1]; len(rest) > 0; hops++ {
			var entry []byte
			entry, rest = cutLast(rest)
			addr = privacy.ParseAddr(bytes.TrimSpace(entry))
			if hops == maxHops {
				return netip.Addr{}, true
			}
			if !t.Trusts(addr) {
				return addr, true
			}
		}
	}
	return addr, true
}

// cutLast splits a comma-separated list before its last entry.
func cutLast(list []byte) (last, rest []byte) {
	if i := bytes.LastIndexByte(list, ','); i >= 0 {
		return list[i+1:], list[:i]
	}
	return list, nil
}

// Trusts reports whether a is the address of a proxy of ours.
func (t *Trusted) Trusts(a netip.Addr) bool {
	for _, prefix := range t.Networks {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// OverHTTPS reports whether the visitor's own connection was encrypted, in a trusted proxy's word. Of
// several values the last is the one that the nearest proxy wrote.
func OverHTTPS(ctx *fasthttp.RequestCtx, throughProxy bool) bool {
	if !throughProxy {
		return false
	}
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedProto)
	if len(lines) == 0 {
		return false
	}
	last, _ := cutLast(lines[len(lines)-1])
	return string(bytes.TrimSpace(last)) == "https"
}

// peer is the address of the socket's other end, without port and zone.
func peer(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(tcp.IP)
	return addr.Unmap()
}
