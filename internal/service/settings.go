package service

import (
	"net"
	"regexp"
	"strings"
)

// IsLoopback reports whether only this machine can reach addr.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsDatabase reports whether name may stand in SQL as the name of a database, without quotes.
func IsDatabase(name string) bool { return identifier.MatchString(name) }

// IsPathPrefix reports whether prefix is none, or a path such as /px.
func IsPathPrefix(prefix string) bool {
	return prefix == "" || strings.HasPrefix(prefix, "/") && !strings.HasSuffix(prefix, "/")
}
