package service

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen takes the public and the private port of a service. The error names the flags, --listen and
// --admin, of those that it could not take.
func Listen(listen, admin string) (public, private net.Listener, err error) {
	public, publicErr := take(listen)
	private, privateErr := take(admin)
	if publicErr == nil && privateErr == nil {
		return public, private, nil
	}
	for _, ln := range []net.Listener{public, private} {
		if ln != nil {
			ln.Close()
		}
	}
	return nil, nil, errors.Join(portFault("--listen", publicErr), portFault("--admin", privateErr))
}

func take(addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("%q is no address: write host:port, such as 127.0.0.1:8080", addr)
	}
	return net.Listen("tcp", addr)
}

func portFault(flag string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: stop what holds the port, or name another", flag, err)
	}
	return fmt.Errorf("%s: %w", flag, err)
}
