package doctor

import (
	"net/url"
	"strings"
)

// matchesAny reports whether a list of sources allows an address, seen from a page at self.
func matchesAny(sources []string, u, self *url.URL) bool {
	for _, source := range sources {
		if matches(source, u, self) {
			return true
		}
	}
	return false
}

// matches is "Does url match expression in origin with redirect count?" of CSP3, without redirects.
func matches(source string, u, self *url.URL) bool {
	switch {
	case source == "*":
		return u.Scheme == "http" || u.Scheme == "https" || u.Scheme == self.Scheme
	case strings.EqualFold(source, "'self'"):
		same := strings.EqualFold(u.Hostname(), self.Hostname())
		upgraded := self.Scheme == "http" && u.Scheme == "https" && port(self) == "80" && port(u) == "443"
		return same && (u.Scheme == self.Scheme && port(u) == port(self) || upgraded)
	}
	if scheme, rest, ok := strings.Cut(source, ":"); ok && rest == "" {
		return schemeFits(scheme, u.Scheme)
	}
	return matchesHost(source, u, self) // other keywords, nonces and hashes are no hosts
}

// matchesHost reads a source of the form [scheme://]host[:port][/path].
func matchesHost(source string, u, self *url.URL) bool {
	scheme, rest, ok := strings.Cut(source, "://")
	if !ok {
		scheme, rest = self.Scheme, source
	}
	if !schemeFits(scheme, u.Scheme) {
		return false
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	host, wantPort := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, wantPort = authority[:i], authority[i+1:]
	}
	if !hostFits(host, u.Hostname()) || !portFits(wantPort, u) {
		return false
	}
	return !hasPath || path == "" || pathFits("/"+path, u.EscapedPath())
}

// schemeFits: a source also allows the safer scheme.
func schemeFits(want, got string) bool {
	want, got = strings.ToLower(want), strings.ToLower(got)
	return want == got || want == "http" && got == "https" || want == "ws" && (got == "wss" || got == "http" || got == "https") || want == "wss" && got == "https"
}

func hostFits(want, got string) bool {
	want, got = strings.ToLower(strings.Trim(want, "[]")), strings.ToLower(got)
	if rest, wild := strings.CutPrefix(want, "*"); wild {
		return rest == "" || strings.HasPrefix(rest, ".") && strings.HasSuffix(got, rest) && len(got) > len(rest)
	}
	return want != "" && want == got
}

func portFits(want string, u *url.URL) bool {
	switch want {
	case "*":
		return true
	case "":
		return port(u) == defaultPort(u.Scheme)
	}
	return want == port(u) || want == "80" && port(u) == "443" && u.Scheme == "https"
}

func pathFits(want, got string) bool {
	if decoded, err := url.PathUnescape(want); err == nil {
		want = decoded
	}
	if decoded, err := url.PathUnescape(got); err == nil {
		got = decoded
	}
	if strings.HasSuffix(want, "/") {
		return strings.HasPrefix(got, want)
	}
	return want == got
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return defaultPort(u.Scheme)
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// originOf is the origin of an address, as browsers write it.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" && p != defaultPort(u.Scheme) {
		host += ":" + p
	}
	return strings.ToLower(u.Scheme) + "://" + host
}
