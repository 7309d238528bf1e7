package decision

import (
	"bytes"
	"encoding/json"
	"time"

	"beckon/aggregator/feature"
	"beckon/internal/keyring"
	"beckon/internal/privacy"
)

// grant is an active grant as its cookie carries it, so that any replica honours it before the
// decisions table says so. It is sealed under the site's MAC key and bound to the visitor.
type grant struct {
	Holder     []byte      `json:"h"` // a hash of the visitor's id, which itself never leaves us
	Session    []byte      `json:"s"`
	DecisionID []byte      `json:"d"`
	Offer      string      `json:"o"`
	Rule       string      `json:"r"`
	Arm        feature.Arm `json:"a"`
	At         int64       `json:"t"` // Unix milliseconds
	ValidUntil int64       `json:"u"`
}

const grantPurpose = "grant"

// holder is what binds a grant to its visitor.
func holder(k *keyring.Site, visitor privacy.ID) []byte {
	id := visitor.Bytes()
	bound := privacy.KeyedID(&k.MAC, grantPurpose, id[:]).Bytes()
	return bound[:]
}

// sealGrant returns the cookie value for a serve.
func sealGrant(k *keyring.Site, visitor privacy.ID, s feature.Serve) []byte {
	session, decision := s.Session.Bytes(), s.DecisionID.Bytes()
	payload, err := json.Marshal(grant{
		holder(k, visitor), session[:], decision[:], s.Offer, s.Rule, s.Arm, s.At.UnixMilli(), s.ValidUntil.UnixMilli(),
	})
	if err != nil {
		panic("BUG: grant does not marshal: " + err.Error())
	}
	return privacy.SealValue(k, grantPurpose, payload)
}

// openGrant returns the serve in a grant cookie, if the seal holds and it is this visitor's. The
// cookie of somebody else, or a damaged one, is as good as none.
func openGrant(k *keyring.Site, visitor privacy.ID, value []byte) (feature.Serve, bool) {
	payload, ok := privacy.OpenValue(k, grantPurpose, value)
	if !ok {
		return feature.Serve{}, false
	}
	var g grant
	if err := json.Unmarshal(payload, &g); err != nil || !bytes.Equal(g.Holder, holder(k, visitor)) ||
		len(g.Session) != 16 || len(g.DecisionID) != 16 {
		return feature.Serve{}, false
	}
	return feature.Serve{
		Offer: g.Offer, Rule: g.Rule, Arm: g.Arm,
		DecisionID: privacy.StoredID([16]byte(g.DecisionID)), Session: privacy.StoredID([16]byte(g.Session)),
		At: time.UnixMilli(g.At), ValidUntil: time.UnixMilli(g.ValidUntil),
	}, true
}
