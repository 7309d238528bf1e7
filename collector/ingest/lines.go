package ingest

import (
	"bytes"
	"encoding/binary"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fastjson"

	"beckon/internal/event"
	"beckon/internal/privacy"
	"beckon/internal/suppress"
)

// MaxLineBytes bounds a line of old events, as a body is bounded.
const MaxLineBytes = event.MaxBodyBytes

// A line of old events passes these in order. Its time comes before its id, which is made of it.
var lineChecks = []check{knownSite, knownVisitor, knownKind, goodValues, goodOrigin, saysWhen, inTime, lastingID}

// Lines turns what a shop kept of its past into records: one event a line, as it would stand in a batch, with
// the site ("s") and a choice ("c") beside it. Its names are those of a system that is gone, so visitor and
// session are any words that mean the same thing in every line. It passes the same privacy step as what a
// browser sends. It is not safe for concurrent use.
type Lines struct {
	server *Server
	site   []byte
	r      request
}

// Old is an event of a line. Site is there as soon as it is known, also when the event is refused.
type Old struct {
	Site       string
	ID         event.UUID // the same whenever the same line of the same file is read
	OccurredAt int64      // Unix milliseconds
	Record     []byte     // good until the next Read
}

// oldWords are what a line says of its visitor. Slices belong to the parser, or to the line.
type oldWords struct {
	line                              []byte
	number                            int
	visitor, session, country, device []byte
}

// NewLines returns a reader of lines. Of c it takes Sites, Keys, Suppressed, Now and Log. Lines that name no
// site are of the one given, which may be "".
func NewLines(c Config, site string) (*Lines, error) {
	c.Registerer = prometheus.NewRegistry() // nobody asks for the numbers of a server that serves nobody
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	return &Lines{server: s, site: []byte(site)}, nil
}

// Read reads the line with that number, or says why it cannot be taken. It may change the bytes of the line.
func (l *Lines) Read(number int, line []byte) (Old, Reason) {
	r := &l.r
	r.reset()
	r.source, r.received, r.sentAt, r.chosenAt = event.SourceImport, l.server.config.Now().UnixMilli(), -1, -1
	r.old = oldWords{line: line, number: number}
	r.siteID = l.site
	if reason := r.readLine(line); reason != Taken {
		return Old{}, reason
	}
	r.raw = &r.raws[0]
	r.event.Reset()
	reason := Taken
	for _, check := range lineChecks {
		if reason = check(l.server, r); reason != Taken {
			break
		}
	}
	var old Old
	if r.tenant != nil {
		old.Site = r.tenant.site.ID
	}
	if reason != Taken {
		return old, reason
	}
	e, v := &r.event, &r.visitor
	e.Source, e.Lane, e.Cause = r.source, v.lane, v.cause
	e.Visitor, e.Session = v.id, v.session
	r.tenant.stamp(e, r.received)
	r.record = e.AppendTo(r.record[:0])
	old.ID, old.OccurredAt, old.Record = e.ID, e.OccurredAt, r.record
	return old, Taken
}

// readLine reads a line into r.
func (r *request) readLine(line []byte) Reason {
	if len(line) > MaxLineBytes {
		return TooLarge
	}
	o := r.readObject(line)
	if o == nil {
		return Malformed
	}
	r.raws = append(r.raws, r.readEvent(o))
	raw, ok := &r.raws[0], true
	var choice *fastjson.Value
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "s":
			ok = ok && text(v, &r.siteID)
		case "c":
			choice = v
		case "visitor":
			raw.sound = raw.sound && r.word(v, &r.old.visitor)
		case "session":
			raw.sound = raw.sound && r.word(v, &r.old.session)
		case "country":
			raw.sound = raw.sound && text(v, &r.old.country)
		case "device":
			raw.sound = raw.sound && text(v, &r.old.device)
		}
	})
	if !ok || !r.readChoice(choice) {
		return Malformed
	}
	return Taken
}

// word reads a name of the old system: many count their visitors.
func (r *request) word(v *fastjson.Value, dst *[]byte) bool {
	if absent(v) {
		return true
	}
	word, ok := r.written(v)
	*dst = bytes.Clone(word) // the next number is written over it
	return ok && len(word) <= event.MaxStringBytes
}

// knownVisitor is the privacy step of a line. The keys of the visitors' cookies have nothing to do with it: an
// id is made with the key that never changes, so that the same word is the same visitor for as long as there is
// the site. Whoever said no since is nobody, whatever they had agreed to before.
func knownVisitor(s *Server, r *request) Reason {
	v, keys := &r.visitor, r.tenant.keys
	v.country = privacy.CountryOf(r.old.country)
	id := privacy.KeyedID(&keys.Order, "import visitor", r.old.visitor)
	signals := privacy.Signals{Country: v.country.String()}
	if r.chosen {
		signals.Choice = &r.choice
	}
	if !id.IsZero() {
		if cause, _ := s.config.Suppressed.Find(suppress.KeyOf(keys, id)); cause != privacy.CauseNone {
			signals.Revoked, signals.Choice = cause, nil
		}
	}
	if v.lane, v.cause = privacy.Choose(r.tenant.site.Consent, signals); v.lane != privacy.LaneDecide {
		return Taken // in lane measure too: the keys of its days are gone
	}
	v.id = id
	if len(r.old.session) > 0 { // two visitors' sessions may be called alike
		whole := binary.BigEndian.AppendUint16(nil, uint16(len(r.old.visitor)))
		v.session = privacy.KeyedID(&keys.Order, "import session", append(append(whole, r.old.visitor...), r.old.session...))
	}
	return Taken
}

func goodOrigin(_ *Server, r *request) Reason {
	e, ok := &r.event, true
	e.Country = r.visitor.country
	if len(r.old.country) > 0 && e.Country == (privacy.Bucket{}) {
		return BadValue
	}
	if len(r.old.device) > 0 {
		e.Device, ok = privacy.DeviceOf(r.old.device)
	}
	if !ok {
		return BadValue
	}
	return Taken
}

// saysWhen wants a time: to have happened just now is nothing for history.
func saysWhen(_ *Server, r *request) Reason {
	if r.raw.at < 0 {
		return BadValue
	}
	return Taken
}

// lastingID takes a UUID as it is and makes one of any other name, or, without a name, of the line itself and of
// where it stands. The same file so gives the same ids however often it is read.
func lastingID(_ *Server, r *request) Reason {
	id, e := r.raw.id, &r.event
	purpose := "import event"
	switch {
	case !r.raw.hasID:
		id, purpose = binary.BigEndian.AppendUint64(bytes.Clone(r.old.line), uint64(r.old.number)), "import line"
	case len(id) == 0 || len(id) > event.MaxStringBytes:
		return BadID
	default:
		if u, ok := event.ParseUUID(id); ok {
			e.ID = u
			return Taken
		}
	}
	e.ID = event.NamedUUID(e.OccurredAt, privacy.KeyedID(&r.tenant.keys.Order, purpose, id).Bytes())
	return Taken
}
