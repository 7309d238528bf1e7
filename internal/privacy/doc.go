// Package privacy is about what may outlive a request. It takes the raw facts of one request (address,
// URL, user agent, cookie, what the shop's page says) and gives back reduced values: networks, paths,
// host names, buckets, labels and keyed ids.
//
// Promises. Everything durable is made of the types in types.go, and only this package fills them, so
// a raw value has no field to be put in. No function here turns arbitrary text into a Path, Host or
// Network unchanged. What cannot be understood becomes empty, never the raw text. Results are copies, of
// their own or in the request's Scratch: no part of a request's buffer stays referenced. No input makes anything here panic. Nothing is
// logged, and no error names a value that a visitor sent.
//
// It does not promise to recognise a person's name in a path, or an identity that a shop hides on
// purpose. A keyed id is pseudonymous, not anonymous: whoever holds the key and the cookie can make it
// again.
//
// Place in the path: collector/ingest calls it on every request, before the spool; the aggregator uses
// its cookies and ids to know who asks.
//
//	truncate.go  address        -> Network (IPv4 /24, IPv6 /40)
//	url.go       page, referrer -> Path, Host, campaign Labels
//	scrub.go     one segment    -> kept, or [email], [number], [token]
//	label.go     shop's words   -> Label, Bucket
//	agent.go     user agent     -> device, browser, os (browser.go), corrected by hints (hints.go)
//	bot.go       user agent     -> why it is a program's, by its own words and by the list of crawlers.go
//	scratch.go   where the texts of one request are kept
//	geo.go       Network        -> country, region
//	hash.go      value          -> ID; signed values
//	consent.go   signals        -> Lane and Cause
//	visit.go     the visitor cookie, with the session in it
//	link.go      the link token: a visit for writing only
package privacy
