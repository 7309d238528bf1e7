package limit

import (
	"net/netip"
	"strconv"
	"time"
)

// ClientKey is the key of a client in a Table: the full address, or the /64 of IPv6, because everybody is given as
// many addresses as that.
func ClientKey(a netip.Addr) (key [16]byte) {
	key = a.As16()
	if !a.Is4() {
		clear(key[8:])
	}
	return key
}

// NetworkKey is the key of a client's network: what privacy.Truncate leaves of the address.
func NetworkKey(a netip.Addr) (key [16]byte) {
	key = a.As16()
	if a.Is4() {
		key[15] = 0
	} else {
		clear(key[5:])
	}
	return key
}

// RetryAfter is a wait as the header of that name tells it: in whole seconds, rounded up.
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}
