package privacy

import "beckon/internal/keyring"

// MeasureID is the id of lane measure: of everybody who on one day comes to one site from one network with
// one kind of browser, under the key of that site and day. It is an estimate of a visitor, and nothing
// leads from one day's or site's to another's. The key is only read.
func MeasureID(key *keyring.Key, from Network, with Agent) ID {
	var stack [128]byte // a network and three short words
	b := from.AppendTo(stack[:0])
	for _, word := range [...]string{with.Device.s, with.Browser.s, with.OS.s} {
		b = append(append(b, 0), word...)
	}
	return KeyedID(key, "measure", b)
}
