package ingest

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/spool"
	"beckon/internal/suppress"
)

// request is one request that brings events, from its first byte to the reply. It is the only place
// where raw values stand: its byte slices belong to fasthttp or to the parser, and nothing leaves it
// but what package privacy made of them. It is used again and again: see reset.
type request struct {
	ctx      *fasthttp.RequestCtx
	checks   []check
	parse    func(*request) Reason
	source   event.Source
	received int64         // Unix milliseconds
	since    time.Duration // the same moment, for the limits

	addr         netip.Addr // of the client
	throughProxy bool

	cookieless bool // cookies of this request name nobody, and the reply sets none

	// As the sender spelled it.
	siteID   []byte
	linkText []byte // "k"
	sentAt   int64  // "z", -1 when absent
	driven   bool   // "w": the browser says that a program drives it
	chosen   bool   // an explicit choice came along
	choice   privacy.Choice
	chosenAt int64      // "at" of the choice, -1 when absent
	landing  landing    // "u" and "r" of the choice
	sent     int        // how many events, before any limit
	raws     []rawEvent // at most event.MaxBatchEvents
	old      oldWords   // of a line of old events

	// What it turned out to be.
	tenant  *tenant
	visitor visitor

	// The event in hand, and what became of the others.
	raw       *rawEvent
	event     event.Event
	entries   []spool.Entry
	position  []int // of each entry in the batch; ofConsent for what we made ourselves
	dropped   []drop
	withdrawn []suppress.Entry // visitors who said no with this request
	counts    []spool.Count

	// Memory kept from one request to the next.
	texts  privacy.Scratch // of event, choice and visitor
	parser fastjson.Parser
	keys   [][]byte
	number []byte
	block  [16]byte
	record []byte
	reply  []byte
}

// rawEvent is one event as the sender spelled it. Slices belong to the request.
type rawEvent struct {
	kind, id, url, referrer []byte
	hasID                   bool
	at                      int64 // "t", -1 when absent
	props                   *fastjson.Object
	sound                   bool // no value was of a wrong JSON type
}

// landing is the page on which the page load began in which the choice was made, as the sender spelled it.
type landing struct{ url, referrer []byte }

// drop is an event that is not stored, by its position in the batch.
type drop struct {
	position int
	reason   Reason
}

const ofConsent = -1

func (s *Server) acquire(ctx *fasthttp.RequestCtx) *request {
	r := s.requests.Get().(*request)
	r.ctx, r.checks = ctx, requestChecks
	now := s.config.Now()
	r.received, r.since = now.UnixMilli(), now.Sub(s.started)
	r.addr, r.throughProxy = s.config.Proxies.Client(ctx)
	r.sentAt, r.chosenAt = -1, -1
	return r
}

// release takes r back. A request that panicked is not given back: nobody knows its state.
func (s *Server) release(r *request) {
	r.reset()
	s.requests.Put(r)
}

// reset drops what is known of the sender and keeps the memory: buffers hold their old bytes until the
// next request writes over them, and nothing reads those.
func (r *request) reset() {
	r.event.Reset()
	clear(r.raws)
	clear(r.entries)
	r.texts.Reset()
	*r = request{
		event: r.event, parser: r.parser, texts: r.texts,
		raws: r.raws[:0], keys: r.keys[:0], entries: r.entries[:0], position: r.position[:0],
		dropped: r.dropped[:0], counts: r.counts[:0], withdrawn: r.withdrawn[:0],
		number: r.number[:0], record: r.record[:0], reply: r.reply[:0],
	}
}

// add turns r.event into a record that waits for the spool. Earlier records stay good when the
// buffer moves: their entries keep the old one alive.
func (r *request) add(position int, fingerprint uint64) {
	start := len(r.record)
	r.record = r.event.AppendTo(r.record)
	r.entries = append(r.entries, spool.Entry{
		Site: r.tenant.site.ID, Fingerprint: fingerprint, Payload: r.record[start:],
	})
	r.position = append(r.position, position)
}

// trusted reports whether the sender is the shop itself, speaking of today or of its past.
func (r *request) trusted() bool {
	return r.source == event.SourceServer || r.source == event.SourceImport
}

// identity is what makes an event one and the same: its id, and whether the shop says it or a browser. A
// browser must not keep the shop's word out by sending its id first. (The changed bit is of the version, which
// is 7 in every id that is taken.)
func (r *request) identity(id event.UUID) [16]byte {
	if r.trusted() {
		id[6] ^= 0x10
	}
	return id
}

// fingerprint is how the spool knows an id again: a keyed permutation of it, cut to 63 bits, so that nobody
// can choose two ids that collide, and the spool's files tell nothing of ids. It is never zero, which would
// mean "never a duplicate".
func (r *request) fingerprint(id [16]byte) uint64 {
	r.block = id
	r.tenant.fingerprints.Encrypt(r.block[:], r.block[:])
	return binary.LittleEndian.Uint64(r.block[:]) | 1<<63
}

// drop notes that the event at position is not stored.
func (r *request) drop(position int, reason Reason) {
	r.dropped = append(r.dropped, drop{position, reason})
}
