// Package daykey is about the keys of lane measure: a random one for each site and UTC day, under which a
// visitor without a cookie gets an id that means nothing outside that day and site.
//
//	volatile folder, 0700            memory of each collector
//	  demo.2026-11-27.key  0600  -->   Site: yesterday, today, tomorrow  --Key--> privacy.MeasureID
//	  shop.2026-11-27.key  0600        (atomic words, read without a lock)
//
// Promises. A key is random and derived from nothing, so no other secret leads to it. It exists from ten
// minutes before its day until 48 hours after the day began, which is as long as an event of that day may
// still arrive; then its file is overwritten and removed and its memory is overwritten. A key that is gone
// does not come back. The folder is the truth: collectors that share it agree within a second, also on
// a key that somebody removed. Whoever comes first makes a day's key, whole or not at all; nobody makes one for
// a day that is over. A file that is damaged, or of another site or day, is refused and never replaced. With
// Config.From no key is made here: it is fetched from another host. Whoever asks for a key that is not there
// is told so at once.
//
// It does not promise that a swapped page, a core dump, a snapshot of a running machine or a folder on a disk
// forgets: put the folder on a tmpfs; Open warns when it is not on one.
//
// Place in the path: collector/ingest asks for a key per request, before the spool. The aggregator has no use for
// these keys, and they never stand in the keyring: a backup of that cannot hold them.
//
//	daykey.go  the keys in memory
//	turn.go    what is made, read and destroyed when
//	folder.go  the files
//	peer.go    fetching them from another host
//	default.go where the folder is when nobody said
package daykey
