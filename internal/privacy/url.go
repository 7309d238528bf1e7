package privacy

import (
	"bytes"
)

const (
	maxPathBytes = 512     // of a stored path
	maxURLPath   = 2 << 10 // of a raw path that is looked at: an escape has three bytes for one
	maxHostBytes = 253     // RFC 1035
)

// Page is what is kept of a page's URL.
type Page struct {
	Path                     Path
	Source, Medium, Campaign Label // utm_source, utm_medium, utm_campaign
}

// ScrubURL returns what may be kept of the URL of a page: the path with its personal-looking segments
// replaced, and the three campaign values. Host, user, port, fragment and all other parameters are
// dropped. raw is an absolute http(s) URL, "//host/path", or an absolute path; anything else
// (javascript:, data:, mailto:, a bare word) gives an empty Page.
//
// The path comes back decoded, without ;parameters, at most 512 bytes of whole segments.
func ScrubURL(raw []byte) Page { return (*Scratch)(nil).URL(raw) }

// URL is ScrubURL.
func (s *Scratch) URL(raw []byte) Page {
	_, rest, ok := splitAuthority(raw)
	if !ok {
		return Page{}
	}
	if i := bytes.IndexByte(rest, '#'); i >= 0 {
		rest = rest[:i]
	}
	path, query, _ := bytes.Cut(rest, []byte("?"))
	page := Page{Path: s.path(path)}
	s.query(query, &page)
	return page
}

// splitAuthority cuts an absolute URL into authority and the rest; a path has no authority.
func splitAuthority(raw []byte) (authority, rest []byte, ok bool) {
	raw = bytes.TrimSpace(raw)
	if i := bytes.IndexByte(raw, ':'); i > 0 && isScheme(raw[:i]) {
		if !isWebScheme(raw[:i]) {
			return nil, nil, false
		}
		raw = raw[i+1:]
		if !bytes.HasPrefix(raw, []byte("//")) {
			return nil, nil, false
		}
	}
	if after, isAbsolute := bytes.CutPrefix(raw, []byte("//")); isAbsolute {
		end := 0
		for end < len(after) && !endsAuthority(after[end]) {
			end++
		}
		return after[:end], after[end:], true
	}
	return nil, raw, len(raw) > 0 && raw[0] == '/'
}

func endsAuthority(c byte) bool { return isSlash(c) || c == '?' || c == '#' }

// isSlash also knows the one that browsers take for a slash.
func isSlash(c byte) bool { return c == '/' || c == '\\' }

func isScheme(b []byte) bool {
	for _, c := range b {
		if !isWordByte(rune(c)) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// isWebScheme also knows the form in which Android names an app as a referrer.
func isWebScheme(b []byte) bool {
	return bytes.EqualFold(b, []byte("https")) || bytes.EqualFold(b, []byte("http")) || bytes.EqualFold(b, []byte("android-app"))
}

// path decodes, splits and scrubs. Decoding comes before splitting, so that an encoded slash,
// question mark or at sign hides nothing.
func (s *Scratch) path(raw []byte) Path {
	if len(raw) > maxURLPath {
		// The cut goes back to a whole segment: half of an e-mail address is not recognised as one.
		raw = raw[:max(bytes.LastIndexByte(raw[:maxURLPath], '/'), 0)]
	}
	var stack [maxURLPath]byte
	b := decode(append(stack[:0], raw...))
	b, _, _ = bytes.Cut(b, []byte("?"))
	b, _, _ = bytes.Cut(b, []byte("#"))
	var out [maxPathBytes]byte
	kept := out[:0]
	for len(b) > 0 {
		b = b[1:] // the slash that was found, or that the path begins with
		end := 0
		for end < len(b) && !isSlash(b[end]) {
			end++
		}
		segment, _, _ := bytes.Cut(b[:end], []byte(";")) // ;jsessionid=...
		segment = bytes.TrimSpace(segment)
		b = b[end:]
		if len(kept) == 0 && len(segment) == 0 && len(b) > 0 {
			continue // a path that begins with two slashes would read as a host
		}
		m := mask(segment)
		if len(kept)+1+max(len(segment), len(m)) > maxPathBytes {
			break
		}
		kept = append(kept, '/')
		if m != "" {
			kept = append(kept, m...)
		} else {
			kept = append(kept, segment...)
		}
	}
	if len(kept) == 0 {
		return Path{s: "/"}
	}
	return Path{s: s.text(kept)}
}

// query reads the campaign values; of a repeated key the first one that is not empty counts.
func (s *Scratch) query(query []byte, page *Page) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		key, value, _ := bytes.Cut(pair, []byte("="))
		var dst *Label
		switch string(key) {
		case "utm_source":
			dst = &page.Source
		case "utm_medium":
			dst = &page.Medium
		case "utm_campaign":
			dst = &page.Campaign
		default:
			continue
		}
		if dst.s == "" {
			*dst = s.campaign(value)
		}
	}
}

