package decision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/valyala/fasthttp"

	"beckon/aggregator/eligibility"
	"beckon/internal/cors"
	"beckon/internal/site"
)

// OFREP, OpenFeature's protocol for remote evaluation, version 0.3: each offer of a site is a flag, whose value
// is the offer while the visitor is given it, and absent otherwise. At most one flag is on at a time.
//
// The targeting key of the context is never looked at: whoever asks is known by cookie or server key, as in
// GET /v1/decision, and the same decision is behind both.
const (
	ofrepPath = "/ofrep/v1/evaluate/flags"

	ofrepMethods = "POST"
	ofrepHeaders = "Content-Type, If-None-Match, Authorization, X-API-Key, Beckon-Visitor"
	allowsPost   = "POST, OPTIONS"
)

// flag is what is said of one offer.
type flag struct {
	Key      string       `json:"key"`
	Reason   string       `json:"reason"`
	Variant  string       `json:"variant,omitempty"`
	Value    *flagValue   `json:"value,omitempty"` // absent: the client uses its own default
	Metadata flagMetadata `json:"metadata"`
}

// flagValue is the offer as a shopper gets it.
type flagValue struct {
	*Offer
	Token        *string `json:"token"`
	ExpiresAt    *string `json:"expires_at"`
	Personalised bool    `json:"personalised"`
	Disclosure   *string `json:"disclosure"`
}

// flagMetadata is flat, and nothing in it is null: clients drop anything else.
type flagMetadata struct {
	Detail     string `json:"detail"` // our reason
	Rule       string `json:"rule,omitempty"`
	DecisionID string `json:"decision_id,omitempty"`
}

// flagFailure is why a question got no answer. Clients look for both words in it.
type flagFailure struct {
	Key     string `json:"key,omitempty"` // absent in the answer to a question for all flags
	Code    string `json:"errorCode"`
	Details string `json:"errorDetails"`
}

// handleOFREP answers for one offer, or for all when offerID is empty.
func (s *Server) handleOFREP(ctx *fasthttp.RequestCtx, offerID string) {
	private(ctx)
	h := &ctx.Request.Header
	program := s.Program()
	if ctx.IsOptions() {
		// The site is not known yet, so any that lists the origin will do; the question is checked against its own.
		if origin, ok := cors.Origin(h); !ok || !program.File().Lists(origin) {
			s.refuse(ctx, originNotListed)
			return
		}
		s.letRead(ctx)
		cors.Preflight(ctx, ofrepMethods, ofrepHeaders)
		return
	}
	if !ctx.IsPost() {
		s.refuseMethod(ctx, allowsPost)
		return
	}
	key := bearer(h)
	if key == nil {
		key = h.Peek("X-API-Key") // the protocol's other way to show it; nil when absent
	}
	if refused := s.withinRate(ctx, program.File(), key); refused != nil {
		s.refuseOFREP(ctx, refused, offerID)
		return
	}
	st, refused := siteOf(program.File(), h, ctx.PostBody())
	if refused == nil {
		refused = letIn(ctx, st)
	}
	if refused != nil {
		s.refuseOFREP(ctx, refused, offerID)
		return
	}
	a, refused := s.admit(ctx, program, st, key)
	if refused != nil {
		s.refuseOFREP(ctx, refused, offerID)
		return
	}
	a.tellLane(ctx)
	if offerID == "" {
		s.replyAll(ctx, a)
		return
	}
	offer := st.Offer(offerID)
	if offer == nil {
		s.refuseOFREP(ctx, unknownOffer, offerID)
		return
	}
	ans := s.answer(ctx, a, offer)
	writeJSON(ctx, ans.flag(offer, ans.verdict.Reason))
}

// siteOf finds the site of a question: the one that its context names, else the only one that lists the Origin.
// A question without a context has an empty one.
func siteOf(f *site.File, h *fasthttp.RequestHeader, body []byte) (*site.Site, *refusal) {
	var question, context map[string]json.RawMessage // maps: names are told apart as they are spelled
	if json.Unmarshal(body, &question) != nil || question == nil {
		return nil, malformed
	}
	if text, ok := question["context"]; ok && json.Unmarshal(text, &context) != nil {
		return nil, badContext
	}
	if text, ok := context["site"]; ok {
		var id string
		if json.Unmarshal(text, &id) != nil || f.Site(id) == nil {
			return nil, badContext
		}
		return f.Site(id), nil
	}
	origin, ok := cors.Origin(h)
	switch st := f.ByOrigin(string(origin)); {
	case st != nil:
		return st, nil
	case !ok || len(origin) > 0 && !f.Lists(origin):
		return nil, originNotListed
	}
	return nil, badContext
}

