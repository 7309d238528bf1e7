package decision

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"

	"beckon/aggregator/feature"
)

// Explanation is a verdict step by step, with what it was reached from: for the shop that asks with its key, for
// `beckon-aggregator explain`, and for the demo shop's panel.
type Explanation struct {
	Site     string         `json:"site"`
	Visitor  string         `json:"visitor"`
	Session  string         `json:"session"`
	Lane     string         `json:"lane"`
	Cause    string         `json:"cause"`
	Features map[string]any `json:"features"`
	Eligible bool           `json:"eligible"`
	Offer    *string        `json:"offer"` // the winner, also when it is held back
	Arm      *string        `json:"arm"`
	Rule     *string        `json:"rule"`
	Reason   string         `json:"reason"`
	Gates    []Gate         `json:"gates"`
	FreshAt  *string        `json:"fresh_at"`
}

// DevVisitor is the admin route /dev/visitor?site=: it explains the verdict for the visitor whose
// Cookie header is forwarded, without serving anything. Development only: main refuses it on an
// address that is not loopback.
func (s *Server) DevVisitor() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		program := s.Program()
		st := program.File().Site(r.URL.Query().Get("site"))
		if st == nil {
			http.Error(w, unknownSite.reason, http.StatusNotFound)
			return
		}
		var ctx fasthttp.RequestCtx // the same reading of the same headers as a decision
		for name, values := range r.Header {
			for _, value := range values {
				ctx.Request.Header.Add(name, value)
			}
		}
		a, refused := s.identify(&ctx, program, st, bearer(&ctx.Request.Header))
		if refused != nil {
			http.Error(w, refused.reason, refused.status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err := json.NewEncoder(w).Encode(s.explain(a)); err != nil {
			s.Log.Warn("visitor not shown", "error", err)
		}
	})
}

// Explain explains the verdict for the holder of a visitor cookie, as a browser without any signal or bot's word
// would get it. It is false when there is no such site.
func (s *Server) Explain(siteID string, visitorCookie []byte) (out Explanation, ok bool) {
	program := s.Program()
	st := program.File().Site(siteID)
	if st == nil {
		return out, false
	}
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetBytesV("Beckon-Visitor", visitorCookie)
	a, refused := s.who(&ctx, asker{program: program, site: st, byKey: true})
	if refused != nil {
		return out, false
	}
	return s.explain(a), true
}

// explain reaches the verdict for a, step by step, and leaves no trace of having done so.
func (s *Server) explain(a asker) Explanation {
	out := Explanation{Site: a.site.ID, Lane: a.lane.String(), Cause: a.cause.String(), Features: map[string]any{}}
	ans := s.prepare(a)
	if a.known {
		out.Visitor, out.Session = shorten(a.visitor.Hex()), shorten(a.session.Hex())
	}
	v := ans.explained()
	out.Reason, out.FreshAt = v.Reason.String(), instant(ans.freshAt)
	out.Eligible, out.Rule, out.Arm = v.Eligible, textOrNull(v.Rule), textOrNull(string(v.Arm))
	if v.Offer != nil {
		out.Offer = &v.Offer.ID
	}
	out.Gates = gatesOf(&v)
	if ans.profile != nil {
		for i := range feature.All {
			out.Features[feature.All[i].Name] = feature.All[i].Get(&ans.values)
		}
	}
	return out
}

// shorten shows enough of an id to tell two apart.
func shorten(id string) string { return strings.ToLower(id[:16]) }