// campaign is scrubbed like a path, because mail tools write recipients into these values.
func (s *Scratch) campaign(value []byte) Label {
	if len(value) > 3*maxLabelBytes {
		return Label{}
	}
	var stack [3 * maxLabelBytes]byte
	b := append(stack[:0], value...)
	for i, c := range b {
		if c == '+' {
			b[i] = ' '
		}
	}
	b, ok := labelText(decode(b))
	if !ok {
		return Label{}
	}
	return s.label(b, mask(b))
}

// ScrubReferrer returns the host of a referrer: lower case, without user, port and path. It is empty when
// raw is no http(s) or android-app URL, when its host is an address or not a host name, and when it is
// own, the host of the page itself ("www." and the port make no difference). own may be a host, an
// origin or a URL.
//
// A name that looks personal (an id as a subdomain) is cut off together with all below it.
func ScrubReferrer(raw, own []byte) Host { return (*Scratch)(nil).Referrer(raw, own) }

// Referrer is ScrubReferrer.
func (s *Scratch) Referrer(raw, own []byte) Host {
	authority, _, ok := splitAuthority(raw)
	if !ok || len(authority) == 0 {
		return Host{}
	}
	var a, b [maxHostBytes]byte
	host := hostName(a[:0], authority)
	if len(host) == 0 {
		return Host{}
	}
	ownAuthority, _, ok := splitAuthority(own)
	if !ok || len(ownAuthority) == 0 {
		ownAuthority = own
	}
	if bytes.Equal(withoutWWW(host), withoutWWW(hostName(b[:0], ownAuthority))) {
		return Host{}
	}
	return Host{s: s.text(publicPart(host))}
}

func withoutWWW(host []byte) []byte { return bytes.TrimPrefix(host, []byte("www.")) }

// hostName appends the host of an authority to dst in lower case; nothing when it is no host name.
func hostName(dst, authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	authority, _, _ = bytes.Cut(authority, colon) // an address in brackets is cut to "[", which is no name
	authority = bytes.TrimSuffix(authority, []byte("."))
	if len(authority) == 0 || len(authority) > maxHostBytes {
		return nil
	}
	for i, c := range authority {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !isWordByte(rune(c)) && c != '-' && c != '_' && (c != '.' || i == 0 || authority[i-1] == '.') {
			return nil
		}
		dst = append(dst, c)
	}
	last := dst[bytes.LastIndexByte(dst, '.')+1:]
	if len(last) == 0 || last[0] >= '0' && last[0] <= '9' {
		return nil // a name that ends in a number is an address, in one of its many spellings
	}
	return dst
}

// publicPart cuts host after its last label that looks personal or is a bare number (a part of an
// address). What is then left is a parent domain; a host that would be left with less than two labels is
// dropped.
func publicPart(host []byte) []byte {
	for rest := host; ; {
		label, after, more := bytes.Cut(rest, []byte("."))
		if mask(label) != "" || len(bytes.Trim(label, "0123456789")) == 0 {
			if bytes.IndexByte(after, '.') < 0 {
				return nil
			}
			host = after
		}
		if !more {
			return host
		}
		rest = after
	}
}
