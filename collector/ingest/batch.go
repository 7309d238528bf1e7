package ingest

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"beckon/internal/event"
	"beckon/internal/spool"
)

func (s *Server) serveBatch(ctx *fasthttp.RequestCtx) Reason {
	r := s.acquire(ctx)
	r.parse, r.source = parseBatch, event.SourceBeacon
	reason := s.take(r)
	if reason == Taken {
		r.answerBatch()
		if r.sent == 0 {
			s.note(r)
		}
	}
	s.release(r)
	return reason
}

func (s *Server) servePixel(ctx *fasthttp.RequestCtx) Reason {
	if ctx.IsHead() { // asks what a pixel is like; nobody looked at a page
		ctx.SetContentType("image/gif")
		ctx.Response.SetBodyRaw(gif)
		return Taken
	}
	r := s.acquire(ctx)
	r.parse, r.source = parsePixel, event.SourcePixel
	reason := s.take(r)
	if reason == Taken {
		r.answerPixel()
	}
	s.release(r)
	return reason
}

// take judges a request and its events and makes what is left durable. When it returns Taken, every event
// is on disk or dropped for a reason that the reply will name; otherwise none of them is stored.
func (s *Server) take(r *request) Reason {
	if reason := s.check(r); reason != Taken {
		return reason
	}
	s.meet(r)
	for i := range r.raws {
		if reason := s.judge(r, i); reason != Taken {
			if r.source == event.SourcePixel {
				r.tenant.outcomes[reason].Inc()
				if len(r.withdrawn) > 0 { // a wish for privacy counts, whatever came with it
					if failed := s.store(r); failed != Taken {
						return failed // and the cookie stays, to say it again
					}
				}
				if r.visitor.expire {
					r.visitor.cookies.Expire(&r.ctx.Response.Header)
				}
				return reason // a pixel has no body that could say it
			}
			r.drop(i, reason)
		}
	}
	if reason := s.store(r); reason != Taken {
		return reason
	}
	r.tell(time.UnixMilli(r.received))
	return Taken
}

// check passes a request through its checks.
func (s *Server) check(r *request) Reason {
	for _, check := range r.checks {
		if reason := check(s, r); reason != Taken {
			return reason
		}
	}
	return Taken
}

// judge turns one raw event into a record, or says why not.
func (s *Server) judge(r *request, i int) Reason {
	r.raw = &r.raws[i]
	e := &r.event
	e.Reset()
	for _, check := range eventChecks {
		if reason := check(s, r); reason != Taken {
			return reason
		}
	}
	e.Source = r.source
	r.visitor.describe(e, r.tenant.days)
	r.tenant.stamp(e, r.received)
	fingerprint := uint64(0)
	if r.raw.hasID { // an id of our own making was never seen before, and nobody can repeat it
		fingerprint = r.fingerprint(r.identity(e.ID))
	}
	r.add(i, fingerprint)
	return Taken
}

// store makes the records durable, all or none, together with the ledger's lines about the dropped ones:
// they were accepted too, and the ledger has to close. A no is kept first,
// whatever else fails: events that were stored before one that cannot be kept would be refused, and come again.
func (s *Server) store(r *request) Reason {
	rows := len(r.withdrawn) // each has one, in front of the events
	if rows > 0 {
		reason := s.append(r.entries[:rows], nil)
		if reason = max(reason, s.keepWithdrawals(r.withdrawn)); reason != Taken {
			return reason
		}
	}
	for _, d := range r.dropped {
		r.counts = append(r.counts,
			spool.Count{Site: r.tenant.site.ID, Reason: spool.ReasonAccepted, N: 1},
			spool.Count{Site: r.tenant.site.ID, Reason: d.reason.Ledger(), N: 1})
	}
	if reason := s.append(r.entries[rows:], r.counts); reason != Taken {
		return reason
	}
	stored := 0
	for i, e := range r.entries {
		switch {
		case r.position[i] == ofConsent:
		case e.Duplicate:
			r.drop(r.position[i], Duplicate)
		default:
			stored++
		}
	}
	r.tenant.outcomes[Taken].Add(float64(stored))
	for _, d := range r.dropped {
		r.tenant.outcomes[d.reason].Inc()
	}
	slices.SortFunc(r.dropped, func(a, b drop) int { return cmp.Compare(a.position, b.position) })
	return Taken
}

func (s *Server) append(entries []spool.Entry, counts []spool.Count) Reason {
	if len(entries)+len(counts) == 0 {
		return Taken
	}
	err := s.config.Spool.Append(entries, counts)
	switch {
	case err == nil:
		return Taken
	case errors.Is(err, spool.ErrFull):
		return SpoolFull
	case errors.Is(err, spool.ErrClosed), errors.Is(err, spool.ErrFailed):
		return ShuttingDown
	}
	s.fault("append to spool", err)
	return Internal
}

var laneHeader = []byte("Beckon-Lane") // spelled as fasthttp would

// tell adds to the reply what it says of the visitor: the lane, the cookie, and why events were dropped.
func (r *request) tell(now time.Time) {
	h, v := &r.ctx.Response.Header, &r.visitor
	r.reply = append(append(append(r.reply[:0], v.lane.String()...), "; "...), v.cause.String()...)
	h.SetCanonical(laneHeader, r.reply)
	switch {
	case v.send && (r.sent > 0 || r.chosen): // who has nothing to say needs no cookie
		v.cookies.SetVisit(h, v.visit, r.tenant.keys, now)
	case v.expire:
		v.cookies.Expire(h)
	}
	if len(r.dropped) > 0 {
		r.reply = appendReasons(r.reply[:0], r.dropped)
		h.SetBytesV(reasonHeader, r.reply)
	}
}

// appendReasons lists each reason once, in the order in which they first came up.
func appendReasons(dst []byte, dropped []drop) []byte {
	var seen [reasonCount]bool
	for _, d := range dropped {
		if seen[d.reason] {
			continue
		}
		seen[d.reason] = true
		if len(dst) > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, d.reason.String()...)
	}
	return dst
}

func (r *request) answerPixel() {
	r.ctx.SetContentType("image/gif")
	r.ctx.Response.SetBodyRaw(gif)
}

// answerBatch says 204, or lists what was dropped.
func (r *request) answerBatch() {
	if len(r.dropped) == 0 {
		r.ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	b := append(r.reply[:0], `{"accepted":`...)
	b = strconv.AppendInt(b, int64(len(r.raws)-len(r.dropped)), 10)
	b = append(b, `,"dropped":[`...)
	for i, d := range r.dropped {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"at":`...)
		b = strconv.AppendInt(b, int64(d.position), 10)
		b = append(b, `,"i":`...)
		b = appendID(b, r.raws[d.position].id)
		b = append(b, `,"reason":"`...)
		b = append(b, d.reason.String()...)
		b = append(b, `"}`...)
	}
	r.reply = append(b, "]}\n"...)
	r.ctx.SetContentType("application/json")
	r.ctx.SetBody(r.reply)
}

// appendID gives a sender's id back when it is one. Other text is not repeated: its place in the batch
// names it.
func appendID(dst, id []byte) []byte {
	if _, ok := event.ParseUUID(id); !ok {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = append(dst, id...)
	return append(dst, '"')
}
