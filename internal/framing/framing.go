// Package framing is about where a request begins and ends, for both services alike: how much is read of it,
// for how long, and whether everybody in front of us reads it as we do. A proxy and we must see the same
// requests in the same bytes: where the two differ, one visitor's request could carry another one, which the
// proxy took for a part of it.
//
// NewServer holds every limit of a connection, and names what was no request (Fault); Plain is asked first for
// each one that was.
//
// fasthttp refuses most of what can be read in two ways (docs/adr/0007-fasthttp.md); these are the rest.
// One thing it hides from us: a request line that ends with a bare LF. RFC 9112 lets a reader take that for
// its end, and whoever does not has no version to read there, and refuses it.
package framing

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

var transferEncoding = []byte("Transfer-Encoding:")

// Plain reports whether the header of a request can be read in one way only: HTTP/1.0 or 1.1, each line
// ended by CR LF, none continued on the next one, and no coding but chunked. What follows a chunked body
// is not trusted either: the connection has to end with the reply, as it has to when ok is false.
func Plain(h *fasthttp.RequestHeader) (ok, chunked bool) {
	if p := h.Protocol(); string(p) != "HTTP/1.1" && string(p) != "HTTP/1.0" {
		return false, false
	}
	for lines := h.RawHeaders(); len(lines) > 0; {
		end := bytes.IndexByte(lines, '\n')
		if end < 1 || lines[end-1] != '\r' || lines[0] == ' ' || lines[0] == '\t' {
			return false, false
		}
		if lines[0]|0x20 == 't' && end > len(transferEncoding) && bytes.EqualFold(lines[:len(transferEncoding)], transferEncoding) {
			// fasthttp refuses what it does not know, but it knows identity, which nobody else does any more.
			if chunked = true; !bytes.EqualFold(bytes.TrimSpace(lines[len(transferEncoding):end]), []byte("chunked")) {
				return false, true
			}
		}
		lines = lines[end+1:]
	}
	return true, chunked
}
