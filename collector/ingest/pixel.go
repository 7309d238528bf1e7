package ingest

import (
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"beckon/internal/privacy"
)

// gif is the smallest transparent GIF that every browser draws: 43 bytes, one pixel.
var gif = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b")

// pixelSource is the "src" of a choice that came in a pixel's query.
var pixelSource = privacy.NewLabel([]byte("pixel"))

// parsePixel reads the query of GET /p.gif. A name that comes twice is refused, as in a batch.
func parsePixel(r *request) Reason {
	raw := rawEvent{at: -1, sound: true}
	seen, twice := pixelName(0), false
	var lane []byte
	for key, value := range r.ctx.QueryArgs().All() {
		name := pixelNames[string(key)]
		twice = twice || seen&name != 0
		seen |= name
		if name != 0 && !utf8.Valid(value) {
			return Malformed
		}
		switch name {
		case nameSite:
			r.siteID = value
		case nameKind:
			raw.kind = value
		case nameID:
			raw.id, raw.hasID = value, true
		case nameTime:
			raw.at, raw.sound = digits(value, maxMillis)
		case nameURL:
			raw.url = value
		case nameReferrer:
			raw.referrer = value
		case nameLane:
			lane = value
		}
	}
	if twice {
		return Malformed
	}
	if seen&nameLane != 0 && !r.chooseLane(lane) {
		return Malformed
	}
	r.chosen = r.chosen && fromPage(&r.ctx.Request.Header)
	if seen&nameURL == 0 {
		raw.url = wholeParts(r.ctx.Request.Header.Peek(fasthttp.HeaderReferer)) // the browser's, so cut, not refused
	}
	r.sent = 1
	r.raws = append(r.raws, raw)
	return Taken
}

// fromPage reports whether a request may have come from a page of the shop: a choice in a link that
// somebody is led to, or in a picture on somebody else's page, is not the visitor's. Browsers that do
// not say where a request comes from get the benefit of the doubt.
func fromPage(h *fasthttp.RequestHeader) bool {
	return string(h.Peek("Sec-Fetch-Mode")) != "navigate" && string(h.Peek("Sec-Fetch-Site")) != "cross-site"
}

// chooseLane reads "c" of a pixel, which can only name a lane.
func (r *request) chooseLane(name []byte) bool {
	lane, ok := privacy.ParseLane(string(name))
	r.choice.Decide = lane == privacy.LaneDecide
	r.choice.Measure = lane >= privacy.LaneMeasure
	r.choice.Source = pixelSource
	r.chosen, r.chosenAt = ok, -1
	return ok
}

// pixelName is one bit for each name in a pixel's query.
type pixelName uint8

const (
	nameSite pixelName = 1 << iota
	nameKind
	nameID
	nameTime
	nameURL
	nameReferrer
	nameLane
)

var pixelNames = map[string]pixelName{
	"s": nameSite, "n": nameKind, "i": nameID, "t": nameTime, "u": nameURL, "r": nameReferrer, "c": nameLane,
}
