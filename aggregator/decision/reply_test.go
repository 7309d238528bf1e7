package decision

import (
	"encoding/json"
	"testing"
	"time"

	"beckon/aggregator/eligibility"
	"beckon/aggregator/feature"
	"beckon/internal/privacy"
	"beckon/internal/site"
)

// The answer is spelled out by hand; it says what encoding/json says of it, whatever a shop writes into its offers.
func TestReplyIsTheJSONOfItsValue(t *testing.T) {
	file, err := site.Parse("sites.yaml", []byte(`
sites:
  - id: demo
    origins: [https://shop.example]
    currency: EUR
    offers:
      - {id: a, title: "10 % \"off\" <b>für</b> \u2028 \\ 'you'", when: "true", discount: {percent: 12.5}, disclosure: "</script> & \"more\" ünd"}
      - {id: b, title: five, when: "true", discount: {amount: 5.00}, min_cart_value: 20, code: "X\"<1", applies_to: ["a&b", "c\"d"], combinable: true}
      - {id: c, title: free, audience: everyone, discount: {free_shipping: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	program, faults := eligibility.Compile(file)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s := newSetup(t)
	r := startReplica(t, s, func(c *Config) { c.Program = func() *eligibility.Program { return program } })
	st := file.Sites[0]
	id, at := privacy.StoredID([16]byte{1, 2, 0xff}), time.Date(2026, 11, 27, 20, 0, 0, 120_000_000, time.FixedZone("", 3600))
	compared := 0
	for _, o := range append([]*site.Offer{nil}, st.Offers...) {
		for reason := eligibility.Match; reason < eligibility.ReasonCount; reason++ {
			for _, arm := range []feature.Arm{feature.NoArm, feature.Treatment, feature.HeldOut} {
				v := eligibility.Verdict{Reason: reason, Offer: o, Arm: arm, Eligible: o != nil && reason == eligibility.Match, Personalised: arm != feature.NoArm}
				if o != nil {
					v.Rule, v.ValidUntil = o.ID+"@3f2a9c1d", at
				}
				if arm != feature.NoArm {
					v.DecisionID = id
				}
				for _, fresh := range []time.Time{{}, at} {
					ans := &answer{asker: asker{site: st, shop: r.server.shopOf(program, st)}, verdict: v, token: "ey.J-_", freshAt: fresh}
					want, err := json.Marshal(newReply(st.ID, &v, ans.token, fresh))
					if err != nil {
						t.Fatal(err)
					}
					if got := ans.appendReply(nil); string(got) != string(want) {
						t.Fatalf("got\n%s\nwant\n%s", got, want)
					}
					compared++
				}
			}
		}
	}
	if compared < 100 {
		t.Fatalf("only %d answers were compared", compared)
	}
}

// newReply is the answer as a value.
func newReply(siteID string, v *eligibility.Verdict, token string, freshAt time.Time) Reply {
	r := Reply{
		Site: siteID, Eligible: v.Eligible, Reason: v.Reason.String(), Personalised: v.Personalised,
		Arm: textOrNull(string(v.Arm)), Rule: textOrNull(v.Rule), FreshAt: instant(freshAt),
	}
	if !v.DecisionID.IsZero() {
		r.DecisionID = textOrNull(v.DecisionID.Hex())
	}
	if v.Eligible {
		r.Offer = newOffer(v.Offer)
		r.Token, r.ExpiresAt = textOrNull(token), instant(v.ValidUntil)
		r.Disclosure = textOrNull(v.Offer.Disclosure)
	}
	return r
}

func TestAnInstantIsSpelledAsTimeDoes(t *testing.T) {
	for _, at := range []time.Time{
		time.UnixMilli(0), time.UnixMilli(1), time.UnixMilli(999), time.Date(2026, 11, 28, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2028, 2, 29, 1, 2, 3, 40_000_000, time.FixedZone("", -9*3600)), time.Date(7, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		if got, want := string(appendInstant(nil, at)), `"`+*instant(at)+`"`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