// flag is what is said of o in the answer. reason is what became of it, as long as nothing of ours failed.
func (ans *answer) flag(o *site.Offer, reason eligibility.Reason) flag {
	if ans.failed {
		reason = eligibility.EvaluationFailed
	}
	out := flag{Key: o.ID, Reason: "DEFAULT", Metadata: flagMetadata{Detail: reason.String()}}
	switch reason {
	case eligibility.Match:
		out.Reason = "TARGETING_MATCH"
	case eligibility.Holdout:
		out.Reason = "SPLIT"
	case eligibility.Disabled:
		out.Reason = "DISABLED"
	}
	if !ans.won(o) {
		return out
	}
	v := &ans.verdict
	out.Variant, out.Metadata.Rule = string(v.Arm), v.Rule
	if !v.DecisionID.IsZero() {
		out.Metadata.DecisionID = v.DecisionID.Hex()
	}
	if v.Eligible {
		out.Value = &flagValue{newOffer(v.Offer), textOrNull(ans.token), instant(v.ValidUntil), v.Personalised, textOrNull(v.Offer.Disclosure)}
	}
	return out
}

// replyAll answers for every offer of the site, or says that nothing has changed since the client's last answer.
func (s *Server) replyAll(ctx *fasthttp.RequestCtx, a asker) {
	ans := s.answer(ctx, a, nil)
	var all struct {
		Flags []flag `json:"flags"`
	}
	all.Flags = make([]flag, len(a.site.Offers))
	explained := ans.explained()
	for i, o := range a.site.Offers {
		all.Flags[i] = ans.flag(o, explained.ReasonFor(o.ID))
	}
	tag := tagOf(ans, all.Flags)
	ctx.Response.Header.Set("ETag", tag)
	if matches(ctx.Request.Header.Peek("If-None-Match"), tag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	writeJSON(ctx, all)
}

// tagOf names what flags say. The token of an offer for everyone is another one in each answer, and its end moves:
// of these it names the half of the offer's validity that we are in, so that a client who is told that nothing has
// changed has at least half of a token's life left.
func tagOf(ans *answer, flags []flag) string {
	sum := sha256.New()
	sum.Write([]byte(ans.site.ID))
	out := json.NewEncoder(sum)
	for _, f := range flags {
		if f.Value != nil && !f.Value.Personalised {
			value := *f.Value
			value.Token, value.ExpiresAt = nil, instant(ans.now.Truncate(max(ans.verdict.Offer.ValidFor/2, 1)))
			f.Value = &value
		}
		if err := out.Encode(f); err != nil {
			panic("BUG: flag does not marshal: " + err.Error())
		}
	}
	return `"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`
}

// matches reports whether an If-None-Match names tag. The comparison is weak: a proxy that compresses may have
// made the tag weak.
func matches(header []byte, tag string) bool {
	for one := range strings.SplitSeq(string(header), ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}

// failures are the refusals that the protocol has a word for.
var failures = map[*refusal]flagFailure{
	malformed:    {Code: "PARSE_ERROR", Details: "the body is no JSON object"},
	badContext:   {Code: "INVALID_CONTEXT", Details: "no site: name it in context.site, or ask from a page whose origin one site alone lists"},
	unknownOffer: {Code: "FLAG_NOT_FOUND", Details: "the site has no such offer"},
	internal:     {Code: "GENERAL", Details: "a fault of ours"},
}

// refuseOFREP refuses a question.
func (s *Server) refuseOFREP(ctx *fasthttp.RequestCtx, r *refusal, key string) {
	s.refuse(ctx, r)
	failOFREP(ctx, r, key)
}

// failOFREP says a refusal in the words of the protocol, which has none for 401, 403 and 429.
func failOFREP(ctx *fasthttp.RequestCtx, r *refusal, key string) {
	if f, ok := failures[r]; ok {
		f.Key = key
		writeJSON(ctx, f)
	}
}

func writeJSON(ctx *fasthttp.RequestCtx, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: reply does not marshal: " + err.Error())
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
